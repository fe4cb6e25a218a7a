"""What people may tell the daemon."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Acknowledge:
    """Somebody has seen the alarm; a latched one may clear now."""

    episode: int
    by: str


@dataclass(frozen=True)
class Shelve:
    """Notify nobody of a machine's sound alarm for `seconds`, at most 24 hours; 0 ends it."""

    machine: str
    seconds: float
    by: str


@dataclass(frozen=True)
class WasNormal:
    """The episode was no fault: its windows are enrolled as normal ones, with a new threshold."""

    episode: int
    by: str


@dataclass(frozen=True)
class WasFault:
    """The episode was a fault of the machine."""

    episode: int
    by: str


Command = Acknowledge | Shelve | WasNormal | WasFault
