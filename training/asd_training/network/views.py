"""The whole model: every view of a mel spectrogram that a preset asks for."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from asd_edge.model import VIEWS
from asd_training.network.cnn import TripletCNN
from asd_training.network.time_statistics import CoarseStatistics, TimeStatistics
from asd_training.presets import Preset

# Spectrograms that go through the network at once outside of training; of the
# report's network each takes about 100 MB on its way.
_BATCH = 16


class Network(nn.Module):
    """What is exported: one output a view, in the order of `views`.

    Args:
        preset: which views, and how they are made.

    Raises:
        PresetError: the input is too small.
    """

    def __init__(self, preset: Preset) -> None:
        super().__init__()
        shape = preset.front_end.shape
        # Modules by the name of their view.
        self.parts = nn.ModuleDict()
        if preset.model is not None:
            self.parts[VIEWS[0]] = TripletCNN(preset.model, shape)
        if preset.statistics is not None:
            self.parts[VIEWS[1]] = TimeStatistics(preset.statistics, shape)
        self.coarse: CoarseStatistics | None = None
        if preset.statistics is not None and preset.statistics.joined:
            self.coarse = CoarseStatistics(preset.statistics.joined, preset.front_end.mel)

    @property
    def views(self) -> tuple[str, ...]:
        """Names of the outputs."""
        return (*self.parts, *(VIEWS[2:] if self.coarse is not None else ()))

    @property
    def learned(self) -> TripletCNN | None:
        """The part that is trained, if any."""
        if VIEWS[0] not in self.parts:
            return None
        part = self.parts[VIEWS[0]]
        assert isinstance(part, TripletCNN)
        return part

    def forward(self, mel: Tensor) -> tuple[Tensor, ...]:
        """Map mel [shape=(batch, n_mels, n_frames)] to one [shape=(batch, d)] a view."""
        found = {view: part(mel) for view, part in self.parts.items()}
        if self.coarse is None:
            return tuple(found.values())
        return (*found.values(), *self.coarse(mel, found[VIEWS[1]]))

    def embed(self, mel: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
        """Embed arrays [shape=(n, n_mels, n_frames)] in evaluation mode: view -> [shape=(n, d)]."""
        was_training = self.training
        device = next((p.device for p in self.parameters()), torch.device("cpu"))
        self.eval()
        with torch.inference_mode():
            batches = [
                self(torch.from_numpy(mel[i : i + _BATCH]).to(device))
                for i in range(0, len(mel), _BATCH)
            ]
        self.train(was_training)
        return {
            view: torch.cat([batch[i] for batch in batches]).float().cpu().numpy()
            for i, view in enumerate(self.views)
        }
