"""From samples to the model's input: windows of fixed length, each as a mel spectrogram.

One frozen `FrontEnd` travels from training through the run and the bundle to
the device; no other setting changes the model's input.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asd_edge.audio.recording import Channel, Samples
from asd_edge.errors import AudioError, ParameterError
from asd_edge.frontend.mel import MelConfig, MelSpectrogram

# Raised when the same settings begin to give other features, beyond rounding:
# what was computed before is then stale.
VERSION = 1


@dataclass(frozen=True)
class FrontEnd:
    """Everything between a sound file and the model's input.

    Attributes:
        mel: the mel spectrogram; `mel.sr` is the rate that clips are resampled to.
        clip_seconds: length of the model's input in seconds.
        overlap: smallest share of a window that the next one repeats, 0 to below 1,
            when a clip is longer than `clip_seconds`.
        channel: "mean" of all channels, or the number of one, from 0.
    """

    mel: MelConfig = field(default_factory=MelConfig)
    clip_seconds: float = 10.0
    overlap: float = 0.5
    channel: Channel = "mean"

    def __post_init__(self) -> None:
        if not 0 <= self.overlap < 1:
            raise ParameterError("overlap", self.overlap, "a share from 0 to below 1")
        if self.channel != "mean" and not (isinstance(self.channel, int) and self.channel >= 0):
            raise ParameterError("channel", self.channel, '"mean" or a number from 0')
        if not self.clip_seconds > 0 or self.n_samples < self.mel.n_fft:
            raise ParameterError(
                "clip_seconds", self.clip_seconds, f"at least n_fft = {self.mel.n_fft} samples"
            )

    @cached_property
    def n_samples(self) -> int:
        """Length of the model's input in samples."""
        return round(self.clip_seconds * self.mel.sr)

    @cached_property
    def n_frames(self) -> int:
        """Length of the model's input in frames."""
        return self.mel.n_frames(self.n_samples)

    @property
    def shape(self) -> tuple[int, int]:
        """Shape of the model's input, (n_mels, n_frames)."""
        return self.mel.n_mels, self.n_frames

    @cached_property
    def _spectrogram(self) -> MelSpectrogram:
        return MelSpectrogram(self.mel)

    def check_length(self, n: int, name: str | Path = "clip") -> None:
        """Raise AudioError, about the clip `name`, if `n` samples are less than one FFT window."""
        if n < self.mel.n_fft:
            raise AudioError(
                name,
                f"is {n / self.mel.sr:.3f} s long; "
                f"at least {self.mel.n_fft / self.mel.sr:.3f} s are needed "
                f"({n} of {self.mel.n_fft} samples at {self.mel.sr} Hz)",
                kind="too_short",
            )

    def starts(self, n: int) -> list[int]:
        """First samples of the windows of a clip of `n` samples.

        A clip no longer than `clip_seconds` has one window. A longer one has as
        few windows as keep the overlap, spread evenly from its first sample to
        its last.
        """
        rest = n - self.n_samples
        if rest <= 0:
            return [0]
        step = self.n_samples * (1 - self.overlap)
        count = 1 + int(np.ceil(rest / step))
        return [round(i * rest / (count - 1)) for i in range(count)]

    def features(self, y: Samples, start: int = 0) -> NDArray[np.float32]:
        """Mel spectrogram of the window of `y` that begins at `start`.

        A clip shorter than the window is repeated until it is full: unlike
        zeros, that keeps the spectrum and the level of a steady machine.

        Args:
            y: samples [shape=(n,)] at `mel.sr`.
            start: one of `starts(n)`.

        Returns:
            [shape=(n_mels, n_frames)]

        Raises:
            AudioError: fewer samples than one FFT window.
        """
        self.check_length(len(y))
        if len(y) < self.n_samples:
            y = np.resize(y, self.n_samples)
        return self._spectrogram(y[start : start + self.n_samples])

    def all_features(self, y: Samples) -> NDArray[np.float32]:
        """Features of every window of a clip [shape=(n_windows, n_mels, n_frames)]."""
        return np.stack([self.features(y, start) for start in self.starts(len(y))])

    def to_dict(self) -> dict[str, Any]:
        """Give the front end as plain values, for JSON; `from_dict` reads it back."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> FrontEnd:
        """Read what `to_dict` gave.

        Raises:
            ParameterError: a value outside its range.
            TypeError: a missing or unknown name.
        """
        rest = dict(values)
        return cls(mel=MelConfig(**rest.pop("mel")), **rest)
