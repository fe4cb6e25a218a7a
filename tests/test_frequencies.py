"""Which frequencies a recording holds: sound of a lower rate that was resampled is said."""

from __future__ import annotations

import numpy as np
import pytest
import soundfile
import soxr

from asd_edge.bundle.locate import BUILT_IN, EXAMPLES
from asd_edge.detector import Detector
from asd_edge.frequencies import check_bands
from asd_edge.frontend.bands import mel_frequencies
from asd_edge.frontend.windows import FrontEnd

SR = 16000


@pytest.fixture(scope="module")
def detector() -> Detector:
    return Detector.load(BUILT_IN)


def example() -> np.ndarray:
    return soundfile.read(EXAMPLES / "normal.flac", dtype="float32")[0]


def kinds(detector: Detector, y: np.ndarray) -> list[str]:
    decision = detector.score((np.clip(y, -1, 1) * 32767).astype(np.int16), SR)
    return [warning.kind for warning in decision.warnings if warning.kind != "level"]


@pytest.mark.parametrize("rate", [8000, 11025, 12000])
@pytest.mark.parametrize("repeated", [1, 9])  # 9: read in blocks
def test_sound_of_a_lower_rate_that_was_resampled(
    detector: Detector, rate: int, repeated: int
) -> None:
    y = np.tile(example(), repeated)
    assert kinds(detector, y) == []
    lower = soxr.resample(soxr.resample(y, SR, rate), rate, SR)
    assert kinds(detector, lower) == ["bandwidth"]


@pytest.mark.parametrize("gain", [0.03, 0.1, 3.0])
def test_a_soft_clip_has_all_frequencies(detector: Detector, gain: float) -> None:
    assert kinds(detector, gain * example()) == []


def test_the_frequency_is_named() -> None:
    front_end = FrontEnd()
    centres = mel_frequencies(front_end.mel)[1:-1]
    lowest = np.full(len(centres), -50, np.float32)
    levels = np.where(centres < 4000, -45, -90).astype(np.float32)
    (warning,) = check_bands("clip", levels, lowest, SR, front_end)
    assert "has nothing above 4.0 kHz" in warning.reason  # the lower edge of the first empty band
    assert check_bands("clip", levels, lowest, 8000, front_end) == []  # said of the rate


@pytest.mark.parametrize("case", ["all softer", "a gap below", "the top alone", "unknown"])
def test_what_is_no_lower_rate(case: str) -> None:
    front_end = FrontEnd()
    centres = mel_frequencies(front_end.mel)[1:-1]
    lowest = np.full(len(centres), -50, np.float32)
    levels = lowest + 5
    if case == "all softer":  # as of a machine that rests
        levels = lowest - np.where(centres < 4000, 15, 40)
    elif case == "a gap below":
        levels[40:80] = -100
    elif case == "the top alone":
        levels[centres > 7500] = -100
    known = None if case == "unknown" else lowest
    assert check_bands("clip", levels, known, SR, front_end) == []
