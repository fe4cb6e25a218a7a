"""Shared by the detection benchmarks: presets beside detectors that need no training."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import click
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from sklearn.covariance import LedoitWolf
from sklearn.metrics import roc_auc_score
from sklearn.neighbors import NearestNeighbors

from asd_training import reference_selection, run_folder
from asd_training.data.feature_table import FeatureTable
from asd_training.learn.train import train
from asd_training.presets import Preset
from asd_training.run_folder import RunConfig

# Of each section and domain: AUC, and pAUC up to a false-positive rate of 0.1 (McClish).
Result = dict[str, tuple[float, float]]


def evaluate(scores: NDArray[np.float64], clips: pd.DataFrame) -> Result:
    """AUC and pAUC of each section and domain."""
    result = {}
    for (section, domain), rows in clips.groupby(["section", "domain"]).indices.items():
        truth = (clips["label"].to_numpy()[rows] == "anomaly").astype(int)
        own = scores[rows]
        auc = float(roc_auc_score(truth, own))
        result[f"{section} {domain}"] = auc, float(roc_auc_score(truth, own, max_fpr=0.1))
    return result


def training_free(table: FeatureTable) -> Iterator[tuple[str, NDArray[np.float64]]]:
    """Scores of the test clips by the two lines that need no training, on all training clips."""
    train = table.clips["split"] == "train"
    sections = table.clips["section"]
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
    train_rows = table.clips["split"] == "train"
    machine = str(table.clips["machine"][0])
    config = RunConfig(preset, machine, machine, seed, run_folder.versions())
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as name:
        train(config, table.take(train_rows), Path(name))
        network = run_folder.load_model(Path(name), config)
        embeddings = run_folder.read_embeddings(Path(name))
    scorer, _ = reference_selection.scorer_and_calibration(config, embeddings)
    seconds = time.monotonic() - started
    test = table.take(~train_rows)
    scores: dict[str, list[float]] = {view: [] for view in ("all", *scorer.views)}
    for i, section in enumerate(test.clips["section"].tolist()):
        scored = scorer.score(network.embed(test.windows(i)), section)
        scores["all"].append(scored.score)
        for view, part in scored.views.items():
            scores[view].append(part)
    return {view: np.array(values) for view, values in scores.items()}, seconds


class Board:
    """Results as they come, and their summary."""

    def __init__(self, as_json: bool) -> None:
        self._as_json = as_json
        self._results: dict[str, list[Result]] = {}
        self._seconds: dict[str, float] = {}

    def add(self, name: str, seed: int, result: Result, seconds: float = 0.0) -> None:
        """Note the result of a detector and seed."""
        self._results.setdefault(name, []).append(result)
        self._seconds[name] = max(self._seconds.get(name, 0.0), seconds)
        if self._as_json:
            line = {"detector": name, "seed": seed, "seconds": round(seconds, 1), "auc": result}
            click.echo(json.dumps(line))

    def run(
        self,
        table: FeatureTable,
        recipes: Iterable[Preset],
        seeds: int,
        replacements: dict[str, FeatureTable],
    ) -> None:
        """Run the training-free detectors and presets on a table of training and test clips.

        Args:
            table: of one machine, in decibels.
            recipes: the presets.
            seeds: to train each with.
            replacements: preset -> table that it is given instead of `table`.
        """
        test = pd.DataFrame(dict(table.take(table.clips["split"] == "test").clips))
        for name, scores in training_free(table):
            self.add(name, 0, evaluate(scores, test))
        for preset in recipes:
            for seed in range(seeds if preset.model is not None else 1):
                by_view, took = trained(preset, replacements.get(preset.name, table), seed)
                name = f"preset {preset.name}"
                self.add(name, seed, evaluate(by_view.pop("all"), test), took)
                if len(by_view) > 1:
                    for view, scores in by_view.items():
                        self.add(f"{name}, {view} alone", seed, evaluate(scores, test), took)

    def show(self, title: str) -> None:
        """Print mean over sections, and mean and range of it over seeds, unless all is printed."""
        if self._as_json:
            return
        table = Table(
            "detector", "AUC", "range", "pAUC", "range", "worst", "training, s", title=title
        )
        for name, seeds in self._results.items():
            # [shape=(seeds, sections, 2)]
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
                f"{self._seconds[name]:.0f}" if self._seconds[name] else "",
            )
        Console(width=110).print(table)
