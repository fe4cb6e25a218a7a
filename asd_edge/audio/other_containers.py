"""Headers of sound files other than WAV; see `containers`."""

from __future__ import annotations

import os
import re
import struct

from asd_edge.audio import mpeg
from asd_edge.audio.containers import (
    CONVERT,
    MAX_CHUNKS,
    NO_HEADER,
    UNFINISHED,
    UNKNOWN_32,
    UNKNOWN_64,
    Header,
    is_name,
    more_sound,
    truncated,
)
from asd_edge.errors import AudioError


def examine(fd: int, size: int, name: str, head: bytes) -> Header:
    """Examine the header of a file that is no WAV file.

    Args:
        fd: descriptor of a regular file.
        size: its length in bytes.
        name: what messages call it.
        head: its first bytes.

    Raises:
        AudioError: the header states more sound than the file holds.
    """
    form = head[:4]
    if form[:2] == b"\xf0\x7e":  # libsndfile's reader of these prints on stdout
        raise AudioError(name, "is a MIDI sample dump, which is not read", kind="unreadable")
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
        return check_ogg(fd, size, name)
    if mpeg.is_mpeg(form):
        return mpeg.examine(fd, size, name)
    if form == b"fLaC":
        return Header("FLAC")
    from asd_edge.audio import rare_containers  # here, because they are

    return rare_containers.examine(fd, size, name, head)


def _iff(fd: int, size: int, name: str, head: bytes) -> Header:
    """AIFF and AIFC (chunk SSND), and 8SVX and 16SV (chunk BODY)."""
    (form_length,) = struct.unpack_from(">I", head, 4) if len(head) >= 8 else (0,)
    at = 12
    for _ in range(MAX_CHUNKS):
        chunk = os.pread(fd, 8, at)
        if len(chunk) < 8:
            return NO_HEADER
        kind, declared = chunk[:4], struct.unpack(">I", chunk[4:])[0]
        at += 8
        if kind in (b"SSND", b"BODY"):
            break
        at += declared + declared % 2
    else:
        return NO_HEADER
    present = size - at
    if any(declared in r for r in UNKNOWN_32):
        return Header("AIFF")
    if declared == 0 and present > 8 and abs(form_length + 8 - size) > 1:
        return Header(
            "AIFF", patches=((at - 4, struct.pack(">I", present)),), warnings=(UNFINISHED,)
        )
    if declared > present:
        raise truncated(name, present, declared)
    form_end = 8 + form_length + form_length % 2
    more = size - form_end
    # libsndfile reads 8SVX up to the end of the file, and refuses a second file behind the first.
    end = form_end if more > 1 and form_end >= at + declared else 0
    end = at + declared if kind == b"BODY" and declared < present else end
    return Header("AIFF", warnings=(more_sound(more),) if more > 1 else (), end=end)


def _au(size: int, name: str, head: bytes) -> Header:
    """Sun/NeXT AU: offset and length of the sound, of either byte order."""
    if len(head) < 24:
        return NO_HEADER
    order = ">" if head[0] == ord(".") else "<"
    offset, declared = struct.unpack_from(f"{order}II", head, 4)
    present = size - offset
    if declared == 0 and present > 0:
        return Header("AU", patches=((8, b"\xff" * 4),), warnings=(UNFINISHED,))
    if declared != 0xFFFF_FFFF and declared > present:
        raise truncated(name, present, declared)
    more = present - declared if declared != 0xFFFF_FFFF else 0
    if more <= 1:
        return Header("AU")
    # libsndfile takes it for more sound where a sample has no whole number of bytes (G.721, G.723).
    return Header("AU", warnings=(more_sound(more),), end=offset + declared)


_W64_RIFF = bytes.fromhex("726966662e91cf11a5d628db04c10000")
_W64_DATA = bytes.fromhex("64617461f3acd3118cd100c04f8edb8a")


