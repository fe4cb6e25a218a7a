"""Standards: scale the distances of views and sections so that the threshold is 1.

From distances of normal clips that the references have not seen to the standards of each view and
section (`asd_edge.scoring.views.Standard`), and to the calibration in units of the threshold.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from asd_edge.errors import ParameterError
from asd_edge.scoring import student_t
from asd_edge.scoring.calibration import (
    DEFAULT_FALSE_ALARM_RATE,
    MIN_SECTION_CLIPS,
    MOST_DOF,
    Calibration,
    Tail,
    robust_normal,
)
from asd_edge.scoring.scorer import Scorer
from asd_edge.scoring.views import ScoringConfig, Standard, combined

# Least spread of distances' powers, as a share of their centre.
_LEAST_SPREAD = 5e-3
# Weight of a view of few clips where there are many: a standard's factor must not be 0.
_LEAST_WEIGHT = 1e-6
# A guard calls a tenth of the false alarms that are asked for, on both sides of what is normal.
_GUARD_SHARE = 0.1
# Share of its limit from which on a guard counts at all: ordinary distances are not ranked by it.
_GUARD_BEGINS = 0.3
# Mean difference of two normal values, in deviations: 2 / sqrt(pi) (Gini).
_MEAN_DIFFERENCE = 1.1284


class Rule(Protocol):
    """How a view is scored, and its weight beside the others: a `View`, or a `fit.ViewRule`."""

    @property
    def config(self) -> ScoringConfig:
        """The rule."""

    @property
    def weight(self) -> float:
        """Weight of the view beside the others, when each is in units of its deviation."""


@dataclass(frozen=True)
class UnseenDistances:
    """Distances of normal clips that the references have not seen.

    Attributes:
        views: view -> mean distance of each clip to references of its own section, of the whole
            and each part [shape=(n, parts + 1)].
        sections, clips: [shape=(n,)].
    """

    views: Mapping[str, NDArray[np.float64]]
    sections: NDArray[np.str_]
    clips: NDArray[np.str_]


def calibrate(
    rules: Mapping[str, Rule],
    scorer: Scorer,
    unseen: UnseenDistances,
    windows: int,
    false_alarm_rate: float = DEFAULT_FALSE_ALARM_RATE,
) -> tuple[Scorer, Calibration]:
    """Give a scorer its standards, and calibrate it: the threshold of each section is 1.

    Args:
        rules: of the views.
        scorer: with references of all clips.
        unseen: distances of clips that the references, or equal ones of other clips,
            have not seen.
        windows: number of normal windows that the references were made of.
        false_alarm_rate: that the threshold 1 is for.

    Raises:
        ParameterError: fewer than two clips, or all alike.
    """
    found = standards(rules, scorer.sections, unseen, windows, false_alarm_rate)
    scorer = scorer.with_standards(found)
    return scorer, Calibration(scores_by_section(scorer, unseen), false_alarm_rate)


def rescaled(scorer: Scorer, calibration: Calibration) -> tuple[Scorer, Calibration]:
    """Make the threshold of each section 1 again, after its calibration changed."""
    thresholds = {name: calibration.threshold(name).value for name in scorer.sections}
    changed = {
        name: {
            section: _divided(standard, thresholds[section] ** view.config.exponent)
            for section, standard in view.standards.items()
        }
        for name, view in scorer.views.items()
    }
    scores = {
        section: tuple(score / thresholds.get(section, 1.0) for score in values)
        for section, values in calibration.scores.items()
    }
    return scorer.with_standards(changed), Calibration(scores, calibration.false_alarm_rate)


def scores_by_section(scorer: Scorer, unseen: UnseenDistances) -> dict[str, tuple[float, ...]]:
    """Give the clips' scores by a scorer's standards: section -> scores."""
    scores: dict[str, tuple[float, ...]] = {}
    for section, score in zip(unseen.sections.tolist(), unseen_scores(scorer, unseen), strict=True):
        scores[section] = (*scores.get(section, ()), float(score))
    return scores


def unseen_scores(scorer: Scorer, unseen: UnseenDistances) -> NDArray[np.float64]:
    """Score of each clip by a scorer's standards [shape=(n,)]."""
    views = scorer.views
    given = {name: view.standards for name, view in views.items()}
    return _scores({name: view.config for name, view in views.items()}, given, unseen)


