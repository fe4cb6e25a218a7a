"""A bundle that knows the hum of `write_tone` well enough for rare alarms to be promised."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from helpers import invoke, write_tone
from running_monitor import Running

from asd_edge.cli.enroll import enroll


@pytest.fixture(scope="session")
def hum_bundle(tiny_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three minutes of a hum of 200 Hz: the few clips of `tiny_bundle` promise no rare alarm."""
    folder = tmp_path_factory.mktemp("enrolled")
    write_tone(folder / "normal.wav", 200.0, seed=5, seconds=180)
    invoke(enroll, folder / "normal.wav", "--from", tiny_bundle, "-o", folder / "hum.asd")
    return folder / "hum.asd"


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
