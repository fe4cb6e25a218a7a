"""A machine without the daemon around it: windows by hand, and a clock that the test sets."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from running_monitor import hum

from asd_edge.audio.ring import Ring
from asd_edge.monitor.config import AlarmConfig, MachineConfig
from asd_edge.monitor.episodes import Ids, Now
from asd_edge.monitor.machine import Machine
from asd_edge.monitor.state import Window
from asd_edge.monitor.windows import Judge, Judged
from asd_edge.monitor.wording import headline, local_time

RATE, UTC = 8000, 1_700_000_000.0


class ByHand:
    """A machine that is given one window a second of time."""

    def __init__(self, bundle: Path, folder: Path) -> None:
        config = MachineConfig(bundle, device="null", rate=RATE)
        self.folder, self.ring, self.t = folder, Ring(90 * RATE, 1), 0.0
        judge, ids = Judge(config), Ids(0, 0, 0)
        rules = AlarmConfig(k=1, n=1)
        nothing = lambda _: None  # noqa: E731
        self.machine = Machine(
            "fan", config, rules, judge, self.ring, nothing, ids, self.now, keep_clips=False
        )

    @property
    def now(self) -> Now:
        return Now(self.t, UTC + self.t)

    def window(self, pitch: float) -> None:
        self.t += 1.0
        sound = hum(self.folder, 1.0, pitch, seed=int(self.t))
        self.ring.write(np.asarray(sound)[:, np.newaxis])
        cut = self.machine.cutter.due()
        assert cut is not None

        def found(judged: Judged) -> Window:
            ratio = judged.ratio
            start = UTC + self.t - 1.0
            scores = (judged.score, judged.threshold, ratio, judged.level_dbfs)
            return Window("fan", start, UTC + self.t, cut.start, 1, judged.validity, *scores)

        self.machine.take(cut, found, self.now)


@pytest.fixture
def by_hand(hum_bundle: Path, tmp_path: Path) -> ByHand:
    return ByHand(hum_bundle, tmp_path)


def test_an_alarm_keeps_its_time_over_a_silence(by_hand: ByHand) -> None:
    by_hand.window(200.0)
    by_hand.window(777.0)
    (episode,) = by_hand.machine.state.episodes
    assert by_hand.machine.state.since == episode.raised_at == UTC + 2.0
    by_hand.t += 3600.0  # without a microphone
    by_hand.machine.tick(None, by_hand.now)
    assert by_hand.machine.state.status == "unknown"
    assert by_hand.machine.state.since == UTC + 3602.0
    by_hand.window(777.0)
    state = by_hand.machine.state
    assert state.status == "alarm"
    assert state.since == episode.raised_at
    raised = local_time(episode.raised_at, by_hand.now.utc)
    assert headline(state, by_hand.now.utc).startswith(f"ALARM since {raised}")


def test_an_alarm_ends_when_the_windows_are_what_the_bundle_calls_usual(
    by_hand: ByHand, monkeypatch: pytest.MonkeyPatch
) -> None:
    judge = by_hand.machine.judge
    limit = judge.thresholds("00")(0.05)
    assert limit > 0.9  # a steady hum: its normal windows lie close together
    ratio = (0.9 + limit) / 2  # usual for this machine, but not below 0.9
    monkeypatch.setattr(
        Judge, "judge", lambda self, _: Judged("valid", -20.0, ratio, 1.0, section="00")
    )
    by_hand.machine.alarms["sound"].step("raise", by_hand.now)
    for _ in range(5):
        by_hand.window(200.0)
    assert by_hand.machine.state.status == "normal"
