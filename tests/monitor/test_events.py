"""The bus never waits; what nobody fetches is dropped, oldest first, and counted."""

from __future__ import annotations

import threading

from asd_edge.monitor.events import Bus, WindowEvent
from asd_edge.monitor.state import Window


def event(number: int) -> WindowEvent:
    return WindowEvent(Window("fan", number, number + 1, 0, 0, "valid"))


def test_every_subscriber_gets_every_event_in_order() -> None:
    bus = Bus()
    first, second = bus.subscribe("first"), bus.subscribe("second")
    for i in range(5):
        bus.publish(event(i))
    for subscription in (first, second):
        assert [subscription.get(0) for _ in range(6)] == [*map(event, range(5)), None]


def test_a_slow_subscriber_loses_the_oldest() -> None:
    bus = Bus()
    slow, quick = bus.subscribe("slow", 3), bus.subscribe("quick", 100)
    for i in range(10):
        bus.publish(event(i))
    assert [slow.get(0) for _ in range(4)] == [event(7), event(8), event(9), None]
    assert bus.dropped() == {"slow": 7, "quick": 0}
    assert quick.get(0) == event(0)


def test_waiting_ends_with_an_event_or_with_the_bus() -> None:
    bus = Bus()
    subscription = bus.subscribe("waits")
    found = []

    def fetch() -> None:
        while not subscription.closed:
            found.append(subscription.get())

    thread = threading.Thread(target=fetch)
    thread.start()
    bus.publish(event(1))
    bus.close()
    thread.join(10)
    assert not thread.is_alive()
    assert [e for e in found if e is not None] == [event(1)]
    bus.publish(event(2))
    assert subscription.get(0) is None


def test_unsubscribing() -> None:
    bus = Bus()
    subscription = bus.subscribe("gone")
    bus.unsubscribe(subscription)
    bus.publish(event(1))
    assert subscription.get() is None
    assert bus.dropped() == {}
