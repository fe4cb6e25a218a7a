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
_UNKNOWN_32 = (range(0x7FFF_0000, 0x8000_0100), range(0xFFFF_0000, 0x1_0000_0000))
_UNKNOWN_64 = range(0x7FFF_FFFF_0000_0000, 0x1_0000_0000_0000_0000)

HEAD = 512  # bytes that hold all headers of an ordinary file
_MAX_CHUNKS = 1000  # of a real file there are under 20; a file of zeros has millions

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
        is_mpeg: whether the sound is MPEG audio, whose decoder prints its complaints on stderr.
    """

    container: str = ""
    pcm: Pcm | None = None
    patches: tuple[tuple[int, bytes], ...] = ()
    warnings: tuple[tuple[str, str], ...] = ()
    exact: bool = True
    is_mpeg: bool = False
    at_least: int = 0


class Pcm(NamedTuple):
    """16-bit little-endian PCM: first byte, number of frames, channels, rate in Hz."""

    offset: int
    frames: int
    channels: int
    rate: int


_NO_HEADER = Header()


def examine(fd: int, size: int, name: str) -> Header:
    """Examine the header of a sound file.

    Args:
        fd: descriptor of a regular file.
        size: its length in bytes.
        name: what messages call it.

    Raises:
        AudioError: the header states more sound than the file holds.
    """
    head = os.pread(fd, HEAD, 0)
    form = head[:4]
    if form in _RIFF and head[8:12] == b"WAVE":
        return _wav(fd, size, name, head)
    if form == b"FORM":
        return _iff(fd, size, name, head)
    if form in (b".snd", b"dns."):
        return _au(size, name, head)
    if head[:16] == _W64_RIFF:
        return _w64(fd, size, name, head)
    if form == b"caff":
        return _caf(fd, size, name)
    if head[:20] == b"Creative Voice File\x1a":
        return _voc(fd, size, name, head)
    if form == b"OggS":
        return _ogg(fd, size, name)
    if form[:2] == b"\xf0\x7e":  # libsndfile's reader of these prints on stdout
        raise AudioError(name, "is a MIDI sample dump, which is not read", kind="unreadable")
    if form[:3] == b"ID3" or (len(form) > 1 and form[0] == 0xFF and form[1] & 0xE0 == 0xE0):
        return _mp3(fd, size, name)
    return _NO_HEADER


def _truncated(name: str, present: int, told: int) -> AudioError:
    reason = f"is truncated: {max(present, 0)} of {told} bytes of sound are there"
    return AudioError(name, reason, kind="truncated")


def too_few_samples(name: str, got: int, told: int) -> AudioError:
    """Error about a file that ends before the number of samples that its header states."""
    reason = f"is truncated: {got} of {told} samples could be read"
    return AudioError(name, reason, kind="truncated")


_UNFINISHED = (
    "unfinished",
    "has a header without the length, as of a recorder that lost power; read up to its end",
)
_WRAPPED = ("wrapped", "is longer than its header can state (4 GB); read up to its end")

_RIFF = {b"RIFF": "<", b"RIFX": ">", b"RF64": "<", b"BW64": "<"}


def _wav(fd: int, size: int, name: str, head: bytes) -> Header:
    """WAV in all sizes: RIFF, big-endian RIFX, RF64 and BW64 with 64-bit lengths."""
    order = _RIFF[head[:4]]
    (riff_length,) = struct.unpack_from(f"{order}I", head, 4)
    form: tuple[int, ...] | None = None
    wide: tuple[int, int] | None = None  # data length of RF64, and where it is written
    at = 12
    for _ in range(_MAX_CHUNKS):
        chunk = head[at : at + 48] if at + 48 <= len(head) else os.pread(fd, 48, at)
        if len(chunk) < 8:
            return _NO_HEADER
        kind, length = chunk[:4], struct.unpack_from(f"{order}I", chunk, 4)[0]
        if not _is_name(kind):
            return _NO_HEADER
        at += 8
        if kind == b"data":
            break
        if kind == b"fmt " and len(chunk) >= 24:
            form = struct.unpack_from(f"{order}HHIIHH", chunk, 8)
            if form[0] == _EXTENSIBLE and length >= 40 and len(chunk) >= 34:
                form = (struct.unpack_from(f"{order}H", chunk, 32)[0], *form[1:])
        elif kind == b"ds64" and len(chunk) >= 24:
            wide = struct.unpack_from("<Q", chunk, 16)[0], at + 8
        at += length + length % 2
    else:
        return _NO_HEADER
    present, told, unknown = size - at, length, any(length in r for r in _UNKNOWN_32)
    patches: tuple[tuple[int, bytes], ...] = ()
    warnings: list[tuple[str, str]] = []
    if wide is not None and length == 0xFFFF_FFFF:
        told, unknown = wide[0], wide[0] in _UNKNOWN_64
        if (told == 0 and present > 0) or unknown:
            warnings += [] if unknown else [_UNFINISHED]
            told, patches = present, ((wide[1], struct.pack("<Q", present)),)
    elif unknown or (told == 0 and present > 0 and abs(riff_length + 8 - size) > 1):
        warnings += [] if unknown else [_UNFINISHED]
        told, patches = present, _to_the_end(order, at)
    elif told < present and present - told >= 1 << 32:
        told += (present - told) >> 32 << 32
        warnings.append(_WRAPPED)
        patches = _to_the_end(order, at)
    elif told + (told % 2) < present and not _is_chunk(fd, at + told + told % 2):
        more = present - told
        warnings.append(("more_sound", f"has {more} bytes behind what its header states; not read"))
    if told > present:
        raise _truncated(name, present, told)
    pcm = None
    if form is not None and order == "<":
        tag, channels, rate, _, align, bits = form
        if tag == _PCM and bits == 16 and channels and align == 2 * channels:
            pcm = Pcm(at, told // align, channels, rate)
    mpeg = form is not None and form[0] == _MP3
    return Header("WAV", pcm, patches, tuple(warnings), exact=not mpeg, is_mpeg=mpeg)


def _to_the_end(order: str, data: int) -> tuple[tuple[int, bytes], ...]:
    """Lengths with which libsndfile reads a WAV file up to its end, however long that is."""
    return (4, struct.pack(f"{order}I", 8)), (data - 4, bytes(4))


def _is_chunk(fd: int, at: int) -> bool:
    """Say whether what begins at a place looks like a chunk or a tag, or is too short for sound."""
    start = os.pread(fd, 8, at)
    return len(start) < 8 or _is_name(start[:4])


def _is_name(kind: bytes) -> bool:
    return kind.isascii() and kind.decode().isprintable()


def _iff(fd: int, size: int, name: str, head: bytes) -> Header:
    """AIFF and AIFC (chunk SSND), and 8SVX and 16SV (chunk BODY)."""
    (form_length,) = struct.unpack_from(">I", head, 4) if len(head) >= 8 else (0,)
    at = 12
    for _ in range(_MAX_CHUNKS):
        chunk = os.pread(fd, 8, at)
        if len(chunk) < 8:
            return _NO_HEADER
        kind, told = chunk[:4], struct.unpack(">I", chunk[4:])[0]
        at += 8
        if kind in (b"SSND", b"BODY"):
            break
        at += told + told % 2
    else:
        return _NO_HEADER
    present = size - at
    if any(told in r for r in _UNKNOWN_32):
        return Header("AIFF")
    if told == 0 and present > 8 and abs(form_length + 8 - size) > 1:
        return Header(
            "AIFF", patches=((at - 4, struct.pack(">I", present)),), warnings=(_UNFINISHED,)
        )
    if told > present:
        raise _truncated(name, present, told)
    return Header("AIFF")


def _au(size: int, name: str, head: bytes) -> Header:
    """Sun/NeXT AU: offset and length of the sound, of either byte order."""
    if len(head) < 24:
        return _NO_HEADER
    order = ">" if head[0] == ord(".") else "<"
    offset, told = struct.unpack_from(f"{order}II", head, 4)
    present = size - offset
    if told == 0 and present > 0:
        return Header("AU", patches=((8, b"\xff" * 4),), warnings=(_UNFINISHED,))
    if told != 0xFFFF_FFFF and told > present:
        raise _truncated(name, present, told)
    return Header("AU")


_W64_RIFF = bytes.fromhex("726966662e91cf11a5d628db04c10000")
_W64_DATA = bytes.fromhex("64617461f3acd3118cd100c04f8edb8a")


def _w64(fd: int, size: int, name: str, head: bytes) -> Header:
    """Sony Wave64: chunks of a 16-byte name and a 64-bit length that counts both."""
    at = 40
    for _ in range(_MAX_CHUNKS):
        chunk = os.pread(fd, 24, at) if at < size else b""
        if len(chunk) < 24:
            return _NO_HEADER
        (length,) = struct.unpack_from("<Q", chunk, 16)
        if chunk[:16] == _W64_DATA:
            break
        at += max(-(-length // 8) * 8, 24)
    else:
        return _NO_HEADER
    present, told = size - at - 24, length - 24
    if length <= 24 and present > 0 and struct.unpack_from("<Q", head, 16)[0] != size:
        patches = ((at + 16, struct.pack("<Q", present + 24)),)
        return Header("W64", patches=patches, warnings=(_UNFINISHED,))
    if told > present and length not in _UNKNOWN_64:
        raise _truncated(name, present, told)
    return Header("W64")


def _caf(fd: int, size: int, name: str) -> Header:
    """Apple's Core Audio Format: the length of the chunk `data` may be -1, up to the end."""
    at = 8
    for _ in range(_MAX_CHUNKS):
        chunk = os.pread(fd, 12, at) if at < size else b""
        if len(chunk) < 12:
            return _NO_HEADER
        kind, told = struct.unpack(">4sq", chunk)
        at += 12
        if kind == b"data":
            break
        if told < 0:
            return _NO_HEADER
        at += told
    else:
        return _NO_HEADER
    if told > size - at:
        raise _truncated(name, size - at, told)
    return Header("CAF")


