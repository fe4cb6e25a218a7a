"""The state of the device: what Linux and the Raspberry Pi's firmware tell."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

from asd_edge.monitor.state import Health

_TEMPERATURE = Path("/sys/class/thermal/thermal_zone0/temp")
_THROTTLED = Path("/sys/devices/platform/soc/soc:firmware/get_throttled")
_NOW = 0xF  # bits of what is so now: under-voltage, capped, throttled, soft limit
_STARTED = time.monotonic()


def measure(folder: Path, clock_synchronised: bool | None, queue: int) -> Health:
    """Measure the device; `folder` is the history's, `queue` the windows that wait."""
    return Health(
        temperature_c=_temperature(),
        throttled=_throttled(),
        disk_free_bytes=_free(folder),
        load=os.getloadavg()[0] / (os.cpu_count() or 1),
        uptime_s=time.monotonic() - _STARTED,
        clock_synchronised=clock_synchronised,
        memory_bytes=_memory(),
        queue=queue,
    )


def _temperature() -> float | None:
    try:
        return int(_TEMPERATURE.read_text()) / 1000
    except (OSError, ValueError):
        return None


def _throttled() -> bool | None:
    try:
        return bool(int(_THROTTLED.read_text(), 16) & _NOW)
    except (OSError, ValueError):
        return None


def _free(folder: Path) -> int | None:
    try:
        return shutil.disk_usage(folder).free
    except OSError:
        return None


def _memory() -> int | None:
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return None
