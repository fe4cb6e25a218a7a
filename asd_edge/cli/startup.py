"""Start of a process: entry points of the commands, and the settings that make it quick.

Most of a process that scores one clip is imports.
"""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def quick_start() -> Iterator[None]:
    """Import and load cheaply in the block. Only for a process that is ours and just begins.

    - numpy's OpenBLAS starts a thread for each core when it is imported. Scoring multiplies
      no matrix that is worth one; `OPENBLAS_NUM_THREADS` from outside is respected.
    - Importing makes tens of thousands of objects and no garbage: the collector is off
      meanwhile, and what then lives until the end is frozen, so that neither a collection
      nor the exit walks through it.

    Where numpy is imported already, somebody else's process runs: nothing is done.
    """
    if "numpy" in sys.modules or not gc.isenabled():
        yield
        return
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def run(module: str, prepare: Callable[[], None] | None = None, **options: Any) -> None:
    """Call `prepare`, import the module of a command and run its `main` with click's `options`.

    This file imports next to nothing, so that Ctrl-C during the other imports, which take a
    second on a small device, ends like any other.
    """
    try:
        _open_standard_descriptors()
        if prepare is not None:
            prepare()
        from importlib import import_module

        import_module(module).main(**options)
    except KeyboardInterrupt:
        if sys.stderr is not None:
            sys.stderr.write("Interrupted\n")
        # Not sys.exit: a second Ctrl-C while Python shuts down would print a traceback.
        os._exit(130)


def _open_standard_descriptors() -> None:
    """Open those of descriptors 0 to 2 that are closed: else the next file opened would be stdout.

    Python has set sys.stdout to None by then, by which a command knows.
    """
    for fd in (0, 1, 2):
        try:
            os.fstat(fd)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    if sys.stderr is None:
        sys.stderr = open(2, "w", errors="backslashreplace")  # noqa: SIM115 - until the end


def main() -> None:
    """Run `asd-edge`, also as `python -m asd_edge`."""
    run("asd_edge.cli.main", prog_name="asd-edge")