def _voc(fd: int, size: int, name: str, head: bytes) -> Header:
    """Creative Voice: blocks of a type and a 24-bit length; type 0 ends the file."""
    if len(head) < 26:
        return _NO_HEADER
    (at,) = struct.unpack_from("<H", head, 20)
    for _ in range(1_000_000):  # a block holds up to 16 MB, and tools write much shorter ones
        block = os.pread(fd, 4, at)
        if len(block) < 4 or block[0] == 0:
            return Header("VOC")
        told = int.from_bytes(block[1:], "little")
        at += 4
        if told > size - at:
            raise _truncated(name, size - at, told)
        at += told
    return Header("VOC")


_OGG_PAGE = 27 + 255 + 255 * 255  # bytes of the longest page
_OGG_LAST = 0x04  # flag of the last page of a stream


def _ogg(fd: int, size: int, name: str) -> Header:
    """Ogg: the last page of a stream is marked, and must be whole."""
    start = max(0, size - _OGG_PAGE)
    tail = os.pread(fd, _OGG_PAGE, start)
    at = tail.rfind(b"OggS")
    if at >= 0 and len(tail) >= at + 27:
        segments = tail[26 + at]
        table = tail[at + 27 : at + 27 + segments]
        whole = len(table) == segments and len(tail) >= at + 27 + segments + sum(table)
        if whole and tail[at + 5] & _OGG_LAST:
            return Header("OGG")
    raise AudioError(name, "is truncated: its last page of sound is missing", kind="truncated")


