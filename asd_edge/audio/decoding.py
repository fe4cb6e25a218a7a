"""Decode a sound file, a stream or an array to frames, block by block.

A decoder gives frames [shape=(n, channels)] in order, int16 where that is what the source holds
and else float32 with full scale 1. Plain 16-bit WAV files are read by hand, in a third of
libsndfile's time and without importing it; everything else goes through libsndfile.
"""

from __future__ import annotations

import os
import stat
import sys
from typing import IO, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from asd_edge.audio.containers import (
    HEAD,
    NO_LENGTH,
    Header,
    Pcm,
    examine_wav,
    is_wav,
    too_few_samples,
)
from asd_edge.errors import AudioError, MissingFileError, ParameterError

LOSSLESS = "PCM"  # of whatever gives back the samples that were recorded, FLAC too
_INT16, _LITTLE_ENDIAN = np.dtype(np.int16), np.dtype("<i2")
_MOST_CHANNELS = 1024
_COPY = 1 << 20  # bytes of a stream that are copied at once


class Decoder(Protocol):
    """Frames of one source.

    Attributes:
        rate: in Hz.
        channels: their number, at least 1.
        frames: how many there are; None as long as it is unknown.
        dtype: of the frames.
        warnings: (kind, reason) of what was noticed so far.
        encoding: the lossy one of the source, such as "MP3"; else "PCM".
        step: between two neighbouring values of samples of 8 bits; 0 of all others.
    """

    rate: int
    channels: int
    frames: int | None
    dtype: np.dtype[Any]
    warnings: list[tuple[str, str]]
    encoding: str
    step: float

    def read(self, frames: int) -> NDArray[Any]:
        """Give the next frames [shape=(n, channels)]; fewer than asked for only at the end."""

    def seek(self, frame: int) -> bool:
        """Go on from a frame; False if that cannot be done exactly."""

    def close(self) -> None:
        """Free what was opened."""


def open_source(source: Any, name: str, raw: tuple[int, int] | None = None) -> Decoder:
    """Open what holds sound.

    Args:
        source: path, "-" for stdin, or a binary file object. What cannot be sought in (a pipe, a
            socket) is copied to a temporary file on disk first.
        name: what messages call it.
        raw: rate in Hz and number of channels, if the source holds nothing but 16-bit
            little-endian samples.

    Raises:
        MissingFileError: no such file.
        AudioError: not a sound file, damaged, cut off or empty.
        ParameterError: a rate or number of channels below 1.
    """
    if raw is not None and not _is_raw(raw):
        raise ParameterError("raw", raw, "a rate in Hz and 1 to 1024 channels")
    (fd, size), encoding = _descriptor(source, name), ""
    try:
        if size == 0:
            raise AudioError(name, "is empty (0 bytes)", kind="empty")
        if raw is not None:
            header = _raw(fd, size, *raw, name)
        elif is_wav(head := os.pread(fd, HEAD, 0)):
            header = examine_wav(fd, size, name, head)
        else:
            fd, encoding, warnings = _readable(fd, name)
            header = examine(fd, os.fstat(fd).st_size, name, os.pread(fd, HEAD, 0))
            header = header._replace(warnings=(*warnings, *header.warnings))
        if header.pcm is not None and header.pcm.rate > 0:
            return PcmFile(fd, header.pcm, header, name, encoding or LOSSLESS)
        from asd_edge.audio.libsndfile import SoundFile  # here, because most clips are plain PCM

        return SoundFile(fd, header, name)
    except BaseException:
        os.close(fd)
        raise


def examine(fd: int, size: int, name: str, head: bytes) -> Header:
    """Examine the header of a sound file; arguments and errors are those of `examine_wav`."""
    if is_wav(head):
        return examine_wav(fd, size, name, head)
    from asd_edge.audio import other_containers  # here, because most clips are WAV files

    return other_containers.examine(fd, size, name, head)


