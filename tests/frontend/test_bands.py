"""Levels in dB: those that the front end makes itself."""

from __future__ import annotations

import numpy as np
import pytest

from asd_edge.frontend.bands import to_db
from asd_edge.frontend.mel import MelConfig, melspectrogram


@pytest.mark.parametrize("power", [1, 2])
def test_to_db(power: int) -> None:
    y = np.random.default_rng(0).standard_normal(16000).astype(np.float32)
    config = {"sr": 16000, "n_fft": 512, "hop_length": 256, "n_mels": 40, "power": power}
    expected = melspectrogram(y, **config, log="db")
    found = to_db(melspectrogram(y, **config), MelConfig(**config))
    np.testing.assert_allclose(found, expected, atol=1e-3)
    np.testing.assert_array_equal(to_db(expected, MelConfig(**config, log="db")), expected)
    silence = np.zeros((40, 3), np.float32)
    np.testing.assert_allclose(to_db(silence, MelConfig(**config)), -100)
