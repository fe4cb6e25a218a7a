"""Writing whole files or none: temporary name, fsync, rename."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def atomic_path(target: str | Path) -> Iterator[Path]:
    """Give a temporary path beside `target`; rename it to `target` if the block succeeds.

    The temporary name keeps the suffix, which some writers look at. A crash
    or an exception leaves what was at `target` untouched.
    """
    target = Path(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.stem}.{os.getpid()}.tmp{target.suffix}")
    try:
        yield temporary
        _sync(temporary)
        temporary.replace(target)
        _sync(target.parent)
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def atomic_folder(target: str | Path) -> Iterator[Path]:
    """Give a temporary folder; put it in the place of `target` if the block succeeds.

    A folder that was at `target` is moved aside first and removed last: at no
    moment does `target` hold a mixture of old and new.
    """
    target = Path(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    fresh, old = work / "new", work / "old"
    fresh.mkdir()
    try:
        yield fresh
        for path in sorted(fresh.rglob("*")):
            if path.is_file():
                _sync(path)
        _sync(fresh)
        if target.exists():
            target.rename(old)
        fresh.rename(target)
        _sync(target.parent)
    finally:
        shutil.rmtree(work, ignore_errors=True)
