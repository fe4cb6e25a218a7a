"""Folds: which clips are left out together when each is scored as if it were new.

Of two clips that are like each other but like few others, each is the nearest reference of the
other. Left out together, both score far too high, and the threshold follows the highest scores:
with folds drawn at random it was 15 % higher in one draw of ten on a slide rail with 48 clips, and
one more clip among them was enough for another draw. Therefore alike clips go to different folds.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from asd_edge.scoring.normals import NormalEmbeddings

# With more clips, a tenth fewer references hardly moves the scores. Of few clips each is a fold of
# its own: ten folds made the threshold of the slide rail's twelve clips so much higher that 38
# instead of 42 % of its faults were caught. In between the number falls without a step, which would
# be one in the threshold as well; so one section is scored as often as 400 clips at most.
_LEAST = 10
_CLIPS_SCORED = 400
_BLOCKS = 10  # that the pieces of one recording are left out in


def fold_count(sections: Sequence[str]) -> int:
    """Number of folds for clips of these sections, one each."""
    most = max(Counter(sections).values(), default=0)
    return max(2, min(most, max(_LEAST, _CLIPS_SCORED // max(most, 1))))


def folds(
    normals: NormalEmbeddings, count: int, only: NDArray[np.bool_] | None = None
) -> NDArray[np.intp]:
    """Number of the fold, from 0, that leaves each row out [shape=(n,)]; -1: none does.

    Clips stay whole, and each section and domain is spread evenly. The only clip of
    its section and domain is never left out. The pieces of one recording are left out
    in blocks of neighbours: a clip that is alike because it was recorded ten seconds
    later must not be what a score is measured from.

    Args:
        normals: all clips.
        count: folds, at least 2.
        only: rows that may be left out [shape=(n,)]; by default all.
    """
    fold = np.full(len(normals.clips), -1)
    # Of the view of most columns: clips are missed most where there are fewest for each direction.
    x = max(normals.views.values(), key=lambda view: view.shape[1])
    dealt = 0
    for group in np.unique(normals.groups):
        rows = np.flatnonzero(normals.groups == group)
        if len(np.unique(normals.clips[rows])) == 1:
            continue
        blocks = _blocks(normals, rows if only is None else rows[only[rows]], count)
        if not blocks:
            continue
        means = np.stack([x[block].mean(axis=0) for block in blocks])
        for i in chain(means):
            fold[blocks[i]] = dealt % count
            dealt += 1
    return fold


def _blocks(
    normals: NormalEmbeddings, rows: NDArray[np.intp], count: int
) -> list[NDArray[np.intp]]:
    """Rows that are left out together: of a clip, or of neighbours in one recording."""
    recordings: dict[str, list[tuple[float, str]]] = {}
    for clip in np.unique(normals.clips[rows]).tolist():
        row = rows[int(np.argmax(normals.clips[rows] == clip))]
        recording, start = clip, 0.0
        if len(normals.recordings):
            recording, start = str(normals.recordings[row]), float(normals.start_s[row])
        recordings.setdefault(recording, []).append((start, clip))
    found = []
    for recording in sorted(recordings):
        pieces = [clip for _, clip in sorted(recordings[recording])]
        for block in np.array_split(pieces, min(count, _BLOCKS, len(pieces))):
            found.append(rows[np.isin(normals.clips[rows], block)])
    return found


def chain(x: NDArray[np.float32]) -> list[int]:
    """Order of rows [shape=(n, d)] in which each is followed by the nearest of those left.

    Columns count alike, each by its own deviation. The first row is the one farthest from the mean.
    """
    deviations = x.std(axis=0, dtype=np.float64)
    scaled = (x - x.mean(axis=0, dtype=np.float64)) / np.where(deviations > 0, deviations, 1.0)
    squares = np.einsum("ij,ij->i", scaled, scaled)
    order = [int(np.argmax(squares))]
    left = np.ones(len(x), dtype=bool)
    left[order] = False
    while left.any():
        away = squares - 2 * (scaled @ scaled[order[-1]])
        order.append(int(np.argmin(np.where(left, away, np.inf))))
        left[order[-1]] = False
    return order
