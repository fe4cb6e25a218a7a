"""Spectra of windows: what is normal lately, and how a window differs."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from asd_edge.frontend.bands import mel_frequencies
from asd_edge.frontend.mel import MelConfig

Array = NDArray[np.float64]

# Share of a new normal window in what is normal: an hour's memory at a hop of 10 s.
_LEARNING = 1 / 360
# Less is not worth a word; less than this share of the largest difference is another band.
_NOTABLE_DB = 3.0
_SAME_BAND = 0.5


class Baseline:
    """Mean spectrum of the windows that were normal lately.

    Args:
        mel: of a normal window, in dB [shape=(n_mels, n_frames)].
        config: of the front end.
    """

    def __init__(self, mel: Array, config: MelConfig) -> None:
        self._edges = mel_frequencies(config)
        self._spectrum = mel.mean(axis=1)
        self._count = 0

    def learn(self, mel: Array) -> None:
        """Let a normal window count."""
        self._count += 1
        # What the bundle came with counts as one window among those that were heard here.
        share = max(_LEARNING, 1 / (1 + self._count))
        self._spectrum += share * (mel.mean(axis=1) - self._spectrum)

    def sentence(self, mel: Array) -> str:
        """Say where a window differs most, such as "4.7-5.4 kHz, 8 dB above normal"."""
        difference = mel.mean(axis=1) - self._spectrum
        at = int(np.abs(difference).argmax())
        largest = float(difference[at])
        if abs(largest) < _NOTABLE_DB:
            return "as loud as normal in every band, another texture"
        inside = difference / largest > _SAME_BAND
        low = high = at
        while low > 0 and inside[low - 1]:
            low -= 1
        while high < len(difference) - 1 and inside[high + 1]:
            high += 1
        db = float(difference[low : high + 1].mean())
        where = _hertz(float(self._edges[low]), float(self._edges[high + 2]))
        return f"{where}, {abs(db):.0f} dB {'above' if db > 0 else 'below'} normal"


def _hertz(low: float, high: float) -> str:
    if high < 1000:
        return f"{low:.0f}-{high:.0f} Hz"
    return f"{_kilohertz(low)}-{_kilohertz(high)} kHz"


def _kilohertz(hz: float) -> str:
    value = hz / 1000
    digits = 1 if value >= 0.95 else 2
    return f"{math.floor(value * 10**digits + 0.5) / 10**digits:.{digits}f}"
