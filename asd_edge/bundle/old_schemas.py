"""Convert bundles of older schema versions to the present one.

Schema 4 had no guards. Schema 3 had the reach of references in their densities, and thresholds from
the spread of scores on both sides of their centre; both are kept. Schema 2 had a weight for each
view and section, and scores in units of their own. Its score, the sum of weighted distances, is
kept and divided by the section's threshold, which is fitted anew to the scores in the bundle
(`asd_edge.scoring.calibration`). Schema 1 had one view, of the network, without whitening, density
or weights.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

from asd_edge.scoring.calibration import MIN_SECTION_CLIPS, Tail, check_rate

Stored = Mapping[str, NDArray[Any]]


def converted(
    version: int, scoring: dict[str, Any], stored: Stored, calibration: dict[str, Any]
) -> tuple[dict[str, Any], Stored, dict[str, Any], dict[str, float]]:
    """Convert the parts of a bundle to the present schema.

    Args:
        version: 1 to 4.
        scoring: of the manifest.
        stored: arrays of the references.
        calibration: of the manifest; its scores are numbers, 0 or more.

    Returns:
        scoring, arrays and calibration, and what scores are divided by, by section.

    Raises:
        ValueError, KeyError, TypeError: parts that make no bundle.
    """
    if version == 4:
        return scoring, stored, calibration, {}
    calibration = {**calibration, "tail": "both"}
    if version == 3:
        return scoring, stored, calibration, {}
    if version == 1:
        stored = {f"embedding/{name}": x for name, x in stored.items()}
        scoring = {"embedding": {**scoring, "weights": {}}}
    sections = {
        str(section)
        for name, x in stored.items()
        if name.endswith("/sections")
        for section in x.tolist()
    }
    rate = check_rate(calibration["false_alarm_rate"])
    thresholds = _thresholds(calibration["scores"], sections, rate)
    scores = {
        section: [score / thresholds[section] for score in values]
        for section, values in calibration["scores"].items()
    }
    views = {
        name: {**view, "exponent": 1.0, "standards": _standards(view["weights"], thresholds)}
        for name, view in scoring.items()
    }
    for view in views.values():
        del view["weights"]
    return views, stored, {**calibration, "scores": scores}, thresholds


def _standards(
    weights: dict[str, float], thresholds: dict[str, float]
) -> dict[str, dict[str, Any]]:
    if not weights:  # one view, whose score was the distance
        weights = dict.fromkeys(thresholds, 1.0)
    return {
        section: {
            "centres": [0.0],
            "spreads": [1.0],
            "offset": 0.0,
            "factor": weight / thresholds[section],
        }
        for section, weight in weights.items()
    }


def _thresholds(
    scores: dict[str, list[float]], sections: set[str], rate: float
) -> dict[str, float]:
    pooled = [score for values in scores.values() for score in values]
    if not pooled or min(pooled) == max(pooled):
        raise ValueError("calibration: fewer than two different scores")
    thresholds = {}
    for section in sections | set(scores):
        values = scores.get(section, [])
        own = len(values) >= MIN_SECTION_CLIPS and min(values) < max(values)
        thresholds[section] = Tail.fit(values if own else pooled, "both").threshold(rate).value
    return thresholds
