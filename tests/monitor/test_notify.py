"""Notifications against a web server on loopback."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from fake_monitor import FakeMonitor, episode, machine
from real_parts import Receiver, wait_for

from asd_edge.errors import ParameterError
from asd_edge.monitor import notify
from asd_edge.monitor.outlet_config import NotifyConfig


@pytest.fixture
def started() -> Iterator[Callable[..., notify.Notifier]]:
    outlets = []

    def start(monitor: FakeMonitor, **settings: Any) -> notify.Notifier:
        outlets.append(notify.start(NotifyConfig(**settings), monitor))
        return outlets[-1]

    yield start
    for outlet in outlets:
        outlet.stop()


def test_a_webhook_is_told_of_an_alarm(
    receiver: Receiver, started: Callable[..., notify.Notifier]
) -> None:
    monitor = FakeMonitor(machine(name="Fan <2>"))
    started(monitor, webhooks=(receiver.url,))
    raised = monitor.happen("raise", episode())
    body = wait_for(lambda: receiver.bodies)[0]
    assert body["title"] == body["text"] == "Fan <2>: ALARM: 4.7-5.4 kHz, 8 dB above normal"
    (event,) = body["events"]
    assert event["id"] == raised.id
    assert (event["node"], event["machine"], event["action"]) == ("shed", "fan", "raise")
    assert event["worst_ratio"] == 1.7


def test_people_are_not_told_what_they_need_not_know(
    receiver: Receiver, started: Callable[..., notify.Notifier]
) -> None:
    monitor = FakeMonitor(machine())
    started(monitor, webhooks=(receiver.url,))
    monitor.happen("raise", episode(1), notify=False)
    monitor.happen("acknowledge", episode(2))
    monitor.happen("verdict", episode(2))
    monitor.happen("raise", episode(3, kind="microphone", sentence="no such device"))
    body = wait_for(lambda: receiver.bodies)[0]
    assert body["text"] == "Fan: MICROPHONE FAULT: no such device"
    assert len(receiver.bodies) == 1


def test_the_bucket_allows_six_an_hour() -> None:
    now = 0.0
    bucket = notify.TokenBucket(6, lambda: now)
    assert [bucket.take() for _ in range(8)] == [True] * 6 + [False] * 2
    now = 599.0
    assert not bucket.take()
    now = 600.0
    assert bucket.take()
    assert not bucket.take()
    bucket.put_back()
    assert bucket.take()
    # After a quiet day there are six again, not 144.
    now = 86400.0
    assert [bucket.take() for _ in range(7)] == [True] * 6 + [False]


def test_what_is_too_much_comes_as_one_digest(
    receiver: Receiver, started: Callable[..., notify.Notifier], monkeypatch: pytest.MonkeyPatch
) -> None:
    allowed = threading.Event()

    class Bucket(notify.TokenBucket):
        def take(self) -> bool:
            return super().take() or allowed.is_set()

    monkeypatch.setattr(notify, "TokenBucket", Bucket)
    monitor = FakeMonitor(machine())
    started(monitor, webhooks=(receiver.url,))
    for number in range(1, 7):
        monitor.happen("raise", episode(number))
        wait_for(lambda number=number: len(receiver.bodies) == number)
    for number in range(7, 18):
        monitor.happen("raise", episode(number))
    monitor.happen("acknowledge", episode(17))
    (subscription,) = monitor.bus._subscriptions
    wait_for(lambda: not subscription._events)
    allowed.set()
    wait_for(lambda: len(receiver.bodies) == 7)
    digest = receiver.bodies[-1]
    assert digest["title"] == "11 events on shed"
    assert digest["text"].count("\n") == 10
    assert [event["episode"] for event in digest["events"]] == list(range(7, 18))


def test_a_digest_says_what_it_leaves_out() -> None:
    notice = notify.notice_of([("Fan: ALARM", {"node": "shed"})], left_out=3)
    assert notice.title == "4 events on shed"
    assert notice.text == "3 older events are left out.\nFan: ALARM"


def test_a_failure_is_tried_again_and_neither_lost_nor_repeated(
    receiver: Receiver,
    started: Callable[..., notify.Notifier],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(notify, "_FIRST_RETRY_S", 0.1)
    receiver.status = 500
    monitor = FakeMonitor(machine())
    started(monitor, webhooks=(receiver.url,))
    monitor.happen("raise", episode(1))
    wait_for(lambda: receiver.tries >= 2)
    monitor.happen("clear", episode(1, cleared_at=1060.0))
    receiver.status = 204
    wait_for(lambda: sum(len(body["events"]) for body in receiver.bodies) == 2)
    events = [event["action"] for body in receiver.bodies for event in body["events"]]
    assert events == ["raise", "clear"]
    assert "webhook 127.0.0.1" in caplog.text
    assert "secret" not in caplog.text


def test_a_restart_neither_loses_nor_repeats(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notify, "_FIRST_RETRY_S", 0.05)
    monitor = FakeMonitor(machine())
    config = NotifyConfig(webhooks=(receiver.url,))
    first = notify.start(config, monitor)
    monitor.happen("raise", episode(1))
    wait_for(lambda: len(receiver.bodies) == 1)
    receiver.status = 503
    monitor.happen("raise", episode(2))
    wait_for(lambda: receiver.tries >= 2)
    first.stop()
    monitor.happen("clear", episode(1, cleared_at=1060.0))
    receiver.status = 200
    second = notify.start(config, monitor)
    wait_for(lambda: sum(len(body["events"]) for body in receiver.bodies) == 3)
    numbers = [event["id"] for body in receiver.bodies for event in body["events"]]
    assert numbers == [1, 2, 3]
    wait_for(lambda: 3 in monitor.history.cursors.values())
    second.stop()
    third = notify.start(config, monitor)
    monitor.happen("raise", episode(4))
    wait_for(lambda: receiver.bodies[-1]["events"][-1]["id"] == 4)
    third.stop()
    assert sum(len(body["events"]) for body in receiver.bodies) == 4


def test_one_dead_address_holds_up_no_other(
    receiver: Receiver, started: Callable[..., notify.Notifier]
) -> None:
    monitor = FakeMonitor(machine())
    started(monitor, webhooks=("http://127.0.0.1:9/", receiver.url))
    monitor.happen("raise", episode())
    wait_for(lambda: receiver.bodies)


@pytest.mark.parametrize("url", ["ftp://example.com/x", "file:///etc/passwd", "example.com", ""])
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(ParameterError, match="http or https"):
        notify.start(NotifyConfig(webhooks=(url,)), FakeMonitor(machine()))
    assert len(notify.check(NotifyConfig(webhooks=(url,)))) == 1


# apprise asks for parts of other packages that those will drop.
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_apprise_delivers(receiver: Receiver, started: Callable[..., notify.Notifier]) -> None:
    pytest.importorskip("apprise", reason="needs the extra notify")
    monitor = FakeMonitor(machine())
    started(monitor, apprise=(receiver.url.replace("http://", "json://"),))
    monitor.happen("raise", episode())
    body = wait_for(lambda: receiver.bodies)[0]
    assert body["message"] == "Fan: ALARM: 4.7-5.4 kHz, 8 dB above normal"


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_an_address_that_apprise_does_not_know_is_refused_without_its_secret() -> None:
    pytest.importorskip("apprise", reason="needs the extra notify")
    (fault,) = notify.check(NotifyConfig(apprise=("nosuchthing://secret@host",)))
    assert "nosuchthing" in fault
    assert "secret" not in fault
