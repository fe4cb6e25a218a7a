"""Find the time of a recording in its file, or else in its name.

A file states it in the chunk `bext` of a broadcast WAV, in `ICRD` of other WAV files, or in the tag
DATE of FLAC and Ogg. Recorders that write none put it into the name (20261127_031210.wav). The
file's time of modification is not used: copying changes it.
"""

from __future__ import annotations

import datetime
import os
import re
import struct
from pathlib import Path

_TAGGED = (".flac", ".ogg", ".oga", ".opus")
_MOST_CHUNKS, _MOST_BYTES = 100, 1 << 16
_DATE = r"(?P<year>(?:19|20)\d\d)[-_:.]?(?P<month>[01]\d)[-_:.]?(?P<day>[0-3]\d)"
_TIME = r"(?P<hour>[0-2]\d)[-_:.h]?(?P<minute>[0-5]\d)(?:[-_:.m]?(?P<second>[0-5]\d))?"
_STATED = rf"\s*{_DATE}(?:[T _-]*{_TIME}(?:\.\d+)?(?P<zone>Z|[+-]\d\d:?\d\d)?)?"
_IN_NAME = rf"(?<!\d){_DATE}[T _-]+{_TIME}(?!\d)"


def recorded_at(path: str | os.PathLike[str]) -> str | None:
    """Give the beginning of a recording as ISO 8601, without a zone unless the file states one.

    Args:
        path: a sound file; one that cannot be read tells by its name alone.

    Returns:
        such as "2026-11-27T03:12:10", or "2026-11-27" if no time of day is known; None if nothing
        is.

    Example:
        >>> recorded_at("pump/20261127_031210.wav")
        '2026-11-27T03:12:10'
    """
    name = os.path.split(path)[1]
    stated = _stated(path, Path(name).suffix.lower())
    found = re.match(_STATED, stated) if stated else None
    return _iso(found) or _iso(re.search(_IN_NAME, name))


def _iso(match: re.Match[str] | None) -> str | None:
    if match is None:
        return None
    parts = match.groupdict()
    names = ("year", "month", "day", "hour", "minute", "second")
    year, month, day, hour, minute, second = (int(parts[name] or 0) for name in names)
    try:
        moment = datetime.datetime(year, month, day, hour, minute, second)
    except ValueError:  # the 31st of February
        return None
    if parts["hour"] is None:
        return moment.date().isoformat()
    zone = parts.get("zone") or ""
    return moment.isoformat() + ("+00:00" if zone == "Z" else zone)


def _stated(path: str | os.PathLike[str], suffix: str) -> str:
    try:
        # Not blocking, and of files alone: a FIFO's content is for the decoder.
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError):
        return ""
    try:
        if os.pread(fd, 4, 0) in (b"RIFF", b"RF64", b"BW64"):
            return _of_wav(fd)
    except OSError:
        return ""
    finally:
        os.close(fd)
    return _of_tags(path) if suffix in _TAGGED else ""


def _of_wav(fd: int) -> str:
    at = 12
    for _ in range(_MOST_CHUNKS):
        head = os.pread(fd, 8, at)
        if len(head) < 8:
            break
        kind, length = head[:4], struct.unpack("<I", head[4:])[0]
        if kind == b"bext":  # EBU Tech 3285: date and time behind 256 + 32 + 32 bytes
            text = os.pread(fd, 18, at + 8 + 320)
            return f"{_text(text[:10])}T{_text(text[10:])}"
        if kind == b"LIST":
            content = os.pread(fd, min(length, _MOST_BYTES), at + 8)
            place = content.find(b"ICRD")
            if content[:4] == b"INFO" and place > 0:
                return _text(content[place + 8 : place + 40])
        at += 8 + length + length % 2
    return ""


def _of_tags(path: str | os.PathLike[str]) -> str:
    import soundfile  # here: who asks has read the file with it

    try:
        with soundfile.SoundFile(os.fspath(path)) as file:
            return str(file.copy_metadata().get("date", ""))
    except Exception:  # damaged: the decoder has said so
        return ""


def _text(content: bytes) -> str:
    return content.split(b"\0")[0].decode("ascii", errors="replace")
