"""Headers of sound files that libsndfile reads up to the end of the file, whatever they state.

Its readers of these count the bytes that are there. So a file that was cut off would be scored
from the rest, and whatever lies behind the sound taken for more of it.
"""

from __future__ import annotations

import os
import re
import struct

from asd_edge.audio.containers import NO_HEADER, Header
from asd_edge.errors import AudioError

_XI = b"Extended Instrument: "
_MAT5 = b"MATLAB 5.0 MAT-file"
# PARIS (PAF), Portable Voice Format, and IRCAM of four machines in either byte order.
_WITHOUT_LENGTH = (
    *(b" paf", b"fap ", b"PVF1\n"),
    *(bytes([0x64, 0xA3, machine, 0]) for machine in range(1, 5)),
    *(bytes([0, machine, 0xA3, 0x64]) for machine in range(1, 5)),
)


def examine(fd: int, size: int, name: str, head: bytes) -> Header:
    """Examine the header of a rare kind of sound file; see `other_containers.examine`.

    Raises:
        AudioError: the header does not state the rate.
    """
    frames = 0
    if head.startswith(_XI):
        reason = "is an instrument (XI), which does not state the rate of its sound"
        raise AudioError(name, reason, kind="unreadable")
    if head.startswith(_WITHOUT_LENGTH):
        warning = "has a header without the length: if it were cut off, nobody could notice"
        return Header("other", warnings=(("no_length", warning),))
    if head[:4] == b"2BIT" and len(head) >= 30:
        (frames,) = struct.unpack_from(">I", head, 26)
    elif head[:2] == b"\x01\x04" and len(head) >= 34:
        (frames,) = struct.unpack_from("<I", head, 30)
    elif head[:16] == b"ALawSoundFile**\0" and len(head) >= 22:
        (frames,) = struct.unpack_from(">I", head, 18)
    elif head[:8] == b"NIST_1A\n":
        stated = re.search(rb"\nsample_count -i (\d{1,18})\s", os.pread(fd, 1024, 0))
        frames = int(stated[1]) if stated else 0
    elif head.startswith(_MAT5) and head[126:128] in (b"IM", b"MI") and len(head) >= 136:
        frames = _mat5_frames(head)
    elif head[20:31] == b"samplerate\0":
        frames = _mat4_frames(head)
    else:
        return NO_HEADER
    return Header("other", frames=frames)


def _mat5_frames(head: bytes) -> int:
    """Columns of the second array of a MATLAB 5 file as libsndfile writes it."""
    order = "<" if head[126:128] == b"IM" else ">"
    (length,) = struct.unpack_from(f"{order}I", head, 132)
    at = 136 + length + 36  # behind its tag, flags, and the tag and rows of its dimensions
    return int(struct.unpack_from(f"{order}I", head, at)[0]) if at + 4 <= len(head) else 0


def _mat4_frames(head: bytes) -> int:
    """Columns of the second matrix of a MATLAB 4 file; the first one holds the rate."""
    order = ">" if head[:4] == b"\0\0\x03\xe8" else "<"
    at = 20 + len("samplerate\0") + 8 + 8
    return int(struct.unpack_from(f"{order}I", head, at)[0]) if at + 4 <= len(head) else 0
