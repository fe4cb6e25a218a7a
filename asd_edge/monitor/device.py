"""Alarms of the device itself: its disk and its clock."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from asd_edge.monitor.episodes import Alarm, Ids, Now
from asd_edge.monitor.events import AlarmEvent
from asd_edge.monitor.state import AlarmKind, Episode

# So long after a jump of the clock people are told of it; so long the disk must have been well.
CLOCK_FAULT = 600.0
DISK_WELL = 60.0
_KINDS: tuple[AlarmKind, ...] = ("disk", "clock")


class Device:
    """The alarms that are about no machine.

    Args:
        saved: what `save` gave, or None.
        ids: gives numbers.
        episode: gives an episode of the history.

    Attributes:
        alarms: by their kind.
        latest: time of the alarms when it was saved.
    """

    def __init__(
        self, saved: str | None, ids: Ids, episode: Callable[[int], Episode | None]
    ) -> None:
        kept: dict[str, Any] = json.loads(saved or "{}")
        self.latest: float = kept.get("latest", 0.0)
        self.alarms = {kind: Alarm("", kind, ids) for kind in _KINDS}
        for kind, values in kept.get("alarms", {}).items():
            number = values["episode"]
            self.alarms[kind].restore(values, episode(number) if number is not None else None)
        self._step = 0.0
        self._jumped_at: float | None = None

    @property
    def episodes(self) -> tuple[Episode, ...]:
        """Those that are open."""
        return tuple(a.episode for a in self.alarms.values() if a.episode is not None)

    def look(self, trouble: str | None, step: float, now: Now) -> list[AlarmEvent]:
        """Look at what may be wrong; called about once a second.

        Args:
            trouble: why the history cannot be written, or None.
            step: seconds by which the clock was set since the last look; 0 if it was not.
            now: the time.
        """
        if step:
            self._step, self._jumped_at = step, now.t
        events = self.alarms["disk"].condition(
            trouble is not None, now, trouble or "", 0.0, DISK_WELL
        )
        jumped = self._jumped_at is not None and now.t - self._jumped_at < CLOCK_FAULT
        why = f"the clock was set by {self._step:+.0f} s"
        return events + self.alarms["clock"].condition(jumped, now, why, 0.0, 0.0)

    def save(self, now: Now) -> str:
        """Give what the next start needs."""
        alarms = {kind: alarm.save() for kind, alarm in self.alarms.items()}
        return json.dumps({"alarms": alarms, "latest": now.t})
