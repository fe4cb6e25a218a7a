"""Events for a subscriber that must miss none: from the history what the bus did not carry."""

from __future__ import annotations

import collections
import logging

from asd_edge.errors import HistoryError
from asd_edge.monitor.events import AlarmEvent, Event
from asd_edge.monitor.service import Monitor

log = logging.getLogger(__name__)


class Feed:
    """Every AlarmEvent once and in order, also across restarts; other events as they come.

    A subscriber that the history does not know begins with what happens from now on.

    Args:
        monitor: the daemon.
        name: the subscriber, under which the history keeps how far it has come.
    """

    def __init__(self, monitor: Monitor, name: str) -> None:
        self.name = name
        self._monitor = monitor
        self._subscription = monitor.bus.subscribe(name)
        self._missed: collections.deque[AlarmEvent] = collections.deque()
        # Of these the bus may bring a second copy.
        self._from_history: set[int] = set()
        self._last = 0
        self._catch_up_from_cursor()

    @property
    def closed(self) -> bool:
        """Whether no more events will come."""
        return self._subscription.closed and not self._missed

    def get(self, timeout: float) -> Event | None:
        """Give the next event, or None after `timeout` seconds or once the feed is closed."""
        if self._missed:
            return self._missed.popleft()
        event = self._subscription.get(timeout)
        if not isinstance(event, AlarmEvent):
            return event
        if event.id in self._from_history:
            self._from_history.discard(event.id)
            return None
        if event.id > self._last + 1:
            self._read_after(self._last)
        if not self._missed or event.id not in self._from_history:
            self._last = event.id
            return event
        self._from_history.discard(event.id)
        return self._missed.popleft()

    def delivered(self, event: int) -> None:
        """Note that all events up to this one need not come again."""
        self._monitor.delivered(self.name, event)

    def close(self) -> None:
        """Take no more events, and wake whoever waits for one."""
        self._monitor.bus.unsubscribe(self._subscription)
        self._missed.clear()

    def _catch_up_from_cursor(self) -> None:
        try:
            cursor = self._monitor.history.cursor(self.name)
            if cursor is not None:
                self._last = cursor
                self._read_after(cursor)
                return
            newest = self._monitor.history.events(limit=1)
        except HistoryError as error:
            log.warning("%s begins with what happens from now on: %s", self.name, error)
            return
        self._last = newest[-1].id if newest else 0
        self.delivered(self._last)

    def _read_after(self, event: int) -> None:
        try:
            found = self._monitor.history.events(after=event)
        except HistoryError as error:
            log.warning("%s may have missed events: %s", self.name, error)
            return
        self._missed.extend(found)
        self._from_history.update(e.id for e in found)
        if found:
            self._last = found[-1].id
