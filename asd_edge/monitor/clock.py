"""What time it is, and whether that is known."""

from __future__ import annotations

import ctypes
import time
from pathlib import Path

from asd_edge.monitor.episodes import Now
from asd_edge.monitor.history.batch import Stamp

# The clock is set in steps of less by nobody but the daemon that keeps it right.
JUMP = 2.0
_TIME_ERROR = 5  # of adjtimex(2): not synchronised
_TIMEX_BYTES = 256  # more than struct timex has anywhere


def boot_id() -> str:
    """Give the id of this boot of the kernel."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return f"unknown-{time.time() - time.monotonic():.0f}"


def is_synchronised() -> bool:
    """Whether the kernel's clock is kept right by somebody, by adjtimex(2)."""
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        state = libc.adjtimex(ctypes.create_string_buffer(_TIMEX_BYTES))
    except (OSError, AttributeError):
        return True  # a system without it tells nothing
    return state not in (-1, _TIME_ERROR)


class Clock:
    """UTC and the monotonic clock side by side.

    Args:
        latest: time of the alarms at which the last run ended.
    """

    def __init__(self, latest: float = 0.0) -> None:
        self.boot = boot_id()
        self.synced = is_synchronised()
        self.offset = time.time() - time.monotonic()
        self._start = max(self.offset, latest - time.monotonic())
        self.jumps = 0

    def look(self) -> tuple[float, bool]:
        """Compare both clocks; about once a second.

        Returns:
            seconds by which the time of day was set since the last look (0 for less than JUMP),
            and whether it became known just now.
        """
        offset = time.time() - time.monotonic()
        step, self.offset = offset - self.offset, offset
        synced = is_synchronised()
        became_known = synced and not self.synced
        self.synced = synced
        if abs(step) < JUMP or became_known:
            return 0.0, became_known
        self.jumps += 1
        return step, became_known

    def now(self, monotonic: float | None = None) -> Now:
        """Give the time of a monotonic moment, by default of this one."""
        monotonic = time.monotonic() if monotonic is None else monotonic
        return Now(t=monotonic + self._start, utc=monotonic + self.offset)

    @property
    def stamp(self) -> Stamp:
        """What is known of the time."""
        return Stamp(self.boot, self.offset, self.synced)
