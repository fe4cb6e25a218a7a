"""What people tell the daemon by the page and by MQTT, and what becomes of it everywhere."""

from __future__ import annotations

import errno
import http.client
import json
import os
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest
from fake_monitor import clip, episode
from real_parts import MOSQUITTO, Broker, Listener, free_port, wait_for
from running_monitor import Running, player, raw, toml

from asd_edge.bundle.format import read_bundle
from asd_edge.errors import CommandError
from asd_edge.monitor import feedback
from asd_edge.monitor.config import MachineConfig, read
from asd_edge.monitor.daemon import Daemon
from asd_edge.monitor.desk import Desk
from asd_edge.monitor.events import AlarmEvent, Event, StateEvent, WindowEvent

Start = Callable[..., Running]


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    if MOSQUITTO is None:
        pytest.skip("mosquitto is not installed (tests/install_apt.sh)")
    found = Broker(tmp_path)
    yield found
    found.kill()


class Page:
    """What a browser sends."""

    def __init__(self, port: int) -> None:
        self.port = port

    def ask(self, path: str, body: object = None) -> tuple[int, Any]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        if body is None:
            connection.request("GET", path)
        else:
            origin = {"Origin": f"http://127.0.0.1:{self.port}"}
            connection.request("POST", path, json.dumps(body), origin)
        answer = connection.getresponse()
        content = json.loads(answer.read())
        connection.close()
        return answer.status, content

    def machine(self) -> dict[str, Any]:
        try:
            found: dict[str, Any] = self.ask("/api/state")[1]["machines"][0]
        except OSError:  # not yet
            return {"episodes": [], "shelved_until": None}
        return found


def test_commands_by_page_and_mqtt_are_done_and_told_everywhere(
    tmp_path: Path, hum_bundle: Path, start: Start, broker: Broker
) -> None:
    bundle = tmp_path / "own.asd"
    shutil.copytree(hum_bundle, bundle)
    sound = raw(tmp_path, (200.0, 5.0), (320.0, 20.0), (200.0, 15.0), (260.0, 120.0))
    page = Page(free_port())
    rest = f'[mqtt]\nhost = "127.0.0.1"\nport = {broker.port}\nallow_commands = true\n'
    config = toml(bundle, player(sound), rest)
    config = config.replace("enabled = false", f"port = {page.port}")
    listener = Listener(broker.port)
    daemon = start(config)

    def events(action: str) -> list[dict[str, Any]]:
        return [e for e in listener.values("asd-edge/test/fan/event") if e["action"] == action]

    raised = wait_for(lambda: events("raise"))[0]
    number = raised["episode"]

    # Acknowledged by MQTT: the page and the history know.
    listener.client.publish("asd-edge/test/fan/command", "acknowledge", 1)
    assert wait_for(lambda: events("acknowledge"))[0]["by"] == "mqtt"
    assert page.machine()["episodes"][0]["acknowledged_by"] == "mqtt"
    noted = daemon.history.episode(number)
    assert noted is not None
    assert noted.acknowledged_by == "mqtt"
    status, refused = page.ask(f"/api/episodes/{number}/acknowledge", {})
    assert (status, refused["error"]) == (409, "this alarm is acknowledged already")

    # Shelved by the page: MQTT knows until when, and its end.
    assert page.ask("/api/machines/fan/shelve", {"hours": 2})[0] == 200
    until = wait_for(lambda: page.machine()["shelved_until"])
    state = wait_for(
        lambda: (s := listener.values("asd-edge/test/fan/state")[-1])["shelved_until"] and s
    )
    assert state["open_episodes"] == [number]
    assert wait_for(lambda: events("shelve"))[0]["by"] == "page"
    assert until == pytest.approx(raised_at(daemon, number) + 7200, abs=60)
    assert page.ask("/api/machines/fan/shelve", {"hours": 25})[0] == 400
    assert page.ask("/api/machines/fan/shelve", {"hours": 0})[0] == 200
    assert page.ask("/api/machines/fan/shelve", {"hours": 0})[0] == 409
    assert page.ask("/api/machines/pump/shelve", {"hours": 1})[0] == 404
    for none in (999, 2**63, 10**400):
        assert page.ask(f"/api/episodes/{none}/acknowledge", {})[0] == 404
        assert page.ask(f"/api/episodes/{none}")[0] == 404
    wait_for(lambda: page.machine()["shelved_until"] is None)

    # A fault, once.
    assert page.ask(f"/api/episodes/{number}/was-fault", {})[0] == 200
    assert wait_for(lambda: events("verdict"))[0]["verdict"] == "fault"
    status, refused = page.ask(f"/api/episodes/{number}/was-normal", {})
    assert (status, refused["error"]) == (409, "this alarm was called fault already")

    wait_for(lambda: [e for e in events("clear") if e["episode"] == number])

    # The next one was normal: it is enrolled, the new bundle is used, and the alarm ends by it.
    second = wait_for(lambda: [e for e in events("raise") if e["episode"] != number])[0]["episode"]
    before = len(read_bundle(bundle).views["embedding"].references.clips)
    wait_for(lambda: daemon.history.clips(second))
    page.ask(f"/api/episodes/{second}/was-normal", {})
    wait_for(lambda: daemon.history.episode(second).verdict == "normal")
    wait_for(lambda: daemon.says("was replaced; it is used"))
    # Its own windows alone: those of the fault, which the clip's time before it holds, are none.
    added = len(read_bundle(bundle).views["embedding"].references.clips) - before
    assert 0 < added <= 5
    wait_for(lambda: [e for e in events("clear") if e["episode"] == second])
    assert daemon.stop() == 0
    ratios = [w.ratio for w in daemon.windows() if w.ratio is not None]
    assert max(ratios[-3:]) < 0.9
    listener.close()


