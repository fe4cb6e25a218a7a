"""Metrics of one set of labels and scores: AUC, pAUC, precision, recall, F1, and means of them."""

from __future__ import annotations

import sys
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from asd_edge.errors import ParameterError

MAX_FPR = 0.1
_EPSILON = sys.float_info.epsilon


class Sweep(NamedTuple):
    """Outcome of `threshold_sweep`."""

    threshold: float
    auc: float


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


def auc_error(area: float, n_normal: int, n_anomaly: int) -> float:
    """Standard error of an AUC, by Hanley and McNeil, Radiology 143 (1982), 29-36.

    0 for a perfect AUC, which says that none was seen, not that none is there.
    """
    q1, q2 = area / (2 - area), 2 * area**2 / (1 + area)
    variance = area * (1 - area)
    variance += (n_anomaly - 1) * (q1 - area**2) + (n_normal - 1) * (q2 - area**2)
    return float(np.sqrt(max(variance, 0.0) / (n_normal * n_anomaly)))


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
