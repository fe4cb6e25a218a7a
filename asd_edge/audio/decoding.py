"""From a sound file, a stream or an array to frames, block by block.

A decoder gives frames [shape=(n, channels)] in order, int16 where that is what the source holds
and else float32 with full scale 1. Plain 16-bit WAV files are read by hand, in a third of
libsndfile's time and without importing it; everything else goes through libsndfile.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import stat
import sys
from collections.abc import Iterator
from typing import IO, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from asd_edge import native_stderr
from asd_edge.audio.containers import Header, Pcm, examine
from asd_edge.audio.convert import converted, convertible, temporary_file
from asd_edge.errors import AudioError, MissingFileError, ParameterError

_COPY = 1 << 20  # bytes of a stream that are copied at once


class Decoder(Protocol):
    """Frames of one source.

    Attributes:
        rate: in Hz.
        channels: their number, at least 1.
        frames: how many there are; None while nobody knows.
        dtype: of the frames.
        warnings: (kind, reason) of what was noticed so far.
    """

    rate: int
    channels: int
    frames: int | None
    dtype: np.dtype[Any]
    warnings: list[tuple[str, str]]

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
    if raw is not None and not (raw[0] >= 1 and 1 <= raw[1] <= 1024):
        raise ParameterError("raw", raw, "a rate in Hz and 1 to 1024 channels")
    fd = _descriptor(source, name)
    try:
        size = os.fstat(fd).st_size
        if size == 0:
            raise AudioError(name, "is empty (0 bytes)", kind="empty")
        if raw is not None:
            rate, channels = raw
            header = Header("RAW", Pcm(0, size // (2 * channels), channels, rate))
        else:
            fd, size = _readable(fd, size, name)
            header = examine(fd, size, name)
        if header.pcm is not None and header.pcm.rate > 0:
            return PcmFile(fd, header.pcm, header, name)
        return SoundFile(fd, header, name)
    except BaseException:
        os.close(fd)
        raise


def _readable(fd: int, size: int, name: str) -> tuple[int, int]:
    """Give the file, or what ffmpeg makes of it; a file that is replaced is closed."""
    if (kind := convertible(fd)) is None:
        return fd, size
    wav = converted(fd, *kind, name)
    os.close(fd)
    return wav, os.fstat(wav).st_size


def _descriptor(source: Any, name: str) -> int:
    """Give a descriptor of a regular file with the source's bytes; the caller closes it."""
    if source == "-" and isinstance(source, str):
        if sys.stdin is None or sys.stdin.isatty():
            raise AudioError(name, "is a terminal; pipe a sound file into it", kind="unreadable")
        return _spooled(sys.stdin.buffer, name)
    if hasattr(source, "read"):
        return _spooled(source, name)
    try:
        fd = os.open(source, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0))
    except (FileNotFoundError, NotADirectoryError) as error:
        raise MissingFileError(name) from error
    except ValueError as error:  # a NUL in the name
        raise MissingFileError(name) from error
    except OSError as error:
        raise _unopened(name, error) from error
    mode = os.fstat(fd).st_mode
    if stat.S_ISREG(mode):
        return fd
    if stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode):
        with os.fdopen(fd, "rb", buffering=0) as stream:
            return _spooled(stream, name)
    os.close(fd)
    what = "folder" if stat.S_ISDIR(mode) else "device"
    raise AudioError(name, f"is a {what}, not a sound file", kind="unreadable")


def _unopened(name: str, error: OSError) -> AudioError:
    reason = f"cannot be opened ({error.strerror or error})"
    return AudioError(name, reason, kind="unreadable")


def _spooled(stream: IO[bytes], name: str) -> int:
    """Copy a stream to a temporary file without a name."""
    with temporary_file(name) as copy:
        try:
            while data := stream.read(_COPY):
                copy.write(data)
            copy.flush()
        except OSError as error:
            raise _unopened(name, error) from error
        return os.dup(copy.fileno())


class ArrayDecoder:
    """Frames of an array [shape=(n, channels)] of any type that `Recording` takes."""

    def __init__(self, frames: NDArray[Any], rate: int) -> None:
        self._frames, self._at = frames, 0
        self.rate, self.channels = rate, frames.shape[1]
        self.frames: int | None = len(frames)
        self.dtype = np.dtype(np.int16 if frames.dtype == np.int16 else np.float32)
        self.warnings: list[tuple[str, str]] = []

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


class PcmFile:
    """Frames of 16-bit little-endian PCM somewhere in a file."""

    def __init__(self, fd: int, pcm: Pcm, header: Header, name: str) -> None:
        self._fd, self._pcm, self._name, self._at = fd, pcm, name, 0
        self.rate, self.channels = pcm.rate, pcm.channels
        self.frames: int | None = pcm.frames
        self.dtype = np.dtype(np.int16)
        self.warnings = list(header.warnings)

    def read(self, frames: int) -> NDArray[Any]:
        """Give the next frames."""
        pcm = self._pcm
        frames = min(frames, pcm.frames - self._at)
        block = np.empty((frames, pcm.channels), "<i2")
        view, begin = memoryview(block.data).cast("B") if frames else memoryview(b""), 0
        while begin < len(view):
            place = pcm.offset + self._at * 2 * pcm.channels + begin
            try:
                count = os.preadv(self._fd, [view[begin:]], place)
            except OSError as error:
                raise _unopened(self._name, error) from error
            if count == 0:  # became shorter since it was opened
                got, told = self._at + begin // (2 * pcm.channels), pcm.frames
                raise _too_few(self._name, got, told)
            begin += count
        self._at += frames
        return block if sys.byteorder == "little" else block.astype(np.int16)

    def seek(self, frame: int) -> bool:
        """Go on from a frame."""
        self._at = min(frame, self._pcm.frames)
        return True

    def close(self) -> None:
        """Close the file."""
        os.close(self._fd)


