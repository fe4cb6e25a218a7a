"""The view that is not learned, against NumPy and closed forms."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from asd_edge.frontend.mel import MelConfig
from asd_training.network.time_statistics import CoarseStatistics, TimeStatistics
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


@pytest.mark.parametrize(("log", "power"), [("db", 2), ("none", 2), ("none", 1)])
def test_joined_bands_have_their_mean_power_and_the_mean_of_their_changes(
    log: str, power: int
) -> None:
    config = MelConfig(sr=16000, n_fft=512, n_mels=6, log=log, power=power)
    amplitudes = np.random.default_rng(0).uniform(0.01, 1, (2, 6, 20))
    mel = 20 * np.log10(amplitudes) if log == "db" else amplitudes**power
    x = torch.from_numpy(mel)
    statistics = TimeStatistics(StatisticsConfig((1, 3)), (6, 20))(x)
    bands, changes, level = CoarseStatistics(3, config)(x, statistics)
    for i in range(2):
        powers = [np.mean(amplitudes[i, band : band + 3] ** 2) for band in (0, 3)]
        assert bands[i].numpy() == pytest.approx(10 * np.log10(powers))
        assert level[i].item() == pytest.approx(10 * np.log10(np.mean(powers)))
        means = [np.abs(mel[i, :, lag:] - mel[i, :, :-lag]).mean(axis=1) for lag in (1, 3)]
        expected = [mean[band : band + 3].mean() for mean in means for band in (0, 3)]
        assert changes[i].numpy() == pytest.approx(expected)


def test_silence_has_a_level() -> None:
    config = MelConfig(sr=16000, n_fft=512, n_mels=4, log="none")
    silence = torch.zeros(1, 4, 9)
    statistics = TimeStatistics(StatisticsConfig((1,)), (4, 9))(silence)
    assert all(x.isfinite().all() for x in CoarseStatistics(2, config)(silence, statistics))


def test_bands_that_cannot_be_joined() -> None:
    with pytest.raises(PresetError, match="joined is 3 of 128 bands"):
        CoarseStatistics(3, MelConfig(sr=16000, n_fft=1024, n_mels=128))
