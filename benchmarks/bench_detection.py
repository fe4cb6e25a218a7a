"""A run or bundle beside detectors that need no training, on the test clips of a data set.

    python benchmarks/bench_detection.py demo/valve.asd demo/data

Training-free, per section, on the time-averaged log-mel of the model's own front end:
nearest neighbour (euclidean), and Mahalanobis distance with the covariance shrunk by
Ledoit and Wolf (2004). `level` is the clip's RMS, to see whether loudness gives faults away.
"""

from __future__ import annotations

from pathlib import Path

import click
import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Table
from sklearn.covariance import LedoitWolf
from sklearn.neighbors import NearestNeighbors

from asd_training import metrics
from asd_training.clips import Clip, find_clips
from asd_training.evaluation import Subject, load_subject, score_clips


def spectra(subject: Subject, clips: list[Clip]) -> tuple[np.ndarray, np.ndarray]:
    """Time-averaged features [shape=(n, n_mels)] and RMS levels [shape=(n,)] of clips."""
    detector = subject.detector
    rows, levels = [], []
    for clip in clips:
        y = detector.read(clip.path)
        rows.append(detector.front_end.all_features(y).mean(axis=(0, 2)))
        levels.append(float(np.sqrt(np.mean(np.square(y, dtype=np.float64)))))
    return np.array(rows, dtype=np.float64), np.array(levels)


def training_free(subject: Subject, train: list[Clip], test: list[Clip]) -> pd.DataFrame:
    """Scores of the test clips by each training-free detector, a column a detector."""
    x_train, _ = spectra(subject, train)
    x_test, levels = spectra(subject, test)
    scores = pd.DataFrame({"level": levels, "nearest neighbour": 0.0, "Mahalanobis": 0.0})
    train_sections = np.array([clip.section for clip in train])
    test_sections = np.array([clip.section for clip in test])
    for section in np.unique(test_sections):
        own, mine = x_train[train_sections == section], test_sections == section
        neighbours = NearestNeighbors(n_neighbors=1).fit(own)
        scores.loc[mine, "nearest neighbour"] = neighbours.kneighbors(x_test[mine])[0][:, 0]
        scores.loc[mine, "Mahalanobis"] = np.sqrt(LedoitWolf().fit(own).mahalanobis(x_test[mine]))
    return scores


@click.command()
@click.argument("model", type=click.Path(path_type=Path))
@click.argument("data", type=click.Path(path_type=Path))
def main(model: Path, data: Path) -> None:
    """Print AUC and pAUC of MODEL and of the training-free detectors on DATA."""
    subject = load_subject(model)
    clips = find_clips(data, subject.machine)
    train = [clip for clip in clips if clip.split == "train"]
    test = [clip for clip in clips if clip.split == "test"]
    table, errors = score_clips(subject.detector, test)
    if errors:
        raise errors[0]
    columns = training_free(subject, train, test).assign(**{str(model): table["score"]})
    out = Table("detector", "AUC", "pAUC", title=f"{subject.machine}, arithmetic means")
    for name in columns:
        results = metrics.evaluate(table.assign(score=columns[name].to_numpy()))
        mean = results.overall.set_index("mean").loc["arithmetic"]
        out.add_row(str(name), f"{mean['auc']:.4f}", f"{mean['pauc']:.4f}")
    Console(width=80).print(out)


if __name__ == "__main__":
    main()