def _too_few(name: str, got: int, told: int) -> AudioError:
    reason = f"is truncated: {got} of {told} samples could be read"
    return AudioError(name, reason, kind="truncated")


class _Mended(io.RawIOBase):
    """A file as it would be with another header: libsndfile reads it through callbacks."""

    def __init__(self, fd: int, patches: tuple[tuple[int, bytes], ...]) -> None:
        self._fd, self._patches, self._at = fd, patches, 0

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = (0, self._at, os.fstat(self._fd).st_size)[whence]
        self._at = max(base + offset, 0)
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        try:
            count = os.preadv(self._fd, [view], self._at)
        except OSError:  # raised in a callback it would only be printed; so the file ends here
            return 0
        for offset, content in self._patches:
            for i, byte in enumerate(content, offset - self._at):
                if 0 <= i < count:
                    view[i] = byte
        self._at += count
        return count


class SoundFile:
    """Frames of any file that libsndfile reads."""

    def __init__(self, fd: int, header: Header, name: str) -> None:
        import soundfile  # here, because not every clip needs it

        self._fd, self._header, self._name, self._at = fd, header, name, 0
        self._error: type[Any] = soundfile.LibsndfileError
        self.warnings = list(header.warnings)

        class InOrder(soundfile.SoundFile):  # type: ignore[misc]  # soundfile is untyped
            """Says that it cannot seek: else soundfile seeks after each read.

            In lossy formats that changes the samples, in some others it fails.
            """

            def seekable(self) -> bool:
                return False

        self._open = InOrder
        self._file = self._opened()
        self.rate, self.channels = self._file.samplerate, self._file.channels
        told = self._file.frames
        # The length of an MP3 file is an estimate, and that of FLAC from a pipe is not there.
        known = header.exact and self._file.format != "MP3" and told < 1 << 62
        self.frames: int | None = told if known else None
        self.dtype = np.dtype(np.int16 if self._file.subtype == "PCM_16" else np.float32)

    def _opened(self) -> Any:
        os.lseek(self._fd, 0, os.SEEK_SET)
        patches = self._header.patches
        try:
            with self._complaints():
                source = _Mended(self._fd, patches) if patches else self._fd
                return self._open(source, closefd=False)
        except self._error as error:
            raise _unreadable(self._name, error) from error

    def read(self, frames: int) -> NDArray[Any]:
        """Give the next frames."""
        try:
            with self._complaints():
                block: NDArray[Any] = self._file.read(frames, dtype=self.dtype.name, always_2d=True)
        except self._error as error:
            raise _unreadable(self._name, error) from error
        self._at += len(block)
        told = self._header.at_least if self.frames is None else self.frames
        if len(block) < frames and self._at < told:
            raise _too_few(self._name, self._at, told)
        return block

    def seek(self, frame: int) -> bool:
        """Go on from a frame; lossy formats would not give the same samples."""
        if frame == 0:
            self._file.close()
            self._file, self._at = self._opened(), 0
            return True
        if self._file.subtype not in _EXACT:
            return False
        try:
            self._file.seek(frame)
        except self._error:
            return False
        self._at = frame
        return True

    def close(self) -> None:
        """Close the file."""
        self._file.close()
        os.close(self._fd)

    @contextlib.contextmanager
    def _complaints(self) -> Iterator[None]:
        """Make one warning of what the MPEG decoder prints; the others print nothing."""
        # What has no known header may turn out to be MPEG.
        if self._header.container and not self._header.is_mpeg:
            yield
            return
        printed: list[bytes] = []
        try:
            with native_stderr.captured() as printed:
                yield
        finally:
            native_stderr.pass_on(line for line in printed if not re.search(_OF_MPG123, line))
        lines = [_complaint(line) for line in printed if re.search(_OF_MPG123, line)]
        if lines and not any(kind == "decoder" for kind, _ in self.warnings):
            reason = f"makes the MPEG decoder complain, as if damaged ({lines[0][:100]})"
            self.warnings.append(("decoder", reason))


_EXACT = frozenset(
    {"PCM_S8", "PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ULAW", "ALAW"}
)


def _unreadable(name: str, error: Any) -> AudioError:
    reason = " ".join(str(error.error_string).split()).rstrip(".") or f"error {error.code}"
    return AudioError(name, f"cannot be read as sound ({reason})", kind="unreadable")


# libsndfile's MPEG decoder prints on stderr and names no file.
_OF_MPG123 = rb"mpg123|Xing|MPEG|resync|in input|ID3|[Ff]rame|stream|junk|header"


def _complaint(line: bytes) -> str:
    return re.sub(r"^\[.*?\] *", "", line.decode(errors="replace")).strip()
