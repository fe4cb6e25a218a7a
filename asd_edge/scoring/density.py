"""How far references reach: by how close other normal clips are, and by how many are known.

The distance of a clip to a reference counts in units of the reference's own distance to its
neighbours (local density), because clips of one way of running may be more alike than those of
another. Density says nothing about conditions that no clip has yet: where few clips of a domain
are known, a further clip lies farther from them, so the references of that domain reach farther.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from asd_edge.scoring import student_t
from asd_edge.scoring.normals import NormalEmbeddings
from asd_edge.scoring.scorer import distances
from asd_edge.scoring.views import ScoringConfig

# How much farther or less far than the median of its section's a reference may reach.
_MOST_REACH = 1.5
# Spread of the cube roots of unseen normal clips' distances, as a share of their centre: 0.015 to
# 0.045 on the synthetic machines, the compressor and ToyCar.
_SPREAD = 0.025
# References whose distances to all windows are in memory at once.
_BLOCK = 128


def local_density(
    references: NDArray[np.float32],
    known: NormalEmbeddings,
    projected: NDArray[np.float32],
    normals: NormalEmbeddings,
    config: ScoringConfig,
) -> NDArray[np.float32]:
    """Mean distance of each reference to its nearest windows of other clips of its section.

    Args:
        references: [shape=(n, d)], projected if the metric is "whitened".
        known: the references' clips, sections and domains.
        projected: the windows [shape=(m, d)], in the same way.
        normals: the windows' clips, sections and domains.
        config: of the view.

    Returns:
        [shape=(n,)], above 0.
    """
    density = np.full(len(references), np.nan)
    for begin in range(0, len(references), _BLOCK):
        d = distances(references[begin : begin + _BLOCK], projected, config.metric)
        for i, row in enumerate(d, begin):
            same = normals.sections == known.sections[i]
            others = np.sort(row[same & (normals.clips != known.clips[i])])
            if len(others):
                density[i] = others[: config.local_density].mean()
    # A section of one clip has the density of the others; equal clips must not divide by 0.
    every = np.nanmedian(density) if np.isfinite(density).any() else 1.0
    for section in np.unique(known.sections):
        own = known.sections == section
        found = own & np.isfinite(density)
        typical = np.median(density[found]) if found.any() else every
        typical = typical if typical > 0 else 1.0
        density[own & ~found] = typical
        # An odd clip, a fault among the normals, must not reach all over its neighbourhood.
        density[own] = np.clip(density[own], typical / _MOST_REACH, typical * _MOST_REACH)
    return density.astype(np.float32)


def reach(known: NormalEmbeddings, normals: NormalEmbeddings) -> NDArray[np.float32]:
    """How many times as far as others each reference reaches.

    Where a section has several domains, references of the one with fewer clips reach farther,
    because less is known of how clips of that domain differ (`_reach_of`).

    Args:
        known: the references' clips, sections and domains.
        normals: the clips, sections and domains of all windows.

    Returns:
        [shape=(n,)], 1 or more; empty if all reach alike.
    """
    factors = np.ones(len(known.sections))
    for section in np.unique(known.sections):
        inside = normals.sections == section
        farther = {
            domain: _reach_of(len(np.unique(normals.clips[inside & (normals.domains == domain)])))
            for domain in np.unique(normals.domains[inside]).tolist()
        }
        for domain, factor in farther.items():
            own = (known.sections == section) & (known.domains == domain)
            factors[own] = factor / min(farther.values())
    return factors.astype(np.float32) if (factors > 1).any() else np.empty(0, np.float32)


def _reach_of(clips: int) -> float:
    """How far above the centre of n normal clips' distances a further one may lie, as a ratio.

    The upper prediction bound of normal cube roots, 1 in 100, with Student's t of n - 1 degrees of
    freedom (2 to 8): 1.73 with three clips, 1.24 with many.
    """
    dof = min(max(clips - 1, 2), 8)
    t = student_t.upper_quantile(0.01, dof) * math.sqrt(1 + 1 / clips)
    return (1 + _SPREAD * t) ** 3
