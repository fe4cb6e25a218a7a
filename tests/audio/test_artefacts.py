"""Digital faults of a recording: a buffer that repeats, samples of a lower rate."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr

from asd_edge.audio.recording import open_recording
from asd_edge.bundle.locate import BUILT_IN, EXAMPLES
from asd_edge.detector import Detector

SR = 16000


def noise(seconds: float, rate: int = SR) -> np.ndarray:
    rng = np.random.default_rng(round(seconds * rate))
    return np.round(3000 * rng.standard_normal(round(seconds * rate))).clip(-32768, 32767) / 32768


def example() -> np.ndarray:
    return soundfile.read(EXAMPLES / "normal.flac")[0]


def found(y: np.ndarray, rate: int, folder: Path, subtype: str = "PCM_16") -> list[tuple[str, str]]:
    """What reading a file of the samples warns of, as (kind, reason)."""
    path = folder / "clip.wav"
    soundfile.write(path, y, rate, subtype)
    with open_recording(path, SR) as recording:
        for _ in recording.blocks():
            pass
        return [(warning.kind, warning.reason) for warning in recording.warnings]


def stuck(y: np.ndarray, rate: int, start: float, period: float, end: float) -> np.ndarray:
    """Play what begins at `start` again and again until `end`, all in s."""
    a, n, b = (round(x * rate) for x in (start, period, end))
    y = y.copy()
    y[a:b] = y[a + np.arange(b - a) % n]
    return y


@pytest.mark.parametrize("period", [0.02, 0.0213, 0.1, 0.25, 0.999, 1.0])
@pytest.mark.parametrize("rate", [SR, 44100, 48000])
@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24"])
def test_a_block_that_is_played_again_and_again(
    tmp_path: Path, period: float, rate: int, subtype: str
) -> None:
    y = stuck(noise(10, rate), rate, 3.25, period, 6.5)
    ((kind, reason),) = found(y, rate, tmp_path, subtype)
    period = round(period * rate) / rate
    named = f"{period:.3f}".rstrip("0").rstrip(".")
    assert kind == "repeats"
    assert reason.startswith(f"plays the same {named} s again and again from 3.25 to 6.5 s")
    assert "restart the recorder" in reason


def test_each_of_both_channels_repeats(tmp_path: Path) -> None:
    y = stuck(np.c_[noise(10), (noise(10) + noise(10)[::-1]) / 2], SR, 2, 0.1, 4)
    assert [kind for kind, _ in found(y, SR, tmp_path)] == ["repeats"]


@pytest.mark.parametrize("period", [0.02, 0.5, 3.0, 5.0])
@pytest.mark.parametrize("seconds", [10.0, 30.0])
def test_a_recorder_that_plays_the_same_for_ever(period: float, seconds: float) -> None:
    y = np.resize(example()[: round(period * SR)], round(seconds * SR))
    decision = Detector.load(BUILT_IN).score(y, SR)
    (reason,) = [warning.reason for warning in decision.warnings if warning.kind == "repeats"]
    assert f"plays the same {period:g} s again and again from 0 to {seconds:g} s" in reason


def test_a_stretch_is_as_long_as_it_is_whatever_the_blocks(tmp_path: Path) -> None:
    """Reading ten minutes takes ten blocks; a shorter stretch before it is not the one named."""
    y = stuck(noise(600), SR, 20, 0.25, 30)
    y = stuck(y, SR, 100, 3, 550)
    ((kind, reason),) = found(y, SR, tmp_path)
    assert kind == "repeats"
    assert "plays the same 3 s again and again from 100 to 550 s" in reason


def test_what_comes_again_without_a_fault(tmp_path: Path) -> None:
    """A minute made of one clip; a tone, and steps of few values, of exact periods."""
    y = noise(10)
    t = np.arange(10 * SR) / SR
    assert found(np.tile(y, 6), SR, tmp_path) == []
    for frequency in (50, 440, 433, 1000):
        assert found(0.3 * np.sin(2 * np.pi * frequency * t), SR, tmp_path) == []
        assert found(0.01 * np.sin(2 * np.pi * frequency * t), SR, tmp_path) == []
    few = np.zeros(10 * SR)
    few[::80] = 1 / 128
    assert found(few, SR, tmp_path) == []
    y[3 * SR : 4 * SR] = y[:SR]
    assert found(y, SR, tmp_path) == []


@pytest.mark.parametrize(("rate", "factor"), [(16000, 2), (24000, 3), (32000, 4), (48000, 6)])
@pytest.mark.parametrize("how", ["each repeated", "joined by straight lines"])
@pytest.mark.parametrize("gain", [1.0, 0.3])
def test_samples_of_8_khz_with_another_rate(
    tmp_path: Path, rate: int, factor: int, how: str, gain: float
) -> None:
    low = gain * soxr.resample(example(), SR, 8000)
    y = np.repeat(low, factor)
    if how != "each repeated":
        y = np.interp(np.arange(len(low) * factor) / factor, np.arange(len(low)), low)
    for part in (y, y[1:]):
        ((kind, reason),) = found(part, rate, tmp_path)
        assert kind == "upsampled"
        assert f"samples of 8000 Hz, {how} to make {rate} Hz: above 4000 Hz" in reason


def test_a_lower_rate_that_leaves_what_the_model_looks_at(tmp_path: Path) -> None:
    y = noise(10, 24000)
    assert found(np.repeat(y, 2), 48000, tmp_path) == []


def test_zeros_between_samples_are_no_lower_rate(tmp_path: Path) -> None:
    """Silence for most of a clip, and pieces of it without sound."""
    y = noise(10)
    y[: 7 * SR] = 0
    assert found(y, SR, tmp_path) == []
    low = np.repeat(noise(10, 8000), 2)
    low[: 4 * SR] = 0
    assert [kind for kind, _ in found(low, SR, tmp_path)] == ["upsampled"]


def test_no_real_recording_has_any(recordings: Path) -> None:
    paths = [p for p in recordings.rglob("*") if p.suffix in (".wav", ".flac")]
    assert len(paths) > 1000
    for path in paths[::4]:
        with open_recording(path, SR) as recording:
            for _ in recording.blocks():
                pass
            kinds = {warning.kind for warning in recording.warnings}
        assert not kinds & {"repeats", "upsampled"}, path
