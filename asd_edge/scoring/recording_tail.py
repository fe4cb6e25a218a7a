"""Tail probabilities of the windows of one recording.

The normal clips leave two things unknown that all windows of a recording share: the spread of the
scores, and how long their tail is. The tail probability of a single window is a mean over both
(`asd_edge.scoring.calibration.Tail`). The more windows there are, the farther out they must be
judged, and the more it matters what is not known there; but if the clips showed a spread that is
too small, it is so for every window, and the chance of a false alarm does not grow with their
number as that of independent ones would. Therefore each probability of a recording is computed for
many pairs of spread and tail, and averaged last: simultaneous prediction (Hahn 1970, Journal of
Quality Technology 2, 178-188).

- *Spread.* The deviation of normal values that the scores above the centre tell of. What lies
  farther out than 3 spreads of a single window's tail counts as if it were there: with the 2 of
  that tail itself the length of a tail would not be seen; with none, one odd clip would decide.
  (Held by 3 of the spread that comes out, one odd clip of twenty would make it nearly five times as
  large.) Of n clips n / 2 lie above the centre, so that its square is uncertain like a
  chi-square of n / 2 degrees of freedom.
- *Tail.* Student's t of 20 or of 5 degrees of freedom. The 10 of a single window stand for both,
  an uncertain spread and a long tail; with 40 clips, of which 20 tell the spread, 20 are left for
  the tail, as 1 / 10 = 1 / 20 + 1 / 20. But some machines have far longer tails: of the five kinds
  of real machine that the rule was tried on it is one, ToyCar, where two of 240 clips lie 6
  deviations out. So a machine is one of those with a probability of 1 in 5 before its clips are
  seen, and by Bayes' rule after: some tens of clips say little, hundreds decide. Scores farther out
  than 4 deviations count as 4, so that one odd clip does not decide.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from asd_edge.scoring import student_t
from asd_edge.scoring.calibration import Tail

_HELD = 3.0  # deviations, for the spread
_HELD_VARIANCE = 0.9950076  # E[min(x^2, 3^2)] of a standard normal x
_SEEN = 4.0  # deviations, for the tail
# Degrees of freedom, probability before the clips are seen, and the scale of a t distribution in
# which E[min(x^2, 3^2)] is that of a standard normal x.
_TAILS = ((20, 0.8, 0.9530723), (5, 0.2, 0.8150208))
# Sums with these weights are means over a normal deviate (the trapezoid rule).
_DEVIATES = np.arange(-4.5, 4.75, 0.5)
_WEIGHTS = np.exp(-(_DEVIATES**2) / 2) / np.exp(-(_DEVIATES**2) / 2).sum()
_LEAST_RATIO = 1e-3  # of a chi-square to its degrees of freedom, of very few clips
_AT_ONCE = 1024  # windows, so that memory does not grow with the recording


class RecordingTail:
    """Distribution of the scores of normal windows of one recording.

    Args:
        single: that of a single window, fitted to the scores of normal clips.
    """

    def __init__(self, single: Tail) -> None:
        self.single = single
        away = single.roots - single.centre
        away = np.maximum(away, 0.0) if single.kind == "upper" else np.abs(away)
        counted = single.n / 2 if single.kind == "upper" else float(single.n)
        self._spread = _spread(away, counted / single.n, single.spread)
        # A chi-square by its degrees of freedom is the cube of a normal deviate (Wilson, Hilferty).
        part = 2 / (9 * counted)
        ratios = np.maximum(1 - part + _DEVIATES * math.sqrt(part), _LEAST_RATIO) ** 3
        self._spreads = self._spread * math.sqrt(1 + 1 / single.n) / np.sqrt(ratios)
        self.weights = _by_bayes(np.minimum(away[away > 0] / self._spread, _SEEN))
        self._scores: dict[tuple[float, float], float] = {}

    def chance(self, scores: NDArray[np.float64], counts: ArrayLike) -> NDArray[np.float64]:
        """Expected number of windows among so many that score as high, or 1 if it is larger.

        The mean over spread and tail of min(1, counts p): with `counts` m / k the chance by Simes
        that k of m windows reach a score.

        Args:
            scores: [shape=(n,)].
            counts: [shape=(n,)], or one.
        """
        away = np.cbrt(scores) - self.single.centre
        counts = np.broadcast_to(np.asarray(counts, np.float64), away.shape)
        chances = np.zeros(len(away))
        for first in range(0, len(away), _AT_ONCE):
            rows = slice(first, first + _AT_ONCE)
            t = away[rows] / self._spreads[:, np.newaxis]
            for (dof, _, scale), weight in zip(_TAILS, self.weights, strict=True):
                p = student_t.upper_tail(t.ravel() / scale, dof).reshape(t.shape)
                chances[rows] += weight * (_WEIGHTS @ np.minimum(counts[rows] * p, 1.0))
        return chances

    def score(self, chance: float, count: float) -> float:
        """Score whose `chance` this is, within a millionth."""
        key = chance, count
        if key not in self._scores:
            self._scores[key] = max(self.single.centre + self._away(chance, count), 0.0) ** 3
        return self._scores[key]

    def _away(self, chance: float, count: float) -> float:
        """Distance of that score's cube root from the centre."""

        def excess(away: float) -> float:
            score = np.array([(self.single.centre + away) ** 3])
            return math.log(float(self.chance(score, count)[0]) / chance)

        low, high = 0.0, 4 * self._spread
        at_low, at_high = excess(low), excess(high)
        while at_high > 0:
            low, at_low, high = high, at_high, 2 * high
            at_high = excess(high)
        if at_low <= 0:
            return low
        # The Illinois rule: a secant that keeps the root between its ends.
        for _ in range(60):
            middle = high - at_high * (high - low) / (at_high - at_low)
            at_middle = excess(middle)
            if abs(at_middle) < 1e-7:
                return middle
            if at_middle * at_high < 0:
                low, at_low = high, at_high
            else:
                at_low /= 2
            high, at_high = middle, at_middle
        return high


@lru_cache(maxsize=64)
def recording_tail(single: Tail) -> RecordingTail:
    """Give the distribution in recordings that belongs to one of single windows."""
    return RecordingTail(single)


def _spread(away: NDArray[np.float64], share: float, spread: float) -> float:
    """Deviation of normal values of which a `share` is in `away` [shape=(n,)], the others are 0."""
    squares = max(len(away) - 1, 1) * share * _HELD_VARIANCE
    held = np.minimum(away, _HELD * spread)
    return math.sqrt(float(held @ held) / squares) or spread


def _by_bayes(t: NDArray[np.float64]) -> list[float]:
    """Probability of each of the tails after values [shape=(n,)], in deviations, were seen."""
    logs = []
    for dof, before, scale in _TAILS:
        constant = math.lgamma((dof + 1) / 2) - math.lgamma(dof / 2) - math.log(dof) / 2
        density = constant - math.log(scale) - (dof + 1) / 2 * np.log1p((t / scale) ** 2 / dof)
        logs.append(math.log(before) + float(density.sum()))
    parts = [math.exp(value - max(logs)) for value in logs]
    return [part / sum(parts) for part in parts]
