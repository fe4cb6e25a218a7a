"""Detection on real ToyCar clips: every preset beside detectors that need no training.

    python shared/tools/unpack_toycar.py toycar
    python benchmarks/toycar.py --data toycar

The folder holds the log-mel files of MLPerf Tiny's anomaly detection task (ToyADMOS ToyCar of
DCASE 2020 Task 2: 200 frames x 128 mels of n_fft 1024, hop 512, 16 kHz). Of each of the four
cars (ids, here sections) normal clips 0..239 are for training, the others and all anomalies
for testing. A run sees what a run of sound files would: the same hold-out, references,
calibration and scoring; only the front end is the files'.
"""

from __future__ import annotations

import dataclasses
import json
import re
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import click
import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from sklearn.covariance import LedoitWolf
from sklearn.metrics import roc_auc_score
from sklearn.neighbors import NearestNeighbors

from asd_edge.features import MelConfig
from asd_edge.frontend import FrontEnd
from asd_training import presets, run, selection
from asd_training.feature_table import FeatureTable
from asd_training.presets import Preset
from asd_training.run import RunConfig
from asd_training.train import train

MEL = MelConfig(sr=16000, n_fft=1024, hop_length=512, n_mels=128, log="db", center=False)
FRAMES = 200
FRONT_END = FrontEnd(MEL, clip_seconds=((FRAMES - 1) * 512 + 1024) / 16000)
TRAINING_CLIPS = 240  # of each id, the first normal ones
_NAME = re.compile(r"(normal|anomaly)_id_(\d\d)_(\d+)_hist_librosa\.bin")


def read(folder: Path) -> FeatureTable:
    """Read the folder as the feature table that the sound files would have given."""
    rows, features = [], []
    for path in sorted(folder.glob("*.bin")):
        match = _NAME.fullmatch(path.name)
        if match is None:
            raise click.ClickException(f"{path}: not named as MLPerf Tiny's ToyCar files are")
        label, section, number = match[1], match[2], int(match[3])
        train = label == "normal" and number < TRAINING_CLIPS
        rows.append((path.name, section, label, "train" if train else "test"))
        features.append(np.fromfile(path, "<f4").reshape(FRAMES, MEL.n_mels).T)
    if not rows:
        raise click.ClickException(f"{folder}: no files NAME_hist_librosa.bin")
    clips = pd.DataFrame(rows, columns=["clip", "section", "label", "split"]).assign(
        machine="ToyCar",
        domain="source",
        attributes="",
        n_windows=1,
        first=range(len(rows)),
        digest="",
    )
    return FeatureTable(FRONT_END, clips, np.stack(features))


def fitted(preset: Preset) -> Preset:
    """Give a preset whose input is these files; the report's takes their bands and power."""
    return dataclasses.replace(preset, front_end=FRONT_END)


def amplitude(table: FeatureTable) -> FeatureTable:
    """Give amplitudes instead of decibels, which is what the report's network hears."""
    return dataclasses.replace(table, features=10 ** (table.features / 20))


def evaluate(scores: NDArray[np.float64], clips: pd.DataFrame) -> dict[str, tuple[float, float]]:
    """AUC and pAUC (up to a false-positive rate of 0.1, McClish) of each id."""
    result = {}
    for section, rows in clips.groupby("section").indices.items():
        truth = (clips["label"].to_numpy()[rows] == "anomaly").astype(int)
        own = scores[rows]
        auc = float(roc_auc_score(truth, own))
        result[str(section)] = auc, float(roc_auc_score(truth, own, max_fpr=0.1))
    return result


def training_free(table: FeatureTable) -> Iterator[tuple[str, NDArray[np.float64]]]:
    """Scores of the test clips by the two lines that need no training, on all training clips."""
    train = (table.clips["split"] == "train").to_numpy()
    sections = table.clips["section"].to_numpy(dtype=str)
    mean = table.features.mean(axis=2).astype(np.float64)
    nearest, distance = np.zeros(len(mean)), np.zeros(len(mean))
    for section in np.unique(sections):
        own = sections == section
        known = mean[own & train]
        nearest[own] = NearestNeighbors(n_neighbors=1).fit(known).kneighbors(mean[own])[0][:, 0]
        distance[own] = np.sqrt(LedoitWolf().fit(known).mahalanobis(mean[own]))
    yield "time-averaged log-mel, nearest neighbour", nearest[~train]
    yield "time-averaged log-mel, Mahalanobis", distance[~train]


