"""Write an evaluation for other programs: its figures as JSON, its scores as CSV and Parquet."""

from __future__ import annotations

import datetime
import json
from pathlib import Path

import pandas as pd

from asd_edge.atomic_files import atomic_path
from asd_training.evaluation.comparison import share_called_anomalous
from asd_training.evaluation.metrics import Results

FILE = "summary.json"
SCORES = ("scores.parquet", "scores.csv")
_COLUMNS = ("clip", "machine", "section", "domain", "label", "score", "anomalous")
_TEXTS = ("clip", "machine", "section", "domain", "label")


def write(path: Path, results: Results, scores: pd.DataFrame, data: str) -> None:
    """Write the figures of an evaluation; a figure that is not known is null."""
    mean = results.overall[results.overall["mean"] == "arithmetic"].iloc[0]
    figures = {
        "official_score": results.official_score,
        "auc": float(mean["auc"]),
        "pauc": float(mean["pauc"]),
        "caught": share_called_anomalous(scores, "anomaly"),
        "false_alarms": share_called_anomalous(scores, "normal"),
        "rules": results.year,
        "data": Path(data).name,
        "machines": sorted(scores["machine"].unique()),
        "clips": len(scores),
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
    }
    known = {key: None if value != value else value for key, value in figures.items()}
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(known, indent=2, ensure_ascii=False) + "\n")


def write_scores(scores: pd.DataFrame, folder: Path) -> None:
    """Write a row a clip as `scores.parquet` and `scores.csv`; "00" is text in both.

    In CSV everything that is text is in quotes, and what is not known is an empty field.
    """
    table = scores[[name for name in _COLUMNS if name in scores]].copy()
    for name in _TEXTS:
        table[name] = table[name].astype("str")
    if "anomalous" in table:
        table["anomalous"] = table["anomalous"].astype("boolean")
    parquet, text = (folder / name for name in SCORES)
    with atomic_path(parquet) as temporary:
        table.to_parquet(temporary, index=False)
    with atomic_path(text) as temporary:
        table.to_csv(temporary, index=False, quoting=2)  # csv.QUOTE_NONNUMERIC
