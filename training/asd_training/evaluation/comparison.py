"""Comparison of several evaluated models: one table, with seeds of one recipe taken together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from asd_training.evaluation.machines import Evaluation
from asd_training.evaluation.metrics import Results, mean_auc_error

MEASURES = ("official_score", "auc", "pauc", "caught", "false_alarms")


@dataclass(frozen=True)
class Model:
    """One evaluated model.

    Attributes:
        name: as the user named it, unique among the models.
        recipe: preset that it was trained with; "" if it is not known.
        seed: of its training; None if it is not known.
        evaluation: its scores.
        results: its metrics.
        report: address of its own report, relative to the comparison.
    """

    name: str
    recipe: str
    seed: int | None
    evaluation: Evaluation
    results: Results
    report: str = ""


def table(models: Sequence[Model]) -> pd.DataFrame:
    """Put the figures of the models beside each other, a row a model, best official score first.

    Returns:
        Columns model, recipe, seed, official_score, auc (mean over all groups), auc_error
        (95 %: 1.96 standard errors by Hanley and McNeil), pauc, caught (share of the decided
        anomalies), false_alarms (share of the decided normal clips), target_rate (false-alarm rate
        that was asked for); NaN where a figure is not known.
    """
    rows = []
    for model in models:
        scores, results = model.evaluation.scores, model.results
        mean = results.overall[results.overall["mean"] == "arithmetic"].iloc[0].to_dict()
        target_rate = {m.target_rate for m in model.evaluation.machines}
        rows.append(
            {
                "model": model.name,
                "recipe": model.recipe,
                "seed": model.seed,
                "official_score": results.official_score,
                "auc": float(mean["auc"]),
                "auc_error": 1.96 * mean_auc_error(scores, results.year),
                "pauc": float(mean["pauc"]),
                "caught": share_called_anomalous(scores, "anomaly"),
                "false_alarms": share_called_anomalous(scores, "normal"),
                "target_rate": target_rate.pop() if len(target_rate) == 1 else None,
            }
        )
    frame = pd.DataFrame(rows).astype({"target_rate": "float64"})
    return frame.sort_values("official_score", ascending=False, kind="stable", ignore_index=True)


def share_called_anomalous(scores: pd.DataFrame, label: str) -> float:
    """Share of the decided clips of a label that were called anomalous; NaN if there are none."""
    if "anomalous" not in scores:
        return float("nan")
    decided = scores[(scores["label"] == label) & scores["anomalous"].notna()]
    return float(decided["anomalous"].astype(float).mean()) if len(decided) else float("nan")


def by_recipe(compared: pd.DataFrame) -> pd.DataFrame:
    """Take the seeds of a recipe together.

    Returns:
        Columns recipe, n (models), and for each of MEASURES its mean and its sample standard
        deviation (NAME_std), of recipes of two seeds or more; best official score first.
    """
    known = compared[(compared["recipe"] != "") & compared["seed"].notna()]
    groups = [(recipe, part) for recipe, part in known.groupby("recipe") if len(part) > 1]
    rows = []
    for recipe, part in groups:
        row: dict[str, object] = {"recipe": recipe, "n": len(part)}
        for name in MEASURES:
            row |= {name: part[name].mean(), f"{name}_std": part[name].std(ddof=1)}
        rows.append(row)
    if not rows:
        return pd.DataFrame()
    return pd.DataFrame(rows).sort_values("official_score", ascending=False, ignore_index=True)


def by_machine(models: Sequence[Model]) -> pd.DataFrame:
    """Mean AUC of each machine and domain, a column a model.

    Returns:
        Columns machine, domain, and the names of the models; NaN where a model lacks a machine.
    """
    columns = {
        model.name: model.results.rows.groupby(["machine", "domain"])["auc"].mean()
        for model in models
    }
    return pd.DataFrame(columns).reset_index()
