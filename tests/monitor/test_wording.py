"""Sentences are the same on the page, in MQTT and in messages."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
from fake_monitor import episode, machine, window

from asd_edge.monitor.events import AlarmEvent
from asd_edge.monitor.state import Snapshot
from asd_edge.monitor.wording import (
    duration,
    event_sentence,
    event_values,
    headline,
    local_time,
    machine_values,
    tone,
)

NOW = 1_800_000_000.0  # 2027-01-15 08:00:00 UTC


@pytest.fixture(autouse=True)
def berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(
    ("values", "sentence", "expected"),
    [
        ({}, "Normal. Last heard 4 s ago", "good"),
        (
            {"last_valid": window(ratio=1.2)},
            "No alarm, but the last window reached the threshold. Last heard 4 s ago",
            "idle",
        ),
        ({"last_valid": window(ratio=0.99)}, "Normal. Last heard 4 s ago", "good"),
        ({"status": "starting", "last_heard": None}, "Starting. Nothing heard yet", "idle"),
        ({"status": "off"}, "Off since 08:50", "idle"),
        (
            {"status": "alarm", "sentence": "4.7-5.4 kHz, 8 dB above normal"},
            "ALARM since 08:50: 4.7-5.4 kHz, 8 dB above normal",
            "alarm",
        ),
        ({"status": "unknown"}, "Unknown since 08:50: Last heard 4 s ago", "fault"),
        (
            {"microphone": "missing", "microphone_since": NOW - 86_400, "status": "unknown"},
            "MICROPHONE MISSING since 14 Jan 09:00",
            "fault",
        ),
        (
            {"microphone": "dead", "microphone_since": NOW, "microphone_sentence": "offset only"},
            "MICROPHONE DEAD since 09:00: offset only",
            "fault",
        ),
        # Without sound the alarm is neither forgotten nor shown as if it were heard.
        (
            {
                "microphone": "stalled",
                "microphone_since": NOW,
                "status": "alarm",
                "episodes": (episode(raised_at=NOW - 600),),
            },
            "MICROPHONE GIVES NO SOUND since 09:00; an alarm of 08:50 is still open",
            "fault",
        ),
        (
            {"episodes": (episode(kind="disk", raised_at=NOW - 600, sentence="full"),)},
            "DISK FAULT since 08:50: full",
            "fault",
        ),
    ],
)
def test_headline(values: dict[str, Any], sentence: str, expected: str) -> None:
    state = machine(**{"since": NOW - 600, "last_heard": NOW - 4, **values})
    assert headline(state, NOW) == sentence
    assert tone(state) == expected


def test_local_time_keeps_to_the_device_s_zone_in_summer_and_winter() -> None:
    assert local_time(NOW, NOW) == "09:00"
    july = NOW + 181 * 86_400
    assert local_time(july, NOW) == "15 Jul 10:00"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        *[(0, "0 s"), (-3, "0 s"), (119, "119 s"), (120, "2 min"), (7199, "120 min")],
        *[(7200, "2 h"), (172_800, "2 days")],
    ],
)
def test_duration(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("action", "values", "text"),
    [
        ("raise", {}, "Fan: ALARM: why"),
        ("remind", {}, "Fan: ALARM still open, since 08:50: why"),
        ("clear", {}, "Fan: ALARM of 08:50 is over, after 10 min"),
        ("acknowledge", {"by": "mqtt"}, "Fan: ALARM of 08:50 acknowledged by mqtt"),
        ("verdict", {"verdict": "fault", "by": "page"}, "Fan: ALARM of 08:50 was a fault by page"),
        ("unshelve", {}, "Fan: alarms no longer shelved"),
    ],
)
def test_events(action: Any, values: dict[str, Any], text: str) -> None:
    found = episode(raised_at=NOW - 600, sentence="why")
    event = AlarmEvent(3, NOW, action, found, True, **values)
    assert event_sentence(event, {"fan": "Fan"}) == text


def test_a_fault_of_the_device_names_the_device() -> None:
    event = AlarmEvent(3, NOW, "raise", episode(machine="", kind="disk", sentence="full"), True)
    assert event_sentence(event, {}) == "Device: DISK FAULT: full"
    assert event_values(event, Snapshot(NOW, "shed"))["machine"] == ""


def test_an_alarm_in_run_in_is_shown_and_is_none_for_others() -> None:
    quiet = machine(status="alarm", mode="run-in", episodes=(episode(notify=False),))
    assert machine_values(quiet, NOW)["alarm"] is False
    assert machine_values(quiet, NOW)["status"] == "alarm"
    loud = machine(status="alarm", episodes=(episode(),), last=window(), last_valid=window())
    assert machine_values(loud, NOW)["alarm"] is True
