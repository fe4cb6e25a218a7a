"""Holding normal clips out of training, for the threshold."""

from __future__ import annotations

import math
from collections import defaultdict

import numpy as np
from numpy.typing import NDArray


def held_out(
    sections: NDArray[np.str_], domains: NDArray[np.str_], share: float, seed: int
) -> NDArray[np.bool_]:
    """Choose the clips that neither training nor references may see.

    From each section and domain `share` of the clips, rounded up, but never so
    many that fewer than two stay for training.

    Args:
        sections: of the clips [shape=(n,)].
        domains: of the clips [shape=(n,)].
        share: from 0, for none, to below 1.
        seed: of the draw.

    Returns:
        [shape=(n,)], True for a held-out clip.
    """
    rng = np.random.default_rng(seed)
    chosen = np.zeros(len(sections), dtype=bool)
    groups: dict[tuple[str, str], list[int]] = defaultdict(list)
    for row, key in enumerate(zip(sections.tolist(), domains.tolist(), strict=True)):
        groups[key].append(row)
    for _, rows in sorted(groups.items()):
        count = min(math.ceil(share * len(rows)), len(rows) - 2)
        if count > 0:
            chosen[rng.choice(rows, size=count, replace=False)] = True
    return chosen