def _is_rate(rate: Any) -> bool:
    try:
        return bool(1 <= rate < 2**31 and rate == int(rate))
    except TypeError:  # no number
        return False


def _is_raw(raw: Any) -> bool:
    if not isinstance(raw, (tuple, list)) or len(raw) != 2:
        return False
    return all(isinstance(x, int) for x in raw) and raw[0] >= 1 and 1 <= raw[1] <= _MOST_CHANNELS


def _raw(fd: int, size: int, rate: int, channels: int, name: str) -> Header:
    """Raw samples; a file with a header would begin with noise, and a rest is no whole sample."""
    if os.pread(fd, 4, 0) in (b"RIFF", b"RIFX", b"RF64", b"fLaC", b"FORM", b"OggS", b".snd"):
        raise AudioError(name, "has a header; leave out --raw", kind="unreadable")
    frames, rest = divmod(size, 2 * channels)
    reason = f"has {rest} bytes behind its last whole frame of {channels} 16-bit channel(s)"
    warnings = (("more_sound", reason),) if rest else ()
    return Header("RAW", Pcm(0, frames, channels, rate), warnings=warnings)


def _readable(fd: int, name: str) -> tuple[int, str, tuple[tuple[str, str], ...]]:
    """Give the file, or what ffmpeg makes of it (`fd` is closed); its encoding and warnings."""
    from asd_edge.audio.convert import converted, convertible  # here: most clips are WAV files

    if (kind := convertible(fd)) is None:
        return fd, "", ()
    wav, encoding = converted(fd, *kind, name)
    os.close(fd)
    return wav, encoding, (NO_LENGTH,) if kind[0] == "mp3" else ()


def _descriptor(source: Any, name: str) -> tuple[int, int]:
    """Give a descriptor of a regular file with the source's bytes, which the caller closes, and
    their number.
    """
    if source == "-" and isinstance(source, str):
        if sys.stdin is None:
            raise AudioError(name, "is closed; pipe a sound file into it", kind="unreadable")
        if sys.stdin.isatty():
            raise AudioError(name, "is a terminal; pipe a sound file into it", kind="unreadable")
        return _spooled(sys.stdin.buffer, name)
    if hasattr(source, "read"):
        return _spooled(source, name)
    if not isinstance(source, (str, bytes, os.PathLike)):
        wanted = "a path, a binary file object (BytesIO of bytes), or an array with its rate"
        raise ParameterError("clip", type(source).__name__, wanted)
    try:
        fd = os.open(source, os.O_RDONLY)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise MissingFileError(name) from error
    except ValueError as error:  # a NUL in the name
        raise MissingFileError(name) from error
    except OSError as error:
        raise _unopened(name, error) from error
    status = os.fstat(fd)
    mode = status.st_mode
    if stat.S_ISREG(mode):
        return fd, status.st_size
    if stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode):
        with os.fdopen(fd, "rb", buffering=0) as stream:
            return _spooled(stream, name)
    os.close(fd)
    what = "folder" if stat.S_ISDIR(mode) else "device"
    raise AudioError(name, f"is a {what}, not a sound file", kind="unreadable")


def _unopened(name: str, error: OSError) -> AudioError:
    reason = f"cannot be opened ({error.strerror or error})"
    return AudioError(name, reason, kind="unreadable")


def _spooled(stream: IO[bytes], name: str) -> tuple[int, int]:
    """Copy a stream to a temporary file without a name; give its descriptor and its size."""
    from asd_edge.audio.convert import temporary_file  # here, because most sources are files

    with temporary_file(name) as copy:
        try:
            while data := stream.read(_COPY):
                copy.write(data)
            copy.flush()
        except OSError as error:
            raise _unopened(name, error) from error
        except (TypeError, ValueError) as error:  # of text, or closed
            reason = f"is no open stream of bytes ({error})"
            raise AudioError(name, reason, kind="unreadable") from error
        return os.dup(copy.fileno()), copy.tell()


