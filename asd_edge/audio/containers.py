"""Compare the length that the header of a sound file states with the size of the file.

libsndfile reads a file to its end and raises no error if the header states more: a file that was
cut off would be scored from the rest. `examine` compares the two and raises AudioError.
It also finds headers that state too little, because a recorder was switched off before it
wrote the length or because the length does not fit in 32 bits; the sound is then
everything up to the end of the file, and the header is mended for the decoder.
"""

from __future__ import annotations

import os
import struct
from typing import NamedTuple

from asd_edge.errors import AudioError

# Recorders that write to a pipe cannot know the length and leave a value like these (sox, ffmpeg,
# arecord); everything up to the end of the file is then meant.
UNKNOWN_32 = (range(0x7FFF_0000, 0x8000_0100), range(0xFFFF_0000, 0x1_0000_0000))
UNKNOWN_64 = range(0x7FFF_FFFF_0000_0000, 0x1_0000_0000_0000_0000)

HEAD = 512  # bytes that hold all headers of an ordinary file
MAX_CHUNKS = 1000  # of a real file there are under 20; a file of zeros has millions

_PCM, _MP3, _EXTENSIBLE = 0x0001, 0x0055, 0xFFFE


class Header(NamedTuple):
    """What was found out before decoding.

    Attributes:
        container: such as "WAV"; empty if the file is left to the decoder as it is.
        pcm: where 16-bit little-endian PCM lies, if the file holds just that.
        patches: (offset, bytes) of the header that the decoder must see instead of the file's.
        warnings: (kind, reason) of what was mended.
        exact: whether the number of frames that the decoder states is binding.
        at_least: frames below which a file of inexact length is cut off.
        frames: that the header states, of a format whose decoder counts the bytes instead; else 0.
        is_mpeg: whether the sound is MPEG audio, whose decoder prints its complaints on stderr.
        end: where the file ends for the decoder, which would take what lies behind for sound; 0 if
            it may see all of the file.
    """

    container: str = ""
    pcm: Pcm | None = None
    patches: tuple[tuple[int, bytes], ...] = ()
    warnings: tuple[tuple[str, str], ...] = ()
    exact: bool = True
    is_mpeg: bool = False
    at_least: int = 0
    frames: int = 0
    end: int = 0


class Pcm(NamedTuple):
    """16-bit little-endian PCM: first byte, number of frames, channels, rate in Hz."""

    offset: int
    frames: int
    channels: int
    rate: int


NO_HEADER = Header()


def truncated(name: str, present: int, declared: int) -> AudioError:
    reason = f"is truncated: {max(present, 0)} of {declared} bytes of sound are there"
    return AudioError(name, reason, kind="truncated")


def too_few_samples(name: str, got: int, declared: int) -> AudioError:
    """Error about a file that ends before the number of samples that its header states."""
    reason = f"is truncated: {got} of {declared} samples could be read"
    return AudioError(name, reason, kind="truncated")


NO_LENGTH = ("no_length", "states no length, so that a cut-off file looks whole")
CONVERT = "convert it, as by ffmpeg -i FILE FILE.wav"
UNFINISHED = (
    "unfinished",
    "has a header without the length, as of a recorder that lost power; read up to its end",
)
_WRAPPED = ("wrapped", "is longer than its header can state (4 GB); read up to its end")

_RIFF = {b"RIFF": "<", b"RIFX": ">", b"RF64": "<", b"BW64": "<"}


def is_wav(head: bytes) -> bool:
    """Say whether a file with these first bytes is a WAV file."""
    return head[:4] in _RIFF and head[8:12] == b"WAVE"


