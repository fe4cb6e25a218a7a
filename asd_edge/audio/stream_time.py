"""When the samples of a stream were recorded, and how many really come in a second."""

from __future__ import annotations

import collections

RATE_TOLERANCE = 0.005
_RATE_SPAN = 60.0  # seconds over which the rate is measured
# A sound card's clock may be off by 500 ppm: the estimate of time may creep by as much.
_CREEP = 5e-4


class StreamTime:
    """The time of samples, by the moments at which blocks of them came.

    Args:
        rate: samples a second that the device should give.

    Attributes:
        rate_measured: samples a second that came over the last minute; None until it is known.
        rate_off: how often that was found to differ by more than 0.5 %.
    """

    def __init__(self, rate: int) -> None:
        self.rate = rate
        self.rate_measured: float | None = None
        self.rate_off = 0
        self._anchor: float | None = None  # monotonic time of sample 0 of an even stream
        self._last = (0, 0.0)
        self._marks: collections.deque[tuple[float, int]] = collections.deque()
        self._off = False
        self._largest = 0  # block

    def note(self, total: int, now: float, block: int | None) -> None:
        """Note that samples came.

        Args:
            total: number of samples that ever came.
            now: monotonic time.
            block: samples that the child wrote at once; None where several blocks came together.
        """
        # Samples come in blocks, late by up to a block: the earliest ones tell the time best.
        anchor = now - total / self.rate
        if self._anchor is None:
            self._anchor = anchor
        else:
            self._anchor = min(anchor, self._anchor + _CREEP * (now - self._last[1]))
        self._largest = max(self._largest, block or 0)
        self._last = (total, self._anchor + total / self.rate)
        self._marks.append((now, total))
        while self._marks and now - self._marks[0][0] > _RATE_SPAN:
            first, number = self._marks.popleft()
            if self._marks and now - self._marks[0][0] <= _RATE_SPAN:
                self._measure(total - number, now - first)

    def restart(self) -> None:
        """Begin anew: samples may be missing before the next ones."""
        self._anchor = None
        self._marks.clear()

    def time_of(self, sample: int) -> float:
        """Give the monotonic time at which a sample was recorded, as the newest ones came."""
        number, at = self._last
        return at - (number - sample) / self.rate

    def _measure(self, samples: int, seconds: float) -> None:
        was_off = self._off
        self.rate_measured = samples / seconds
        # Samples come in blocks, so that the count is sure to a block only.
        tolerance = RATE_TOLERANCE + self._largest / samples
        self._off = abs(self.rate_measured / self.rate - 1) > tolerance
        self.rate_off += self._off and not was_off
