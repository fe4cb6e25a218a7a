"""Long recordings of a real machine: faults are found and named, normal ones pass at the rate."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import scipy.stats
import soundfile
from helpers import invoke

from asd_edge.cli.main import main
from asd_edge.detector import Detector

SR = 16000


def read(path: Path) -> np.ndarray:
    return soundfile.read(path, dtype="int16")[0][: 10 * SR]


@pytest.fixture(scope="module")
def fan(recordings: Path) -> Path:
    return recordings / "machines" / "dev_data" / "fan"


@pytest.fixture(scope="module")
def detector(fan: Path, tmp_path_factory: pytest.TempPathFactory) -> Detector:
    out = tmp_path_factory.mktemp("bundles") / "fan.asd"
    invoke(main, "enroll", *sorted(fan.glob("train/section_01*")), "-o", out)
    return Detector.load(out)


def test_a_minute_of_a_fault_in_twenty(fan: Path, detector: Detector) -> None:
    normal = [read(path) for path in sorted(fan.glob("train/section_01*"))]
    fault = read(next(fan.glob("test/section_01*anomaly*")))
    parts = [normal[i % len(normal)] for i in range(120)]
    assert not detector.score(np.concatenate(parts), SR, section="01").anomalous
    parts[70:76] = [fault] * 6
    decision = detector.score(np.concatenate(parts), SR, section="01")
    assert decision.anomalous
    named = [window.start_s for window in decision.windows if window.anomalous]
    assert {700.0 + 5 * i for i in range(11)} <= set(named)
    assert min(named) >= 690
    assert max(named) <= 760
    assert 700 <= decision.worst.start_s <= 750


@pytest.mark.parametrize(("minutes", "count"), [(1, 40), (6, 20), (60, 3)])
def test_normal_recordings_pass_at_the_rate(
    fan: Path, detector: Detector, minutes: int, count: int
) -> None:
    clips = [read(path) for path in sorted(fan.glob("test/section_01*normal*"))]
    rng = np.random.default_rng(minutes)
    alarms = 0
    for _ in range(count):
        chosen = rng.integers(0, len(clips), 6 * minutes)
        y = np.concatenate([clips[i] for i in chosen])
        alarms += detector.score(y, SR, section="01").anomalous
    assert alarms <= scipy.stats.binom.ppf(0.999, count, 0.01)
