"""Metrics of DCASE Challenge Task 2: AUC, pAUC, precision, recall, F1 and their means.

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

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from asd_edge.errors import ParameterError
from asd_training.errors import DatasetError

MAX_FPR = 0.1
METRICS = ("auc", "pauc", "precision", "recall", "f1")
DECISION_METRICS = ("precision", "recall", "f1")
GROUP = ("machine", "domain", "section")
MEANS = ("arithmetic", "harmonic")
YEARS = (2020, 2021, 2022, 2023, 2024, 2025)
JOINT_YEAR = 2022
"""From this year on, the anomalies of a section are shared by its domains."""

_DOMAIN_ORDER = {"source": 0, "target": 1}
_EPSILON = sys.float_info.epsilon


class Missing(NamedTuple):
    """Metrics that a group could not have, and why; they are NaN and in no mean."""

    machine: str
    domain: str
    section: str
    metrics: tuple[str, ...]
    reason: str


class Sweep(NamedTuple):
    """Outcome of `threshold_sweep`."""

    threshold: float
    auc: float


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


def _labels_and_scores(
    labels: ArrayLike, scores: ArrayLike
) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    # scikit-learn would take strings and sort them, which makes "normal" the positive class.
    y_true = np.asarray(labels)
    y_score = np.asarray(scores, dtype=np.float64)
    if y_true.ndim != 1 or y_score.shape != y_true.shape:
        raise ParameterError(
            "shapes of labels and scores", (y_true.shape, y_score.shape), "twice the same (n,)"
        )
    if y_true.dtype.kind not in "biuf" or not np.isin(y_true, (0, 1)).all():
        raise ParameterError("labels", sorted(set(y_true.tolist()))[:4], "0 or 1, 1 for anomaly")
    positive = y_true.astype(bool)
    if positive.all() or not positive.any():
        only = (
            "no clips"
            if positive.size == 0
            else f"only {'anomalies' if positive[0] else 'normals'}"
        )
        raise ParameterError("labels", only, "both normal and anomalous clips")
    if not np.isfinite(y_score).all():
        index = int(np.flatnonzero(~np.isfinite(y_score))[0])
        raise ParameterError(f"scores[{index}]", float(y_score[index]), "a finite number")
    return positive, y_score


def auc(labels: ArrayLike, scores: ArrayLike) -> float:
    """Area under the ROC curve.

    The probability that a random anomaly scores higher than a random normal clip, ties
    counting one half (`sklearn.metrics.roc_auc_score`).

    Args:
        labels: [shape=(n,)] 0 or False for normal, 1 or True for anomaly; both must occur.
        scores: [shape=(n,)] Finite; higher is more anomalous.

    Returns:
        float in [0, 1]

    Raises:
        ParameterError: On other shapes or labels, one class only, or a score that is NaN or
            infinite.
    """
    positive, y_score = _labels_and_scores(labels, scores)
    from sklearn.metrics import roc_auc_score  # here, because it takes a second to import

    return float(roc_auc_score(positive, y_score))


def pauc(labels: ArrayLike, scores: ArrayLike, max_fpr: float = MAX_FPR) -> float:
    """Partial area under the ROC curve, as the DCASE evaluators compute it.

    With A the area under the ROC curve for false-positive rates from 0 to p = `max_fpr`,

        pAUC = (1 + (A - p^2 / 2) / (p - p^2 / 2)) / 2,

    which is 0.5 for chance and 1 for perfect separation: the standardisation of McClish,
    "Analyzing a portion of the ROC curve", Medical Decision Making 9 (1989), 190-195
    (`sklearn.metrics.roc_auc_score` with `max_fpr`). The task descriptions of DCASE print
    the plain average A / p instead; every published figure is of the formula above.

    Args:
        labels: [shape=(n,)] As for `auc`.
        scores: [shape=(n,)] As for `auc`.
        max_fpr: Largest false-positive rate of the part of the curve.

    Returns:
        float in [(1 - p / (2 - p)) / 2, 1], 0.4737 to 1 for p = 0.1

    Raises:
        ParameterError: As for `auc`, or when `max_fpr` is out of range.
    """
    if not 0 < max_fpr <= 1:
        raise ParameterError("max_fpr", max_fpr, "a rate above 0 and at most 1")
    positive, y_score = _labels_and_scores(labels, scores)
    from sklearn.metrics import roc_auc_score  # here, because it takes a second to import

    return float(roc_auc_score(positive, y_score, max_fpr=max_fpr))


def precision_recall_f1(labels: ArrayLike, decisions: ArrayLike) -> tuple[float, float, float]:
    """Precision tp / (tp + fp), recall tp / (tp + fn) and their harmonic mean F1.

    A denominator of zero is replaced by 2.2e-16, as the DCASE evaluators do, so that no
    detection at all gives 0 rather than NaN.

    Args:
        labels: [shape=(n,)] 0 or False for normal, 1 or True for anomaly.
        decisions: [shape=(n,)] 0 or False for normal, 1 or True for anomalous.
    """
    y_true, y_pred = np.asarray(labels, dtype=bool), np.asarray(decisions, dtype=bool)
    true_positives = int(np.count_nonzero(y_true & y_pred))
    precision = true_positives / max(int(np.count_nonzero(y_pred)), _EPSILON)
    recall = true_positives / max(int(np.count_nonzero(y_true)), _EPSILON)
    f1 = 2.0 * precision * recall / max(precision + recall, _EPSILON)
    return precision, recall, f1


def arithmetic_mean(values: ArrayLike) -> NDArray[np.float64]:
    """Mean of each column over the rows that have it: shape (n_groups, m) -> (m,).

    Bit-identical to the evaluators' `np.mean(values, axis=0)` where nothing is missing; a
    column without any value gives NaN.
    """
    # C order, as a list of rows has: in Fortran order numpy sums pairwise and differs in the
    # last digit. Zeros in the place of missing values change no sum.
    table = np.ascontiguousarray(values, dtype=np.float64)
    present = ~np.isnan(table)
    total = np.sum(np.where(present, table, 0.0), axis=0)
    count = np.count_nonzero(present, axis=0)
    mean = np.full(total.shape, np.nan)
    np.divide(total, count, out=mean, where=count > 0)
    return mean


def harmonic_mean(values: ArrayLike) -> NDArray[np.float64]:
    """Harmonic mean of each column over the rows that have it: (n_groups, m) -> (m,).

    1 / mean(1 / max(x, eps)) with eps = 2.2e-16, as `scipy.stats.hmean` computes it after the
    clamp of the evaluators: one recall of 0 gives a mean near 0 and no division by zero.
    """
    return 1.0 / arithmetic_mean(1.0 / np.maximum(np.asarray(values, dtype=float), _EPSILON))


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


def auc_error(area: float, n_normal: int, n_anomaly: int) -> float:
    """Standard error of an AUC, by Hanley and McNeil, Radiology 143 (1982), 29-36.

    0 for a perfect AUC, which says that none was seen, not that none is there.
    """
    q1, q2 = area / (2 - area), 2 * area**2 / (1 + area)
    variance = area * (1 - area)
    variance += (n_anomaly - 1) * (q1 - area**2) + (n_normal - 1) * (q2 - area**2)
    return float(np.sqrt(max(variance, 0.0) / (n_normal * n_anomaly)))


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


def threshold_sweep(labels: ArrayLike, scores: ArrayLike, n: int = 100) -> Sweep:
    """The report's threshold: the best of `n` between the lowest and the highest score.

    Of the `n` values `np.linspace(min(scores), max(scores), n)`, the one whose decisions
    `score > threshold` (the comparison of the DCASE baselines) have the greatest
    `roc_auc_score`; of several, the lowest. The AUC of decisions is
    (tpr + 1 - fpr) / 2, never below 0.5 here, because the highest value flags no clip.

    It looks at the anomalies: it belongs to evaluation, and no deployed threshold comes
    from it.

    Args:
        labels: [shape=(n,)] As for `auc`.
        scores: [shape=(n,)] As for `auc`.
        n: Number of thresholds, at least 2.

    Returns:
        `threshold`, in the unit of the scores, and `auc` in [0.5, 1].

    Raises:
        ParameterError: As for `auc`, or when `n` is out of range.
    """
    if n < 2:
        raise ParameterError("n", n, "at least 2 thresholds")
    positive, y_score = _labels_and_scores(labels, scores)
    low, high = float(y_score.min()), float(y_score.max())
    # Not more than a unit apart: the difference of the largest numbers would be infinite.
    unit = max(abs(low), abs(high), 1.0) if not np.isfinite(high - low) else 1.0
    thresholds = np.linspace(low / unit, high / unit, n) * unit
    normal, anomalous = np.sort(y_score[~positive]), np.sort(y_score[positive])
    false_alarms = normal.size - np.searchsorted(normal, thresholds, side="right")
    hits = anomalous.size - np.searchsorted(anomalous, thresholds, side="right")
    # tpr - fpr over a common denominator: integers, so that ties are ties.
    gain = hits * normal.size - false_alarms * anomalous.size
    best = int(np.argmax(gain))
    area = 0.5 + float(gain[best]) / (2 * normal.size * anomalous.size)
    return Sweep(float(thresholds[best]), area)