def raised_at(daemon: Running, number: int) -> float:
    episode = daemon.history.episode(number)
    assert episode is not None
    return episode.raised_at


def test_whoever_gets_an_event_finds_it_in_the_snapshot(tmp_path: Path, hum_bundle: Path) -> None:
    """At the moment at which it is published, not one window later."""
    sound = raw(tmp_path, (200.0, 5.0), (320.0, 20.0), (200.0, 10.0))
    (tmp_path / "m.toml").write_text(toml(hum_bundle, player(sound, 20)))
    daemon = Daemon(read(tmp_path / "m.toml"), None, lambda _: None)
    seen: list[tuple[Event, Any]] = []
    daemon.bus.subscribe("test").put = lambda event: seen.append(
        (event, daemon.snapshot.machine("fan"))
    )
    daemon._start_captures()
    while sum(isinstance(event, WindowEvent) for event, _ in seen) < 35:
        daemon._turn()
    daemon._end()
    statuses = [event.machine.status for event, _ in seen if isinstance(event, StateEvent)]
    assert statuses[-1] == "normal"
    assert "alarm" in statuses
    for event, machine in seen:
        if isinstance(event, WindowEvent):
            assert machine.last == event.window
            assert machine.counts["valid"] == 1 + event.window.first_sample // 8000
        elif isinstance(event, StateEvent):
            assert machine == event.machine
        elif isinstance(event, AlarmEvent) and event.action == "raise":
            # Published once it is on the disk, when the machine may have gone on to normal.
            assert event.episode.id in {e.id for e in machine.episodes} or machine.status != "alarm"


def test_what_keeps_an_alarm_from_being_enrolled_is_a_refusal(
    tmp_path: Path, hum_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "1.flac").write_text("no sound")
    damaged = clip(tmp_path / "1.flac", 1, windows=((0, 8000, 3.0, 2.0),))
    config = MachineConfig(hum_bundle, device="none", rate=8000)
    with pytest.raises(CommandError, match=r"1\.flac cannot be read as sound"):
        feedback.add_as_normal(config, [damaged])

    def full(*_: object) -> str:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(feedback, "add_as_normal", full)
    future: Future[str] = Future()
    nobody: Any = None
    Desk._teach(nobody, config, [], episode(), "page", future)
    with pytest.raises(CommandError, match=r"hum\.asd cannot be written: Read-only file system"):
        future.result(0)
