"""Real machines by replay: an alarm on what is faulty, none in an hour of what is normal.

The alarm comes with the k-th of k windows running that are each above the threshold. Of fan 00 and
motor 01 one faulty clip lies below it by itself, so that it may come a window later than k.
"""

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
ORDERS = 5


def read(path: Path) -> NDArray[np.int16]:
    return soundfile.read(path, dtype="int16", always_2d=True)[0][: WINDOW_S * RATE]


class Machine:
    """A section of a machine: a bundle of its training clips, and its other clips."""

    def __init__(self, data: Path, section: str, folder: Path) -> None:
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
) -> tuple[Sequence[AlarmEvent], list[float]]:
    """Play clips, one a window, and give what happened and the ratio of each."""
    part = MachineConfig(machine.bundle, device="none", rate=RATE, section=machine.section)
    config = Config({"m": part}, history=HistoryConfig(folder, clips=False), alarms=RULE)
    replay = Replay(config, "m", Bus(), print)
    replay.play(clips)
    replay.close()
    windows = list(replay.history.each_window())
    assert {w.validity for w in windows} == {"valid"}
    events = [e for e in replay.history.events() if e.episode.kind == "sound"]
    return events, [w.ratio for w in windows if w.ratio is not None]


def kth_above(ratios: Sequence[float]) -> int:
    """Give the number, from 1, of the window that ends the first k running above the threshold."""
    return next(i for i in range(RULE.k, len(ratios) + 1) if min(ratios[i - RULE.k : i]) >= 1)


def test_no_alarm_in_an_hour_of_what_is_normal(tmp_path: Path, machine: Machine) -> None:
    """Of clips that were not enrolled, in an order drawn anew for each hour."""
    rng = np.random.default_rng(1)
    for hour in range(3):
        chosen = rng.integers(0, len(machine.normal), 3600 // WINDOW_S)
        events, _ = play(tmp_path / f"{hour}", machine, (machine.normal[i] for i in chosen))
        assert events == []


def test_an_alarm_with_the_kth_window_above(tmp_path: Path, machine: Machine) -> None:
    normal, faulty = itertools.cycle(machine.normal), itertools.cycle(machine.faulty)
    before, fault = 30, 12
    blocks = [*itertools.islice(normal, before), *itertools.islice(faulty, fault)]
    events, ratios = play(tmp_path, machine, [*blocks, *itertools.islice(normal, before)])
    assert [e.action for e in events] == ["raise", "clear"]
    raised, cleared = ((event.at - START) / WINDOW_S for event in events)
    assert before < raised <= kth_above(ratios)
    assert raised - before <= RULE.k + 1  # of no machine two of the first three faults are below
    # One of the fan's normal clips has a ratio of 0.91, after which it is calm from the start.
    assert RULE.clear_after <= cleared - before - fault <= 2 * RULE.clear_after
    assert "normal" in events[0].episode.sentence


def test_an_alarm_in_any_order_of_the_faults(tmp_path: Path, machine: Machine) -> None:
    """With the k-th window of the fault, or the next where one of them lies below the threshold."""
    rng, before = np.random.default_rng(2), 2
    for order in range(ORDERS):
        chosen = [i for _ in range(4) for i in rng.permutation(len(machine.faulty))]
        blocks = [*machine.normal[:before], *(machine.faulty[i] for i in chosen[:4])]
        events, ratios = play(tmp_path / f"{order}", machine, blocks)
        below = sum(r < 1 for r in ratios[before : before + RULE.k])
        assert below <= 1
        assert 0 < (events[0].at - START) / WINDOW_S - before <= RULE.k + below
