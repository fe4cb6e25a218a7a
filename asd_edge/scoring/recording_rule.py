"""Decide a recording by its windows, at the false-alarm rate that is stated for the recording.

Two tests share the rate, nine tenths and one:

- The test of Simes (1986, Biometrika 73, 751-754) finds extreme windows wherever they are. With
  the m tail probabilities in ascending order,

      p = min over k of  m p(k) / k

  k = 1 is Bonferroni's rule about the worst window, larger k let several windows decide that
  are less extreme each. Of windows that are alike (they overlap, and one disturbance reaches
  several) the rate is kept too (Sarkar 1998, Annals of Statistics 26). An hour asks for
  probabilities of 1 in 100,000, which no clips show. What the clips leave unknown is the same for
  all windows of a recording, so that m p(k) / k is averaged over it
  (`asd_edge.scoring.recording_tail`).
- The test of stretches finds faults that last: a fault of a minute is no more extreme than one of
  ten seconds, but chance does not make every window of a minute score high. If the highest
  probability in a stretch of L window lengths is q, and M window lengths fit into the recording,

      p = M q^(1 + 0.3 (L - 1))         L = 2, 4, 6

  The exponent would be L if windows were independent; neighbours are not, so that each
  further one counts three tenths. It asks for no probability far below what the clips show, and
  takes those of single windows.

By both a window counts only if it is anomalous by itself (p <= rate): a machine that is a
little louder all day must not add up to an alarm.

Shares, lengths and exponent come from simulation. Asked for 1 in 100, with probabilities that are
known, this share of normal recordings in windows that overlap by half was called anomalous, in %:

    memory of the sound, correlation from window to window    6 minutes    60 minutes
    none                                                          0.9          1.1
    half a minute, 0.8                                            0.9          1.1
    a minute, 0.9                                                 0.8          1.1
    two minutes, 0.95                                             1.0          2.7

With half the rate for each test, lengths up to 8 and exponents of (L + 1) / 2, the last line was
2.4 and 16, and no more faults of a minute were found.

Of recordings drawn from unseen clips of eleven sections of real machines, 1.0, 0.7 and 0.3 % were
anomalous at 1, 6 and 60 minutes (benchmarks/RESULTS.md): a mean of sections that have none, of
which the clips lie closer than the tail, and others with up to 4 %, where one clip of the unseen
decides. A single machine's share is not to be had from some tens of clips.

A recording of one window is decided by its own tail probability.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from asd_edge.scoring.recording_tail import RecordingTail

STRETCHES = (2, 4, 6)  # in window lengths
# Shares of the rate: stretches of normal windows are so rare that little is enough for them.
_OF_SIMES, _OF_STRETCHES = 0.9, 0.1
_FURTHER = 0.3  # exponent of each further window length of a stretch

Mask = NDArray[np.bool_]
Scores = NDArray[np.float64]


class RecordingResult(NamedTuple):
    """Result of the rule.

    Attributes:
        p_value: of the recording.
        anomalous: of each window [shape=(m,)]; any of them just if p_value <= rate.
        threshold: a score that every anomalous window reaches; without any, the one that
            a single window would have had to reach.
    """

    p_value: float
    anomalous: Mask
    threshold: float


def decide_recording(
    scores: ArrayLike, tail: RecordingTail, rate: float, hop: float = 0.5
) -> RecordingResult:
    """Decide a recording.

    Args:
        scores: of its windows, in order [shape=(m,)], m >= 1.
        tail: distribution of the scores of normal windows.
        rate: false-alarm rate for the recording.
        hop: from a window to the next, as a share of the window.

    Example:
        >>> from asd_edge.scoring.calibration import Tail
        >>> tail = RecordingTail(Tail.fit(np.linspace(0.5, 1.0, 48)))
        >>> decide_recording([0.7, 0.8, 2.5, 0.6], tail, 0.01).anomalous.tolist()
        [False, False, True, False]
    """
    x = np.asarray(scores, np.float64)
    own = tail.single.probability(x)
    if len(x) == 1:
        return RecordingResult(float(own[0]), own <= rate, tail.single.threshold(rate).value)
    simes = _simes(x, own, tail, rate)
    stretches = _stretches(own, tail, rate, hop)
    found = [test for test in (simes, stretches) if test.anomalous.any()]
    return RecordingResult(
        min(simes.p_value, stretches.p_value, 1.0),
        simes.anomalous | stretches.anomalous,
        min(test.threshold for test in found or [simes]),
    )


def _simes(x: Scores, own: Scores, tail: RecordingTail, rate: float) -> RecordingResult:
    order = np.argsort(-x, kind="stable")
    counts = len(x) / np.arange(1, len(x) + 1)
    p = np.maximum(tail.chance(x[order], counts) / _OF_SIMES, own[order])
    fulfilled = np.flatnonzero(p <= rate)
    k = int(fulfilled[-1]) if len(fulfilled) else 0
    anomalous = x >= x[order[k]] if len(fulfilled) else np.zeros(len(x), bool)
    level = tail.score(_OF_SIMES * rate, float(counts[k]))
    if len(fulfilled):  # the level is known within a millionth, and this window reaches it
        level = min(level, float(x[order[k]]))
    threshold = max(level, tail.single.threshold(rate).value)
    return RecordingResult(float(p.min()), anomalous, threshold)


def _stretches(own: Scores, tail: RecordingTail, rate: float, hop: float) -> RecordingResult:
    tests = len(STRETCHES) / _OF_STRETCHES * (1 + (len(own) - 1) * hop)
    p_value, most = 1.0, 0.0
    anomalous = np.zeros(len(own), bool)
    for length in STRETCHES:
        count = 1 + round((length - 1) / hop)  # windows in a stretch
        if count > len(own):
            break
        exponent = 1 + _FURTHER * (length - 1)
        highest = np.lib.stride_tricks.sliding_window_view(own, count).max(axis=1)
        q = float(highest.min())
        if q > rate:
            continue
        p_value = min(p_value, max(tests * q**exponent, q))
        level = min((rate / tests) ** (1 / exponent), rate)
        for start in np.flatnonzero(highest <= level).tolist():
            anomalous[start : start + count] = True
            most = max(most, level)
    threshold = tail.single.threshold(most or rate).value
    return RecordingResult(p_value, anomalous, threshold)
