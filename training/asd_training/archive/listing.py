"""List the sound files of an archive, a folder or a URL, with the machine and the day of each.

The list is kept in a temporary SQLite file rather than in memory: an archive may hold millions of
clips, and they are wanted in the order of machine, day and name.
"""

from __future__ import annotations

import datetime
import io
import itertools
import os
import re
import sqlite3
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, NamedTuple, cast

from asd_edge.audio.clip_names import is_audio_name
from asd_edge.errors import MissingFileError, OptionalDependencyError
from asd_training.data.clips import is_structure, printable

UNKNOWN_DAY = "unknown"
# Larger files of a URL are read as they are needed, not held in memory.
_HELD_BYTES = 64 << 20
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
        name: relative to the archive, with "/".
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
                self._list.executemany("INSERT INTO items VALUES (?, ?, ?, ?, ?)", some)
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
        rows = map(
            Item._make, self._list.execute("SELECT * FROM items ORDER BY machine, day, name")
        )
        number, some = 0, list[Item]()
        for item in rows:
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


class Found(NamedTuple):
    """A sound file of `walk`.

    Attributes:
        name: relative to the folder that was searched, with "/".
        size: in bytes; -1 where the file system does not tell.
        changed: time of the last change in s since 1970; None where it does not tell.
        tag: of the content, if the file system has one.
    """

    name: str
    size: int
    changed: float | None
    tag: str = ""


def walk(fs: Any, root: str, unread: list[str]) -> Iterator[Found]:
    """Yield the sound files below a folder of a file system, folder by folder.

    Links are followed, unless they lead back to a folder that they lie in. What is hidden is
    passed over. Folders that cannot be listed are added to `unread`, with the reason.

    Raises:
        OSError, ValueError: the folder itself cannot be listed.
    """
    local = is_local(fs)
    waiting: list[tuple[str, str, tuple[str, ...]]] = [(root, "", ())]
    while waiting:
        folder, name, above = waiting.pop()
        if local:
            real = os.path.realpath(folder)
            if real in above:  # a link that leads back
                continue
            above = (*above, real)
        try:
            entries = list(_scan(folder) if local else _list(fs, folder))
        except (OSError, ValueError) as error:
            if folder == root:
                raise
            unread.append(f"{printable(folder)}: cannot be listed ({error})")
            continue
        for path, is_folder, found in entries:
            if found.name.startswith("."):
                continue
            full = f"{name}{found.name}"
            if is_folder:
                waiting.append((path, f"{full}/", above))
            elif is_audio_name(found.name):
                yield found._replace(name=printable(full))


def _scan(folder: str) -> Iterator[tuple[str, bool, Found]]:
    """Give path, whether it is a folder, and the rest, of each entry of a folder here."""
    with os.scandir(folder) as entries:  # a third of the time of fsspec's list
        for entry in entries:
            try:
                if entry.is_dir():
                    yield entry.path, True, Found(entry.name, -1, None)
                    continue
                status = entry.stat()
            except OSError:  # a link to nothing: reading it says so
                yield entry.path, False, Found(entry.name, -1, None)
                continue
            yield entry.path, False, Found(entry.name, status.st_size, status.st_mtime)


def _list(fs: Any, folder: str) -> Iterator[tuple[str, bool, Found]]:
    """Do what `_scan` does, by fsspec."""
    for info in fs.ls(folder, detail=True):
        path = str(info["name"])
        if path.rstrip("/") == folder.rstrip("/"):
            continue
        size = info.get("size")
        found = Found(
            path.rstrip("/").rpartition("/")[2],
            -1 if size is None else int(size),
            _changed(info),
            str(info.get("ETag") or ""),
        )
        yield path, info["type"] == "directory", found


def open_filesystem(url: str) -> tuple[Any, str]:
    """Open the file system of a URL; give it and the path in it.

    Raises:
        MissingFileError: a folder that is not there.
        OptionalDependencyError: fsspec, or what it needs for this protocol, is not installed.
    """
    import fsspec

    try:
        # Listings are not kept: they would grow with the archive.
        options = {} if "://" not in url else {"use_listings_cache": False}
        fs, path = fsspec.core.url_to_fs(url, **options)
    except ImportError as error:  # fsspec's sentence names the package
        package = "s3fs" if url.startswith("s3") else str(error).split()[-1]
        raise OptionalDependencyError(package, "cluster") from error
    except ValueError as error:  # an unknown protocol
        raise MissingFileError(url, f"archive ({error})") from error
    if is_local(fs) and not os.path.isdir(path):  # noqa: PTH112 - fsspec's paths are texts
        raise MissingFileError(url, "folder")
    return fs, str(path)


def open_remote(fs: Any, path: str, size: int = -1) -> BinaryIO:
    """Open a file of a URL to read; a small one is fetched at once and held in memory.

    Args:
        fs: its file system.
        path: in it.
        size: in bytes; -1: unknown.
    """
    held = 0 <= size <= _HELD_BYTES
    return io.BytesIO(fs.cat_file(path)) if held else cast(BinaryIO, fs.open(path, "rb"))


def is_local(fs: Any) -> bool:
    """Whether a file system is that of this computer."""
    protocol = fs.protocol if isinstance(fs.protocol, str) else fs.protocol[0]
    return protocol in ("file", "local")


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
    parts = name.split("/")
    for text in (*reversed(parts), "-".join(parts[:-1])):
        for match in _DATE.finditer(text):
            try:
                day = datetime.date(int(match["y"]), int(match["m"]), int(match["d"]))
            except ValueError:  # the 31st of February
                continue
            return day.isoformat()
    return ""


def _changed(info: dict[str, Any]) -> float | None:
    """When a file was changed last, by the names that fsspec's file systems give it."""
    for key in ("mtime", "LastModified", "last_modified", "updated", "modified"):
        value = info.get(key)
        if isinstance(value, (int, float)):
            return float(value)
        if isinstance(value, datetime.datetime):
            return value.timestamp()
    return None
