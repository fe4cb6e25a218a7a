"""Folders here and behind URLs, by fsspec: listing sound files, and opening them."""

from __future__ import annotations

import contextlib
import datetime
import io
import os
from collections.abc import Iterator
from typing import Any, BinaryIO, NamedTuple, cast

from asd_edge.audio.clip_names import is_audio_name
from asd_edge.errors import AsdError, MissingFileError, OptionalDependencyError
from asd_training.errors import UnreachableError

# Larger files of a URL are read as they are needed, not held in memory.
_HELD_BYTES = 64 << 20


def is_url(place: object) -> bool:
    """Whether a place is a URL, not a path."""
    return "://" in str(place)


def printable(text: str) -> str:
    """Write the bytes of a file name that are no UTF-8 as \\xNN, so that it is proper text."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def why(error: BaseException) -> str:
    """Give the reason of an error in one line."""
    reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return " ".join(str(reason).split())[:500]


@contextlib.contextmanager
def reaching(url: str) -> Iterator[None]:
    """Turn the errors of a URL's file system, which are of many families, into one.

    Raises:
        UnreachableError: whatever it raised, except that a file is not there.
    """
    try:
        yield
    except (AsdError, FileNotFoundError):
        raise
    except Exception as error:
        raise UnreachableError(url, why(error)) from error


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

    Bytes of names here that are no UTF-8 are surrogates, as in `os.fsdecode`.

    Links are followed, unless they lead back to a folder that they lie in. What is hidden is
    passed over. Folders that cannot be listed are added to `unread`, with the reason.

    Raises:
        OSError: the folder itself cannot be listed.
        UnreachableError: a server does not answer, or refuses.
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
            if local:
                entries = list(_scan(folder))
            else:
                with reaching(folder):
                    entries = list(_list(fs, folder))
        except (OSError, UnreachableError) as error:
            if folder == root:
                raise
            unread.append(f"{printable(folder)}: cannot be read ({why(error)})")
            continue
        for path, is_folder, found in entries:
            if found.name.startswith("."):
                continue
            full = f"{name}{found.name}"
            if is_folder:
                waiting.append((path, f"{full}/", above))
            elif is_audio_name(found.name):
                yield Found(full, *found[1:])


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


# Packages of the extra `cluster`, by protocol; fsspec's own sentence names those of others.
_PACKAGES = {"http": "aiohttp", "https": "aiohttp", "s3": "s3fs", "s3a": "s3fs"}
_PACKAGES |= {"sftp": "paramiko", "ssh": "paramiko"}


def open_filesystem(url: str, folder: bool = True) -> tuple[Any, str]:
    """Open the file system of a URL or path; give it and the path in it.

    Args:
        url: of a folder, or of a file.
        folder: whether it must be a folder, which is checked here; elsewhere, listing it tells.

    Raises:
        MissingFileError: a folder that is not there, or a protocol that fsspec cannot open.
        OptionalDependencyError: fsspec, or what it needs for this protocol, is not installed.
        UnreachableError: a server that does not answer, or refuses.
    """
    try:
        import fsspec
    except ImportError as error:
        raise OptionalDependencyError("fsspec", "cluster") from error
    try:
        # Listings are not kept: they would grow with the archive. SSH keeps none, and its
        # file system hands what it does not know to paramiko, which refuses it.
        keeps = is_url(url) and url.partition("://")[0] not in ("sftp", "ssh")
        options = {"use_listings_cache": False} if keeps else {}
        fs, path = fsspec.core.url_to_fs(url, **options)
    except ImportError as error:
        package = _PACKAGES.get(url.partition("://")[0])
        if package is not None:
            raise OptionalDependencyError(package, "cluster") from error
        raise MissingFileError(url, f"archive ({why(error)})") from error
    except ValueError as error:  # an unknown protocol
        raise MissingFileError(url, f"archive ({why(error)})") from error
    except Exception as error:  # a host that does not answer, a key that is refused
        raise UnreachableError(url, why(error)) from error
    here = is_local(fs)
    if folder and here and not os.path.isdir(path):  # noqa: PTH112 - fsspec's paths are texts
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
    """Whether a file system is that of this computer; None is it, too."""
    if fs is None:
        return True
    protocol = fs.protocol if isinstance(fs.protocol, str) else fs.protocol[0]
    return protocol in ("file", "local")


def _changed(info: dict[str, Any]) -> float | None:
    """When a file was changed last, by the names that fsspec's file systems give it."""
    for key in ("mtime", "LastModified", "last_modified", "updated", "modified"):
        value = info.get(key)
        if isinstance(value, (int, float)):
            return float(value)
        if isinstance(value, datetime.datetime):
            return value.timestamp()
    return None