def _scores(
    configs: Mapping[str, ScoringConfig],
    given: Mapping[str, Mapping[str, Standard]],
    unseen: UnseenDistances,
) -> NDArray[np.float64]:
    total = np.zeros(len(unseen.clips))
    exponent = next(iter(configs.values())).exponent
    for section in np.unique(unseen.sections).tolist():
        own = unseen.sections == section
        parts = {
            name: given[name][section].contributions(unseen.views[name][own].tolist(), config)
            for name, config in configs.items()
        }
        guards = [name for name, config in configs.items() if config.guard]
        total[own] = combined(parts, guards)[1]
    scores: NDArray[np.float64] = total ** (1 / exponent)
    return scores


def standards(
    rules: Mapping[str, Rule],
    sections: Iterable[str],
    unseen: UnseenDistances,
    windows: int,
    false_alarm_rate: float,
) -> dict[str, dict[str, Standard]]:
    """Standards of every view for some sections: view -> section -> standard; see `calibrate`.

    Raises:
        ParameterError: fewer than two clips.
    """
    if len(unseen.sections) < 2:
        raise ParameterError("held-out clips", len(unseen.sections), "at least 2 normal clips")
    given: dict[str, dict[str, Standard]] = {name: {} for name in rules}
    configs = {name: rule.config for name, rule in rules.items()}
    for section in sections:
        own = unseen.sections == section
        if own.sum() < MIN_SECTION_CLIPS:
            own = np.ones(len(own), dtype=bool)
        clips = UnseenDistances(
            {name: x[own] for name, x in unseen.views.items()},
            np.full(own.sum(), section),
            unseen.clips[own],
        )
        found = {
            name: _guard(rule, clips.views[name], false_alarm_rate)
            if rule.config.guard
            else _standard(rule, clips.views[name], windows)
            for name, rule in rules.items()
        }
        # The sum of the views becomes 1 at the threshold, as guards are by themselves; then that of
        # all, which is a little higher where a guard has called a normal clip anomalous.
        summed = [name for name, config in configs.items() if not config.guard]
        for names in (summed, list(found)):
            scores = _scores(configs, {name: {section: s} for name, s in found.items()}, clips)
            if np.ptp(scores) > 0:
                scale = Tail.fit(scores).threshold(false_alarm_rate).value
                found |= {
                    name: _divided(found[name], scale ** configs[name].exponent) for name in names
                }
        for name, standard in found.items():
            given[name][section] = standard
    return given


def _divided(standard: Standard, by: float) -> Standard:
    return standard._replace(factor=standard.factor / by)


def _guard(rule: Rule, unseen: NDArray[np.float64], false_alarm_rate: float) -> Standard:
    """Standard of a guard: its contribution is 1 where it alone makes a window anomalous.

    The distance to all references is about the difference from their mean, once it is large; what
    it is of normal clips tells their deviation.

    Args:
        rule: of the view; `guard` is the least deviation.
        unseen: distances [shape=(n, 1)].
        false_alarm_rate: of all views together.
    """
    n, exponent = len(unseen), rule.config.exponent
    spread = max(robust_normal(unseen[:, 0])[0] / _MEAN_DIFFERENCE, rule.config.guard)
    dof = min(n - 1, MOST_DOF["upper"])
    t = student_t.upper_quantile(_GUARD_SHARE * false_alarm_rate / 2, dof)
    limit = spread * t * math.sqrt(1 + 1 / n)
    begins = (_GUARD_BEGINS * limit) ** exponent
    return Standard((begins,), (limit**exponent - begins,), 0.0, 1.0)


def _standard(rule: Rule, unseen: NDArray[np.float64], windows: int) -> Standard:
    """Standard of a view by distances [shape=(n, parts + 1)], for a factor that is its weight."""
    config = rule.config
    weight = rule.weight
    if config.few_clips:
        weight *= max(1 - windows / config.few_clips, _LEAST_WEIGHT)
    powers = unseen**config.exponent
    centres, spreads = [], []
    for x in powers.T:
        centre, spread = robust_normal(x)
        # Distances that do not vary say nothing; they must not be magnified.
        spread = max(spread, _LEAST_SPREAD * centre)
        centres.append(centre)
        spreads.append(spread if spread > 0 else 1.0)
    ratios = np.array(centres) / np.array(spreads)
    offset = float(ratios.mean() + config.emphasis * ratios[0])
    return Standard(tuple(centres), tuple(spreads), offset, weight)
