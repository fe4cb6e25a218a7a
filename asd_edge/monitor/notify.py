"""Notifications by webhook and apprise, at most so many an hour; the rest comes as a digest.

What cannot be delivered is tried again with growing pauses, each address by itself,
and after a restart, because the history keeps which event each address received last.
"""

from __future__ import annotations

import collections
import hashlib
import json
import logging
import threading
import time
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from http.client import HTTPException
from typing import Any
from urllib.parse import urlsplit

from asd_edge.errors import OptionalDependencyError, ParameterError
from asd_edge.monitor.events import AlarmEvent
from asd_edge.monitor.feed import Feed
from asd_edge.monitor.outlet_config import NotifyConfig
from asd_edge.monitor.service import Monitor
from asd_edge.monitor.wording import event_sentence, event_values

# What people are told of; they know what they did themselves.
TOLD = {"raise", "clear", "remind", "chatter"}
MAX_WAITING = 500
_TIMEOUT_S = 10.0
_FIRST_RETRY_S, _MAX_RETRY_S = 5.0, 600.0
_WAIT_S = 1.0
_STOP_S = 3.0

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Notice:
    """One message.

    Attributes:
        title, text: for people; the text of a digest has a line for each event.
        events: as plain values, oldest first, for programs.
    """

    title: str
    text: str
    events: tuple[dict[str, Any], ...]


class TokenBucket:
    """Allow `per_hour` messages at once, and one more each 1 / per_hour of an hour.

    Args:
        clock: monotonic time in s.
    """

    def __init__(self, per_hour: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._size = float(per_hour)
        self._clock = clock
        self._left, self._at = self._size, clock()

    def take(self) -> bool:
        """Take a token, if there is one."""
        now = self._clock()
        self._left = min(self._size, self._left + (now - self._at) * self._size / 3600.0)
        self._at = now
        if self._left < 1.0 - 1e-9:  # ten minutes after the last token are one token
            return False
        self._left -= 1.0
        return True

    def put_back(self) -> None:
        """Give back a token whose message could not be sent."""
        self._left += 1.0


def notice_of(events: Sequence[tuple[str, dict[str, Any]]], left_out: int = 0) -> Notice:
    """Make one message of events.

    Args:
        events: sentence and plain values of each, oldest first; at least one.
        left_out: number of older events that there was no room for.
    """
    sentences = [sentence for sentence, _ in events]
    values = tuple(value for _, value in events)
    if len(events) == 1 and not left_out:
        return Notice(sentences[0], sentences[0], values)
    title = f"{len(events) + left_out} events on {values[-1]['node']}"
    if left_out:
        sentences.insert(0, f"{left_out} older events are left out.")
    return Notice(title, "\n".join(sentences), values)


def post(url: str, notice: Notice) -> None:
    """Send a notice to a webhook: a JSON object with title, text and events.

    Raises:
        OSError: it cannot be reached, or answers with another status than 2xx.
    """
    body = {"title": notice.title, "text": notice.text, "events": notice.events}
    request = urllib.request.Request(
        url,
        json.dumps(body, ensure_ascii=False).encode(),
        {"Content-Type": "application/json", "User-Agent": "asd-edge"},
    )
    with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as answer:
        answer.read(1024)


def _apprise(url: str) -> Callable[[Notice], None]:
    try:
        from apprise import Apprise
    except ImportError:
        raise OptionalDependencyError("apprise", "notify") from None
    service = Apprise()
    if not service.add(url):
        scheme = urlsplit(url).scheme
        raise ParameterError("apprise", f"{scheme}://...", "an address that apprise understands")

    def send(notice: Notice) -> None:
        if not service.notify(title=notice.title, body=notice.text):
            raise OSError("apprise could not deliver the message")

    return send


class Target:
    """One address, with a thread, a token bucket and a place in the history of its own.

    Args:
        name: for messages, without what may be a secret.
        url: tells it from others in the history, hashed.
        send: sends a notice, or raises OSError.
        per_hour: messages in an hour.
        monitor: the daemon.
    """

    def __init__(
        self,
        name: str,
        url: str,
        send: Callable[[Notice], None],
        per_hour: int,
        monitor: Monitor,
    ) -> None:
        self._name = name
        self._send = send
        self._monitor = monitor
        self._bucket = TokenBucket(per_hour)
        self._feed = Feed(monitor, f"notify {hashlib.sha256(url.encode()).hexdigest()[:16]}")
        self._waiting: collections.deque[tuple[str, dict[str, Any]]] = collections.deque(
            maxlen=MAX_WAITING
        )
        self._left_out = 0
        self._pause_s = 0.0
        self._next_at = 0.0
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)

    def start(self) -> None:
        """Begin to send."""
        self._thread.start()

    def stop(self) -> None:
        """Begin to end; `join` waits for it."""
        self._feed.close()

    def join(self, timeout: float) -> None:
        """Wait for the end; what could not be sent is sent after the next start."""
        self._thread.join(timeout)

    def _work(self) -> None:
        while not self._feed.closed:
            event = self._feed.get(_WAIT_S)
            if isinstance(event, AlarmEvent):
                self._take(event)
            if self._waiting and time.monotonic() >= self._next_at and self._bucket.take():
                self._deliver()

    def _take(self, event: AlarmEvent) -> None:
        if event.notify and event.action in TOLD:
            snapshot = self._monitor.snapshot
            names = {m.id: m.name for m in snapshot.machines}
            self._left_out += len(self._waiting) == self._waiting.maxlen
            self._waiting.append((event_sentence(event, names), event_values(event, snapshot)))
        elif not self._waiting:
            self._feed.delivered(event.id)

    def _deliver(self) -> None:
        notice = notice_of(self._waiting, self._left_out)
        try:
            self._send(notice)
        except (OSError, HTTPException) as error:
            self._bucket.put_back()
            self._pause_s = min(max(_FIRST_RETRY_S, 2 * self._pause_s), _MAX_RETRY_S)
            self._next_at = time.monotonic() + self._pause_s
            reason = getattr(error, "reason", None) or error
            log.warning("%s: %s; next try in %.0f s", self._name, reason, self._pause_s)
            return
        self._waiting.clear()
        self._left_out = 0
        self._pause_s = self._next_at = 0.0
        self._feed.delivered(notice.events[-1]["id"])