class ArrayDecoder:
    """Frames of an array [shape=(n, channels)] of any type that `Recording` takes."""

    def __init__(self, frames: NDArray[Any], rate: int) -> None:
        self._frames, self._at = frames, 0
        self.rate, self.channels = rate, frames.shape[1]
        self.frames: int | None = len(frames)
        self.dtype = np.dtype(np.int16 if frames.dtype == np.int16 else np.float32)
        self.warnings: list[tuple[str, str]] = []
        self.encoding, self.step = LOSSLESS, 0.0

    def read(self, frames: int) -> NDArray[Any]:
        """Give the next frames."""
        block = self._frames[self._at : self._at + frames]
        self._at += len(block)
        if block.dtype in (np.int16, np.float32):
            return block
        if block.dtype.kind == "i":
            return block.astype(np.float32) / -np.float32(np.iinfo(block.dtype).min)
        with np.errstate(over="ignore"):  # what becomes infinite is refused as such
            return block.astype(np.float32)

    def seek(self, frame: int) -> bool:
        """Go on from a frame."""
        self._at = frame
        return True

    def close(self) -> None:
        """Nothing was opened."""


def open_array(samples: Any, rate: float, name: str) -> ArrayDecoder:
    """Open an array, with the arguments and errors of `recording.open_recording`."""
    y = np.asarray(samples)
    if y.ndim not in (1, 2) or (y.ndim == 2 and y.shape[1] > _MOST_CHANNELS):
        expected = f"(n,) or (n, channels), with at most {_MOST_CHANNELS} channels"
        raise ParameterError("samples.shape", y.shape, expected)
    if not _is_rate(rate):
        raise ParameterError("rate", rate, "a whole number of Hz, at least 1")
    if y.dtype.kind not in "if":
        raise ParameterError("samples.dtype", y.dtype, "floats or signed integers")
    if np.ma.is_masked(samples):
        raise ParameterError("samples", "an array with masked values", "one without")
    y = y if y.ndim == 2 else y[:, np.newaxis]
    if y.size == 0:
        raise AudioError(name, "holds no samples", kind="empty")
    return ArrayDecoder(y, int(rate))


class PcmFile:
    """Frames of 16-bit little-endian PCM somewhere in a file."""

    def __init__(
        self, fd: int, pcm: Pcm, header: Header, name: str, encoding: str = LOSSLESS
    ) -> None:
        self._fd, self._pcm, self._name, self._at = fd, pcm, name, 0
        self.rate, self.channels = pcm.rate, pcm.channels
        self.frames: int | None = pcm.frames
        self.dtype = _INT16
        self.warnings, self.encoding, self.step = list(header.warnings), encoding, 0.0

    def read(self, frames: int) -> NDArray[Any]:
        """Give the next frames."""
        pcm = self._pcm
        frames = min(frames, pcm.frames - self._at)
        block = np.empty((frames, pcm.channels), _LITTLE_ENDIAN)
        place, missing = pcm.offset + self._at * 2 * pcm.channels, block.nbytes
        rest: Any = block
        while missing:
            try:
                count = os.preadv(self._fd, [rest], place)
            except OSError as error:
                raise _unopened(self._name, error) from error
            if count == 0:  # became shorter since it was opened
                got = self._at + frames - -(-missing // (2 * pcm.channels))
                raise too_few_samples(self._name, got, pcm.frames)
            place, missing = place + count, missing - count
            if missing:
                rest = block.reshape(-1).view(np.uint8)[-missing:]
        self._at += frames
        return block if sys.byteorder == "little" else block.astype(np.int16)

    def seek(self, frame: int) -> bool:
        """Go on from a frame."""
        self._at = min(frame, self._pcm.frames)
        return True

    def close(self) -> None:
        """Close the file."""
        os.close(self._fd)
