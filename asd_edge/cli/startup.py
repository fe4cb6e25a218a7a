"""A quick start of `asd-edge`: most of a process that scores one clip is imports."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager


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
