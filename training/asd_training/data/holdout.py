"""Holding normal clips out of training, for the threshold."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
from numpy.typing import NDArray


def held_out(clips: pd.DataFrame, share: float, seed: int) -> NDArray[np.bool_]:
    """Choose the clips that neither training nor references may see.

    From each section and domain `share` of the clips, rounded up, but never so
    many that fewer than two stay for training.

    Args:
        clips: with columns section and domain [shape=(n,)].
        share: from 0, for none, to below 1.
        seed: of the draw.

    Returns:
        [shape=(n,)], True for a held-out clip.
    """
    rng = np.random.default_rng(seed)
    chosen = np.zeros(len(clips), dtype=bool)
    for rows in clips.groupby(["section", "domain"], sort=True).indices.values():
        count = min(math.ceil(share * len(rows)), len(rows) - 2)
        if count > 0:
            chosen[rng.choice(rows, size=count, replace=False)] = True
    return chosen
