"""Choose a recipe without anomalies, by small changes of normal clips.

    python benchmarks/selection.py --data toycar        # the folder of benchmarks/toycar.py
    python benchmarks/selection.py --features t.parquet # a table of asd-data features, one machine

Only normal training clips are used. A fifth is held out of training and references; a
pseudo-anomaly is a held-out clip of which a few bands are a little louder or softer, steadier or
less steady. AUC and pAUC say how well the score tells held-out clips from their pseudo-anomalies,
section by section. The test clips are never looked at.
"""

from __future__ import annotations

import dataclasses
import tempfile
from pathlib import Path

import click
import numpy as np
import pandas as pd
import torch
from detection import evaluate
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from toycar import fitted, read

from asd_edge.scoring.fit import fit_scorer, score_unseen
from asd_edge.scoring.scorer import Scorer
from asd_edge.scoring.standards import calibrate
from asd_training import presets, run_folder
from asd_training.data import feature_table
from asd_training.data.feature_table import FeatureTable
from asd_training.data.holdout import held_out
from asd_training.learn.train import embed_clips, train
from asd_training.network.views import Network
from asd_training.presets import Preset
from asd_training.reference_selection import view_rules
from asd_training.run_folder import RunConfig

SHARE = 0.2


def trained_network(preset: Preset, table: FeatureTable, seed: int) -> Network:
    """Train as a run does; the clips that it holds out are those of `held_out`."""
    config = RunConfig(preset, "machine", "data", seed, run_folder.versions())
    with tempfile.TemporaryDirectory() as name:
        train(config, table, Path(name))
        return run_folder.load_model(Path(name), config)


def pseudo_anomalies(table: FeatureTable, held: NDArray[np.bool_], size: float) -> FeatureTable:
    """Change a few neighbouring bands of each held-out clip, as a fault that begins does.

    Around a random band, under a bell of 2 bands' deviation, either the level rises or falls by
    `size` dB, or the band's fluctuations about its mean grow or shrink by a tenth of `size`.
    """
    rng = np.random.default_rng(0)
    features = []
    for row in np.flatnonzero(held):
        x = table.windows(row)[0]
        bands = np.arange(len(x))
        bell = np.exp(-0.5 * ((bands - rng.integers(len(x))) / 2) ** 2)[:, np.newaxis]
        sign = rng.choice([-1, 1])
        if rng.random() < 0.5:
            x = x + sign * size * bell
        else:
            mean = x.mean(axis=1, keepdims=True)
            x = mean + (x - mean) * (1 + sign * 0.1 * size * bell)
        features.append(x)
    count = len(features)
    new = {"label": np.full(count, "anomaly"), "n_windows": np.ones(count, int)}
    clips = {**table.take(held).clips, **new, "first": np.arange(count)}
    return FeatureTable(table.front_end, clips, np.stack(features).astype(np.float32))


def scores(scorer: Scorer, network: Network, table: FeatureTable) -> NDArray[np.float64]:
    """Score of the first window of each clip."""
    return np.array(
        [
            scorer.score(network.embed(table.windows(i)[:1]), section).score
            for i, section in enumerate(table.clips["section"].tolist())
        ]
    )


@click.command()
@click.option("--data", type=click.Path(path_type=Path, exists=True))
@click.option("--features", type=click.Path(path_type=Path, exists=True))
@click.option("--machine", help="Of --features.")
@click.option("--preset", "names", multiple=True, help="Default: statistics and edge.")
@click.option(
    "--weight", "weights", type=float, multiple=True, help="Of the learned view, in turn."
)
@click.option("--size", type=float, default=1.0, show_default=True, help="Of a change, in dB.")
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("--threads", type=click.IntRange(min=1), default=2, show_default=True)
def main(
    data: Path | None,
    features: Path | None,
    machine: str | None,
    names: tuple[str, ...],
    weights: tuple[float, ...],
    size: float,
    seed: int,
    threads: int,
) -> None:
    """Print how well presets tell normal clips from slightly changed ones."""
    torch.set_num_threads(threads)
    if (data is None) == (features is None):
        raise click.UsageError("name either --data or --features.")
    recipes = [presets.load(name) for name in names or ("statistics", "edge")]
    if data is not None:
        table = read(data)
        recipes = [fitted(recipe, None) for recipe in recipes]
    else:
        assert features is not None
        table = feature_table.load(features, machine)
    table = table.take((table.clips["split"] == "train") & (table.clips["label"] == "normal"))
    held = held_out(table.clips["section"], table.clips["domain"], SHARE, seed)
    changed = pseudo_anomalies(table, held, size)
    clips = table.take(held)
    frame = pd.concat([pd.DataFrame(dict(part.clips)) for part in (clips, changed)])
    out = Table(
        "recipe", "AUC", "pAUC", title=f"held-out clips and pseudo-anomalies of {size:g} dB"
    )
    for recipe in recipes:
        training = dataclasses.replace(recipe.training, holdout=SHARE)
        network = trained_network(dataclasses.replace(recipe, training=training), table, seed)
        normals = embed_clips(network, table, held)
        own = normals.normals
        rules = view_rules(recipe, seed)
        windows = int((~normals.held_out).sum())
        known = fit_scorer(rules, own.take(~normals.held_out))
        unseen = score_unseen(known, own.take(normals.held_out))
        for weight in weights or (None,):
            chosen, name = dict(rules), recipe.name
            if weight is not None and len(rules) > 1:
                chosen["embedding"] = dataclasses.replace(rules["embedding"], weight=weight)
                name += f", weight {weight:g}"
            scorer, _ = calibrate(chosen, known, unseen, windows)
            values = [scores(scorer, network, part) for part in (clips, changed)]
            result = np.array(list(evaluate(np.concatenate(values), frame).values())).mean(0)
            out.add_row(name, f"{result[0]:.4f}", f"{result[1]:.4f}")
            if weight is not None and len(rules) == 1:
                break
    Console(width=100).print(out)


if __name__ == "__main__":
    main()
