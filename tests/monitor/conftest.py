"""A bundle that knows the hum of `write_tone` well enough for rare alarms to be promised; daemons,
and servers of the page, that are ended."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fake_monitor import FakeMonitor, episode, machine, window
from helpers import invoke, write_tone
from real_parts import Broker, Receiver
from running_monitor import Running

from asd_edge.cli.enroll import enroll
from asd_edge.monitor.outlet_config import WebConfig


@pytest.fixture(scope="session")
def hum_bundle(tiny_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three minutes of a hum of 200 Hz: the few clips of `tiny_bundle` promise no rare alarm."""
    folder = tmp_path_factory.mktemp("enrolled")
    write_tone(folder / "normal.wav", 200.0, seed=5, seconds=180)
    invoke(enroll, folder / "normal.wav", "--from", tiny_bundle, "-o", folder / "hum.asd")
    return folder / "hum.asd"


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    found = Broker(tmp_path)
    yield found
    found.kill()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    found = Receiver()
    yield found
    found.close()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Running]]:
    made: list[Running] = []

    def run(config: str, patch: str = "", **env: str) -> Running:
        made.append(Running(tmp_path, config, patch, **env))
        return made[-1]

    yield run
    for one in made:
        if one.process.poll() is None:
            one.process.kill()
            one.process.wait(10)


@pytest.fixture(scope="module")
def password_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from asd_edge.monitor.web.passwords import hash_password

    path = tmp_path_factory.mktemp("password") / "password"
    path.write_text(hash_password("correct horse") + "\n")
    return path


@pytest.fixture
def monitor() -> FakeMonitor:
    state = machine(
        name="<img src=x onerror=alert(1)>", status="alarm", episodes=(episode(7),), last=window()
    )
    found = FakeMonitor(state, machine("pump"))
    found.history.all_episodes = [episode(7)]
    return found


@pytest.fixture
def serve(monitor: FakeMonitor) -> Iterator[Callable[..., Any]]:
    """Start a server of the page; give requests to it."""
    pytest.importorskip("starlette", reason="needs the extra monitor")
    pytest.importorskip("uvicorn", reason="needs the extra monitor")
    pytest.importorskip("prometheus_client", reason="needs the extra monitor")
    from web_client import Client

    from asd_edge.monitor.web import outlet

    started = []

    def start(**settings: Any) -> Client:
        started.append(outlet.start(WebConfig(port=0, **settings), monitor))
        return Client(started[-1])

    yield start
    for web in started:
        web.stop()


@pytest.fixture
def client(serve: Callable[..., Any]) -> Any:
    return serve()
