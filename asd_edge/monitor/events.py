"""Events, and the bus that carries them from the daemon to whoever listens.

A subscriber has a bounded queue: what nobody fetches in time is dropped, oldest first, and
counted. Publishing therefore never waits, and nothing slow can hold up the scoring. What must
not be lost is in the history as well: events of alarms are committed there before they are
published, and `History.events(after=...)` gives those that a subscriber has missed.
"""

from __future__ import annotations

import collections
import threading
import time
from dataclasses import dataclass
from typing import Literal

from asd_edge.monitor.state import Episode, MachineState, Verdict, Window

# What may happen to an episode. "remind": still open after 24 hours. "chatter": the third raise in
# an hour; what follows is recorded and not sent until it has been quiet.
Action = Literal[
    "raise", "clear", "remind", "chatter", "acknowledge", "shelve", "unshelve", "verdict"
]


@dataclass(frozen=True)
class AlarmEvent:
    """Something happened to an episode; an episode of a kind other than "sound" is a fault.

    Attributes:
        id: number in the history, rising by one from event to event.
        at: UTC.
        action: see Action.
        episode: as it is after the event.
        notify: whether people are to be told: not in run-in, while shelved or chattering.
        by: who acknowledged, shelved or judged it, such as "page" or "mqtt"; else "".
        verdict: for the action "verdict".
    """

    id: int
    at: float
    action: Action
    episode: Episode
    notify: bool
    by: str = ""
    verdict: Verdict | None = None


@dataclass(frozen=True)
class WindowEvent:
    """A window was judged."""

    window: Window


@dataclass(frozen=True)
class StateEvent:
    """The status or the microphone of a machine changed."""

    machine: MachineState


Event = AlarmEvent | WindowEvent | StateEvent


class Subscription:
    """A bounded queue of events; `Bus.subscribe` makes one."""

    def __init__(self, name: str, size: int) -> None:
        self.name = name
        self.dropped = 0
        self._events: collections.deque[Event] = collections.deque(maxlen=size)
        self._ready = threading.Condition()
        self._closed = False

    def put(self, event: Event) -> None:
        """Append an event; never waits."""
        with self._ready:
            if self._closed:
                return
            self.dropped += len(self._events) == self._events.maxlen
            self._events.append(event)
            self._ready.notify()

    def get(self, timeout: float | None = None) -> Event | None:
        """Give the oldest event, or None after `timeout` seconds or once the bus is closed."""
        end = None if timeout is None else time.monotonic() + timeout
        with self._ready:
            while not self._events and not self._closed:
                rest = None if end is None else end - time.monotonic()
                if rest is not None and rest <= 0:
                    return None
                self._ready.wait(rest)
            return self._events.popleft() if self._events else None

    @property
    def closed(self) -> bool:
        """Whether no more events will come, and all were fetched."""
        return self._closed and not self._events

    def close(self) -> None:
        """Take no more events, and wake whoever waits for one."""
        with self._ready:
            self._closed = True
            self._ready.notify_all()


class Bus:
    """Carries events to all subscribers; may be used by any thread."""

    def __init__(self) -> None:
        self._subscriptions: tuple[Subscription, ...] = ()
        self._lock = threading.Lock()

    def subscribe(self, name: str, size: int = 500) -> Subscription:
        """Make a queue of the newest `size` events from now on."""
        subscription = Subscription(name, size)
        with self._lock:
            self._subscriptions = (*self._subscriptions, subscription)
        return subscription

    def unsubscribe(self, subscription: Subscription) -> None:
        """Close a subscription."""
        with self._lock:
            self._subscriptions = tuple(s for s in self._subscriptions if s is not subscription)
        subscription.close()

    def publish(self, event: Event) -> None:
        """Give an event to all subscribers; never waits for one."""
        for subscription in self._subscriptions:
            subscription.put(event)

    def close(self) -> None:
        """Close all subscriptions."""
        for subscription in self._subscriptions:
            subscription.close()

    def dropped(self) -> dict[str, int]:
        """Give the number of events that each subscriber was too slow for."""
        return {s.name: s.dropped for s in self._subscriptions}
