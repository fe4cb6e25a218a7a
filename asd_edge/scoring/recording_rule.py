"""Decide a recording by its windows, at the false-alarm rate that is stated for the recording.

Two tests share the rate, nine tenths and one, and see the tail probabilities p of the windows:

- The test of Simes (1986, Biometrika 73, 751-754) finds extreme windows wherever they are. With
  the m probabilities in ascending order,

      p = min over k of  m p(k) / k

  k = 1 is Bonferroni's rule about the worst window, larger k let several windows decide that
  are less extreme each. Of windows that are alike (they overlap, and one disturbance reaches
  several) the rate is kept too (Sarkar 1998, Annals of Statistics 26).
- The test of stretches finds faults that last: a fault of a minute is no more extreme than one of
  ten seconds, but chance does not make every window of a minute score high. If the highest
  probability in a stretch of L window lengths is q, and M window lengths fit into the recording,

      p = M q^(1 + 0.3 (L - 1))         L = 2, 4, 6

  The exponent would be L if windows were independent; neighbours are not, so that each
  further one counts three tenths. A stretch counts only if each of its windows is anomalous by
  itself (q <= rate): a machine that is a little louder all day must not add up to an alarm.

Shares, lengths and exponent come from simulation. Asked for 1 in 100, this share of normal
recordings in windows that overlap by half was called anomalous, in %:

    memory of the sound, correlation from window to window    6 minutes    60 minutes
    none                                                          0.9          1.1
    half a minute, 0.8                                            0.9          1.1
    a minute, 0.9                                                 0.8          1.1
    two minutes, 0.95                                             1.0          2.7

With half the rate for each test, lengths up to 8 and exponents of (L + 1) / 2, the last line was
2.4 and 16, and no more faults of a minute were found.

The rule is as good as the probabilities. Some tens of normal clips show a tail to about 1 in 100;
farther out it is extrapolated: of the unseen clips of twenty real and synthetic machines, 4 in 1000
lay where the fit says 1. The more windows a recording has, the farther out the rule asks.
Therefore what lies below `KNOWN` counts as

    KNOWN (p / KNOWN)^0.7

Of recordings of clips that were drawn from seven such pools then 2.3, 1.7 and 0.6 % were anomalous
at 1, 6 and 60 minutes, without it 3.9, 4.9 and 6.1; of thirteen others 1.0, 0.7 and 0 instead of
2.1, 1.9 and 2.6 (benchmarks/RESULTS.md). It costs faults that last for one window or two, of which
the stretches say nothing.

A recording of one window is decided by its own tail probability.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

STRETCHES = (2, 4, 6)  # in window lengths
# Shares of the rate: stretches of normal windows are so rare that little is enough for them.
_OF_SIMES, _OF_STRETCHES = 0.9, 0.1
_FURTHER = 0.3  # exponent of each further window length of a stretch
KNOWN = 0.01  # tail probability that some tens of clips show
_BEYOND = 0.7  # exponent of what lies below it


class RecordingResult(NamedTuple):
    """Result of the rule.

    Attributes:
        p_value: of the recording.
        anomalous: of each window [shape=(m,)]; any of them just if p_value <= rate.
        window_rate: tail probability that the anomalous windows have at most; without any, the one
            that a single window would have had to reach.
    """

    p_value: float
    anomalous: NDArray[np.bool_]
    window_rate: float


def decide_recording(
    p: ArrayLike, rate: float, hop: float = 0.5, known: float = 0.0
) -> RecordingResult:
    """Decide a recording.

    Args:
        p: tail probability of each window, in order [shape=(m,)], m >= 1.
        rate: false-alarm rate for the recording.
        hop: from a window to the next, as a share of the window.
        known: below this probabilities are extrapolated: `KNOWN` of calibrations; 0 if all are
            exact.

    Example:
        >>> decide_recording([0.5, 0.3, 0.001, 0.4], 0.01).anomalous.tolist()
        [False, False, True, False]
    """
    x = np.asarray(p, np.float64)
    if len(x) == 1:
        return RecordingResult(float(x[0]), x <= rate, rate)
    if known > 0:
        result = decide_recording(_known(x, known), rate, hop)
        return result._replace(window_rate=_extrapolated(result.window_rate, known))
    simes, level = _simes(x, _OF_SIMES * rate)
    anomalous = x <= level
    p_value = simes / _OF_SIMES
    window_rate = level if anomalous.any() else _OF_SIMES * rate / len(x)
    tests = len(STRETCHES) / _OF_STRETCHES * (1 + (len(x) - 1) * hop)
    for length in STRETCHES:
        count = 1 + round((length - 1) / hop)  # windows in a stretch
        if count > len(x):
            break
        exponent = 1 + _FURTHER * (length - 1)
        highest = np.lib.stride_tricks.sliding_window_view(x, count).max(axis=1)
        q = float(highest.min())
        if q > rate:
            continue
        p_value = min(p_value, tests * q**exponent)
        level = min((rate / tests) ** (1 / exponent), rate)
        for start in np.flatnonzero(highest <= level).tolist():
            anomalous[start : start + count] = True
            window_rate = max(window_rate, level)
    return RecordingResult(min(p_value, 1.0), anomalous, window_rate)


def _known(p: NDArray[np.float64], known: float) -> NDArray[np.float64]:
    """What extrapolated probabilities count as."""
    return np.where(p < known, known * (np.minimum(p, known) / known) ** _BEYOND, p)


def _extrapolated(p: float, known: float) -> float:
    """Inverse of `_known`."""
    return known * (p / known) ** (1 / _BEYOND) if p < known else p


def _simes(x: NDArray[np.float64], rate: float) -> tuple[float, float]:
    """P-value, and the probability up to which windows count as anomalous; 0 if none does."""
    steps = np.arange(1, len(x) + 1) / len(x)
    ordered = np.sort(x)
    fulfilled = np.flatnonzero(ordered <= steps * rate)
    level = rate * float(steps[fulfilled[-1]]) if len(fulfilled) else 0.0
    return float((ordered / steps).min()), level
