"""From scores of normal clips to thresholds and p-values.

The scores must come from clips that neither the model nor the references have
seen. Two rules, from one sorted list of n scores:

- conformal (Vovk et al., Algorithmic Learning in a Random World, 2005): the
  p-value of a score s is (1 + #{scores >= s}) / (n + 1). Deciding "anomalous"
  at p <= rate makes false alarms at most that often, whatever the distribution
  of the scores, if future normal clips are like these. It cannot decide at a
  rate below 1 / (n + 1).
- gamma (the DCASE Task 2 baseline's distribution): below 1 / (n + 1), where the clips
  promise nothing, the quantile of a gamma distribution that they suggest. See `predicted`.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from asd_edge.errors import ParameterError
from asd_edge.scoring import student_t

# Fewer held-out clips than this in a section, and it shares those of all sections.
MIN_SECTION_CLIPS = 10
DEFAULT_FALSE_ALARM_RATE = 0.01


def predicted(scores: Sequence[float], q: float) -> float:
    """Score that a further normal clip stays below with probability `q`, if scores are gamma.

    Cube roots of gamma values are nearly normal (Wilson and Hilferty 1931), and of n
    normal values with mean m and deviation s a further one is below

        m + s sqrt(1 + 1/n) t(q; n - 1)

    with probability q (t: Student's quantile). The quantile of a gamma distribution fitted
    to the scores, which DCASE's baseline takes, is what this becomes for large n. With few it
    raises too many alarms, because it takes the fit for the truth: at a rate of 1 in 100, with
    five ToyCar clips of DCASE 2020, 7 in 100; this, 1.5. Scores whose tail is longer than
    gamma's still raise more than stated.

    Args:
        scores: at least 2, 0 or more, not all equal.
        q: above 0 and below 1.
    """
    roots = np.cbrt(np.asarray(scores, dtype=np.float64))
    n = len(roots)
    spread = float(roots.std(ddof=1)) * math.sqrt(1 + 1 / n)
    return max(float(roots.mean()) + spread * student_t.quantile(q, n - 1), 0.0) ** 3


@dataclass(frozen=True)
class Threshold:
    """A threshold and what stands behind it.

    Attributes:
        value: a score at or above this is anomalous.
        rule: "conformal", "gamma", or "given" by the user.
        n: number of held-out normal clips behind it (0 if given).
    """

    value: float
    rule: str
    n: int

    @property
    def promised(self) -> float:
        """Lowest false-alarm rate that so many clips can promise, whatever their scores."""
        return 1 / (self.n + 1)


@dataclass(frozen=True)
class Calibration:
    """Held-out scores of normal clips, by section.

    Attributes:
        scores: section -> its scores in ascending order.
        false_alarm_rate: the rate to decide at, unless another is asked for.
        pooled: scores of all sections in ascending order.
    """

    scores: Mapping[str, tuple[float, ...]]
    false_alarm_rate: float = DEFAULT_FALSE_ALARM_RATE
    pooled: tuple[float, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        check_rate(self.false_alarm_rate)
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

    def behind(self, section: str) -> tuple[float, ...]:
        """Scores that a section is judged by: its own, or all if it has under 10 of its own."""
        own = self.scores.get(section, ())
        if len(own) >= MIN_SECTION_CLIPS and own[0] < own[-1]:
            return own
        return self.pooled

    def threshold(self, section: str, false_alarm_rate: float | None = None) -> Threshold:
        """Threshold for a section at a false-alarm rate (default: the calibration's own)."""
        rate = self.false_alarm_rate if false_alarm_rate is None else check_rate(false_alarm_rate)
        scores = self.behind(section)
        n = len(scores)
        # p(s) <= rate  <=>  at most floor(rate (n + 1)) - 1 scores are >= s.
        allowed = math.floor(rate * (n + 1) + 1e-9) - 1
        if allowed < 0:
            # Never below what a higher rate is decided by, which knows no distribution.
            highest = math.nextafter(scores[-1], math.inf)
            return Threshold(max(predicted(scores, 1 - rate), highest), "gamma", n)
        return Threshold(math.nextafter(scores[n - 1 - allowed], math.inf), "conformal", n)

    def p_value(self, section: str, score: float) -> float:
        """Conformal p-value of a score, from 1 / (n + 1) to 1."""
        scores = self.behind(section)
        at_least = len(scores) - bisect.bisect_left(scores, score)
        return (1 + at_least) / (len(scores) + 1)

    def to_dict(self) -> dict[str, Any]:
        """Give the calibration as plain values, for JSON; `from_dict` reads it back."""
        return {
            "false_alarm_rate": self.false_alarm_rate,
            "scores": {name: list(values) for name, values in self.scores.items()},
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Calibration:
        """Read what `to_dict` gave."""
        return cls(
            scores={name: tuple(scores) for name, scores in values["scores"].items()},
            false_alarm_rate=values["false_alarm_rate"],
        )


def check_rate(rate: float) -> float:
    """Return a false-alarm rate, or raise ParameterError if it is not inside (0, 1)."""
    if not 0 < rate < 1:
        raise ParameterError("false-alarm rate", rate, "a share above 0 and below 1, such as 0.01")
    return rate
