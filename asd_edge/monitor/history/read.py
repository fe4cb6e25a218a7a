"""Reading the history, by any thread and by other programs, while the daemon writes it."""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeVar

from asd_edge.errors import HistoryError
from asd_edge.monitor.events import AlarmEvent
from asd_edge.monitor.history.schema import (
    CLIP_COLUMNS,
    EPISODE_COLUMNS,
    FILE_NAME,
    VERSION,
    WINDOW_COLUMNS,
    Clip,
    Connection,
    Hour,
    clip_from_row,
    episode_from_row,
    event_from_row,
    level_from_row,
    to_ms,
    window_from_row,
)
from asd_edge.monitor.state import Episode, Window

_EVER = 2**62
_FROM_WINDOWS = f"SELECT {WINDOW_COLUMNS} FROM windows w JOIN machines m ON m.number = w.machine "


class _Point(NamedTuple):
    """What thinning needs of a window: a day of them, or 90 days, pass one by one."""

    number: int
    start: float
    ratio: float | None


class _Rated(Protocol):
    @property
    def start(self) -> float: ...
    @property
    def ratio(self) -> float | None: ...


_R = TypeVar("_R", bound=_Rated)


def thinned(windows: Iterable[_R], n: int, first: float, last: float, max_points: int) -> list[_R]:
    """Keep about `max_points` windows: of each stretch of equal length the highest ratio.

    Args:
        windows: in the order of time; no more than `max_points` of them are held at once.
        n: their number.
        first: `start` of the first one.
        last: `start` of the last one, which is always kept.
        max_points: fewer are all kept.
    """
    if n <= max_points:
        return list(windows)
    step = (last - first) / max_points or 1.0
    highest: dict[int, _R] = {}
    for window in windows:
        at = int((window.start - first) / step)
        other = highest.get(at)
        if other is None or (window.ratio or -1.0) > (other.ratio or -1.0):
            highest[at] = window
    return list(highest.values())


