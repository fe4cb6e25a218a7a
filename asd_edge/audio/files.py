"""Whole sound files and arrays to mono samples at the model's rate."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asd_edge.audio.decoding import open_source
from asd_edge.audio.recording import Channel, Samples, open_recording

__all__ = ["Channel", "Samples", "decode", "from_array", "prepare", "read", "read_pcm"]


def read(path: str | Path, sr: int, channel: Channel = "mean") -> NDArray[np.float32]:
    """Read a sound file as mono samples at `sr`.

    Args:
        path: any format that libsndfile reads, any rate, any number of channels.
        sr: rate of the result in Hz; other rates are resampled (soxr, HQ).
        channel: "mean" of all channels, or the number of one, from 0.

    Returns:
        samples [shape=(n,)], full scale is -1 to 1.

    Raises:
        MissingFileError: no such file.
        AudioError: not a sound file, damaged, empty, silent, or without that channel.
    """
    return _as_float(read_pcm(path, sr, channel))


def read_pcm(path: str | Path, sr: int, channel: Channel = "mean") -> Samples:
    """Read a sound file as `read` does, but leave 16-bit samples as they are where that can be.

    16-bit PCM at `sr` of one channel gives int16, in half the memory and a third of the time; the
    mel spectrogram of it is equal, bit for bit. Anything else is what `read` gives.
    """
    with open_recording(path, sr, channel) as recording:
        return recording.samples()


def decode(path: str | Path) -> tuple[Samples, int]:
    """Give all that is in a sound file as it is, and its rate in Hz.

    Returns:
        samples [shape=(n, channels)], int16 if they are 16-bit PCM, else float32.
        rate in Hz.

    Raises:
        MissingFileError: no such file.
        AudioError: not a sound file, damaged or empty.
    """
    decoder = open_source(path, os.fspath(path))
    try:
        blocks: list[Samples] = []
        while not blocks or len(blocks[-1]) == _FRAMES:
            blocks.append(decoder.read(_FRAMES))
        return np.concatenate(blocks) if len(blocks) > 1 else blocks[0], decoder.rate
    finally:
        decoder.close()


_FRAMES = 1 << 20  # that are read at once; a damaged header may state any number


def from_array(
    samples: Any, rate: float, sr: int, channel: Channel = "mean", name: str | Path = "array"
) -> NDArray[np.float32]:
    """Make mono samples at `sr` of an array, with the checks that a file gets.

    Args:
        samples: [shape=(n,) or (n, channels)]; floats with full scale -1 to 1,
            or integers with the full scale of their type.
        rate: rate of `samples` in Hz.
        sr: rate of the result in Hz.
        channel: "mean" of all channels, or the number of one, from 0.
        name: what messages call the array.

    Returns:
        samples [shape=(n,)].

    Raises:
        AudioError: no samples, non-finite samples, silence, or no such channel.
        ParameterError: neither one- nor two-dimensional, not numbers, or a rate below 1.
    """
    return _as_float(prepare(samples, rate, sr, channel, name))


def prepare(samples: Any, rate: float, sr: int, channel: Channel, name: str | Path) -> Samples:
    """Do what `from_array` says, but leave int16 as `read_pcm` does."""
    with open_recording(samples, sr, channel, rate=rate, name=str(name)) as recording:
        return recording.samples()


def _as_float(y: Samples) -> NDArray[np.float32]:
    """Scale int16 to -1 to 1, which is exact; leave floats as they are."""
    if y.dtype != np.int16:
        return y  # type: ignore[return-value]  # mypy does not narrow by dtype
    return np.multiply(y, np.float32(2**-15), dtype=np.float32)