def trained(
    preset: Preset, table: FeatureTable, seed: int
) -> tuple[dict[str, NDArray[np.float64]], float]:
    """Train and score the test clips: scores by view, and all views summed; and seconds."""
    train_rows = (table.clips["split"] == "train").to_numpy()
    config = RunConfig(preset, "ToyCar", "toycar", seed, run.versions())
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as name:
        train(config, table.take(train_rows), Path(name))
        network = run.load_model(Path(name), config)
        embeddings = run.read_embeddings(Path(name))
    scorer, _ = selection.scorer_and_calibration(config, embeddings)
    seconds = time.monotonic() - started
    test = table.take(~train_rows)
    scores: dict[str, list[float]] = {view: [] for view in ("all", *scorer.views)}
    for i, section in enumerate(test.clips["section"]):
        scored = scorer.score(network.embed(test.windows(i)), section)
        scores["all"].append(scored.score)
        for view, part in scored.views.items():
            scores[view].append(part)
    return {view: np.array(values) for view, values in scores.items()}, seconds


@click.command()
@click.option("--data", required=True, type=click.Path(path_type=Path, exists=True))
@click.option("--preset", "names", multiple=True, help="Default: all that come with asd-edge.")
@click.option("--seeds", type=click.IntRange(min=1), default=3, show_default=True)
@click.option("--threads", type=click.IntRange(min=1), default=2, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print JSON Lines, one a detector and seed.")
def main(data: Path, names: tuple[str, ...], seeds: int, threads: int, as_json: bool) -> None:
    """Print AUC and pAUC of presets and training-free detectors on ToyCar clips."""
    torch.set_num_threads(threads)
    table = read(data)
    test = table.clips[table.clips["split"] == "test"].reset_index(drop=True)
    results: dict[str, list[dict[str, tuple[float, float]]]] = {}
    seconds: dict[str, float] = {}

    def note(name: str, seed: int, scores: NDArray[np.float64], took: float) -> None:
        result = evaluate(scores, test)
        results.setdefault(name, []).append(result)
        seconds[name] = max(seconds.get(name, 0.0), took)
        if as_json:
            line = {"detector": name, "seed": seed, "seconds": round(took, 1), "sections": result}
            click.echo(json.dumps(line))

    for name, scores in training_free(table):
        note(name, 0, scores, 0.0)
    for name in names or presets.names():
        preset = fitted(presets.load(name))
        heard = amplitude(table) if preset.name == "report" else table
        for seed in range(seeds if preset.model is not None else 1):
            by_view, took = trained(preset, heard, seed)
            note(f"preset {name}", seed, by_view.pop("all"), took)
            if len(by_view) > 1:
                for view, scores in by_view.items():
                    note(f"preset {name}, {view} alone", seed, scores, took)
    if not as_json:
        Console(width=110).print(summary(results, seconds))


def summary(
    results: dict[str, list[dict[str, tuple[float, float]]]], seconds: dict[str, float]
) -> Table:
    """Mean over ids, and mean and range of it over seeds; the worst id of the worst seed."""
    table = Table("detector", "AUC", "range", "pAUC", "range", "worst id", "training, s")
    for name, seeds in results.items():
        # [shape=(seeds, ids, 2)]
        values = np.array([list(result.values()) for result in seeds])
        means = values.mean(axis=1)
        ranges = [
            f"{low:.4f}-{high:.4f}" if len(seeds) > 1 else ""
            for low, high in zip(means.min(0), means.max(0), strict=True)
        ]
        auc, pauc = means.mean(0)
        table.add_row(
            name,
            f"{auc:.4f}",
            ranges[0],
            f"{pauc:.4f}",
            ranges[1],
            f"{values[:, :, 0].min():.3f}",
            f"{seconds[name]:.0f}" if seconds[name] else "",
        )
    return table


if __name__ == "__main__":
    main()
