"""Decide a recording by its windows, at the false-alarm rate that is stated for the recording.

Simes' test (1986, Biometrika 73, 751-754). With the tail probabilities p(1) <= ... <= p(m) of
the m windows of a recording, its p-value is

    p = min over k of  m p(k) / k

and it is anomalous if p <= rate. k = 1 is Bonferroni's rule about the worst window; larger k
let several windows decide that are less extreme each, as a fault that lasts does. Of independent
windows of a normal recording, p <= rate happens in just the share `rate`; of windows that are
alike (they overlap, and one disturbance reaches several) less often (Sarkar 1998, Annals of
Statistics 26). For one window it is the window's own tail probability, so that a clip and a
recording are decided by one rule.

The windows that count as anomalous are those up to the largest k with p(k) <= k rate / m (Benjamini
and Hochberg 1995): there is one just if the recording is anomalous, and of many that are named
about the share `rate` is normal.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True, eq=False)  # arrays have no one answer to ==
class RecordingResult:
    """Result of the rule.

    Attributes:
        p_value: of the recording.
        anomalous: of each window [shape=(m,)]; any of them just if p_value <= rate.
        window_rate: a window is anomalous if its tail probability is at most this.
    """

    p_value: float
    anomalous: NDArray[np.bool_]
    window_rate: float


def decide_recording(p: ArrayLike, rate: float) -> RecordingResult:
    """Decide a recording.

    Args:
        p: tail probability of each window [shape=(m,)], m >= 1.
        rate: false-alarm rate for the recording.

    Example:
        >>> decide_recording([0.5, 0.004, 0.3, 0.004], 0.01).anomalous.tolist()
        [False, True, False, True]
    """
    x = np.asarray(p, np.float64)
    m = len(x)
    steps = np.arange(1, m + 1) / m
    ordered = np.sort(x)
    fulfilled = np.flatnonzero(ordered <= steps * rate)
    # Without an anomalous window: what a single one has to reach.
    window_rate = rate * float(steps[fulfilled[-1]] if len(fulfilled) else steps[0])
    anomalous = x <= window_rate if len(fulfilled) else np.zeros(m, bool)
    p_value = min(float((ordered / steps).min()), 1.0)
    return RecordingResult(p_value, anomalous, window_rate)
