"""Attribution: what each band contributes to a score, and how it compares with normal sound.

The distance of the view "statistics" is shared out over its features without remainder, and every
share is 0 or more (`shares`); a band has the sum of its own, mean and changes. What the network
learned cannot be taken apart so; its part of the score is spread over bands as occlusion finds it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asd_edge.explanation.occlusion import Drops, Stretch
from asd_edge.frontend.bands import mel_frequencies, to_db
from asd_edge.frontend.mel import MelConfig
from asd_edge.model import VIEWS
from asd_edge.scoring.scorer import Scorer
from asd_edge.scoring.views import View
from asd_edge.scoring.whitening import as_matrix

LEARNED, STATISTICS = VIEWS[:2]
LEVEL = VIEWS[-1]

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Comparison:
    """The first stretch of bands beside the nearest normal clip.

    Attributes:
        level_db: by how much it is louder there.
        overall_db: the same of the clip as a whole, median over all bands.
        fluctuation: factor by which it changes more over time; None where the
            statistics hold no changes, or the reference has none.
    """

    level_db: float
    overall_db: float
    fluctuation: float | None


@dataclass(frozen=True)
class Attribution:
    """What each band contributes.

    Attributes:
        bands: view -> contribution of each band, 0 or more [shape=(n_mels,)].
        stretches: of bands that stand out; see `Explanation`.
        comparison: of the first stretch, or of all bands, with the nearest reference;
            None without statistics.
    """

    bands: dict[str, Array]
    stretches: tuple[Stretch, ...]
    comparison: Comparison | None


def attribute(
    scorer: Scorer,
    section: str,
    embeddings: Mapping[str, NDArray[np.float32]],
    drops: Drops,
    row: int,
    config: MelConfig,
) -> Attribution:
    """Find what each band contributes to the score of a window.

    Args:
        scorer: that scored it.
        section: that it was scored in.
        embeddings: of the window, view -> [shape=(1, d)].
        drops: what occlusion found.
        row: of the nearest reference, in the view that it is compared in.
        config: of the spectrogram.
    """
    bands: dict[str, Array] = {}
    features = np.empty(0)
    for name, x in embeddings.items():
        view = scorer.views[name]
        if name == STATISTICS:
            features = shares(x[0], view, section)
            features *= drops.whole[name] / max(float(features.sum()), np.finfo(float).tiny)
            bands[name] = features.reshape(-1, config.n_mels).sum(axis=0)
        else:
            # A row at once or block by block, whichever finds more: a peak hides in the other
            # blocks of its row, and a row of another machine's sound is no normal one.
            found = np.maximum(drops.rows[name], drops.blocks[name].sum(axis=1))
            bands[name] = _spread(np.maximum(found, 0), drops.row_of_band, drops.whole[name])
    stretches, inside = _stretches(np.sum(list(bands.values()), axis=0), config)
    comparison = None
    if STATISTICS in embeddings:
        reference = scorer.views[STATISTICS].references.embeddings[row]
        comparison = _comparison(embeddings[STATISTICS][0], reference, features, inside, config)
    return Attribution(bands, stretches, comparison)


def shares(x: NDArray[Any], view: View, section: str) -> Array:
    """Share out the distance of an embedding to its nearest references over its features.

    For the Mahalanobis distance it is the partition of Garthwaite and Koch (2016), Australian
    & New Zealand J. Statistics 58: with the covariance S = D R D (D deviations, R
    correlations), d^2 is the sum of squares of R^(-1/2) D^-1 (x - r), whose components each
    stay as close to one feature as uncorrelated ones can.

    Args:
        x: [shape=(d,)].
        view: references and rule; its weight is not applied.
        section: the clip's.

    Returns:
        [shape=(d,)], 0 or more; they sum to the distance that `Scorer` finds.
    """
    references, config = view.references, view.config
    own = np.ones(len(references.sections), bool)
    if not config.pool_sections:
        own = references.sections == section
    a, b = x.astype(np.float64), references.embeddings[own].astype(np.float64)
    if config.metric == "cosine":
        # 1 - cos = |a - b|^2 / 2 for vectors of length 1.
        tiny = np.finfo(np.float32).tiny
        a /= max(float(np.linalg.norm(a)), float(tiny))
        b /= np.maximum(np.linalg.norm(b, axis=1, keepdims=True), tiny)
    difference = a - b
    if config.metric == "whitened":
        difference = difference @ _partition(references.whitening)
    squares = np.square(difference)
    squared = squares.sum(axis=1)
    d = squared / 2 if config.metric == "cosine" else np.sqrt(squared)
    scale = d / np.maximum(squared, np.finfo(np.float64).tiny)
    if references.density.size:
        scale = scale / references.density[own]
    nearest = np.argsort(scale * squared)[: config.k]
    mean: Array = (scale[nearest, np.newaxis] * squares[nearest]).mean(axis=0)
    return mean


def _partition(whitening: NDArray[np.float16]) -> Array:
    """Matrix M = D^-1 R^(-1/2) of a whitening L: |x M| = |x L| for every x."""
    factor = as_matrix(whitening)
    covariance = np.linalg.inv(factor @ factor.T)
    deviation = np.sqrt(np.diag(covariance))
    values, vectors = np.linalg.eigh(covariance / np.outer(deviation, deviation))
    root: Array = (vectors / np.sqrt(values)) @ vectors.T / deviation[:, np.newaxis]
    return root


def _spread(found: Array, row_of_band: NDArray[np.intp], part: float) -> Array:
    """Spread a part of the score over bands in proportion to what each row was found to give."""
    per_band = (found / np.bincount(row_of_band))[row_of_band]
    if not per_band.any():
        per_band = np.ones_like(per_band)
    spread: Array = per_band / per_band.sum() * part
    return spread


def _stretches(contributions: Array, config: MelConfig) -> tuple[tuple[Stretch, ...], slice]:
    """Find up to 3 runs of bands that give twice their due, and the slice of the first.

    Of an ordinary clip every band gives about as much, since the distance is whitened.
    Gaps of up to 2 bands are bridged; runs of less than a quarter of the first are left out.
    """
    total = max(float(contributions.sum()), 1e-30)
    high = np.flatnonzero(contributions > 2 * total / len(contributions))
    if not len(high):
        return (), slice(None)
    runs = np.split(high, np.flatnonzero(np.diff(high) > 3) + 1)
    spans = [(int(run[0]), int(run[-1]) + 1) for run in runs]
    shares_ = {span: float(contributions[slice(*span)].sum()) / total for span in spans}
    spans = sorted(spans, key=lambda span: -shares_[span])[:3]
    edges = mel_frequencies(config)
    # Filter i reaches from edge i to edge i + 2.
    stretches = tuple(
        Stretch(float(edges[first]), float(edges[last + 1]), shares_[first, last])
        for first, last in spans
        if shares_[first, last] >= shares_[spans[0]] / 4
    )
    return stretches, slice(*spans[0])


def _comparison(
    x: NDArray[Any], reference: NDArray[Any], features: Array, inside: slice, config: MelConfig
) -> Comparison:
    """Compare statistics in a stretch of bands, each feature by what it contributes."""
    here, there, weight = (
        np.asarray(v, np.float64).reshape(-1, config.n_mels) for v in (x, reference, features)
    )
    difference = to_db(here[0], config) - to_db(there[0], config)
    here, there, weight = here[:, inside], there[:, inside], weight[:, inside] + 1e-30
    level = float(np.average(difference[inside], weights=weight[0]))
    changes = float((there[1:] * weight[1:]).sum())
    ratio = float((here[1:] * weight[1:]).sum()) / changes if changes > 0 else None
    return Comparison(level, float(np.median(difference)), ratio)
