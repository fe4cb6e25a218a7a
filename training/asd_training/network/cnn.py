"""The trained network: from a mel spectrogram to an embedding."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from asd_training.preset_tables import ModelConfig
from asd_training.presets import PresetError


class TripletCNN(nn.Module):
    """Blocks of convolutions, a head, a linear layer.

    A plain block is the report's: Conv2d, ReLU, BatchNorm2d, MaxPool2d, Dropout2d.
    A separable one has a depthwise and a pointwise convolution, each followed by
    BatchNorm2d and ReLU (MobileNet: Howard et al. 2017), in the place of the first
    three. The size of the linear layer is found by passing zeros through.

    Args:
        config: see ModelConfig.
        shape: of the input without the batch, (n_mels, n_frames).

    Raises:
        PresetError: the input is too small for the blocks.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, config: ModelConfig, shape: tuple[int, int]) -> None:
        super().__init__()
        self.config = config
        self.shape = shape
        # Part of the model, so that the device cannot normalise otherwise.
        self.register_buffer("mean", torch.zeros(shape[0], 1))
        self.register_buffer("std", torch.ones(shape[0], 1))
        blocks: list[nn.Module] = []
        previous = 1
        for i, channels in enumerate(config.channels):
            blocks += _convolution(config, i, previous, channels)
            if config.pool_kernel[i] > 1:
                blocks.append(nn.MaxPool2d(config.pool_kernel[i], config.pool_stride[i]))
            if config.dropout > 0:
                blocks.append(nn.Dropout2d(config.dropout))
            previous = channels
        self.blocks = nn.Sequential(*blocks)
        self.linear = nn.Linear(self._linear_input(), config.embedding_dim)

    def _linear_input(self) -> int:
        self.blocks.eval()  # or the zeros would enter the batch statistics
        try:
            with torch.no_grad():
                size = self._head(self.blocks(torch.zeros(1, 1, *self.shape))).shape[1]
        except RuntimeError as error:
            raise PresetError("model", f"input {self.shape} is too small: {error}") from error
        self.blocks.train()
        return size

    def _head(self, x: Tensor) -> Tensor:
        if self.config.head == "time_mean":
            x = x.mean(dim=3)
        return x.flatten(1)

    def set_normalization(self, clips: Iterable[NDArray[np.float32]]) -> None:
        """Take mean and deviation of each band from clips [shape=(n_windows, n_mels, n_frames)]."""
        if self.config.normalize == "none":
            return
        count, total, squares = 0, np.zeros(self.shape[0]), np.zeros(self.shape[0])
        for windows in clips:
            values = windows.astype(np.float64)
            count += values[:, 0].size
            total += values.sum(axis=(0, 2))
            squares += np.square(values).sum(axis=(0, 2))
        mean = total / count
        std = np.sqrt(np.maximum(squares / count - mean**2, 0))
        # The deviation of a band that is constant (above the recorder's cut-off, or
        # without a filter) is rounding, 1e-8 of its mean; it must not be scaled up to 1.
        std = np.where(std > 1e-6 * np.abs(mean), std, 1.0)
        self.mean.copy_(torch.from_numpy(mean[:, np.newaxis]))
        self.std.copy_(torch.from_numpy(std[:, np.newaxis]))

    def normalized(self, mel: Tensor) -> Tensor:
        """Give mel spectrograms as the network sees them, bands of mean 0 and deviation 1."""
        if self.config.normalize == "none":
            return mel
        # One operator on the device. Scaling before the mean is taken off rounds no more
        # than the spectrogram's own float32 does.
        mean, variance = self.mean.flatten(), self.std.flatten().square()
        # Some releases of PyTorch (2.11) refuse eps=0. The smallest normal number is lost in
        # any variance above 1e-31, so that the result has the same bits.
        eps = torch.finfo(torch.float32).tiny
        return nn.functional.batch_norm(mel, mean, variance, eps=eps)

    def forward(self, mel: Tensor) -> Tensor:
        """Map mel [shape=(batch, n_mels, n_frames)] to embeddings [shape=(batch, d)]."""
        return self.project(self.features(self.normalized(mel)))

    def features(self, x: Tensor) -> Tensor:
        """Take normalized spectrograms through the blocks [shape=(batch, channels, h, w)]."""
        features: Tensor = self.blocks(x.unsqueeze(1))
        return features

    def project(self, features: Tensor) -> Tensor:
        """Map what `features` gives to embeddings [shape=(batch, d)]."""
        embedding: Tensor = self.linear(self._head(features))
        return embedding


def _convolution(config: ModelConfig, i: int, inputs: int, outputs: int) -> list[nn.Module]:
    kernel, stride, padding = config.kernel[i], config.stride[i], config.padding[i]
    if not config.separable:
        return [
            nn.Conv2d(inputs, outputs, kernel, stride, padding),
            nn.ReLU(),
            nn.BatchNorm2d(outputs),
        ]
    if i == 0:
        return [
            nn.Conv2d(inputs, outputs, kernel, stride, padding, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(),
        ]
    return [
        nn.Conv2d(inputs, inputs, kernel, stride, padding, groups=inputs, bias=False),
        nn.BatchNorm2d(inputs),
        nn.ReLU(),
        nn.Conv2d(inputs, outputs, 1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(),
    ]
