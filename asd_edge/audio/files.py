"""Sound files and arrays to mono float32 samples at the model's rate."""

from __future__ import annotations

import math
import stat
import struct
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from asd_edge.audio.clip_names import is_audio_name
from asd_edge.errors import AudioError, MissingFileError, ParameterError

Channel = int | Literal["mean"]
Samples: TypeAlias = NDArray[np.float32 | np.int16]  # full scale 1, or 32768

# Recorders that write to a pipe cannot know the length and leave a value like
# these in the header; everything up to the end of the file is then meant.
_UNKNOWN_LENGTH = 0x7FFF_0000

# The beginning of a WAV file in which its chunk of samples is looked for; 44 bytes as a rule.
_WAV_HEADER = 512

# Samples that tell most live inputs from dead ones.
_FEW = 256

# Files of chunks, by their first four bytes: the byte order and the chunk with the sound.
_SOUND_CHUNK: dict[bytes, tuple[Literal["little", "big"], bytes]] = {
    b"RIFF": ("little", b"data"),  # WAV
    b"FORM": ("big", b"SSND"),  # AIFF
}


def find(paths: list[Path]) -> list[Path]:
    """Name the sound files in `paths`: files as they are, folders searched through, sorted.

    Files and folders whose name begins with a dot are left out of the search.

    Raises:
        MissingFileError: a path is not there, or a folder holds no sound file.
    """
    found: list[Path] = []
    for path in paths:
        if not path.is_dir():
            # A missing file is reported when its turn comes, so that the rest is scored.
            found.append(path)
            continue
        inside = sorted(
            entry
            for entry in path.rglob("*")
            if is_audio_name(entry.name)
            and entry.is_file()
            and not any(part.startswith(".") for part in entry.relative_to(path).parts)
        )
        if not inside:
            raise MissingFileError(path, "folder with sound files (.wav, .flac, ...)")
        found += inside
    return found


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

    A mono file of 16-bit PCM at `sr` gives int16, in half the memory and a third of the time; the
    mel spectrogram of it is equal, bit for bit. Anything else is what `read` gives.
    """
    return prepare(*decode(path, sr), sr, channel, path)


def decode(path: str | Path, sr: int | None = None) -> tuple[Samples, int]:
    """Give what is in a sound file and its rate; the first half of `read_pcm`.

    Args:
        path: the file.
        sr: rate in Hz at which mono 16-bit PCM is left as it is; None for never.

    Returns:
        samples [shape=(n, channels)], int16 if they are mono 16-bit PCM at `sr`, else float32.
        rate in Hz.

    Raises:
        MissingFileError: no such file.
        AudioError: not a sound file, damaged or empty.
    """
    path = Path(path)
    try:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            raise AudioError(path, "is a folder, not a sound file")
        if status.st_size == 0:
            raise AudioError(path, "is empty (0 bytes)")
        if sr is not None and path.suffix.lower() == ".wav":
            plain = _plain_wav(path, sr, status.st_size)
            if plain is not None:
                return plain, sr
        return _by_libsndfile(path, sr, status.st_size)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise MissingFileError(path) from error
    except OSError as error:
        raise AudioError(path, f"cannot be opened ({error.strerror or error})") from error


def _plain_wav(path: Path, sr: int, size: int) -> NDArray[np.int16] | None:
    """Give a WAV file of mono 16-bit PCM at `sr` [shape=(n, 1)]; None if it is anything else.

    What most microphones are recorded as, in a third of the time of libsndfile and without loading
    it. Whatever is odd about a file is left to libsndfile too.
    """
    with path.open("rb", buffering=0) as file:
        header = file.read(_WAV_HEADER)
        if len(header) < 12 or header[:4] != b"RIFF" or header[8:12] != b"WAVE":
            return None
        (riff_length,) = struct.unpack_from("<I", header, 4)
        at, is_plain = 12, False
        while at + 8 <= len(header):
            name, length = struct.unpack_from("<4sI", header, at)
            at += 8
            if name == b"data":
                break
            if name == b"fmt ":
                if length != 16 or is_plain or at + length > len(header):
                    return None
                is_plain = struct.unpack_from("<HHIIHH", header, at) == (1, 1, sr, 2 * sr, 2, 16)
            elif name not in (b"LIST", b"JUNK"):
                return None
            at += length + length % 2
        else:
            return None
        # A length that the file or the header around does not have room for: cut off, or wrong.
        if not is_plain or length % 2 or at + length > min(size, riff_length + 8):
            return None
        samples = np.empty((length // 2, 1), "<i2")
        file.seek(at)
        if file.readinto(samples.data) != length:
            return None
        return samples.astype(np.int16, copy=False)  # a copy where the machine is big-endian


def _by_libsndfile(path: Path, sr: int | None, size: int) -> tuple[Samples, int]:
    """Give any sound file's samples and rate, as `decode` does."""
    import soundfile  # here, because not every clip needs it

    try:
        with soundfile.SoundFile(path) as file:
            rate, frames, container = file.samplerate, file.frames, file.format
            exact = file.subtype == "PCM_16" and file.channels == 1 and rate == sr
            samples = file.read(dtype="int16" if exact else "float32", always_2d=True)
    except soundfile.LibsndfileError as error:
        raise AudioError(path, f"cannot be read as sound ({error.error_string})") from error
    _check_length(path, size)
    # The length that an MP3 header gives is an estimate.
    if len(samples) < frames and container != "MP3":
        raise AudioError(path, f"is truncated: {len(samples)} of {frames} samples could be read")
    return samples, rate


