"""Cost of decisions: false-alarm rate -> threshold -> anomalies caught, false alarms a day.

A threshold is the device's own, from held-out training clips (`asd_edge.scoring.calibration`), or,
where only scores are known, read off the normal test clips themselves.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from asd_edge.detector import Detector
from asd_edge.scoring.calibration import Threshold

RATES = (0.001, 0.01, 0.05, 0.1)
DAY = 86400.0

Thresholds = Mapping[tuple[str, float], Threshold]


def device_thresholds(
    detector: Detector, scores: pd.DataFrame
) -> dict[tuple[str, float], Threshold]:
    """Thresholds that a detector decides by, for each section of `scores` and each of RATES."""
    return {
        (section, rate): detector.calibration.threshold(section, rate)
        for section in sorted(scores["section"].unique())
        for rate in RATES
    }


def thresholds_of_normals(scores: pd.DataFrame) -> dict[tuple[str, float], Threshold]:
    """The same from normal test clips, for score files: optimistic, as the clips judge themselves.

    The rule is called "test"; a section without normal clips has no threshold.
    """
    normal = scores[scores["label"] == "normal"]
    return {
        (str(section), rate): Threshold(quantile(part["score"], rate), "test", len(part))
        for section, part in normal.groupby("section")
        for rate in RATES
    }


def quantile(normal: ArrayLike, rate: float) -> float:
    """Lowest threshold that at most a share `rate` of the normal scores reaches."""
    ordered = np.sort(np.asarray(normal, dtype=np.float64))
    allowed = math.floor(rate * len(ordered) + 1e-9)
    return float(np.nextafter(ordered[len(ordered) - 1 - allowed], math.inf))


def costs(scores: pd.DataFrame, thresholds: Thresholds, every_seconds: float) -> pd.DataFrame:
    """What the thresholds of one machine bring about, a row a section and rate.

    Args:
        scores: of one machine; see `asd_training.evaluation.metrics`.
        thresholds: (section, rate) to threshold.
        every_seconds: one clip is judged every so many seconds.

    Returns:
        columns section, rate, threshold, rule, n (clips behind the threshold), n_anomaly, caught,
        n_normal, alarms (of the normal test clips), per_day: false alarms a day that the rate
        promises.
    """
    sections = dict(list(scores.groupby("section")))
    rows = []
    for (section, rate), threshold in thresholds.items():
        part = sections[section]
        above = part["score"] >= threshold.value
        anomaly, normal = part["label"] == "anomaly", part["label"] == "normal"
        rows.append(
            {
                "section": section,
                "rate": rate,
                "threshold": threshold.value,
                "rule": threshold.rule,
                "n": threshold.n,
                "n_anomaly": int(anomaly.sum()),
                "caught": int((anomaly & above).sum()),
                "n_normal": int(normal.sum()),
                "alarms": int((normal & above).sum()),
                "per_day": rate * DAY / every_seconds,
            }
        )
    return pd.DataFrame(rows)


def total(tables: list[pd.DataFrame]) -> pd.DataFrame:
    """Sum the counts of all sections, each at its own threshold: a row a rate."""
    if not tables:
        return pd.DataFrame()
    counts = ["n_anomaly", "caught", "n_normal", "alarms"]
    by_rate = pd.concat(tables).groupby("rate")
    return by_rate[counts].sum().join(by_rate["per_day"].first()).reset_index()
