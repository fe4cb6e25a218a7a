"""What the page, MQTT, metrics and notifications may use of the running daemon."""

from __future__ import annotations

from concurrent.futures import Future
from typing import Protocol

from asd_edge.monitor.commands import Command
from asd_edge.monitor.config import Config
from asd_edge.monitor.events import Bus
from asd_edge.monitor.history.read import History
from asd_edge.monitor.state import Snapshot, Window


class Monitor(Protocol):
    """The running daemon; all of it may be used by any thread and none of it waits."""

    @property
    def config(self) -> Config:
        """The configuration that is in force."""

    @property
    def snapshot(self) -> Snapshot:
        """The newest snapshot; replaced as a whole several times a second."""

    @property
    def bus(self) -> Bus:
        """The events."""

    @property
    def history(self) -> History:
        """What happened before; opens a read-only connection of its own for each thread."""

    def submit(self, command: Command) -> Future[str]:
        """Give a command to the daemon.

        Returns:
            a future of one sentence that says what was done. It raises AsdError if the command
            is refused: no such episode, already judged, a time out of range.
        """

    def delivered(self, name: str, event: int) -> None:
        """Note in the history that the subscriber `name` has delivered all events up to `event`.

        After a restart, `history.cursor(name)` gives it back.
        """

    def windows(self, machine: str, since: float, max_points: int) -> list[Window]:
        """Give the windows of a machine from UTC `since` on, those of the last minute too.

        These are not in the history yet. See `History.windows` for `max_points`.
        """

    def columns(self, machine: str, since: int) -> tuple[int, int, bytes]:
        """Give columns of the live spectrogram.

        Args:
            machine: its id.
            since: number of the first column wanted; 0 for all of the last minute.

        Returns:
            number to ask with next time, bands in a column, and the columns: one byte a band,
            lowest band first, 0 to 255 over 80 dB; 190 or so is as loud as the first minute was.
        """


class Outlet(Protocol):
    """Something that carries the daemon's words outside, started by `start(config, monitor)`."""

    def stop(self) -> None:
        """End it within a few seconds, whatever it waits for."""