def from_array(
    samples: Any, rate: int, sr: int, channel: Channel = "mean", name: str | Path = "array"
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


def prepare(samples: Any, rate: int, sr: int, channel: Channel, name: str | Path) -> Samples:
    """Do what `from_array` says, but leave mono int16 at `sr` as it is; half of `read_pcm`."""
    y = np.asarray(samples)
    if y.ndim not in (1, 2):
        raise ParameterError("samples.shape", y.shape, "(n,) or (n, channels)")
    if rate < 1:
        raise ParameterError("rate", rate, "a rate in Hz, at least 1")
    exact = y.dtype == np.int16 and rate == sr and y.size == len(y)
    if np.issubdtype(y.dtype, np.signedinteger) and not exact:
        y = y.astype(np.float32) / -float(np.iinfo(y.dtype).min)
    elif not exact and not np.issubdtype(y.dtype, np.floating):
        raise ParameterError("samples.dtype", y.dtype, "floats or signed integers")
    if y.shape[0] == 0 or y.size == 0:
        raise AudioError(name, "holds no samples")
    y = _mono(y, channel, name)
    # NaN spreads to both; and unlike masks of the clip's length, two numbers need no memory.
    if y.dtype != np.int16 and not (math.isfinite(y.min()) and math.isfinite(y.max())):
        bad = np.flatnonzero(~np.isfinite(y))
        raise AudioError(
            name,
            f"has {len(bad)} samples that are NaN or infinite, the first at {bad[0] / rate:.3f} s",
        )
    # A dead input gives one value for ever, which is 0 or the offset of the converter.
    if (y[:_FEW] == y[0]).all() and (y == y[0]).all():
        raise AudioError(name, f"is silent: all {len(y)} samples are {_as_float(y[:1])[0]:g}")
    if rate != sr:
        import soxr

        y = soxr.resample(y, rate, sr, quality="HQ")
        if len(y) == 0:
            raise AudioError(name, f"is too short to be resampled from {rate} to {sr} Hz")
    return np.ascontiguousarray(y, dtype=np.int16 if exact else np.float32)


def _as_float(y: Samples) -> NDArray[np.float32]:
    """Scale int16 to -1 to 1, which is exact; leave floats as they are."""
    if y.dtype != np.int16:
        return y  # type: ignore[return-value]  # mypy does not narrow by dtype
    return np.multiply(y, np.float32(2**-15), dtype=np.float32)


def _mono(y: NDArray[Any], channel: Channel, name: str | Path) -> Samples:
    if y.ndim == 1:
        y = y[:, np.newaxis]
    channels = y.shape[1]
    if channel == "mean":
        mono = y[:, 0] if channels == 1 else y.mean(axis=1, dtype=np.float32)
    elif 0 <= channel < channels:
        mono = y[:, channel]
    else:
        raise AudioError(name, f"has {channels} channel(s), numbered from 0; asked for {channel}")
    return mono if mono.dtype == np.int16 else np.asarray(mono, dtype=np.float32)


def _check_length(path: Path, size: int) -> None:
    """Compare the sound chunk's stated length with the file's; libsndfile silently clips it."""
    with path.open("rb") as file:
        form = file.read(12)[:4]
        if form not in _SOUND_CHUNK:
            return
        byte_order, wanted = _SOUND_CHUNK[form]
        while len(header := file.read(8)) == 8:
            length = int.from_bytes(header[4:], byte_order)
            if header[:4] == wanted:
                present = size - file.tell()
                if present < length < _UNKNOWN_LENGTH:
                    raise AudioError(
                        path, f"is truncated: {present} of {length} bytes of sound are there"
                    )
                return
            file.seek(length + length % 2, 1)