class Notifier:
    """All addresses; `start` makes one."""

    def __init__(self, targets: Sequence[Target]) -> None:
        self._targets = targets
        for target in targets:
            target.start()

    def stop(self) -> None:
        """End within a few seconds, whatever an address does."""
        for target in self._targets:
            target.stop()
        end = time.monotonic() + _STOP_S
        for target in self._targets:
            target.join(max(0.0, end - time.monotonic()))


def start(config: NotifyConfig, monitor: Monitor) -> Notifier:
    """Start to notify.

    Raises:
        OptionalDependencyError: an apprise address, and apprise is not installed.
        ParameterError: an address that cannot be used.
    """
    senders = _senders(config)
    return Notifier(
        [Target(name, url, send, config.per_hour, monitor) for name, url, send in senders]
    )


def check(config: NotifyConfig) -> list[str]:
    """Say which addresses cannot be used; nothing is sent.

    Raises:
        OptionalDependencyError: an apprise address, and apprise is not installed.
    """
    try:
        _senders(config)
    except ParameterError as error:
        return [str(error)]
    return []


def _senders(config: NotifyConfig) -> list[tuple[str, str, Callable[[Notice], None]]]:
    webhooks = [(_host(url), url, partial(post, url)) for url in config.webhooks]
    services = [(f"apprise {urlsplit(url).scheme}", url, _apprise(url)) for url in config.apprise]
    return [*webhooks, *services]


def _host(url: str) -> str:
    # An address may hold a secret: messages name the host alone.
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ParameterError("webhook", f"{parts.scheme}://...", "an http or https address")
    return f"webhook {parts.hostname}"
