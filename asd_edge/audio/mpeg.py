"""MP3 files: what their first frame states, and whether its decoder can do without."""

from __future__ import annotations

import os
import struct

from asd_edge.audio.containers import NO_LENGTH, Header, more_sound, truncated
from asd_edge.errors import AudioError

_VBRI = b"VBRI"


def is_mpeg(head: bytes) -> bool:
    """Whether a file begins as an MP3 file does; layer I, which UTF-16 text looks like, is none."""
    if head[:3] == b"ID3":
        return True
    return len(head) > 1 and head[0] == 0xFF and head[1] & 0xE0 == 0xE0 and head[1] & 0x06 != 0x06


def has_variable_rate(fd: int) -> bool:
    """Whether an MP3 file has frames of different bit rates and does not state how many.

    libsndfile then takes the first frame's rate for that of all, and stops early: at 61,650 of
    161,280 samples of a machine that begins to work after the recorder.
    """
    at = _first_frame(fd)
    frame = os.pread(fd, 200, at)
    if frame[36:40] == _VBRI:  # which libsndfile's decoder does not go by
        at += _frame_length(frame)
    elif not is_mpeg(frame) or _stated(frame)[1] > 0:
        return False
    rate = None
    while length := _frame_length(header := os.pread(fd, 4, at)):
        if header[:2] != frame[:2]:
            break
        if rate not in (None, header[2] >> 4):
            return True
        rate = header[2] >> 4
        at += length
    return False


def check_end(fd: int, name: str) -> None:
    """Refuse a file whose last frame is not whole.

    Raises:
        AudioError: it is cut off.
    """
    size = os.fstat(fd).st_size
    tail = os.pread(fd, _MPEG_TAIL, max(size - _MPEG_TAIL, 0))
    if not _ends_with_frame(tail, os.pread(fd, 2, _first_frame(fd))[1:]):
        raise AudioError(name, "is cut off: its last frame is not whole", kind="truncated")


def _first_frame(fd: int) -> int:
    """Where the first frame begins: behind an ID3 tag."""
    head = os.pread(fd, 10, 0)
    if head[:3] != b"ID3" or len(head) < 10:
        return 0
    length = 0
    for byte in head[6:]:
        length = length << 7 | byte & 0x7F
    return 10 + length


def _stated(frame: bytes) -> tuple[int, int]:
    """Bytes and frames that the first frame states; 0 for what it does not."""
    declared = frames = 0
    place = max(frame.find(b"Xing", 4, 48), frame.find(b"Info", 4, 48))
    if place > 0 and len(frame) >= place + 16:
        flags, offset = frame[place + 7], place + 8
        if flags & 1:
            frames = int.from_bytes(frame[offset : offset + 4], "big")
            offset += 4
        if flags & 2:
            declared = int.from_bytes(frame[offset : offset + 4], "big")
    elif frame[36:40] == _VBRI and len(frame) >= 54:
        declared, frames = struct.unpack_from(">II", frame, 46)
    return declared, frames


def examine(fd: int, size: int, name: str) -> Header:
    """MP3: the bytes and frames that the first frame states (Xing, Info, VBRI), if it does."""
    at = _first_frame(fd)
    frame = os.pread(fd, 200, at)
    declared, frames = _stated(frame)
    # Encoders differ in whether they count the first frame; one frame is below this.
    if declared > size - at + 512:
        raise truncated(name, size - at, declared)
    behind = os.pread(fd, 4, at + declared) if declared else b""
    is_frame = behind[:3] == b"ID3" or behind[:2] in (b"\xff\xfb", b"\xff\xf3", b"\xff\xe3")
    more = size - at - declared
    warnings = (more_sound(more),) if is_frame and more > 500 else ()
    if not declared and not frames and frame[:1] == b"\xff":  # no FLAC behind an ID3 tag
        tail = os.pread(fd, _MPEG_TAIL, max(size - _MPEG_TAIL, at))
        warnings = (NO_LENGTH,)
        if not _ends_with_frame(tail, frame[1:2]):
            reason = "states no length, and its last frame is not whole: it is cut off or damaged"
            warnings = (("cut_off", reason),)
    if 0 < frames * _LONGEST_FRAME < declared:
        reason = f"states {frames} frames, fewer than it holds; the rest is not read"
        warnings = (*warnings, ("more_sound", reason))
    samples = 1152 if frame[1:2] and frame[1] & 0x08 else 576  # a frame of MPEG 1, or of 2 and 2.5
    # The encoder's delay is cut off, and a damaged frame is no reason to refuse a clip.
    at_least = max(frames - 5, 0) * samples
    return Header("MP3", warnings=warnings, exact=False, is_mpeg=True, at_least=at_least)


# In kbit/s, of MPEG 1 layer 3, MPEG 1 layer 2, and both layers of MPEG 2 and 2.5.
_KBITS = (
    (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
)
_MPEG_RATES = (44100, 48000, 32000)  # of MPEG 1; half of it of MPEG 2, a quarter of 2.5
_LONGEST_FRAME = 1729  # bytes
_MPEG_TAIL = 4096  # of which a tag takes 128


def _ends_with_frame(tail: bytes, kind: bytes) -> bool:
    """Whether the end of an MPEG file is the end of a frame, as far as can be seen.

    Args:
        tail: its last bytes.
        kind: the second byte of all its frames.
    """
    if b"APETAGEX" in tail:  # a tag behind the sound, of any length
        return True
    end = len(tail) - 128 if tail[-128:-125] == b"TAG" else len(tail)
    at = tail.find(b"\xff" + kind)
    while 0 <= at < end - 4:
        if at + _frame_length(tail[at : at + 4]) == end:
            return True
        at = tail.find(b"\xff" + kind, at + 1)
    return False


def _frame_length(header: bytes) -> int:
    """Bytes of the MPEG frame with this header, of layer 2 or 3; 0 if it is none."""
    if len(header) < 4 or header[0] != 0xFF:
        return 0
    version, layer = header[1] >> 3 & 3, 4 - (header[1] >> 1 & 3)
    bits, rate, padding = header[2] >> 4, header[2] >> 2 & 3, header[2] >> 1 & 1
    if version == 1 or layer not in (2, 3) or bits == 15 or rate == 3:
        return 0
    kbits = _KBITS[(3 - layer) if version == 3 else 2][bits]
    hertz = _MPEG_RATES[rate] >> {3: 0, 2: 1, 0: 2}[version]
    eighth = 72 if version != 3 and layer == 3 else 144
    return eighth * 1000 * kbits // hertz + padding
