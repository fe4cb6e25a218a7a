"""Evaluate by the rules of DCASE Challenge Task 2: metrics of each group, means, official score.

All of it works on the table `scores`, a pandas DataFrame with one row a clip:

    clip       file name
    machine    "fan", "ToyCar", ...
    section    "00", "01", ...
    domain     "source", "target", or "" where the data set has none
    label      "normal", "anomaly" or "unknown"
    score      anomaly score, finite; higher is more anomalous
    anomalous  the decision, bool; may be NA or absent where no decision was made

One *group* is the clips of one machine, domain and section. What is compared with what, and
what the official score is, differs by the year of the challenge (its evaluators' code):

    2020         no domains; AUC and pAUC of every machine id, averaged by machine type.
                 Systems were ranked by their mean rank, which one system alone does not have;
                 the mean over machine types of AUC and pAUC stands for the official score.
    2021         every metric within a group; official score: the harmonic mean of the AUC
                 and pAUC of all groups.
    2022 - 2025  AUC: the normals of a domain against ALL anomalies of the section, because
                 the domain is not told; pAUC over the section as a whole; precision, recall
                 and F1 within the domain. Official score: the harmonic mean of the AUC of all
                 groups and the pAUC of all sections.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from asd_edge.errors import ParameterError
from asd_training.errors import DatasetError
from asd_training.evaluation.measures import (
    arithmetic_mean,
    auc,
    auc_error,
    harmonic_mean,
    pauc,
    precision_recall_f1,
)

METRICS = ("auc", "pauc", "precision", "recall", "f1")
DECISION_METRICS = ("precision", "recall", "f1")
GROUP = ("machine", "domain", "section")
MEANS = ("arithmetic", "harmonic")
YEARS = (2020, 2021, 2022, 2023, 2024, 2025)
JOINT_YEAR = 2022
"""From this year on, the anomalies of a section are shared by its domains."""

_DOMAIN_ORDER = {"source": 0, "target": 1}


class Missing(NamedTuple):
    """Metrics that a group could not have, and why; they are NaN and in no mean."""

    machine: str
    domain: str
    section: str
    metrics: tuple[str, ...]
    reason: str


@dataclass(frozen=True)
class Results:
    """What `evaluate` found; a missing metric is NaN.

    Attributes:
        rows: One row a group, in the order of the official `result.csv` (machines sorted, then
            source before target, then sections): machine, section, domain, n_normal, n_anomaly,
            n_unknown, auc, pauc, precision, recall, f1; from 2022 on also auc_all, that of the
            whole section. There pauc, too, is the section's, the same in its domains.
        machine_means: Two rows a machine: machine, mean ("arithmetic" or "harmonic"), auc, ...,
            f1.
        overall: The same two means over all groups of all machines: mean, auc, ..., f1.
        missing: The groups that lack metrics, in the order of `rows`.
        year: Whose rules; those of 2022 to 2025 are the same.
        official_score: See the module.
    """

    rows: pd.DataFrame
    machine_means: pd.DataFrame
    overall: pd.DataFrame
    missing: tuple[Missing, ...]
    year: int
    official_score: float


def evaluate(scores: pd.DataFrame, source: str | Path = "scores", year: int = 2021) -> Results:
    """Metrics of every group, their means by machine and over all, and the official score.

    Clips whose label is "unknown" are left out. A group without both normal and anomalous
    clips has no metrics, one without all its decisions no precision, recall and F1: these
    are NaN, in no mean, and named in `Results.missing`.

    Args:
        scores: See the module.
        source: What the table was made of, for messages.
        year: Of the challenge whose rules to follow, see the module.

    Raises:
        DatasetError: No clip is labelled, or no group has both normal and anomalous clips.
        ParameterError: A column is absent, a label is none of the three, a score is NaN or
            infinite, or the year is unknown.
    """
    if year not in YEARS:
        raise ParameterError("year", year, f"{YEARS[0]} to {YEARS[-1]}")
    check_scores(scores)
    known = scores["label"] != "unknown"
    if not known.any():
        raise DatasetError(
            source,
            f"none of its {len(scores)} test clips is labelled; expected file names that say "
            "normal or anomaly, such as section_00_source_test_anomaly_0000.wav",
        )
    rows, missing = [], []
    for compared in comparisons(scores, year):
        row, lacking = _evaluate_group(compared, year)
        names = dict(zip(GROUP, compared.key, strict=True))
        rows.append({name: names[name] for name in ("machine", "section", "domain")} | row)
        missing += [Missing(*compared.key, *why) for why in lacking]
    table = pd.DataFrame(rows)
    if table["auc"].isna().all():
        raise DatasetError(
            source,
            "no machine, domain and section has both normal and anomalous test clips, "
            "which an AUC needs",
        )
    by_machine = [
        _means(part).assign(machine=machine)
        for machine, part in table.groupby("machine", sort=False)
    ]
    columns = ["machine", "mean", *METRICS]
    return Results(
        rows=table,
        machine_means=pd.concat(by_machine, ignore_index=True)[columns],
        overall=_means(table),
        missing=tuple(missing),
        year=year,
        official_score=official_score(table, year),
    )


def official_score(rows: pd.DataFrame, year: int) -> float:
    """The score of a year's challenge, from `Results.rows`; see the module.

    Returns:
        float in [0, 1], of the metrics that are there; NaN if there are none.
    """
    if year == 2020:
        by_machine = rows.groupby("machine")[["auc", "pauc"]].mean()
        return float(by_machine.mean().mean())
    paucs = rows
    if year >= JOINT_YEAR:
        # The first domain of a section may have no normals, and then no figures at all.
        paucs = rows.dropna(subset="pauc").drop_duplicates(["machine", "section"])
    values = np.concatenate([rows["auc"].to_numpy(), paucs["pauc"].to_numpy()])
    return float(harmonic_mean(values[:, None])[0])


class Comparison(NamedTuple):
    """The clips of one group and those that its AUC is about.

    Attributes:
        key: machine, domain, section.
        group: its clips.
        judged: the labelled clips that its AUC compares, those of `group` or, from 2022 on, its
            normals and all anomalies of the section.
        section: all labelled clips of the section.
    """

    key: tuple[str, str, str]
    group: pd.DataFrame
    judged: pd.DataFrame
    section: pd.DataFrame


def comparisons(scores: pd.DataFrame, year: int) -> list[Comparison]:
    """What a year's rules compare, group by group, in the official order."""
    if year == 2020:
        scores = scores.assign(domain="")
    labelled = scores[scores["label"] != "unknown"]
    sections = {
        (str(machine), str(section)): part
        for (machine, section), part in labelled.groupby(["machine", "section"], sort=False)
    }
    found = []
    for key, group in groups(scores):
        section = sections.get((key[0], key[2]), labelled.iloc[:0])
        judged = group[group["label"] != "unknown"]
        if year >= JOINT_YEAR:
            judged = pd.concat(
                [group[group["label"] == "normal"], section[section["label"] == "anomaly"]]
            )
        found.append(Comparison(key, group, judged, section))
    return found


