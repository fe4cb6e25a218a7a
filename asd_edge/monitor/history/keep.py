"""The thread that writes the history: once a minute, and at once what is urgent."""

from __future__ import annotations

import collections
import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path

from asd_edge.monitor.config import HistoryConfig
from asd_edge.monitor.events import Bus
from asd_edge.monitor.history.batch import Batch
from asd_edge.monitor.history.clips import ClipFolder, Sound
from asd_edge.monitor.history.read import History, thinned
from asd_edge.monitor.history.repair import set_aside
from asd_edge.monitor.history.write import Writer
from asd_edge.monitor.state import Window

COMMIT_EVERY = 60.0
# Batches that wait while nothing can be written: a day of one machine. The oldest go first.
_MOST_WAITING = 10_000
# A replay commits by number, not by time.
_AT_ONCE = 1000


class Keeper:
    """Takes batches from the scoring thread, which never waits for the disk.

    Args:
        config: where the history lies.
        bus: gets the events once they are committed, or once that has failed.
        say: prints a line.
        now: UTC.
        threaded: False writes in the caller's thread, for a replay.

    Attributes:
        history: reads what is written here.
        trouble: why nothing can be written, or None.
        lost: windows that had to be dropped because nothing could be written for long.
        not_kept: clips that were not written for want of space.

    Raises:
        HistoryError: the history cannot be opened.
    """

    def __init__(
        self,
        config: HistoryConfig,
        bus: Bus,
        say: Callable[[str], None],
        *,
        now: Callable[[], float] = time.time,
        threaded: bool = True,
    ) -> None:
        self._config, self._bus, self._say, self._now = config, bus, say, now
        self.folder: Path = config.path
        self.history = History(self.folder)
        mb = 1024 * 1024
        self._clips = ClipFolder(
            self.folder, round(config.clip_quota_mb * mb), round(config.free_space_mb * mb)
        )
        self._writer = self._open()
        self.trouble: str | None = None
        self.lost = 0
        self.not_kept = 0
        self._waiting: collections.deque[Batch] = collections.deque()
        self._published = 0  # id of the last event that was
        self._noted: list[tuple[Sound, int]] = []
        self._ready = threading.Condition()
        self._closing = False
        self._thread: threading.Thread | None = None
        if threaded:
            self._thread = threading.Thread(target=self._run, name="history", daemon=True)
            self._thread.start()

    def _open(self) -> Writer:
        writer = Writer(self.folder, self._config.keep_days)
        if writer.set_aside is not None:
            self._say(f"The history was malformed; it is kept as {writer.set_aside}")
            self.history.reopen()
        gone = self._clips.tidy({file for _, file, _ in writer.clips()})
        writer.forget_clips(number for number, file, _ in writer.clips() if file in gone)
        return writer

    def last_ids(self) -> tuple[int, int, int]:
        """Give the highest ids of episodes, events and clips; only before the first `put`."""
        return self._writer.last_ids()

    def state(self, name: str) -> str | None:
        """Give a text of the last run; only before the first `put`."""
        return self._writer.state(name)

    def put(self, batch: Batch) -> None:
        """Take a batch; never waits, unless this is a replay."""
        with self._ready:
            self._waiting.append(batch)
            while len(self._waiting) > _MOST_WAITING:
                self.lost += len(self._waiting.popleft().windows)
            if batch.urgent:
                self._ready.notify()
        if self._thread is None and (batch.urgent or len(self._waiting) >= _AT_ONCE):
            self.flush()

    def windows(self, machine: str, since: float, max_points: int) -> list[Window]:
        """Give the windows of a machine from UTC `since` on, written or not."""
        with self._ready:
            waiting = [w for batch in self._waiting for w, _ in batch.windows]
        written = self.history.windows(machine, since, max_points=max_points)
        last = written[-1].start if written else since  # meanwhile some may have been written
        new = [w for w in waiting if w.machine == machine and w.start > last]
        if new:
            new = thinned(new, len(new), new[0].start, new[-1].start, max_points)
        return [*written, *new]

    def _run(self) -> None:
        due = time.monotonic() + COMMIT_EVERY
        while True:
            with self._ready:
                while not self._closing and not any(b.urgent for b in self._waiting):
                    rest = due - time.monotonic()
                    if rest <= 0 or not self._ready.wait(rest):
                        break
                closing = self._closing
            self.flush()
            due = time.monotonic() + COMMIT_EVERY
            if closing:
                return
            if self.trouble is not None:  # an urgent batch waits: not a busy loop
                time.sleep(1.0)

    def flush(self) -> None:
        """Write all that waits; what cannot be written goes on waiting."""
        with self._ready:
            batches = list(self._waiting)
        if not batches:
            return
        try:
            self._write(batches)
        except (sqlite3.Error, OSError) as error:
            if self.trouble is None:
                self._say(f"The history cannot be written: {error}")
            self.trouble = f"the history cannot be written: {error}"
        else:
            if self.trouble is not None:
                self._say("The history can be written again")
            self.trouble = None
            with self._ready:
                for batch in batches:
                    if self._waiting and self._waiting[0] is batch:
                        self._waiting.popleft()
        for batch in batches:
            self._publish(batch)

    def _publish(self, batch: Batch) -> None:
        for event in batch.events:
            if event.id > self._published:
                self._published = event.id
                self._bus.publish(event)

    def _write(self, batches: list[Batch]) -> None:
        for batch in batches:
            while batch.clips:
                size = self._keep(batch.clips[0])
                sound = batch.clips.pop(0)
                self._noted += [(sound.noted, size)] if size is not None else []
        try:
            self._commit(batches)
        except sqlite3.OperationalError:  # full, read-only, locked
            raise
        except sqlite3.DatabaseError:
            self._writer.close()
            aside = set_aside(self._writer.path)
            self._say(f"The history is malformed; it is kept as {aside}, and a new one begins")
            self._writer = self._open()
            self.history.reopen()
            self._commit(batches)
        if self._noted:
            self._noted = []
            self._drop_excess()

    def _commit(self, batches: list[Batch]) -> None:
        for batch in batches:
            if batch.known is not None:
                self._writer.synchronise(batch.known.boot, batch.known.offset)
                batch.known = None
        self._writer.write(batches, self._now(), self._noted)

    def _keep(self, sound: Sound) -> int | None:
        try:
            size = self._clips.write(sound)
        except OSError as error:
            self.not_kept += 1
            self._say(f"A clip could not be kept: {error}")
            return None
        if size is None:
            self.not_kept += 1
            self._say("A clip was not kept: too little free space")
        return size

    def _drop_excess(self) -> None:
        rows = self._writer.clips()
        gone = set(self._clips.too_many((number, size) for number, _, size in rows))
        self._writer.forget_clips(gone)
        for number, file, _ in rows:
            if number in gone:
                self._clips.remove(file)

    def close(self) -> None:
        """Write what waits and end the thread."""
        if self._thread is None:
            self.flush()
        else:
            with self._ready:
                self._closing = True
                self._ready.notify()
            self._thread.join(30)
        self._writer.close()
