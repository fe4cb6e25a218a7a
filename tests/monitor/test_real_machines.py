"""Real machines by replay: an alarm on what is faulty, none in an hour of what is normal."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pytest
import soundfile
from helpers import invoke
from numpy.typing import NDArray

from asd_edge.cli.main import main
from asd_edge.monitor.config import AlarmConfig, Config, HistoryConfig, MachineConfig
from asd_edge.monitor.events import AlarmEvent, Bus
from asd_edge.monitor.replay import START, Replay

RATE, WINDOW_S = 16_000, 10
RULE = AlarmConfig()
# Of these, one of the first three faulty clips lies below the threshold by itself.
LATE = {"fan/00": 1, "motor/01": 1}


def read(path: Path) -> NDArray[np.int16]:
    return soundfile.read(path, dtype="int16", always_2d=True)[0][: WINDOW_S * RATE]


class Machine:
    """A section of a machine: a bundle of its training clips, and its other clips."""

    def __init__(self, data: Path, section: str, folder: Path) -> None:
        self.late = LATE.get(f"{data.name}/{section}", 0)
        self.section, self.bundle = section, folder / f"{data.name}.asd"
        invoke(main, "enroll", *sorted(data.glob(f"train/section_{section}*")), "-o", self.bundle)
        self.normal, self.faulty = (
            [read(path) for path in sorted(data.glob(f"test/section_{section}*{kind}*"))]
            for kind in ("normal", "anomaly")
        )


# A fan of DCASE 2020, and a motor with faults of its propeller.
@pytest.fixture(
    params=[("fan", "00"), ("fan", "01"), ("motor", "00"), ("motor", "01")],
    ids=lambda value: "-".join(value),
)
def machine(
    request: pytest.FixtureRequest, recordings: Path, tmp_path_factory: pytest.TempPathFactory
) -> Machine:
    name, section = request.param
    data = recordings / "machines" / "dev_data" / name
    return Machine(data, section, tmp_path_factory.mktemp("bundles"))


def play(
    folder: Path, machine: Machine, clips: Iterable[NDArray[np.int16]]
) -> Sequence[AlarmEvent]:
    """Play clips, one a window, and give what happened."""
    part = MachineConfig(machine.bundle, device="none", rate=RATE, section=machine.section)
    config = Config({"m": part}, history=HistoryConfig(folder, clips=False), alarms=RULE)
    replay = Replay(config, "m", Bus(), print)
    replay.play(clips)
    replay.close()
    assert {w.validity for w in replay.history.each_window()} == {"valid"}
    return [e for e in replay.history.events() if e.episode.kind == "sound"]


def test_no_alarm_in_an_hour_of_what_is_normal(tmp_path: Path, machine: Machine) -> None:
    """Of clips that were not enrolled, in an order drawn anew for each hour."""
    rng = np.random.default_rng(1)
    for hour in range(3):
        chosen = rng.integers(0, len(machine.normal), 3600 // WINDOW_S)
        assert play(tmp_path / f"{hour}", machine, (machine.normal[i] for i in chosen)) == []


def test_an_alarm_on_what_is_faulty_within_k_windows(tmp_path: Path, machine: Machine) -> None:
    normal, faulty = itertools.cycle(machine.normal), itertools.cycle(machine.faulty)
    before, fault = 30, 12
    blocks = [*itertools.islice(normal, before), *itertools.islice(faulty, fault)]
    events = play(tmp_path, machine, [*blocks, *itertools.islice(normal, before)])
    assert [e.action for e in events] == ["raise", "clear"]
    raised, cleared = ((event.at - START) / WINDOW_S - before for event in events)
    assert 1 <= raised <= RULE.k + machine.late
    # One of the fan's normal clips has a ratio of 0.97, after which it is calm from the start.
    assert RULE.clear_after <= cleared - fault <= 2 * RULE.clear_after
    assert "normal" in events[0].episode.sentence
