"""Occlusion (Zeiler and Fergus 2014): where and when a window of a clip is anomalous.

A stretch of bands and times is replaced by normal sound, and the score falls by what that stretch
gave to it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from asd_edge.analysis import Analysis

# Copies that go through the network at once; of the report's each takes 100 MB on its way.
_BATCH = 8

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Stretch:
    """A range of bands (Hz) or of time (s), and its share of the score, 0 to 1."""

    low: float
    high: float
    share: float


@dataclass(frozen=True, eq=False)  # arrays have no one answer to ==
class Drops:
    """By how much the score of a window falls when a part of it is made normal.

    Attributes:
        blocks: view -> of each block [shape=(rows, columns)].
        rows: view -> of all times of a row of bands at once [shape=(rows,)].
        columns: view -> of all bands of a column of times at once [shape=(columns,)].
        whole: view -> its part of the window's score.
        row_of_band: row of each band [shape=(n_mels,)].
    """

    blocks: dict[str, Array]
    rows: dict[str, Array]
    columns: dict[str, Array]
    whole: dict[str, float]
    row_of_band: NDArray[np.intp]

    @property
    def all_blocks(self) -> Array:
        """Of each block, all views together [shape=(rows, columns)]."""
        total: Array = np.sum(list(self.blocks.values()), axis=0)
        return total

    @property
    def all_columns(self) -> Array:
        """Of each column, all views together [shape=(columns,)]."""
        total: Array = np.sum(list(self.columns.values()), axis=0)
        return total


def occlude(
    analysis: Analysis,
    window: int,
    fill: NDArray[np.float32],
    blocks: tuple[int, int],
    advance: Callable[[int], None] = lambda count: None,
) -> Drops:
    """Replace each block, row and column of blocks of a window by normal sound, and score it.

    Args:
        analysis: of the clip.
        window: its number.
        fill: spectrogram of normal sound [shape=(n_mels, n_frames)].
        blocks: rows and columns that the spectrogram is divided in.
        advance: called with the number of copies that have been scored; there are
            rows * columns + rows + columns.
    """
    mel, config = analysis.mel(window), analysis.front_end.mel
    whole = analysis.with_mels(mel[np.newaxis]).scores.views
    n_mels, n_frames = mel.shape
    rows, columns = min(blocks[0], n_mels), min(blocks[1], n_frames)
    seconds = min(analysis.seconds, analysis.front_end.clip_seconds)
    frame_s = np.arange(n_frames) * config.hop_length / config.sr
    if seconds < analysis.front_end.clip_seconds:
        # A clip shorter than the window is repeated in it, so its columns come several times.
        frame_s %= seconds
    row_of_band = np.arange(n_mels) * rows // n_mels
    column_of_frame = np.minimum((frame_s / seconds * columns).astype(int), columns - 1)
    masks = [
        (row_of_band == i)[:, np.newaxis] & (column_of_frame == j)
        for i in range(rows)
        for j in range(columns)
    ]
    masks += [np.broadcast_to((row_of_band == i)[:, np.newaxis], mel.shape) for i in range(rows)]
    masks += [np.broadcast_to(column_of_frame == j, mel.shape) for j in range(columns)]
    parts: dict[str, list[float]] = {view: [] for view in whole}
    for i in range(0, len(masks), _BATCH):
        some = masks[i : i + _BATCH]
        occluded = np.stack([np.where(mask, fill, mel) for mask in some])
        for scored in analysis.with_mels(occluded).each_window():
            for view, value in scored.views.items():
                parts[view].append(value)
        advance(len(some))
    drops = {view: whole[view] - np.array(values) for view, values in parts.items()}
    inside = rows * columns
    return Drops(
        {view: drop[:inside].reshape(rows, columns) for view, drop in drops.items()},
        {view: drop[inside:-columns] for view, drop in drops.items()},
        {view: drop[-columns:] for view, drop in drops.items()},
        dict(whole),
        row_of_band,
    )


def stretch_of_time(drops: Array, start: float, seconds: float, score: float) -> Stretch | None:
    """Find the stretch of time, if it has twice its due and at least a tenth of the score."""
    found = np.maximum(drops, 0)
    if not found.any():
        return None
    first, last = _run(found)
    share = float(found[first:last].sum() / found.sum())
    length = (last - first) / len(found)
    if share < 2 * length or found[first:last].sum() < 0.1 * score:
        return None
    step = seconds / len(found)
    return Stretch(start + first * step, start + last * step, share)


def _run(values: Array) -> tuple[int, int]:
    """Give first and last + 1 of the run that stands out most above the mean (Kadane)."""
    best, best_run, total, first = -np.inf, (0, len(values)), 0.0, 0
    for i, value in enumerate(values - values.mean()):
        if total <= 0:
            total, first = 0.0, i
        total += value
        if total > best:
            best, best_run = total, (first, i + 1)
    return best_run