def examine_wav(fd: int, size: int, name: str, head: bytes) -> Header:
    """Examine WAV in all sizes: RIFF, big-endian RIFX, RF64 and BW64 with 64-bit lengths.

    Args:
        fd: descriptor of a regular file.
        size: its length in bytes.
        name: what messages call it.
        head: its first HEAD bytes.

    Raises:
        AudioError: the header states more sound than the file holds.
    """
    order = _RIFF[head[:4]]
    (riff_length,) = struct.unpack_from(f"{order}I", head, 4)
    form: tuple[int, ...] | None = None
    wide: tuple[int, int] | None = None  # data length of RF64, and where it is written
    at = 12
    for _ in range(MAX_CHUNKS):
        chunk = head[at : at + 48] if at + 48 <= len(head) else os.pread(fd, 48, at)
        if len(chunk) < 8:
            return NO_HEADER
        kind, length = chunk[:4], struct.unpack_from(f"{order}I", chunk, 4)[0]
        if not is_name(kind):
            return NO_HEADER
        at += 8
        if kind == b"data":
            break
        if kind == b"fmt " and len(chunk) >= 24:
            fields = struct.unpack_from(f"{order}HHIIHH", chunk, 8)
            if fields[0] == _EXTENSIBLE and length >= 40 and len(chunk) >= 34:
                fields = (struct.unpack_from(f"{order}H", chunk, 32)[0], *fields[1:])
            if form not in (None, fields):
                raise AudioError(name, "has two headers (fmt) that differ", kind="unreadable")
            form = fields
        elif kind == b"ds64" and len(chunk) >= 24:
            wide = struct.unpack_from("<Q", chunk, 16)[0], at + 8
        at += length + length % 2
    else:
        return NO_HEADER
    present, declared = size - at, length
    unknown = length >= UNKNOWN_32[0].start and any(length in r for r in UNKNOWN_32)
    patches: tuple[tuple[int, bytes], ...] = ()
    warnings: list[tuple[str, str]] = []
    if wide is not None and length == 0xFFFF_FFFF:
        declared, unknown = wide[0], wide[0] in UNKNOWN_64
        if (declared == 0 and present > 0) or unknown:
            warnings += [] if unknown else [UNFINISHED]
            declared, patches = present, ((wide[1], struct.pack("<Q", present)),)
    elif unknown or (declared == 0 and present > 0 and abs(riff_length + 8 - size) > 1):
        warnings += [] if unknown else [UNFINISHED]
        declared, patches = present, _to_the_end(order, at)
    elif declared < present and present - declared >= 1 << 32:
        declared += (present - declared) >> 32 << 32
        warnings.append(_WRAPPED)
        patches = _to_the_end(order, at)
    if declared > present:
        raise truncated(name, present, declared)
    end = 0
    if declared < present and not patches and (behind := _behind(fd, at + declared, size, order)):
        warnings += behind
        end = at + declared + declared % 2  # libsndfile refuses a second file behind the first
    pcm = None
    if form is not None:
        _check_bits(form, name)
    if form is not None and order == "<":
        tag, channels, rate, _, align, bits = form
        if tag == _PCM and bits == 16 and channels and align == 2 * channels:
            pcm = Pcm(at, declared // align, channels, rate)
    mpeg = form is not None and form[0] == _MP3
    return Header("WAV", pcm, patches, tuple(warnings), not mpeg, mpeg, end=end)


def _to_the_end(order: str, data: int) -> tuple[tuple[int, bytes], ...]:
    """Lengths with which libsndfile reads a WAV file up to its end, however long that is."""
    return (4, struct.pack(f"{order}I", 8)), (data - 4, bytes(4))


def more_sound(count: int) -> tuple[str, str]:
    """Warning about bytes that the header says nothing of, and that are not read."""
    return "more_sound", f"has {count} bytes behind what its header states; not read"


def _behind(fd: int, end: int, size: int, order: str) -> list[tuple[str, str]]:
    """Warn of what is no chunk behind the sound, of a second chunk of sound, and of another file.

    A chunk begins at an even place, but not all recorders fill up to that.
    """
    at = end + end % 2 if is_name(os.pread(fd, 4, end + end % 2)) else end
    for _ in range(MAX_CHUNKS):
        chunk = os.pread(fd, 8, at)
        if len(chunk) < 8:  # too short for sound
            break
        kind, length = struct.unpack(f"{order}4sI", chunk)
        if not is_name(kind) or kind == b"data" or kind in _RIFF:
            return [more_sound(size - at)]
        at += 8 + length + length % 2
    return []


def _check_bits(form: tuple[int, ...], name: str) -> None:
    """Refuse sound without channels or rate, and PCM whose samples take more bytes than they need.

    libsndfile reads them side by side, others as the bytes say.
    """
    tag, channels, rate, _, align, bits = form
    if not (channels and rate):
        reason = f"states {channels} channels and a rate of {rate} Hz: its header is damaged"
        raise AudioError(name, reason, kind="unreadable")
    if tag == _PCM and bits and channels and align % channels == 0:
        width = align // channels
        if -(-bits // 8) < width <= 8:
            reason = f"states samples of {bits} bits in {width} bytes each; write it with as many"
            raise AudioError(name, reason, kind="unreadable")


def is_name(kind: bytes) -> bool:
    """Say whether bytes look like the name of a chunk."""
    return kind.isascii() and kind.decode().isprintable()
