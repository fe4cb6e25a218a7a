"""Frequencies of mel bands, and levels of mel spectrograms in dB."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asd_edge.frontend.mel import MelConfig


def mel_frequencies(config: MelConfig) -> NDArray[np.float64]:
    """Edges of the mel bands in Hz [shape=(n_mels + 2,)]: `librosa.mel_frequencies`.

    Band i rises from edge i to its centre, edge i + 1, and falls to edge i + 2. Slaney's
    scale is linear up to 1 kHz, 15 mels, and logarithmic above, 27 mels for a factor of 6.4.
    """
    step = math.log(6.4) / 27

    def to_mel(hz: float) -> float:
        return hz * 3 / 200 if hz < 1000 else 15 + math.log(hz / 1000) / step

    fmax = config.sr / 2 if config.fmax is None else config.fmax
    mels = np.linspace(to_mel(config.fmin), to_mel(fmax), config.n_mels + 2)
    return np.where(mels < 15, mels * 200 / 3, 1000 * np.exp((mels - 15) * step))


def to_db(mel: NDArray[Any], config: MelConfig) -> NDArray[np.float64]:
    """Give values of a mel spectrogram [any shape] in dB, whatever the configuration's units."""
    values = np.asarray(mel, np.float64)
    if config.log == "db":
        return values
    decibels: NDArray[np.float64] = 20 / config.power * np.log10(np.maximum(values, config.floor))
    return decibels
