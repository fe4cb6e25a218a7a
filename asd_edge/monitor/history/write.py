"""Writing the history: one connection, one transaction a batch."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import statistics
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from asd_edge.errors import HistoryError
from asd_edge.monitor.events import AlarmEvent
from asd_edge.monitor.history.batch import Batch, Stamp
from asd_edge.monitor.history.clips import Sound
from asd_edge.monitor.history.repair import set_aside, shift
from asd_edge.monitor.history.schema import (
    FILE_NAME,
    TABLES,
    VERSION,
    Connection,
    event_to_detail,
    level_to_row,
    ratio,
    to_ms,
)
from asd_edge.monitor.state import VALIDITIES, Episode, Window

_HOUR = 3_600_000
_LAST_CLIP = "last clip"
# Old windows go in small portions, so that a clock that is years ahead cannot take all of them.
_PORTION = 2000


class Writer:
    """The only connection that writes; used by one thread at a time.

    Args:
        folder: of the history; made if it is not there.
        keep_days: days for which every window is kept.

    Attributes:
        set_aside: where a malformed database was moved to when this one was opened, or None.

    Raises:
        HistoryError: it cannot be opened, or is of a later version.
    """

    def __init__(self, folder: Path, keep_days: float = 90.0) -> None:
        self.path = folder / FILE_NAME
        self._keep_ms = to_ms(keep_days * 86400)
        self._numbers: dict[tuple[str, str], int] = {}
        self._states: dict[str, str] = {}
        self.set_aside: Path | None = None
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise HistoryError(folder, f"cannot be made ({error.strerror})") from error
        try:
            self._db = self._open()
        except sqlite3.OperationalError as error:  # locked, full, not permitted: not malformed
            raise HistoryError(self.path, f"cannot be opened ({error})") from error
        except sqlite3.DatabaseError:
            self.set_aside = set_aside(self.path)
            self._db = self._open()
        self._dirty = self._unaggregated()

    def _open(self) -> sqlite3.Connection:
        db = sqlite3.connect(
            self.path, isolation_level=None, check_same_thread=False, factory=Connection
        )
        try:
            db.execute("PRAGMA journal_mode = WAL")
            (found,) = db.execute("PRAGMA quick_check(1)").fetchone()
            if found != "ok":
                raise sqlite3.DatabaseError(found)
            (version,) = db.execute("PRAGMA user_version").fetchone()
            if version not in (0, VERSION):
                raise HistoryError(self.path, f"is of version {version}; expected {VERSION}")
            if version == 0:
                db.executescript(f"BEGIN; {TABLES} PRAGMA user_version = {VERSION}; COMMIT;")
        except BaseException:
            db.close()
            raise
        return db

    def write(
        self, batches: Sequence[Batch], now: float, noted: Sequence[tuple[Sound, int]] = ()
    ) -> None:
        """Commit batches in one transaction.

        Args:
            batches: what to write, in its order.
            now: UTC, for what is too old to be kept.
            noted: clips of which the files are there, with their sizes.

        Raises:
            sqlite3.Error: nothing was written.
        """
        urgent = any(batch.urgent for batch in batches)
        self._db.execute(f"PRAGMA synchronous = {'FULL' if urgent else 'NORMAL'}")
        numbers, states, dirty = dict(self._numbers), dict(self._states), set(self._dirty)
        self._db.execute("BEGIN IMMEDIATE")
        try:
            for batch in batches:
                dirty |= self._insert_windows(batch.windows)
                self._insert_rest(batch)
            states_now = {name: value for b in batches for name, value in b.states.items()}
            for name, value in states_now.items():
                self._put_state(name, value)
            for sound, size in noted:
                self._insert_clip(sound, size)
            left = self._aggregate(dirty, now)
            self._db.execute("COMMIT")
        except BaseException:
            self._numbers, self._states = numbers, states
            with contextlib.suppress(sqlite3.Error):
                self._db.execute("ROLLBACK")
            raise
        self._dirty = left

    def _insert_rest(self, batch: Batch) -> None:
        for episode in batch.episodes:
            self._put_episode(episode, batch.stamp)
        for event in batch.events:
            self._insert_event(event, batch.stamp)
        self._db.executemany("REPLACE INTO cursors VALUES (?, ?)", batch.cursors.items())

    def _put_state(self, name: str, value: str) -> None:
        if self._states.get(name) != value:
            self._db.execute("REPLACE INTO state VALUES (?, ?)", (name, value))
            self._states[name] = value

    def _insert_windows(self, windows: Iterable[tuple[Window, Stamp]]) -> set[tuple[int, int]]:
        rows, dirty = [], set()
        for window, stamp in windows:
            machine = self._number("machines", window.machine)
            start = to_ms(window.start)
            rows.append(
                (
                    *(machine, start, to_ms(window.end) - start, to_ms(window.monotonic)),
                    *(self._number("boots", stamp.boot), int(stamp.synced)),
                    *(window.stream, window.first_sample, VALIDITIES.index(window.validity)),
                    *(window.score, window.threshold, level_to_row(window.level_dbfs)),
                )
            )
            dirty.add((machine, start // _HOUR))
        self._db.executemany(
            "INSERT INTO windows (machine, start, length, monotonic, boot, synced, stream, "
            "first_sample, validity, score, threshold, level) VALUES (?,?,?,?,?,?,?,?,?,?,?,?)",
            rows,
        )
        return dirty

    def _number(self, table: str, name: str) -> int:
        key = (table, name)
        if key not in self._numbers:
            self._db.execute(f"INSERT OR IGNORE INTO {table} (id) VALUES (?)", (name,))
            row = self._db.execute(f"SELECT number FROM {table} WHERE id = ?", (name,)).fetchone()
            self._numbers[key] = int(row[0])
        return self._numbers[key]

    def _put_episode(self, episode: Episode, stamp: Stamp) -> None:
        cleared = episode.cleared_at
        times = (cleared, episode.acknowledged_at, episode.shelved_until)
        cleared_ms, acknowledged, shelved = (None if t is None else to_ms(t) for t in times)
        cleared_monotonic = None if cleared is None else to_ms(cleared - stamp.offset)
        changing = (
            *(cleared_ms, cleared_monotonic, episode.sentence, episode.worst_ratio, acknowledged),
            *(episode.acknowledged_by, shelved, episode.verdict, int(episode.notify)),
        )
        names = (
            "cleared_at, cleared_monotonic, sentence, worst_ratio, acknowledged_at, "
            "acknowledged_by, shelved_until, verdict, notify"
        )
        self._db.execute(
            "INSERT INTO episodes (id, machine, kind, raised_at, monotonic, boot, synced, "
            f"{names}) VALUES ({', '.join('?' * 16)}) ON CONFLICT (id) DO UPDATE SET ({names}) = "
            f"({', '.join('excluded.' + name for name in names.split(', '))})",
            (
                *(episode.id, episode.machine, episode.kind, to_ms(episode.raised_at)),
                to_ms(episode.raised_at - stamp.offset),
                *(self._number("boots", stamp.boot), int(stamp.synced), *changing),
            ),
        )

    def _insert_event(self, event: AlarmEvent, stamp: Stamp) -> None:
        boot = self._number("boots", stamp.boot)
        self._db.execute(
            "INSERT INTO events VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (
                *(event.id, to_ms(event.at), to_ms(event.at - stamp.offset), boot),
                *(int(stamp.synced), event.action, event.episode.id, event_to_detail(event)),
            ),
        )

    def _insert_clip(self, sound: Sound, size: int) -> None:
        n, channels = sound.samples.shape
        self._db.execute(
            "REPLACE INTO clips VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                *(sound.id, sound.episode, sound.machine, sound.role, to_ms(sound.start)),
                *(n / sound.rate, sound.rate, channels, sound.file, size),
                json.dumps(sound.windows),
            ),
        )
        self._put_state(_LAST_CLIP, str(sound.id))

    def _aggregate(self, dirty: set[tuple[int, int]], now: float) -> set[tuple[int, int]]:
        """Make the hourly rows of hours that are over, and let go what is too old.

        Returns:
            (machine, hour) of hours that still run.
        """
        newest: dict[int, int] = {}
        for machine, hour in dirty:
            newest[machine] = max(hour, newest.get(machine, hour))
        over = {(machine, hour) for machine, hour in dirty if hour < newest[machine]}
        for machine, hour in over:
            self._put_hour(machine, hour)
        if over:
            self._db.execute(
                "DELETE FROM windows WHERE number IN (SELECT number FROM windows "
                "WHERE synced > 0 AND start < ? ORDER BY number LIMIT ?)",
                (to_ms(now) - self._keep_ms, _PORTION),
            )
        return dirty - over

    def _put_hour(self, machine: int, hour: int) -> None:
        rows = self._db.execute(
            "SELECT validity, score, threshold, level FROM windows "
            "WHERE machine = ? AND start >= ? AND start < ?",
            (machine, hour * _HOUR, (hour + 1) * _HOUR),
        ).fetchall()
        if not rows:
            return
        ratios = [r for row in rows if row[0] == 0 and (r := ratio(row[1], row[2])) is not None]
        levels = [row[3] for row in rows if row[3] is not None]
        self._db.execute(
            "REPLACE INTO hours VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (
                *(machine, hour, len(rows), sum(row[0] == 0 for row in rows)),
                min(ratios, default=None),
                statistics.median(ratios) if ratios else None,
                max(ratios, default=None),
                round(statistics.median(levels)) if levels else None,
            ),
        )

    def _unaggregated(self) -> set[tuple[int, int]]:
        """Give (machine, hour) of windows that no hourly row counts: of an earlier run's end."""
        query = (
            f"SELECT DISTINCT w.machine, w.start / {_HOUR} FROM windows w WHERE w.start >= "
            f"(SELECT ifnull(max(h.hour), -1) + 1 FROM hours h WHERE h.machine = w.machine) "
            f"* {_HOUR}"
        )
        return set(self._db.execute(query))

    def synchronise(self, boot: str, offset: float) -> float:
        """Move what was noted while the time was unknown to the time that it really was.

        Rows of this boot are moved by their monotonic time. Earlier boots without a known time
        are moved as far as the first row of this one: without a battery, a clock goes on from
        where it stopped, so that they were as late.

        Args:
            boot: id of the boot of which the time is known now.
            offset: UTC minus the monotonic clock, in seconds.

        Returns:
            seconds by which the first row of this boot was moved; 0 if there was none.
        """
        self._db.execute("BEGIN IMMEDIATE")
        try:
            moved, hours = shift(self._db, self._number("boots", boot), to_ms(offset))
            self._dirty |= hours | (self._unaggregated() if hours else set())
            self._db.execute("COMMIT")
        except BaseException:
            with contextlib.suppress(sqlite3.Error):
                self._db.execute("ROLLBACK")
            raise
        return moved / 1000

    def last_ids(self) -> tuple[int, int, int]:
        """Give the highest ids of episodes, events and clips that were ever used.

        Where an earlier history was set aside nobody knows them: the time in seconds is higher.
        """
        if self.set_aside is not None:
            now = int(time.time())
            return now, now, now
        query = (
            "SELECT (SELECT ifnull(max(id), 0) FROM episodes), "
            "(SELECT ifnull(max(id), 0) FROM events), (SELECT ifnull(max(id), 0) FROM clips)"
        )
        episode, event, clip = self._db.execute(query).fetchone()
        # The newest clips may have been removed.
        return episode, event, max(clip, int(self.state(_LAST_CLIP) or 0))

    def state(self, name: str) -> str | None:
        """Give a text that was kept for this start."""
        row = self._db.execute("SELECT value FROM state WHERE name = ?", (name,)).fetchone()
        return None if row is None else str(row[0])

    def clips(self) -> list[tuple[int, str, int]]:
        """Give id, file and bytes of all clips, the oldest first."""
        return self._db.execute("SELECT id, file, bytes FROM clips ORDER BY id").fetchall()

    def forget_clips(self, numbers: Iterable[int]) -> None:
        """Delete the rows of clips."""
        self._db.executemany("DELETE FROM clips WHERE id = ?", [(n,) for n in numbers])

    def close(self) -> None:
        """Close the file; what was committed stays."""
        self._db.close()
