"""What `asd-edge monitor --check` tests before a night depends on it."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from asd_edge.audio.capture import Capture
from asd_edge.errors import AsdError
from asd_edge.monitor import outlets
from asd_edge.monitor.config import Config, MachineConfig
from asd_edge.monitor.history.write import Writer
from asd_edge.monitor.listening import source
from asd_edge.monitor.windows import Judge, level_dbfs

_LISTEN = 3.0
_HIGHEST_LOAD = 0.5  # share of the hop that judging a window may take


def check(config: Config) -> Iterator[tuple[str, str | None]]:
    """Yield what was tested, and what is wrong with it, or None."""
    for name, part in config.machines.items():
        yield from _check_machine(name, part)
    yield "history", _history(config)
    wrong = outlets.check(config)
    for line in wrong:
        what, _, trouble = line.partition(": ")
        yield what, trouble
    if not wrong:
        for name in outlets.wanted(config):
            yield name, None


def _check_machine(name: str, part: MachineConfig) -> Iterator[tuple[str, str | None]]:
    judge = None
    try:
        judge = Judge(part)
    except AsdError as error:
        yield f"{name}, bundle", str(error)
    else:
        yield f"{name}, bundle", judge.trouble or None
    command, rate, channels = source(part)
    capture = Capture(command, rate, channels)
    capture.start()
    try:
        end = time.monotonic() + _LISTEN + 5
        while capture.ring.total < _LISTEN * rate and time.monotonic() < end:
            time.sleep(0.05)
        total = capture.ring.total
        n = min(total, round(_LISTEN * rate))
        heard = capture.ring.read(total - n, n)
        sentence = capture.status.sentence
    finally:
        capture.stop()
    if heard is None or len(heard) < rate:
        yield f"{name}, microphone", sentence or "it gives no sound"
        return
    level = level_dbfs(heard[:, 0])
    silent = "it gives one value only: is it muted, or the cable off?"
    yield f"{name}, microphone", silent if level is None else None
    if judge is None:
        yield f"{name}, level and load", "not tested, because the bundle cannot be used"
    elif level is not None:
        yield f"{name}, level {level:.0f} dBFS", _level(judge, level)
        yield f"{name}, load", _load(judge, heard)


def _level(judge: Judge, level: float) -> str | None:
    if judge.quietest is not None and level < judge.quietest - 12:
        return f"the quietest clip enrolled had {judge.quietest:.0f} dBFS: is the machine on?"
    return None


def _load(judge: Judge, heard: NDArray[np.int16]) -> str | None:
    samples = np.resize(heard, (judge.length, heard.shape[1]))
    began = time.perf_counter()
    judge.judge(samples)
    share = (time.perf_counter() - began) / (judge.hop / judge.config.rate)
    if share > _HIGHEST_LOAD:
        return f"judging takes {share:.0%} of the time: this device is too slow for the hop"
    return None


def _history(config: Config) -> str | None:
    try:
        Writer(config.history.path).close()
    except AsdError as error:
        return str(error)
    free = shutil.disk_usage(config.history.path).free / 1024**2
    if free < config.history.free_space_mb:
        return f"{free:.0f} MB are free on the disk: no clip will be kept"
    return None if os.access(config.history.path, os.W_OK) else "it cannot be written"
