"""From scores of normal clips to thresholds and tail probabilities.

The scores must come from clips that neither the model nor the references have seen. Scores of
one section are described by a distribution with three properties:

- Cube roots of distances between normal values are nearly normal (Wilson and Hilferty 1931), so the
  fit is made to cube roots.
- The centre is Huber's (1964, Ann. Math. Statist. 35, 73-101, "proposal 2"): scores further
  than 2 deviations from the centre count as if they were there. One odd clip among the
  normals, or one fault, moves the threshold by a few percent, however odd it is; with mean and
  deviation, or a threshold that is never below the highest score, one clip turns the alarm off.
- The spread is that of the scores above the centre alone, held in the same way: low scores say
  nothing of how high normal ones reach, and on some machines (a fan, motors) those reach farther
  up than down. A further score is distributed as Student's t about the centre, with n - 1 degrees
  of freedom, as for n normal values, but at most 10: the tails of real normal clips are longer.
  On the recordings that this was chosen on, a rate of 1 in 100 asked gave 1 to 2; with normal
  tails 3. With the spread of both sides and 8 degrees of freedom, as bundles up to schema 3 have
  it, as many faults were caught and half as many false alarms again were raised.

The same distribution gives the threshold of a false-alarm rate and the tail probability of
a score, so that `tail_probability(threshold(rate)) == rate`, as far out as a rule over thousands
of windows asks for.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from asd_edge.errors import ParameterError
from asd_edge.scoring import student_t

# Fewer held-out clips than this in a section, and it shares those of all sections.
MIN_SECTION_CLIPS = 10
DEFAULT_FALSE_ALARM_RATE = 0.01
# Kinds of tail, and the degrees of freedom that they have at most.
MOST_DOF = {"upper": 10, "both": 8}
_HUBER = 2.0
# E[min(x^2, 2^2)] of a standard normal x: makes the spread that of a normal distribution.
_HUBER_VARIANCE = 0.9205369
_ROBUST = 1.4826  # deviation of a normal distribution / its median absolute deviation
_ROUNDING = 1e-9  # of a threshold that is fitted to scores in its own units, and of their roots
_SURE = 1.6449  # 90 % of a normal distribution lie within so many deviations


class Threshold(NamedTuple):
    """A threshold and what stands behind it.

    Attributes:
        value: a score at or above this is anomalous.
        rule: "fitted" to the scores of normal clips, or "given" by the user.
        n: number of held-out normal clips behind it (0 if given).
        rate: the false-alarm rate that it stands for; NaN if given.
        lowest_rate, highest_rate: where the true rate lies with a probability of 90 %, if future
            clips are like these: how sure so many clips make it. NaN if given.
    """

    value: float
    rule: str
    n: int
    rate: float = math.nan
    lowest_rate: float = math.nan
    highest_rate: float = math.nan


def robust_normal(x: NDArray[np.float64]) -> tuple[float, float]:
    """Centre and spread of values [shape=(n,)] by Huber's "proposal 2".

    Those of normal values are their mean and deviation; a few odd values hardly move them.
    """
    n = len(x)
    centre = _median(x)
    spread = _ROBUST * _median(np.abs(x - centre))
    if spread < 1e-3 * float(x.std()):  # more than half the values are equal
        spread = float(x.std())
    for _ in range(100):  # ten or twenty reach the fixed point
        held = np.clip(x, centre - _HUBER * spread, centre + _HUBER * spread)
        centre, before = float(held.mean()), spread
        squares = float(np.square(held - centre).sum())
        spread = math.sqrt(squares / max(n - 1, 1) / _HUBER_VARIANCE)
        if abs(spread - before) <= 1e-9 * before:
            break
    return centre, spread


class Tail:
    """Distribution of further scores, from those of n normal clips.

    Args:
        centre, spread: of the cube roots of the scores.
        n: number of clips.
        kind: "upper", whose spread is that above the centre, or "both", of both sides.
        roots: cube roots of the scores that it was fitted to [shape=(n,)].
    """

    def __init__(
        self, centre: float, spread: float, n: int, kind: str = "upper", roots: ArrayLike = ()
    ) -> None:
        self.centre, self.spread, self.n, self.kind = centre, spread, n, kind
        self.roots = np.asarray(roots, np.float64)
        self._dof = min(n - 1, MOST_DOF[kind])
        self._scale = spread * math.sqrt(1 + 1 / n)

    @classmethod
    def fit(cls, scores: ArrayLike, kind: str = "upper") -> Tail:
        """Fit it to scores [shape=(n,)], 0 or more, at least 2 and not all equal."""
        roots = np.cbrt(np.asarray(scores, dtype=np.float64))
        centre, spread = robust_normal(roots)
        if kind == "upper":
            above = np.clip(roots - centre, 0.0, _HUBER * spread)
            squares = 2 * float(np.square(above).sum())  # as if the lower half were its mirror
            spread = math.sqrt(squares / max(len(roots) - 1, 1) / _HUBER_VARIANCE) or spread
        # Scores that differ by rounding have a spread of 0, by which nothing can be divided.
        spread = max(spread, _ROUNDING * abs(centre), np.finfo(np.float64).tiny)
        return cls(centre, spread, len(roots), kind, roots)

    def scaled(self, factor: float) -> Tail:
        """Give the distribution of `factor` times the scores."""
        root = float(np.cbrt(factor))
        return Tail(self.centre * root, self.spread * root, self.n, self.kind, self.roots * root)

    def threshold(self, rate: float) -> Threshold:
        """Score that a share `rate` of further normal clips reaches."""
        t = student_t.upper_quantile(rate, self._dof)
        # Deviation of the threshold, in spreads: of the centre 1 / n, of the spread t^2 / n (of
        # normal values half of that; longer tails make it more).
        unsure = _SURE * math.sqrt(1 / self.n + t**2 / (self.n - 1))
        low, high = student_t.upper_tail(np.array([t + unsure, t - unsure]), self._dof).tolist()
        value = max(self.centre + self._scale * t, 0.0) ** 3
        return Threshold(value, "fitted", self.n, rate, low, high)

    def probability(self, scores: ArrayLike) -> NDArray[np.float64]:
        """Share of further normal clips that reach each of some scores [shape=(n,)]."""
        t = (np.cbrt(np.atleast_1d(np.asarray(scores, np.float64))) - self.centre) / self._scale
        return student_t.upper_tail(t, self._dof)

    def probability_of_one(self, score: float) -> float:
        """Share of further normal clips that reach one score."""
        t = (math.cbrt(score) - self.centre) / self._scale
        return student_t.upper_tail_of_one(t, self._dof)


@dataclass(frozen=True)
class Calibration:
    """Held-out scores of normal clips, by section, in units of the section's threshold.

    Attributes:
        scores: section -> its scores in ascending order.
        false_alarm_rate: the rate to decide at, unless another is asked for; at this one the
            threshold is 1.
        kind: of the tails that are fitted to the scores.
        pooled: scores of all sections in ascending order.
    """

    scores: Mapping[str, tuple[float, ...]]
    false_alarm_rate: float = DEFAULT_FALSE_ALARM_RATE
    kind: str = "upper"
    pooled: tuple[float, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        check_rate(self.false_alarm_rate)
        if self.kind not in MOST_DOF:
            raise ParameterError("kind", self.kind, " or ".join(MOST_DOF))
        ordered = {name: tuple(sorted(values)) for name, values in self.scores.items()}
        object.__setattr__(self, "scores", ordered)
        pooled = tuple(sorted(value for values in ordered.values() for value in values))
        object.__setattr__(self, "pooled", pooled)
        if not all(math.isfinite(value) for value in pooled):
            raise ParameterError("calibration scores", "NaN or infinite", "finite values")
        if len(set(pooled)) < 2:
            raise ParameterError(
                "calibration scores",
                f"{len(pooled)} of {len(set(pooled))} value(s)",
                "at least 2 different ones; hold out more normal clips",
            )

    def scores_for(self, section: str) -> tuple[float, ...]:
        """Scores that a section is judged by: its own, or all if it has under 10 of its own."""
        own = self.scores.get(section, ())
        if len(own) >= MIN_SECTION_CLIPS and own[0] < own[-1]:
            return own
        return self.pooled

    @cached_property
    def _tails(self) -> dict[str, Tail]:
        return {}

    def tail(self, section: str) -> Tail:
        """Give the distribution of a section's scores."""
        if section not in self._tails:
            scores = self.scores_for(section)
            tail = Tail.fit(scores, self.kind)
            if len(self.scores) > 1 and scores is self.pooled:
                # Scores of other sections are in units of their thresholds; theirs here, too.
                tail = tail.scaled(1 / tail.threshold(self.false_alarm_rate).value)
            self._tails[section] = tail
        return self._tails[section]

    def threshold(self, section: str, false_alarm_rate: float | None = None) -> Threshold:
        """Threshold for a section at a false-alarm rate (default: the calibration's own)."""
        rate = self.false_alarm_rate if false_alarm_rate is None else check_rate(false_alarm_rate)
        threshold = self.tail(section).threshold(rate)
        if abs(threshold.value - 1) < _ROUNDING:  # what the scores are in units of
            threshold = threshold._replace(value=1.0)
        return threshold

    def tail_probability(self, section: str, scores: ArrayLike) -> NDArray[np.float64]:
        """Share of normal clips of a section that score as high as each of some scores, or higher.

        Args:
            section: one without clips enough of its own is judged by those of all.
            scores: [shape=(n,)], or one.

        Returns:
            [shape=(n,)], 0 to 1, falling with the score; the one of `threshold(section, rate)` is
            `rate`, within 1e-9 of it. The values go on far below 1 / (number of clips), by the
            distribution that the clips suggest.
        """
        return self.tail(section).probability(scores)

    def p_value(self, section: str, score: float) -> float:
        """Give the tail probability of one score; see `tail_probability`."""
        return self.tail(section).probability_of_one(score)

    def to_dict(self) -> dict[str, Any]:
        """Give the calibration as plain values, for JSON; `from_dict` reads it back."""
        return {
            "false_alarm_rate": self.false_alarm_rate,
            "tail": self.kind,
            "scores": {name: list(values) for name, values in self.scores.items()},
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Calibration:
        """Read what `to_dict` gave."""
        return cls(
            scores={name: tuple(scores) for name, scores in values["scores"].items()},
            false_alarm_rate=values["false_alarm_rate"],
            kind=values["tail"],
        )


def _median(x: NDArray[np.float64]) -> float:
    """Median; np.median would import numpy.ma, which takes longer than a score."""
    ordered = np.sort(x)
    return float(ordered[(len(x) - 1) // 2] + ordered[len(x) // 2]) / 2


def check_rate(rate: float) -> float:
    """Return a false-alarm rate, or raise ParameterError if it is not inside (0, 1)."""
    if not 0 < rate < 1:
        raise ParameterError("false-alarm rate", rate, "a share above 0 and below 1, such as 0.01")
    return rate
