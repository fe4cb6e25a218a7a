"""List the sound files of an archive, a folder or a URL, with the machine and the day of each.

The list is kept in a temporary SQLite file rather than in memory: an archive may hold millions of
clips, and they are wanted in the order of machine, day and name.
"""

from __future__ import annotations

import datetime
import functools
import itertools
import os
import re
import sqlite3
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

from asd_edge.errors import MissingFileError
from asd_training.data.clips import is_structure
from asd_training.data.filesystems import is_local, open_filesystem, printable, walk

UNKNOWN_DAY = "unknown"
_ROWS = 1000  # that are written to the list at once
_DATE = re.compile(
    r"(?<!\d)(?P<y>(?:19|20)\d\d)(?P<sep>[-_.]?)(?P<m>0[1-9]|1[0-2])(?P=sep)(?P<d>[0-2]\d|3[01])"
    r"(?!\d{1,5}(?!\d))"
)
_NUMBER = re.compile(r"[\d_.:h-]+")


class Item(NamedTuple):
    """One sound file of an archive.

    Attributes:
        machine: nearest folder that is no split, label, section or date.
        day: of the name or its folders, as "2026-11-27"; else of the last change, in UTC.
        name: relative to the archive, with "/"; bytes that are no UTF-8 are surrogates.
        size: in bytes; -1 where the archive does not tell.
        stamp: changes when the file does.
    """

    machine: str
    day: str
    name: str
    size: int
    stamp: str


class Archive:
    """An archive and the list of its sound files; to be closed, as by `with`.

    Args:
        url: a folder, or what fsspec opens: s3://bucket/prefix, https://host/folder/, sftp://...

    Attributes:
        url: as given; of a folder the absolute path.
        count: number of sound files.
        unread: folders that could not be listed, with the reason.

    Raises:
        MissingFileError: no such folder, or no sound file in it.
        OptionalDependencyError: a package that the protocol needs is not installed.
    """

    def __init__(self, url: str) -> None:
        self._fs, self._root = open_filesystem(url)
        self.is_local = is_local(self._fs)
        self.url = self._root if self.is_local else url
        self.count = 0
        self.unread: list[str] = []
        self._folder = tempfile.TemporaryDirectory(prefix="asd-data-")
        self._list = sqlite3.connect(Path(self._folder.name) / "list.sqlite")
        self._list.execute("PRAGMA synchronous = OFF")
        self._list.execute("CREATE TABLE items (machine, day, name, size, stamp)")
        try:
            rows = self._items()
            while some := list(itertools.islice(rows, _ROWS)):
                encoded = [(*item[:2], os.fsencode(item.name), *item[3:]) for item in some]
                self._list.executemany("INSERT INTO items VALUES (?, ?, ?, ?, ?)", encoded)
                self.count += len(some)
            self._list.commit()
            if not self.count and not self.unread:
                raise MissingFileError(url, "archive with sound files (.wav, .flac, ...)")
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Remove the list."""
        self._list.close()
        self._folder.cleanup()

    def __enter__(self) -> Archive:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def chunks(self, size: int) -> Iterator[tuple[int, list[Item]]]:
        """Give the items of each machine and day, at most `size` at once, and their number there.

        The numbers of a machine and day count from 0; the order depends on the names alone.
        """
        rows = self._list.execute("SELECT * FROM items ORDER BY machine, day, name")
        number, some = 0, list[Item]()
        for machine, day, name, length, stamp in rows:
            item = Item(machine, day, os.fsdecode(name), length, stamp)
            other = some and (item.machine, item.day) != (some[0].machine, some[0].day)
            if other or len(some) == size:
                yield number, some
                number, some = 0 if other else number + 1, []
            some.append(item)
        if some:
            yield number, some

    def _items(self) -> Iterator[Item]:
        above = [part for part in re.split(r"[/\\]", self._root.split("://")[-1]) if part]
        names = walk(self._fs, self._root, self.unread)
        for folder, files in itertools.groupby(names, lambda found: found[0].rpartition("/")[0]):
            machine = machine_of([*above, *(part for part in folder.split("/") if part)])
            for name, size, changed, tag in files:
                day = day_of(name) or (
                    f"{datetime.datetime.fromtimestamp(changed, datetime.UTC):%Y-%m-%d}"
                    if changed is not None
                    else UNKNOWN_DAY
                )
                yield Item(machine, day, name, size, f"{size} {tag or changed}")


def machine_of(folders: Sequence[str]) -> str:
    """Name the machine: the nearest folder that is no split, label, section, number or date.

    >>> machine_of(["archive", "press 3", "2026", "11", "27"])
    'press 3'
    """
    for folder in reversed(folders):
        if not is_structure(folder) and not _NUMBER.fullmatch(folder):
            return printable(folder)
    return "machine"


def day_of(name: str) -> str:
    """Read the date in a file name, else in its folders; "" where there is none.

    >>> day_of("press/2026/11/27/0830.wav"), day_of("press_20261127T083000.wav")
    ('2026-11-27', '2026-11-27')
    """
    folders, _, file = name.rpartition("/")
    return _date_in(file) or _day_of_folders(folders)


@functools.lru_cache(maxsize=8)  # the names of a folder come one after another
def _day_of_folders(folders: str) -> str:
    parts = folders.split("/")
    return next(filter(None, map(_date_in, (*reversed(parts), "-".join(parts)))), "")


def _date_in(text: str) -> str:
    for match in _DATE.finditer(text):
        try:
            return datetime.date(int(match["y"]), int(match["m"]), int(match["d"])).isoformat()
        except ValueError:  # the 31st of February
            continue
    return ""
