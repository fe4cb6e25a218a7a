"""Errors about the samples of a recording: not finite, far beyond full scale, silent."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from asd_edge.errors import AudioError, UnfitError

# Floats beyond: 60 dB above full scale is no sound, and one such sample decides the spectrum.
HIGHEST_FLOAT = 1000.0
# Between the lowest and the highest sample of 8 bits: the noise of an input without sound.
_FEW_STEPS = 3


def not_finite(name: str, x: NDArray[Any], position: int, rate: int) -> AudioError:
    """Error about NaN or infinity in a block [shape=(n,) or (n, channels)].

    Args:
        name: of the recording.
        x: the block.
        position: of its first frame in the recording.
        rate: in Hz.
    """
    bad = np.flatnonzero(~np.isfinite(x.reshape(len(x), -1)).all(axis=1))
    return AudioError(
        name,
        f"has {len(bad)} samples that are NaN or infinite, the first at "
        f"{(position + bad[0]) / rate:.3f} s",
        kind="not_finite",
    )


def huge(name: str, value: float) -> UnfitError:
    """Error about a float sample beyond HIGHEST_FLOAT."""
    reason = f"has samples of up to {value:.3g}: floats have full scale 1"
    words = "these seem to have another (32768?) or to be damaged"
    return UnfitError(name, f"{reason}, {words}", "int16_scale")


def silent(name: str, lowest: float, highest: float, count: int, step: float) -> AudioError | None:
    """Error about a recording in which nothing is to be heard; None if there is something.

    A dead input gives one value for ever, which is 0 or the offset of the converter.

    Args:
        name: of the recording.
        lowest: of its samples, in units of full scale.
        highest: the same.
        count: of its samples.
        step: between two neighbouring values, if that is of 8 bits; else 0.
    """
    if lowest == highest:
        return AudioError(name, f"is silent: all {count} samples are {lowest:g}", kind="silent")
    if highest - lowest <= _FEW_STEPS * step:
        reason = f"is silent: all {count} samples are within {_FEW_STEPS} steps of its 8 bits"
        return AudioError(name, reason, kind="silent")
    return None


def not_resampled(name: str, rate: int, sr: int) -> AudioError:
    """Error about a recording of which nothing is left at another rate in Hz."""
    reason = f"is too short to be resampled from {rate} to {sr} Hz"
    return AudioError(name, reason, kind="too_short")
