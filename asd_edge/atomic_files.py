"""Write files completely or not at all: temporary name, fsync, rename.

A process that is killed leaves its temporary behind. Each temporary is locked by its process while
that lives, so that the next writer of the same target tells a dead one's from a live one's and
removes it.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import os
import re
import secrets
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from asd_edge.errors import AsdError

# Between making a temporary and locking it lie microseconds; younger ones are left alone.
_YOUNG = 60.0
_LONGEST_NAME = 255  # bytes, of all common file systems
_RENAME_EXCHANGE = 2
_AT_FDCWD = -100
# Network and FUSE file systems that cannot do it say so; what was written is still there.
_CANNOT = (errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS)


@contextlib.contextmanager
def atomic_path(target: str | Path) -> Iterator[Path]:
    """Give a temporary path beside `target`; rename it to `target` if the block succeeds.

    The temporary is an empty file with a random name that keeps the suffix, which some
    writers look at. A crash or an exception leaves what was at `target` untouched.

    Raises:
        OSError: the disk is full or the like; names `target` even if the writer's error does not.
    """
    target = Path(target)
    with _naming(target):
        _make_folder(target.parent)
        _remove_stale(target.parent)
        temporary = _temporary(target)
        # Neither a file nor a link that somebody has put there is written to.
        flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC
        lock = os.open(temporary, flags, 0o666)
        try:
            _lock(lock)
            yield temporary
            _sync(temporary)
            temporary.replace(target)
            _sync(target.parent)
        finally:
            os.close(lock)
            temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def atomic_folder(target: str | Path, check: Callable[[], None] = lambda: None) -> Iterator[Path]:
    """Give a temporary folder; put it in the place of `target` if the block succeeds.

    A folder at `target` is exchanged for the new one in one step where the file system can do that
    (renameat2 on Linux). Elsewhere it is moved aside first, and put back if the second
    step fails. A link at `target` stays a link; the folder that it leads to is replaced.

    Args:
        target: the folder.
        check: called just before the replacement, while no other `atomic_folder` in the same place
            can do its own; what it raises stops the replacement.

    Raises:
        OSError: names `target` even if the writer's error does not.
    """
    target = Path(os.path.realpath(target))
    with _naming(target):
        _make_folder(target.parent)
        _remove_stale(target.parent)
        work = _temporary(target)
        work.mkdir(mode=0o700)
        lock = os.open(work, os.O_RDONLY | os.O_CLOEXEC)
        fresh, old = work / "new", work / "old"
        try:
            _lock(lock)
            fresh.mkdir()
            yield fresh
            for path in sorted(fresh.rglob("*")):
                if path.is_file():
                    _sync(path)
            _sync(fresh)
            with _only_one(target.parent):
                check()
                _replace(fresh, target, old)
            _sync(target.parent)
        finally:
            if old.exists() and not target.exists():
                old.rename(target)
            os.close(lock)
            shutil.rmtree(work, ignore_errors=True)


def check_writable(target: str | Path) -> None:
    """Try whether something can be put at `target`, before work that would be lost.

    Raises:
        OSError: names `target`, or the file that stands where a folder is needed.
    """
    target = Path(os.path.realpath(target))
    with _naming(target):
        above = next(path for path in target.parents if os.path.lexists(path))
        if not above.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(above))
        probe = _temporary(above / target.name)
        probe.mkdir()
        probe.rmdir()


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError as error:
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(folder)) from error


def _replace(fresh: Path, target: Path, old: Path) -> None:
    if not target.exists():
        fresh.rename(target)
    elif not _exchanged(fresh, target):
        target.rename(old)
        fresh.rename(target)


def _exchanged(a: Path, b: Path) -> bool:
    """Exchange two names in one step; False where that cannot be done."""
    try:
        renameat2 = ctypes.CDLL(None, use_errno=True).renameat2
    except (OSError, AttributeError):
        return False
    status = renameat2(_AT_FDCWD, os.fsencode(a), _AT_FDCWD, os.fsencode(b), _RENAME_EXCHANGE)
    if status == 0:
        return True
    code = ctypes.get_errno()
    if code in _CANNOT:
        return False
    raise OSError(code, os.strerror(code), str(b))


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _CANNOT:
            raise
    finally:
        os.close(descriptor)


def _lock(descriptor: int) -> None:
    with contextlib.suppress(OSError):  # no locks on this file system: no stale ones are removed
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


@contextlib.contextmanager
def _only_one(folder: Path) -> Iterator[None]:
    """Wait until no other process is in this block for the same folder."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        with contextlib.suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _temporary(target: Path) -> Path:
    room = _LONGEST_NAME - len("..0123456789abcdef.tmp") - len(os.fsencode(target.suffix))
    stem = os.fsdecode(os.fsencode(target.stem)[:room])
    return target.with_name(f".{stem}.{secrets.token_hex(8)}.tmp{target.suffix}")


# Folders in which this process has removed them: once is enough, and a data set has many files.
_tidied: set[Path] = set()
_TEMPORARY = re.compile(r"\.(?P<stem>.+)\.[0-9a-f]{16}\.tmp(?P<suffix>\.[^.]*)?", re.DOTALL)


def _remove_stale(folder: Path) -> None:
    """Remove temporaries in a folder whose processes are dead."""
    if folder in _tidied:
        return
    _tidied.add(folder)
    with os.scandir(folder) as entries:
        found = [match for entry in entries if (match := _TEMPORARY.fullmatch(entry.name))]
    for match in found:
        # Whatever fails here, failing to tidy up is no reason not to write.
        with contextlib.suppress(OSError):
            _remove_if_dead(folder / match[0], folder / (match["stem"] + (match["suffix"] or "")))


def _remove_if_dead(path: Path, target: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if time.time() - os.fstat(descriptor).st_mtime < _YOUNG:
            return
        if not path.is_dir():
            path.unlink()
            return
        if (path / "old").exists() and not target.exists():
            (path / "old").rename(target)  # killed between two renames
        shutil.rmtree(path)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _naming(target: Path) -> Iterator[None]:
    """Name the file in errors, instead of a temporary or of nothing."""
    try:
        yield
    except OSError as error:
        if error.errno is not None and _is_nothing_or_temporary(error.filename):
            raise OSError(error.errno, error.strerror, str(target)) from error
        raise
    except Exception as error:
        # libsndfile's and PyTorch's own classes do not say that the disk is full.
        if not isinstance(error, AsdError) and _is_full(target.parent):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(target)) from error
        raise


def _is_nothing_or_temporary(name: object) -> bool:
    if not isinstance(name, (str, bytes)):
        return name is None
    return any(_TEMPORARY.fullmatch(part) for part in Path(os.fsdecode(name)).parts)


def _is_full(folder: Path) -> bool:
    try:
        free = os.statvfs(folder)
    except OSError:
        return False
    return free.f_bavail * free.f_frsize < 1 << 16