def _mp3(fd: int, size: int, name: str) -> Header:
    """MP3: the bytes and frames that the first frame states (Xing, Info, VBRI), if it does."""
    at = 0
    head = os.pread(fd, 10, 0)
    if head[:3] == b"ID3" and len(head) == 10:
        length = 0
        for byte in head[6:]:
            length = length << 7 | byte & 0x7F
        at = 10 + length
    frame = os.pread(fd, 200, at)
    told = frames = 0
    place = max(frame.find(b"Xing", 4, 48), frame.find(b"Info", 4, 48))
    if place > 0 and len(frame) >= place + 16:
        flags, offset = frame[place + 7], place + 8
        if flags & 1:
            frames = int.from_bytes(frame[offset : offset + 4], "big")
            offset += 4
        if flags & 2:
            told = int.from_bytes(frame[offset : offset + 4], "big")
    elif frame[36:40] == b"VBRI" and len(frame) >= 54:
        told, frames = struct.unpack_from(">II", frame, 46)
    # Encoders differ in whether they count the first frame; one frame is below this.
    if told > size - at + 512:
        raise _truncated(name, size - at, told)
    samples = 1152 if frame[1:2] and frame[1] & 0x08 else 576  # a frame of MPEG 1, or of 2 and 2.5
    # The encoder's delay is cut off, and a damaged frame is no reason to refuse a clip.
    at_least = max(frames - 5, 0) * samples
    return Header("MP3", exact=False, is_mpeg=True, at_least=at_least)
