"""The newest samples of a stream, in memory that is taken once."""

from __future__ import annotations

import threading

import numpy as np
from numpy.typing import NDArray


class Ring:
    """Samples by their number, the oldest of which are overwritten.

    Args:
        n: samples that it holds.
        channels: of each.
    """

    def __init__(self, n: int, channels: int) -> None:
        self._samples = np.zeros((n, channels), np.int16)
        self._lock = threading.Lock()
        self.total = 0  # samples that were ever written: the number of the next one

    @property
    def oldest(self) -> int:
        """Number of the oldest sample that is still there."""
        return max(0, self.total - len(self._samples))

    def write(self, samples: NDArray[np.int16]) -> None:
        """Append samples [shape=(n, channels)]."""
        size = len(self._samples)
        with self._lock:
            skipped = max(0, len(samples) - size)
            at = (self.total + skipped) % size
            kept = samples[skipped:]
            first = min(len(kept), size - at)
            self._samples[at : at + first] = kept[:first]
            self._samples[: len(kept) - first] = kept[first:]
            self.total += len(samples)

    def read(self, start: int, n: int) -> NDArray[np.int16] | None:
        """Copy `n` samples from number `start` on; None if they are not all there."""
        with self._lock:
            if start < self.oldest or start + n > self.total or n < 0:
                return None
            at = start % len(self._samples)
            first = self._samples[at : at + n]
            if len(first) == n:
                return first.copy()
            return np.concatenate([first, self._samples[: n - len(first)]])
