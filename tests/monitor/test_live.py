"""The live spectrogram moves with the sound, not with the windows."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from asd_edge.audio.ring import Ring
from asd_edge.frontend.bands import mel_frequencies
from asd_edge.frontend.mel import MelConfig
from asd_edge.monitor.live import LiveSpectrogram

CONFIG = MelConfig(sr=16000, n_fft=1024, hop_length=500, n_mels=64, log="db")


def tone(hz: float, seconds: float, rate: int, channels: int = 1) -> np.ndarray:
    t = np.arange(round(seconds * rate)) / rate
    y = np.round(8000 * np.sin(2 * np.pi * hz * t)).astype(np.int16)
    return np.repeat(y[:, np.newaxis], channels, axis=1)


def picture(content: bytes) -> np.ndarray:
    return np.frombuffer(content, np.uint8).reshape(-1, CONFIG.n_mels)


@pytest.mark.parametrize("rate", [16000, 48000])
def test_eight_columns_a_second_as_the_ring_fills(rate: int) -> None:
    ring = Ring(90 * rate, 2)
    live = LiveSpectrogram(ring, rate, "mean", CONFIG)
    assert live.columns(0) == (0, 64, b"")
    total, seen = 0, []
    for hz in (500, 500, 4000, 4000):
        ring.write(tone(hz, 1.0, rate, 2))
        number, bands, content = live.columns(total)
        assert bands == 64
        assert len(content) == 64 * (number - total)
        seen.append(picture(content))
        total = number
    assert total == pytest.approx(8 * 4, abs=1)
    centres = mel_frequencies(CONFIG)[1:-1]
    # In the middle of each second the loudest band is the tone's.
    for hz, columns in zip((500, 500, 4000, 4000), seen, strict=True):
        loudest = centres[columns[len(columns) // 2].argmax()]
        assert loudest == pytest.approx(hz, rel=0.06)
    assert live.columns(total) == (total, 64, b"")


def test_whoever_begins_to_look_gets_the_last_minute() -> None:
    ring = Ring(90 * 16000, 1)
    live = LiveSpectrogram(ring, 16000, 0, CONFIG)
    for _ in range(200):
        ring.write(tone(500, 1.0, 16000))
    number, _, content = live.columns(0)
    assert number == pytest.approx(480, abs=1)
    assert len(picture(content)) == number
    for _ in range(100):
        ring.write(tone(500, 1.0, 16000))
    again, _, content = live.columns(number)
    assert again - number == pytest.approx(480, abs=1)
    assert len(picture(content)) == again - number


def test_the_last_minute_is_transformed_in_parts() -> None:
    rate = 48_000
    ring = Ring(90 * rate, 2)
    for _ in range(60):
        ring.write(tone(500, 1.0, rate, 2))
    live = LiveSpectrogram(ring, rate, "mean", CONFIG)
    tracemalloc.start()
    try:
        number, _, _ = live.columns(0)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert number == pytest.approx(480, abs=1)
    assert most < 8e6  # the samples of a minute alone are 11.5 MB
