"""Find sound files in folders, and report the entries that were not read."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from asd_edge.audio.clip_names import is_audio_name
from asd_edge.errors import AsdError, AudioError


class Found:
    """Result of a search.

    Attributes:
        paths: the sound files, in the order of their names.
        unread: what could not be searched: folders that may not be opened or hold no sound.
        passed_over: suffix ("" for none; "pipe or device" for these) -> number of entries that are
            no sound files.
    """

    def __init__(self) -> None:
        self.paths: list[Path] = []
        self.unread: list[AsdError] = []
        self.passed_over: Counter[str] = Counter()

    def note(self) -> str:
        """Say in one line which entries of folders were passed over; empty if none was."""
        if not self.passed_over:
            return ""
        count = sum(self.passed_over.values())
        common = sorted(self.passed_over, key=lambda suffix: (-self.passed_over[suffix], suffix))
        kinds = [suffix or "no suffix" for suffix in common[:4]]
        more = ", ..." if len(self.passed_over) > len(kinds) else ""
        entries = "1 entry" if count == 1 else f"{count} entries"
        return f"{entries} not read, no sound files ({', '.join(kinds)}{more})"


def find(paths: Iterable[Path]) -> Found:
    """Name the sound files in `paths`: files as they are, folders searched through.

    Links to folders are followed, each folder once, so that a link to a folder above ends. What
    begins with a dot is left out. A file that is missing or a link that leads nowhere is named
    as it is: reading it says so, and the rest is read.
    """
    found = Found()
    for path in paths:
        if not os.path.isdir(path):  # noqa: PTH112 - Path.is_dir raises where a parent is forbidden
            found.paths.append(path)
            continue
        before = len(found.paths), len(found.unread)
        _search(path, found)
        if (len(found.paths), len(found.unread)) == before:
            reason = "is a folder without sound files (.wav, .flac, ...)"
            found.unread.append(AudioError(path, reason, kind="empty"))
    return found


def _search(root: Path, found: Found) -> None:
    inside: list[Path] = []
    folders, seen = [root], set()
    while folders:
        folder = folders.pop()
        try:
            status = os.stat(folder)  # noqa: PTH116 - alike below
            if (status.st_dev, status.st_ino) in seen:
                continue
            seen.add((status.st_dev, status.st_ino))
            with os.scandir(folder) as entries:
                for entry in entries:
                    if entry.name.startswith("."):
                        continue
                    path = folder / entry.name
                    if _is_folder(entry):
                        folders.append(path)
                    elif is_audio_name(entry.name) and _may_be_file(entry):
                        inside.append(path)
                    else:
                        found.passed_over[_kind(entry)] += 1
        except OSError as error:
            reason = f"cannot be searched ({error.strerror or error})"
            found.unread.append(AudioError(folder, reason, kind="unreadable"))
    found.paths.extend(sorted(inside))


def _kind(entry: os.DirEntry[str]) -> str:
    if is_audio_name(entry.name):
        return "pipe or device"
    return os.path.splitext(entry.name)[1].lower()  # noqa: PTH122 - without a Path for each


def _may_be_file(entry: os.DirEntry[str]) -> bool:
    """Whether reading it is worth a try: a link that leads nowhere, or in a circle, says so."""
    return entry.is_symlink() or entry.is_file()


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link in a circle
        return False
