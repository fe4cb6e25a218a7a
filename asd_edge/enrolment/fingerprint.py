"""Fingerprint of a clip, by which the same sound in two files is recognised."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from asd_edge.frontend.bands import to_db
from asd_edge.frontend.mel import MelConfig

_BANDS = 64
_FRAMES = 100  # of a clip's beginning: a few kB a clip, for a day's recording has thousands


def fingerprint(mel: NDArray[np.float32], config: MelConfig) -> NDArray[np.int8]:
    """Describe how the bands of a clip's beginning rise and fall.

    Args:
        mel: spectrogram of the clip's first window [shape=(n_mels, n_frames)].
        config: that it was computed with.

    Returns:
        [shape=(bands, frames)]: 32 for each deviation from the band's mean.
    """
    x = to_db(mel[:, :_FRAMES], config)
    groups = np.array_split(x, min(_BANDS, len(x)))
    x = np.stack([group.mean(axis=0) for group in groups[: max(1, 3 * len(groups) // 4)]])
    x -= x.mean(axis=1, keepdims=True)
    deviation = x.std(axis=1, keepdims=True)
    x /= np.where(deviation > 0, deviation, 1.0)
    return np.clip(np.round(32 * x), -127, 127).astype(np.int8)