def _w64(fd: int, size: int, name: str, head: bytes) -> Header:
    """Sony Wave64: chunks of a 16-byte name and a 64-bit length that counts both."""
    at = 40
    for _ in range(MAX_CHUNKS):
        chunk = os.pread(fd, 24, at) if at < size else b""
        if len(chunk) < 24:
            return NO_HEADER
        (length,) = struct.unpack_from("<Q", chunk, 16)
        if chunk[:16] == _W64_DATA:
            break
        at += max(-(-length // 8) * 8, 24)
    else:
        return NO_HEADER
    present, declared = size - at - 24, length - 24
    if length <= 24 and present > 0 and struct.unpack_from("<Q", head, 16)[0] != size:
        patches = ((at + 16, struct.pack("<Q", present + 24)),)
        return Header("W64", patches=patches, warnings=(UNFINISHED,))
    if declared > present and length not in UNKNOWN_64:
        raise truncated(name, present, declared)
    behind = at + -(-length // 8) * 8
    if length in UNKNOWN_64 or behind >= size:
        return Header("W64")
    # libsndfile takes whatever lies behind the sound for more of it.
    start = os.pread(fd, 16, behind)
    is_chunk = start[4:] == _W64_DATA[4:] and start != _W64_DATA
    warnings = () if is_chunk or size - behind < 16 else (more_sound(size - behind),)
    return Header("W64", warnings=warnings, end=at + length)


def _caf(fd: int, size: int, name: str) -> Header:
    """Apple's Core Audio Format: the length of the chunk `data` may be -1, up to the end."""
    at = 8
    for _ in range(MAX_CHUNKS):
        chunk = os.pread(fd, 12, at) if at < size else b""
        if len(chunk) < 12:
            return NO_HEADER
        kind, declared = struct.unpack(">4sq", chunk)
        at += 12
        if kind == b"data":
            break
        if declared < 0:
            return NO_HEADER
        if kind == b"pakt":
            _check_packet_table(os.pread(fd, min(declared, size), at), name)
        at += declared
    else:
        return NO_HEADER
    if declared > size - at:
        raise truncated(name, size - at, declared)
    more = size - at - declared if declared >= 0 else 0
    start = os.pread(fd, 12, at + declared) if more else b""
    is_chunk = is_name(start[:4]) and start[:4] not in (b"data", b"caff")
    if start[:4] == b"pakt":
        _check_packet_table(os.pread(fd, more - 12, at + declared + 12), name)
    return Header("CAF", warnings=(more_sound(more),) if more >= 12 and not is_chunk else ())


def _check_packet_table(table: bytes, name: str) -> None:
    """Refuse a table of ALAC packets with a damaged length.

    libsndfile prints a message about such a table on stdout, where results belong.
    A length has 7 bits a byte, of at most 5 bytes; all but its last byte have the highest bit.
    """
    for length in re.finditer(rb"[\x80-\xff]*[^\x80-\xff]?", table[24:], re.DOTALL):
        if len(length[0]) > 5 or length[0][-1:] >= b"\x80":
            raise AudioError(name, "has a damaged table of packets (ALAC)", kind="unreadable")
        if not length[0].strip(b"\0"):  # libsndfile reads no further
            return


_VOC_SOUND = (1, 2, 9)  # types of blocks


def _voc(fd: int, size: int, name: str, head: bytes) -> Header:
    """Creative Voice: blocks of a type and a 24-bit length; type 0 ends the file."""
    if len(head) < 26:
        return NO_HEADER
    (at,) = struct.unpack_from("<H", head, 20)
    has_sound = False
    for _ in range(1_000_000):  # a block holds up to 16 MB, and tools write much shorter ones
        block = os.pread(fd, 4, at)
        if len(block) < 4 or block[0] == 0:
            more = size - at - 1
            if more <= 0:
                return Header("VOC")
            # libsndfile reads beyond the block that ends the file.
            return Header("VOC", warnings=(more_sound(more),), end=at + 1)
        if has_sound:
            reason = "has several blocks, whose headers libsndfile takes for sound"
            raise AudioError(name, f"{reason}; {CONVERT}", kind="unreadable")
        has_sound = block[0] in _VOC_SOUND
        declared = int.from_bytes(block[1:], "little")
        at += 4
        if declared > size - at:
            raise truncated(name, size - at, declared)
        at += declared
    return Header("VOC")


_OGG_PAGE = 27 + 255 + 255 * 255  # bytes of the longest page
_OGG_FIRST, _OGG_LAST = 0x02, 0x04  # flags of the first and last page of a stream
_CHAINED = (
    "more_sound",
    "holds several recordings, one behind the other; only the first is read",
)


def check_ogg(fd: int, size: int, name: str) -> Header:
    """Ogg: the last page of a stream is marked, and must be whole; see `examine`."""
    start = max(0, size - _OGG_PAGE)
    tail = os.pread(fd, _OGG_PAGE, start)
    at = tail.rfind(b"OggS")
    length = _page_length(tail[at:]) if at >= 0 else 0
    if not length or at + length > len(tail) or not tail[at + 5] & _OGG_LAST:
        raise AudioError(name, "is truncated: its last page of sound is missing", kind="truncated")
    more = len(tail) - at - length
    if _is_chained(fd):
        return Header("OGG", warnings=(_CHAINED,))
    return Header("OGG", warnings=(more_sound(more),) if more > 0 else ())


def _page_length(page: bytes) -> int:
    """Bytes of the Ogg page that begins here; 0 if none does."""
    if page[:4] != b"OggS" or len(page) < 27 or len(page) < 27 + page[26]:
        return 0
    return 27 + page[26] + sum(page[27 : 27 + page[26]])


def _is_chained(fd: int) -> bool:
    """Whether a stream begins behind the pages of another."""
    at, inside = 0, False
    while length := _page_length(page := os.pread(fd, 282, at)):
        if page[5] & _OGG_FIRST and inside:
            return True
        inside = inside or not page[5] & _OGG_FIRST
        at += length
    return False
