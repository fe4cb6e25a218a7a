"""What the daemon gives its history at once."""

from __future__ import annotations

from dataclasses import dataclass, field

from asd_edge.monitor.events import AlarmEvent
from asd_edge.monitor.history.clips import Sound
from asd_edge.monitor.state import Episode, Window


@dataclass(frozen=True)
class Stamp:
    """What was known of the time when something was noted.

    Attributes:
        boot: id of the boot.
        offset: UTC minus the monotonic clock, in seconds.
        synced: whether the clock was synchronised.
    """

    boot: str
    offset: float
    synced: bool


@dataclass
class Batch:
    """What is written in one transaction.

    Attributes:
        windows: each with its stamp.
        episodes: new ones and changed ones.
        events: their ids are given by the caller, rising.
        stamp: of the episodes and events.
        states: name -> text for the next start.
        cursors: name of a subscriber -> last event that it delivered.
        clips: recordings to keep.
        known: set once the time is known: what was noted without is moved.
        urgent: write it now and wait until it is on the disk.
    """

    windows: list[tuple[Window, Stamp]] = field(default_factory=list)
    episodes: list[Episode] = field(default_factory=list)
    events: list[AlarmEvent] = field(default_factory=list)
    stamp: Stamp = Stamp("", 0.0, True)
    states: dict[str, str] = field(default_factory=dict)
    cursors: dict[str, int] = field(default_factory=dict)
    clips: list[Sound] = field(default_factory=list)
    known: Stamp | None = None
    urgent: bool = False
