"""Decode every format that libsndfile reads; complaints of its decoders become warnings."""

from __future__ import annotations

import contextlib
import io
import os
import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import soundfile
from numpy.typing import NDArray

from asd_edge import native_stderr
from asd_edge.audio.containers import CONVERT, Header, more_sound, too_few_samples
from asd_edge.errors import AudioError


class _Mended(io.RawIOBase):
    """A file as it would be with another header or end: libsndfile reads it through callbacks."""

    def __init__(self, fd: int, header: Header) -> None:
        self._fd, self._patches, self._at = fd, header.patches, 0
        self._size = header.end or os.fstat(fd).st_size

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = (0, self._at, self._size)[whence]
        self._at = max(base + offset, 0)
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")[: max(self._size - self._at, 0)]
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


class _InOrder(soundfile.SoundFile):  # type: ignore[misc]  # soundfile is untyped
    """Says that it cannot seek: else soundfile seeks after each read.

    In lossy formats that changes the samples, in some others it fails.
    """

    def seekable(self) -> bool:
        return False


class SoundFile:
    """Frames of any file that libsndfile reads."""

    def __init__(self, fd: int, header: Header, name: str) -> None:
        self._fd, self._header, self._name, self._at = fd, header, name, 0
        self.warnings = list(header.warnings)

        self._file = self._opened()
        self.rate, self.channels = self._file.samplerate, self._file.channels
        declared = self._file.frames
        if header.frames and declared < header.frames:
            raise too_few_samples(name, declared, header.frames)
        if header.frames and declared > header.frames:
            declared = header.frames
            reason = f"has more than the {declared} samples that its header states; not read"
            self.warnings.append(("more_sound", reason))
        # The length of an MP3 file is an estimate, and that of FLAC from a pipe is not there.
        known = header.exact and self._file.format != "MP3" and declared < 1 << 62
        self.frames: int | None = declared if known else None
        self.encoding = _LOSSY.get(self._file.subtype, "PCM")
        self.step = 2**-7 if self._file.subtype in ("PCM_S8", "PCM_U8") else 0.0
        self.dtype = np.dtype(np.int16 if self._file.subtype == "PCM_16" else np.float32)

    def _opened(self) -> Any:
        os.lseek(self._fd, 0, os.SEEK_SET)
        header = self._header
        try:
            with self._complaints():
                source = _Mended(self._fd, header) if header.patches or header.end else self._fd
                return _InOrder(source, closefd=False)
        except soundfile.LibsndfileError as error:
            raise _unreadable(self._name, error) from error

    def read(self, frames: int) -> NDArray[Any]:
        """Give the next frames."""
        if self.frames is not None:  # the FLAC decoder fails on what lies behind the last one
            frames = min(frames, self.frames - self._at)
        try:
            with self._complaints():
                block: NDArray[Any] = self._file.read(frames, dtype=self.dtype.name, always_2d=True)
        except soundfile.LibsndfileError as error:
            raise _unreadable(self._name, error, "is cut off or damaged") from error
        self._at += len(block)
        if self._at == self.frames and self._file.format == "FLAC":
            self._warn_of_what_follows()
        declared = self._header.at_least if self.frames is None else self.frames
        if len(block) < frames and self._at < declared:
            raise too_few_samples(self._name, self._at, declared)
        return block

    def _warn_of_what_follows(self) -> None:
        """Warn of what the FLAC decoder, which reads ahead by some KB, has not even looked at."""
        more = os.fstat(self._fd).st_size - os.lseek(self._fd, 0, os.SEEK_CUR)
        if more > 0 and not any(kind == "more_sound" for kind, _ in self.warnings):
            self.warnings.append(more_sound(more))

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
        except soundfile.LibsndfileError:
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


# Encodings that leave out what people do not hear. ADPCM and companding keep all frequencies.
_LOSSY = {f"MPEG_LAYER_{i}": "MP3" for i in ("I", "II", "III")}
_LOSSY |= {"VORBIS": "Vorbis", "OPUS": "Opus"}


_OPENING = "cannot be read as sound"


def _unreadable(name: str, error: Any, what: str = _OPENING) -> AudioError:
    reason = " ".join(str(error.error_string).split()).rstrip(".") or f"error {error.code}"
    reason = reason.removeprefix("Error : ")
    if error.code == _NOT_RECOGNISED or "not a regular file" in reason:  # as it says of text
        reason = _READ
    elif what == _OPENING:
        reason += f"; if another program plays it, {CONVERT}"
    return AudioError(name, f"{what} ({reason})", kind="unreadable")


_NOT_RECOGNISED = 1  # SF_ERR_UNRECOGNISED_FORMAT
_READ = (
    "no format that is known: WAV, FLAC, Ogg, MP3, AIFF, AU, CAF and W64 are read, with ffmpeg "
    "also m4a, wma, webm, aac, amr, wv and tta; convert others, as by ffmpeg -i FILE FILE.wav"
)

# libsndfile's MPEG decoder prints on stderr and names no file.
_OF_MPG123 = rb"mpg123|Xing|MPEG|resync|in input|ID3|[Ff]rame|stream|junk|header"


def _complaint(line: bytes) -> str:
    return re.sub(r"^\[.*?\] *", "", line.decode(errors="replace")).strip()
