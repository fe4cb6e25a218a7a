"""The views that need no training: statistics of bands over time, fine and coarse, and level."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from asd_edge.frontend.mel import MelConfig
from asd_training.preset_tables import StatisticsConfig
from asd_training.presets import PresetError

# Power of a spectrogram without logarithm that counts as silence.
_SILENCE = 1e-10


class TimeStatistics(nn.Module):
    """Mean of each mel band over time, and its mean absolute change over some lags.

    The means are the time-averaged spectrum. The changes,

        mean over t of |x[t + lag] - x[t]|,

    are the madogram (variogram of the first order: Matheron 1989) of each
    band: how much it fluctuates, and how fast. Neither asks where in time something happens.

    Args:
        config: the lags, in frames.
        shape: of the input without the batch, (n_mels, n_frames).

    Raises:
        PresetError: a lag as long as the input.
    """

    def __init__(self, config: StatisticsConfig, shape: tuple[int, int]) -> None:
        super().__init__()
        if config.lags and config.lags[-1] >= shape[1]:
            raise PresetError("statistics", f"lag {config.lags[-1]} of {shape[1]} frames")
        self.config = config

    def forward(self, mel: Tensor) -> Tensor:
        """Map mel [shape=(batch, n_mels, n_frames)] to [shape=(batch, n_mels * (1 + lags))]."""
        changes = [(mel[:, :, lag:] - mel[:, :, :-lag]).abs().mean(2) for lag in self.config.lags]
        return torch.cat([mel.mean(2), *changes], dim=1)


class CoarseStatistics(nn.Module):
    """Statistics of neighbouring bands joined: few features, which few clips are enough to know.

    Args:
        joined: number of bands that become one.
        config: of the spectrogram.

    Raises:
        PresetError: not a divisor of the number of bands.
    """

    def __init__(self, joined: int, config: MelConfig) -> None:
        super().__init__()
        if config.n_mels % joined:
            raise PresetError("statistics", f"joined is {joined} of {config.n_mels} bands")
        self.bands = config.n_mels // joined
        # Of dB, and of the amplitude or power that a spectrogram without logarithm holds.
        self.decibels, self.exponent = config.log == "db", 2 / config.power

    def forward(self, mel: Tensor, statistics: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Summarise a spectrogram.

        Args:
            mel: [shape=(batch, n_mels, n_frames)].
            statistics: of it by `TimeStatistics` [shape=(batch, n_mels * (1 + lags))].

        Returns:
            the mean power of each joined band in dB [shape=(batch, bands)], the means of its
            bands' changes, lag by lag [shape=(batch, bands * lags)], and the mean power of all
            bands in dB [shape=(batch, 1)].
        """
        # Each step maps a whole batch; -1 and fixed sizes keep the batch free in the ONNX model.
        power = (mel * (math.log(10) / 10)).exp() if self.decibels else mel.pow(self.exponent)
        bands = power.mean(2).reshape(-1, self.bands, mel.shape[1] // self.bands).mean(2)
        changes = statistics[:, mel.shape[1] :]
        width = mel.shape[1] // self.bands
        joined = changes.reshape(-1, changes.shape[1] // width, width).mean(2)
        return _db(bands), joined, _db(bands.mean(1, keepdim=True))


def _db(power: Tensor) -> Tensor:
    return power.clamp_min(_SILENCE).log() * (10 / math.log(10))