class History:
    """Reads a history; each thread gets a read-only connection of its own.

    Args:
        folder: the folder of the history.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self.path = self.folder / FILE_NAME
        self._local = threading.local()
        self._generation = 0

    def windows(
        self,
        machine: str,
        since: float | None = None,
        until: float | None = None,
        *,
        max_points: int | None = None,
    ) -> list[Window]:
        """Give the windows of a machine in the order of time.

        Args:
            machine: its id.
            since: UTC; windows that begin before are left out.
            until: UTC; so are windows that begin then or later.
            max_points: keep about so many: of each stretch of equal length the window with the
                highest ratio, so that no peak is lost.
        """
        if max_points is None:
            return list(self.each_window(machine, since, until))
        source = (
            "FROM windows w JOIN machines m ON m.number = w.machine "
            "WHERE w.start >= ? AND w.start < ? AND m.id = ? "
        )
        values = (*_range(since, until), machine)
        extent = f"SELECT count(*), min(w.start), max(w.start) {source}"
        ((n, first, last),) = self._rows(extent, *values)
        points = f"SELECT w.number, w.start, w.score / w.threshold {source} ORDER BY w.start"
        rows = (_Point(*row) for row in self._rows(points, *values))
        kept = thinned(rows, n, first or 0, last or 0, max_points)
        chosen = "WHERE w.number IN (SELECT value FROM json_each(?)) ORDER BY w.start, w.number"
        numbers = json.dumps([point.number for point in kept])
        return [window_from_row(row) for row in self._rows(_FROM_WINDOWS + chosen, numbers)]

    def each_window(
        self, machine: str | None = None, since: float | None = None, until: float | None = None
    ) -> Iterator[Window]:
        """Yield windows in the order of time, of one machine or of all."""
        where = "WHERE w.start >= ? AND w.start < ? "
        values: list[Any] = list(_range(since, until))
        if machine is not None:
            where += "AND m.id = ? "
            values.append(machine)
        for row in self._rows(_FROM_WINDOWS + where + "ORDER BY w.start, w.number", *values):
            yield window_from_row(row)

    def hours(
        self, machine: str | None = None, since: float | None = None, until: float | None = None
    ) -> list[Hour]:
        """Give the hourly rows in the order of time; the hour that runs is not among them."""
        query = (
            "SELECT m.id, h.hour, h.windows, h.valid, h.low, h.median, h.high, h.level "
            "FROM hours h JOIN machines m ON m.number = h.machine "
            "WHERE h.hour * 3600000 >= ? AND h.hour * 3600000 < ? AND m.id = ifnull(?, m.id) "
            "ORDER BY h.hour, h.machine"
        )
        rows = self._rows(query, *_range(since, until), machine)
        return [
            Hour(name, hour * 3600.0, windows, valid, low, median, high, level_from_row(level))
            for name, hour, windows, valid, low, median, high, level in rows
        ]

    def episodes(
        self,
        machine: str | None = None,
        *,
        since: float | None = None,
        until: float | None = None,
        open_only: bool = False,
        limit: int = 100,
    ) -> list[Episode]:
        """Give alarms, the newest first; of one machine ("": the device itself) or of all."""
        query = (
            f"SELECT {EPISODE_COLUMNS} FROM episodes e WHERE e.raised_at >= ? AND e.raised_at < ? "
            "AND e.machine = ifnull(?, e.machine) "
            + ("AND e.cleared_at IS NULL " if open_only else "")
            + "ORDER BY e.raised_at DESC, e.id DESC LIMIT ?"
        )
        rows = self._rows(query, *_range(since, until), machine, limit)
        return [episode_from_row(row) for row in rows]

    def episode(self, number: int) -> Episode | None:
        """Give an alarm by its id."""
        rows = self._rows(f"SELECT {EPISODE_COLUMNS} FROM episodes e WHERE e.id = ?", number)
        return next((episode_from_row(row) for row in rows), None)

    def events(self, after: int = 0, limit: int = 500) -> list[AlarmEvent]:
        """Give the newest `limit` of the events after the event `after`, in their order."""
        query = "SELECT id, at, action, detail FROM events WHERE id > ? ORDER BY id DESC LIMIT ?"
        return [event_from_row(row) for row in self._rows(query, after, limit)][::-1]

    def cursor(self, name: str) -> int | None:
        """Give the last event that a subscriber has delivered, or None if it never did."""
        rows = self._rows("SELECT event FROM cursors WHERE name = ?", name)
        return next((event for (event,) in rows), None)

    def clips(self, episode: int) -> list[Clip]:
        """Give the recordings of an alarm that are still kept."""
        query = f"SELECT {CLIP_COLUMNS} FROM clips WHERE episode = ? ORDER BY id"
        return [clip_from_row(row, self.folder) for row in self._rows(query, episode)]

    def clip(self, number: int) -> Clip | None:
        """Give a recording by its id."""
        rows = self._rows(f"SELECT {CLIP_COLUMNS} FROM clips WHERE id = ?", number)
        return next((clip_from_row(row, self.folder) for row in rows), None)

    def machines(self) -> list[str]:
        """Give the ids of all machines that were ever heard."""
        return [name for (name,) in self._rows("SELECT id FROM machines ORDER BY number")]

    def state(self, name: str) -> str | None:
        """Give a text that the daemon keeps for its next start."""
        rows = self._rows("SELECT value FROM state WHERE name = ?", name)
        return next((value for (value,) in rows), None)

    def reopen(self) -> None:
        """Open the file anew at the next question: another one lies at its path now."""
        self._generation += 1

    def _rows(self, query: str, *values: Any) -> Iterator[tuple[Any, ...]]:
        try:
            yield from self._connection().execute(query, values)
        except OverflowError:
            return  # a number of more than 64 bits, which no row has
        except sqlite3.Error as error:
            self._local.connection = None
            raise HistoryError(self.path, f"cannot be read ({error})") from error

    def _connection(self) -> sqlite3.Connection:
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is None or self._local.generation != self._generation:
            self._local.generation = self._generation
            if not self.path.is_file():
                raise HistoryError(self.path, "no such history; has the monitor run here?")
            place = f"{self.path.absolute().as_uri()}?mode=ro"
            connection = sqlite3.connect(
                place, uri=True, factory=Connection, check_same_thread=False
            )
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            if version != VERSION:
                raise HistoryError(self.path, f"is of version {version}; expected {VERSION}")
            self._local.connection = connection
        return connection


def _range(since: float | None, until: float | None) -> tuple[int, int]:
    return (-_EVER if since is None else to_ms(since), _EVER if until is None else to_ms(until))
