"""A recording as mono samples at the model's rate, block by block.

Reading, mixing and resampling go one block at a time, so that memory does not grow with the
length: a day of sound needs as much as a minute. A clip that fits in one block is the same thing
in one step. The samples do not depend on the blocks, bit for bit: soxr's stream gives
what it gives of the whole.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from types import TracebackType
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from asd_edge._core import find_artefacts, int16_range
from asd_edge.audio import refusals
from asd_edge.audio.decoding import Decoder, open_array, open_source
from asd_edge.errors import AudioError, ParameterError

Channel = int | Literal["mean"]
Samples: TypeAlias = NDArray[np.float32 | np.int16]  # full scale 1, or 32768

_INT16, _FLOAT32 = np.dtype(np.int16), np.dtype(np.float32)
_EMPTY = {dtype: np.empty(0, dtype) for dtype in (_INT16, _FLOAT32)}
# Samples of all channels, before or after resampling, that are in memory at once (4 MB of float32).
_BLOCK = 1 << 20
# Rates in units of the model's. A header that states another is damaged: no recording
# has it, and resampling from 1 Hz would make an hour of sound of a second.
_LOWEST, _HIGHEST = 1 / 64, 1024
# Of a clipped sample, whatever the converter makes of the last steps.
FULL_SCALE = 0.999


class ClipWarning(NamedTuple):
    """Something about a clip that can make its decision worthless.

    Attributes:
        clip: its name.
        kind: machine-readable, such as "clipping".
        reason: the rest of a sentence that begins with the clip's name.
        other: name of the clip that it is the same sound as, if it is left out for that.
    """

    clip: str
    kind: str
    reason: str
    other: str = ""


class Recording:
    """Mono samples of a sound file, a stream or an array; `open_recording` makes one.

    One iteration or one position at a time: `blocks`, `read` and `samples` share the file.

    Attributes:
        name: what messages call it.
        sr: rate of the samples in Hz.
        channel: "mean" of all channels, or the number of one, from 0.
        rate: rate of the source in Hz.
        channels: of the source.
        encoding: the lossy one of the source, such as "MP3"; else "PCM".
        dtype: int16 if the source is 16-bit at `sr` and nothing is mixed, else float32.
        n_samples: length at `sr`; None until it was read through, if no header tells it.
        warnings: what was noticed; complete after the last block.
        clipped: samples at full scale so far, of the channels used, at the source's rate.
    """

    def __init__(self, decoder: Decoder, sr: int, channel: Channel, name: str) -> None:
        self._decoder, self._closed = decoder, False
        self.name, self.sr, self.channel = name, sr, channel
        self.rate, self.channels = decoder.rate, decoder.channels
        self.encoding = decoder.encoding
        if not _LOWEST * sr <= self.rate <= _HIGHEST * sr:
            reason = f"has a rate of {self.rate} Hz, which cannot be resampled to {sr} Hz"
            raise AudioError(name, reason, kind="rate")
        is_number = isinstance(channel, (int, np.integer)) and not isinstance(channel, bool)
        if channel != "mean" and not is_number:
            raise ParameterError("channel", channel, "mean or the number of one, from 0")
        if channel != "mean" and not 0 <= channel < self.channels:
            reason = f"has {self.channels} channel(s), numbered from 0; asked for {channel}"
            raise AudioError(name, reason, kind="no_such_channel")
        one = self.channels == 1 or channel != "mean"
        keep = decoder.dtype == _INT16 and self.rate == sr and one
        self.dtype = _INT16 if keep else _FLOAT32
        self.n_samples = None if decoder.frames is None else self._at_sr(decoder.frames)
        self._frames = max(int(_BLOCK / max(self.channels, sr / self.rate, 1)), 1024)
        self._position, self._fresh = 0, True
        self._empty: Samples = _EMPTY[self.dtype]
        self._buffer, self._buffer_start = self._empty, 0
        self._rewind()

    @property
    def seconds(self) -> float | None:
        """Length in seconds; None until it was read through, if no header tells it."""
        return None if self.n_samples is None else self.n_samples / self.sr

    @property
    def warnings(self) -> list[ClipWarning]:
        """What was noticed about the recording so far."""
        pairs = self._decoder.warnings + self._more_warnings
        return [ClipWarning(self.name, kind, reason) for kind, reason in pairs]

    @property
    def clipped_share(self) -> float:
        """Samples at full scale for each frame so far, at most 1."""
        return min(self.clipped / max(self._position, 1), 1.0)

    def blocks(self) -> Iterator[Samples]:
        """Give the samples from the beginning, block by block [shape=(n,)], n > 0.

        Raises:
            AudioError: damaged, or NaN, when a block is reached; cut off, without samples,
                silent or with channels that cancel, after the last block.
        """
        self._begin()
        while (block := self._next()) is not None:
            if len(block):
                yield block

    def samples(self) -> Samples:
        """Give all samples at once [shape=(n,)]; raises what `blocks` raises."""
        self._begin()
        parts = []
        while (block := self._next()) is not None:
            if len(block):
                parts.append(block)
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def read(self, start: int, n: int) -> Samples:
        """Give `n` samples from `start` on [shape=(n,)]; fewer at the end.

        Calls in ascending order read the source once; overlaps are kept up to one block.
        """
        if start < self._buffer_start or not self._buffered:
            self._rewind()
        if start > self._buffer_start + len(self._buffer):
            self._skip(start)
        parts = [self._buffer[start - self._buffer_start :]]
        have = len(parts[0])
        while have < n and not self._ended:
            block = self._next()
            if block is None:
                break
            parts.append(block)
            have += len(block)
        self._buffer = np.concatenate(parts) if len(parts) > 1 else parts[0]
        self._buffer_start = start
        return self._buffer[:n]

    def close(self) -> None:
        """Close the source; what was read stays. Closing twice does no harm."""
        if not self._closed:
            self._closed = True
            self._decoder.close()

    def __enter__(self) -> Recording:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _at_sr(self, frames: int) -> int:
        """Samples that soxr makes of so many frames: the nearest number, halves upwards."""
        return (2 * frames * self.sr + self.rate) // (2 * self.rate)

    def _begin(self) -> None:
        """Begin to read all of it."""
        if not (self._fresh and self._whole):
            self._rewind()
        self._buffered = False  # of what is read from here on

    def _rewind(self, frame: int = 0) -> None:
        """Begin again at a frame of the source that soxr, if it is needed, can begin at."""
        if not (self._position == frame and self._fresh) and not self._decoder.seek(frame):
            self._decoder.seek(0)
            frame = 0
        self._position = frame
        self._fresh, self._ended, self._whole = True, False, frame == 0
        self._buffer, self._buffered = self._empty, True
        self._buffer_start = frame  # without resampling; with it, always 0
        self._made = frame
        self._levels: Any = None
        if self.channels > 1:
            from asd_edge.audio.channels import ChannelLevels  # most clips have one channel

            self._levels = ChannelLevels(self.channels, self.rate)
        self._lowest, self._highest = math.inf, -math.inf
        self.clipped = 0
        self._artefacts: Any = None
        self._more_warnings: list[tuple[str, str]] = []
        self._stream: Any = None

    def _skip(self, start: int) -> None:
        """Go to a sample beyond the buffer: by seeking, or by reading what lies between."""
        if self.rate == self.sr:
            self._rewind(start)
        while not self._ended and self._buffer_start + len(self._buffer) < start:
            self._buffer_start += len(self._buffer)
            block = self._next()
            self._buffer = self._buffer[:0] if block is None else block
        drop = min(start - self._buffer_start, len(self._buffer))
        self._buffer = self._buffer[drop:]
        self._buffer_start += drop

    def _next(self) -> Samples | None:
        """Give the next samples, which can be none while soxr's filter fills; None at the end."""
        if self._ended:
            return None
        frames = self._decoder.read(self._frames)
        self._fresh = False
        self._ended = len(frames) < self._frames or (
            self._decoder.frames is not None
            and self._position + len(frames) == self._decoder.frames
        )
        y = self._mono(frames) if len(frames) else self._empty
        self._position += len(frames)
        y = self._resampled(y)
        self._made += len(y)
        if self._ended:
            self.n_samples = self._made
            if self._whole:
                self._judge()
        return y

    def _mono(self, frames: NDArray[Any]) -> Samples:
        """Mix one block and note what there is to be noticed."""
        if self.channel != "mean":
            frames = frames[:, self.channel]
        elif self.channels == 1:
            frames = frames[:, 0]
        x = np.ascontiguousarray(frames)
        if self.dtype != _INT16 and x.dtype == _INT16:
            x = x * np.float32(2**-15)
        lowest, highest = int16_range(x) if x.dtype == _INT16 else _range(x)
        if not (math.isfinite(lowest) and math.isfinite(highest)):
            raise refusals.not_finite(self.name, x, self._position, self.rate)
        limit = FULL_SCALE * (32768 if x.dtype == _INT16 else 1)
        if lowest <= -limit or highest >= limit:
            if x.dtype != _INT16 and max(highest, -lowest) > refusals.HIGHEST_FLOAT:
                raise refusals.huge(self.name, max(highest, -lowest))
            self.clipped += int(np.count_nonzero(np.abs(x.astype(np.float32)) >= limit))
        y = x
        if x.ndim == 2:
            y = self._levels.mixed(x)
            lowest, highest = _range(y)
        self._lowest, self._highest = min(self._lowest, lowest), max(self._highest, highest)
        # Samples that were made from a lower rate than that lack what the model looks at.
        found = find_artefacts(y, self.rate, self.sr * 9 // 10)
        if found is not None:
            if self._artefacts is None:
                from asd_edge.audio import artefacts  # here, because nearly no clip has any

                self._artefacts = artefacts.Artefacts(self.rate)
            self._artefacts.add(found, self._position, y)
        return y

    def _resampled(self, y: Samples) -> Samples:
        if self.rate == self.sr:
            return y
        import soxr  # here, because not every clip needs it

        if self._stream is None and self._ended:  # all of it at once, which is quicker
            resampled: Samples = soxr.resample(y, self.rate, self.sr, quality="HQ")
            return resampled
        if self._stream is None:
            self._stream = soxr.ResampleStream(self.rate, self.sr, 1, quality="HQ")
        streamed: Samples = self._stream.resample_chunk(y, last=self._ended)
        return streamed

    def _judge(self) -> None:
        """Refuse what only shows when all of it was read.

        Raises:
            AudioError: no samples, silence, channels that cancel, or too short to be resampled.
        """
        if self._position == 0:
            raise AudioError(self.name, "holds no samples", kind="empty")
        if self._levels is not None and self.channel == "mean":
            self._more_warnings += self._levels.check(self.name)
        scale = 32768 if self.dtype == _INT16 else 1
        ends = self._lowest / scale, self._highest / scale
        if error := refusals.silent(self.name, *ends, self._position, self._decoder.step):
            raise error
        if self._artefacts is not None:
            self._more_warnings += self._artefacts.warnings()
        if self._made == 0:
            raise refusals.not_resampled(self.name, self.rate, self.sr)


def _range(x: NDArray[np.float32]) -> tuple[float, float]:
    """Lowest and highest of floats; NaN if one of them is."""
    # Unlike masks of the block's length, two numbers need no memory.
    return float(np.minimum.reduce(x, axis=None)), float(np.maximum.reduce(x, axis=None))


def open_recording(
    source: Any,
    sr: int,
    channel: Channel = "mean",
    *,
    rate: float | None = None,
    raw: tuple[int, int] | None = None,
    name: str | None = None,
) -> Recording:
    """Open a sound file, a stream or an array.

    Args:
        source: the path of a file in any format that libsndfile reads or of a FIFO; "-" for
            stdin; a binary file object such as BytesIO; or, with `rate`, an array
            [shape=(n,) or (n, channels)] of floats with full scale -1 to 1, or of signed
            integers with the full scale of their type.
        sr: rate of the samples in Hz; other rates are resampled (soxr, HQ).
        channel: "mean" of all channels, or the number of one, from 0.
        rate: rate of an array in Hz.
        raw: rate in Hz and number of channels of a source that holds nothing but 16-bit
            little-endian samples.
        name: what messages call it; by default its path, "-" or "array".

    Raises:
        MissingFileError: no such file.
        AudioError: not a sound file, damaged, cut off or empty, without that channel, or with a
            rate that cannot be resampled to `sr`. See `Recording.blocks` for the rest.
        ParameterError: an array of another shape or type, or a rate below 1.

    Example:
        >>> with open_recording("monday.wav", 8000) as recording:
        ...     print(sum(len(block) for block in recording.blocks()) / recording.sr)
        300.0
    """
    if rate is not None:
        name = name or "array"
        return Recording(open_array(source, rate, name), sr, channel, name)
    name = name or (os.fspath(source) if isinstance(source, (str, os.PathLike)) else "stream")
    decoder: Decoder = open_source(source, name, raw)
    try:
        return Recording(decoder, sr, channel, name)
    except BaseException:
        decoder.close()
        raise
