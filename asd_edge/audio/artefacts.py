"""Say what digital faults left in a recording: a buffer that repeats, samples of a lower rate."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

# A generator's tones also repeat exactly: so many lines have all power but a ten-thousandth. A
# period of real sound has power in all of them.
_LINES, _REST = 8, 1e-4


class Artefacts:
    """What was found in the blocks of one recording; as much is kept of a day as of a minute.

    Args:
        rate: in Hz.
    """

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._period = self._begin = self._end = 0  # of the latest stretch that repeats, in frames
        self._longest = 0, 0, 0
        self._factors: set[tuple[int, bool]] = set()

    def add(self, found: tuple[int, int, int, int, bool], at: int, y: NDArray[Any]) -> None:
        """Add what `_core.find_artefacts` found in a block [shape=(n,)] that begins at a frame."""
        period, start, length, *factor = found
        if factor[0] > 1:
            self._factors.add((factor[0], bool(factor[1])))
        if period == 0 or _is_tone(y[start : start + period]):
            return
        begin, end = at + start, at + start + period + length
        if period != self._period or begin > self._end + period:  # no continuation
            self._period, self._begin = period, begin
        self._end = end
        if end - self._begin > self._longest[1] - self._longest[0]:
            self._longest = self._begin, end, period

    def warnings(self) -> list[tuple[str, str]]:
        """Give warnings (kind, reason) about the recording."""
        warnings = []
        begin, end, period = (frames / self._rate for frames in self._longest)
        if period > 0:
            reason = (
                f"plays the same {_seconds(period)} s again and again from {_seconds(begin)} to "
                f"{_seconds(end)} s, bit for bit, as no microphone does: restart the recorder, and "
                "look for overruns of the sound driver"
            )
            warnings.append(("repeats", reason))
        if self._factors:
            factor, is_interpolated = max(self._factors)
            lower = self._rate // factor
            how = "joined by straight lines" if is_interpolated else "each repeated"
            reason = (
                f"holds samples of {lower} Hz, {how} to make {self._rate} Hz: "
                f"above {lower // 2} Hz are only images of what is below, which can look like a "
                "fault; record at a rate that the microphone has, without a converter of the sound "
                "driver"
            )
            warnings.append(("upsampled", reason))
        return warnings


def _is_tone(period: NDArray[Any]) -> bool:
    """Whether a period [shape=(n,)] is that of a few tones, which need no microphone."""
    powers = np.sort(np.abs(np.fft.rfft(period.astype(np.float64)))[1:] ** 2)
    return bool(powers[:-_LINES].sum() <= _REST * powers.sum())


def _seconds(seconds: float) -> str:
    return f"{seconds:.3f}".rstrip("0").rstrip(".")
