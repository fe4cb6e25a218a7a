"""PyTorch data sets: triplets or classes of training clips, and labelled test clips."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from asd_edge.errors import ParameterError
from asd_training.data.feature_table import FeatureTable
from asd_training.errors import SingleSectionError

LABELS = {"normal": 0, "anomaly": 1, "unknown": -1}


class MachineDataset(Dataset[tuple[object, ...]]):
    """Clips of one machine and split.

    Training item i is (anchor, positive, negative): features of clip i modulo the number
    of clips, of another clip of its section (the same one if there is no other), and of a
    clip of another section, each [shape=(n_mels, n_frames)]. The draw depends on the seed,
    the epoch and i alone, so a resumed run sees the triplets of an uninterrupted one.

    A test item is (feature, section, label): label 0 normal, 1 anomaly, -1 unknown.

    Of a clip of several windows a training item takes a random one, a test item the first.

    Args:
        table: features of the clips.
        split: "train" or "test".
        seed: of the draws.
        min_items: training items to give at least, by going through the clips several times.

    Example:
        The table is one that `asd-data features data -o fan.parquet` has written.

        >>> from asd_training.data import feature_table
        >>> train = MachineDataset(feature_table.load("fan.parquet", "fan", "train"), "train")
        >>> anchor, positive, negative = train[0]
        >>> anchor.shape == negative.shape == train.feature(0).shape
        True
        >>> drawn = train.sample_to_infer(5)  # section -> rows of 5 random clips, the references
        >>> sorted((section, len(rows)) for section, rows in drawn.items())
        [('00', 5), ('01', 5)]
        >>> test = MachineDataset(feature_table.load("fan.parquet", "fan", "test"), "test")
        >>> feature, section, label = test[0]
        >>> section, label
        ('00', 1)

    Raises:
        SingleSectionError: training clips of fewer than two sections.
        ParameterError: no clips, or another split.
    """

    def __init__(self, table: FeatureTable, split: str, seed: int = 0, min_items: int = 1) -> None:
        if split not in ("train", "test"):
            raise ParameterError("split", split, "train or test")
        if len(table) == 0:
            raise ParameterError("table", "empty", "at least one clip")
        self.table = table
        self.split = split
        self.seed = seed
        self.epoch = 0
        self._rounds = -(-min_items // len(table)) if split == "train" else 1
        sections = table.clips["section"]
        self.sections = sections
        self.rows = {
            name: np.flatnonzero(sections == name) for name in np.unique(sections).tolist()
        }
        self._others = {name: np.flatnonzero(sections != name) for name in self.rows}
        if split == "train" and len(self.rows) < 2:
            machine = str(table.clips["machine"][0])
            raise SingleSectionError("training clips", machine, next(iter(self.rows)))

    def __len__(self) -> int:
        return len(self.table) * self._rounds

    def __getitem__(self, i: int) -> tuple[object, ...]:
        if self.split == "train":
            return self.triplet(i)
        label = LABELS[self.table.clips["label"][i]]
        return self.feature(i, 0), str(self.sections[i]), label

    def triplet(self, i: int) -> tuple[Tensor, Tensor, Tensor]:
        """Give training item i, as drawn in this epoch."""
        rng = np.random.default_rng((self.seed, self.epoch, i))
        i %= len(self.table)
        section = self.sections[i]
        own = self.rows[section]
        # A shift by 1 .. n-1 from the anchor's own place never meets the anchor.
        place = int(np.searchsorted(own, i))
        shift = int(rng.integers(1, len(own))) if len(own) > 1 else 0
        positive = int(own[(place + shift) % len(own)])
        negative = int(rng.choice(self._others[section]))
        anchor, other, apart = (
            self.feature(row, int(rng.integers(len(self.table.windows(row)))))
            for row in (i, positive, negative)
        )
        return anchor, other, apart

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch that triplets are drawn for."""
        self.epoch = epoch

    def sample_to_infer(self, n: int, seed: int | None = None) -> dict[str, NDArray[np.intp]]:
        """Draw n random clips of each section as references: `sample_rows` of this data set."""
        return sample_rows(self.sections, n, self.seed if seed is None else seed)

    def feature(self, row: int, window: int = 0) -> Tensor:
        """Features of a window of a clip [shape=(n_mels, n_frames)]."""
        return torch.from_numpy(self.table.windows(row)[window])


class ClassDataset(Dataset[tuple[Tensor, int]]):
    """Training clips and their sections, the classes.

    Item i is a random window of clip i modulo the number of clips
    [shape=(n_mels, n_frames)] and the number of its section. The draw depends on the
    seed, the epoch and i alone.

    Args:
        table: features of the clips.
        seed: of the draws.
        min_items: items to give at least, by going through the clips several times.

    Raises:
        ParameterError: no clips.
    """

    def __init__(self, table: FeatureTable, seed: int = 0, min_items: int = 1) -> None:
        if len(table) == 0:
            raise ParameterError("table", "empty", "at least one clip")
        self.table = table
        self.seed = seed
        self.epoch = 0
        self.classes, self.labels = np.unique(table.clips["section"], return_inverse=True)
        self._rounds = -(-min_items // len(table))

    def __len__(self) -> int:
        return len(self.table) * self._rounds

    def __getitem__(self, i: int) -> tuple[Tensor, int]:
        rng = np.random.default_rng((self.seed, self.epoch, i))
        i %= len(self.table)
        windows = self.table.windows(i)
        return torch.from_numpy(windows[rng.integers(len(windows))]), int(self.labels[i])

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch that windows are drawn for."""
        self.epoch = epoch


def sample_rows(sections: NDArray[np.str_], n: int, seed: int) -> dict[str, NDArray[np.intp]]:
    """Draw n random rows of each section, without replacement.

    Args:
        sections: of the rows [shape=(rows,)].
        n: rows a section, at least 1; a section with fewer gives all it has.
        seed: of the draw.

    Returns:
        section -> row numbers, ascending.
    """
    if n < 1:
        raise ParameterError("n", n, "at least 1")
    rng = np.random.default_rng(seed)
    drawn = {}
    for name in np.unique(sections).tolist():
        rows = np.flatnonzero(sections == name)
        drawn[name] = np.sort(rng.choice(rows, size=min(n, len(rows)), replace=False))
    return drawn
