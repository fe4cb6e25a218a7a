"""Catch what native code prints on file descriptor 2, past Python's sys.stderr.

Some libraries print complaints there, in colour and without naming a file, and offer no other way
to be quiet.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterable, Iterator
from typing import IO

_LOCK = threading.Lock()


@contextlib.contextmanager
def captured() -> Iterator[list[bytes]]:
    """Collect the lines that are printed in the block; the list is filled when the block ends.

    Other threads print on the same descriptor: hand their lines to `pass_on`.
    """
    lines: list[bytes] = []
    with _LOCK:
        try:
            keep = os.dup(2)
        except OSError:  # stderr is closed: nothing can be printed there
            yield lines
            return
        with _scratch() as file:
            os.dup2(file.fileno(), 2)
            try:
                yield lines
            finally:
                os.dup2(keep, 2)
                os.close(keep)
                file.seek(0)
                lines += file.read().splitlines(keepends=True)


def pass_on(lines: Iterable[bytes]) -> None:
    """Print lines that were caught by mistake; blank ones are left out."""
    with contextlib.suppress(OSError):
        for line in lines:
            if line.strip():
                os.write(2, line)


def _scratch() -> IO[bytes]:
    """Give a file in memory, since a device may have no folder that can be written."""
    if hasattr(os, "memfd_create"):
        return os.fdopen(os.memfd_create("asd-edge"), "w+b")
    import tempfile

    return tempfile.TemporaryFile()
