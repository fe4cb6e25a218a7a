"""The view that needs no training: statistics of each band over time."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from asd_training.preset_tables import StatisticsConfig
from asd_training.presets import PresetError


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