def check_scores(scores: pd.DataFrame) -> None:
    """Raise ParameterError for an absent column, a strange label or a score that is not finite."""
    absent = [c for c in ("clip", *GROUP, "label", "score") if c not in scores.columns]
    if absent:
        raise ParameterError("columns of scores", list(scores.columns), f"also {absent}")
    strange = set(scores["label"]) - {"normal", "anomaly", "unknown"}
    if strange:
        raise ParameterError("label", sorted(map(str, strange))[0], "normal, anomaly or unknown")
    finite = np.isfinite(scores["score"].to_numpy(dtype=np.float64))
    if not finite.all():
        first = scores.loc[~finite].iloc[0]
        raise ParameterError(f"score of {first['clip']}", float(first["score"]), "a finite number")


def groups(scores: pd.DataFrame) -> list[tuple[tuple[str, str, str], pd.DataFrame]]:
    """The clips of each (machine, domain, section), in the official order.

    Machines sorted; within one, source before target before no domain, then sections.
    """
    parts = [
        ((str(machine), str(domain), str(section)), part)
        for (machine, domain, section), part in scores.groupby(list(GROUP), sort=False)
    ]
    return sorted(
        parts, key=lambda item: (item[0][0], _DOMAIN_ORDER.get(item[0][1], 2), *item[0][1:])
    )


def _evaluate_group(
    compared: Comparison, year: int
) -> tuple[dict[str, float], list[tuple[tuple[str, ...], str]]]:
    group, judged = compared.group, compared.judged
    labels = group["label"]
    row: dict[str, float] = {
        f"n_{label}": int((labels == label).sum()) for label in ("normal", "anomaly", "unknown")
    }
    row |= dict.fromkeys(METRICS, np.nan)
    counts = (
        f"has {row['n_normal']} normal, {row['n_anomaly']} anomalous, {row['n_unknown']} unlabelled"
    )
    if year >= JOINT_YEAR:
        row["auc_all"] = np.nan
    if judged["label"].nunique() < 2:
        return row, [(METRICS, f"needs normal and anomalous clips; {counts}")]
    row["auc"] = _measure(auc, judged)
    if year >= JOINT_YEAR:
        row["auc_all"] = _measure(auc, compared.section)
        row["pauc"] = _measure(pauc, compared.section)
    else:
        row["pauc"] = _measure(pauc, judged)
    if not row["n_normal"] or not row["n_anomaly"]:
        return row, [(DECISION_METRICS, f"needs normal and anomalous clips; {counts}")]
    labelled = group.loc[labels != "unknown"]
    decided = "anomalous" in labelled.columns and not labelled["anomalous"].isna().any()
    if not decided:
        return row, [(DECISION_METRICS, "no decision for some or all of its clips")]
    measured = precision_recall_f1(
        (labelled["label"] == "anomaly").to_numpy(), labelled["anomalous"].to_numpy(dtype=bool)
    )
    return row | dict(zip(DECISION_METRICS, measured, strict=True)), []


def _measure(metric: Callable[..., float], clips: pd.DataFrame) -> float:
    return metric((clips["label"] == "anomaly").to_numpy(), clips["score"])


def _means(rows: pd.DataFrame) -> pd.DataFrame:
    values = rows[list(METRICS)].to_numpy(dtype=np.float64)
    table = pd.DataFrame([arithmetic_mean(values), harmonic_mean(values)], columns=list(METRICS))
    table.insert(0, "mean", MEANS)
    return table


def mean_auc_error(scores: pd.DataFrame, year: int) -> float:
    """Standard error of the arithmetic mean of the AUC of all groups.

    Sections are independent; the domains of one are taken as fully correlated, for from 2022 on
    they share their anomalies, which makes the error too large rather than too small.
    """
    by_section: dict[tuple[str, str], float] = {}
    count = 0
    for (machine, _, section), _, judged, _ in comparisons(scores, year):
        n_anomaly = int((judged["label"] == "anomaly").sum())
        if 0 < n_anomaly < len(judged):
            error = auc_error(_measure(auc, judged), len(judged) - n_anomaly, n_anomaly)
            by_section[machine, section] = by_section.get((machine, section), 0.0) + error
            count += 1
    return float(np.sqrt(sum(error**2 for error in by_section.values()))) / max(count, 1)
