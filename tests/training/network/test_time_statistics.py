"""The view that is not learned, against NumPy and closed forms."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from asd_training.network.time_statistics import TimeStatistics
from asd_training.preset_tables import StatisticsConfig
from asd_training.presets import PresetError


def test_means_and_changes() -> None:
    mel = np.random.default_rng(0).normal(-40, 9, (2, 5, 20))
    got = TimeStatistics(StatisticsConfig((1, 4)), (5, 20))(torch.from_numpy(mel)).numpy()
    for i in range(2):
        for band in range(5):
            x = mel[i, band]
            assert got[i, band] == pytest.approx(x.mean())
            for place, lag in ((1, 1), (2, 4)):
                change = np.mean([abs(x[t + lag] - x[t]) for t in range(20 - lag)])
                assert got[i, 5 * place + band] == pytest.approx(change)


def test_a_period_is_seen_at_its_lag() -> None:
    wave = torch.tensor([0.0, 6.0]).repeat(8)[None, None]
    lags = (1, 2, 3)
    changes = TimeStatistics(StatisticsConfig(lags), (1, 16))(wave)[0, 1:]
    assert changes.tolist() == [6.0, 0.0, 6.0]


def test_no_lags_leave_the_mean_spectrum() -> None:
    mel = torch.randn(3, 4, 9)
    assert torch.equal(TimeStatistics(StatisticsConfig(()), (4, 9))(mel), mel.mean(2))


def test_a_lag_as_long_as_the_clip() -> None:
    with pytest.raises(PresetError, match="lag 16 of 16 frames"):
        TimeStatistics(StatisticsConfig((16,)), (4, 16))
