"""Whitening: a distance in which the ordinary variation of normal clips counts alike everywhere.

With the covariance S of normal embeddings about the mean of their own section
and domain, the Mahalanobis distance sqrt((a - b)' S^-1 (a - b)) is the euclidean
distance of the projections x -> x L, where S^-1 = L L'. S is pooled over all
sections: it is about how clips of one machine differ among themselves, and that
is learned better from all of them. There are more bands than clips as a rule, so S is
shrunk towards a multiple of the identity by Ledoit and Wolf (2004), J. Multivariate
Analysis 88, 365-411. A clip that is further from the mean than twice the median distance is moved
to twice that distance: one fault among the normals must not make its own direction ordinary.

L is lower triangular. Everywhere but inside a formula it is the rows of that triangle, one after
the other, in float16 [shape=(d (d + 1) / 2,)]: reading it is the largest part of a score's time.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asd_edge._core import Projection
from asd_edge.frontend.mel import instruction_set

_MOST_LENGTH = 2.0


def projection(triangle: NDArray[np.float16]) -> Projection:
    """Make the function that multiplies embeddings [shape=(n, d)] with L, in single precision.

    Raises:
        ParameterError: not the length of a triangle, or values that are infinite or NaN.
    """
    return Projection(triangle.view(np.uint16), instruction_set())


def as_matrix(triangle: NDArray[np.float16]) -> NDArray[np.float64]:
    """Give L itself [shape=(d, d)]."""
    d = (math.isqrt(8 * len(triangle) + 1) - 1) // 2
    matrix = np.zeros((d, d))
    matrix[np.tri(d, dtype=bool)] = triangle
    return matrix


def ledoit_wolf(x: NDArray[Any]) -> tuple[NDArray[np.float64], float]:
    """Shrunk covariance of centred rows.

    Args:
        x: [shape=(n, d)], n > 0; each column has mean 0.

    Returns:
        the covariance [shape=(d, d)] and the shrinkage, 0 to 1: the weight of the identity.
    """
    x = np.asarray(x, dtype=np.float64)
    n, d = x.shape
    sample = x.T @ x / n
    scale = np.trace(sample) / d
    # Paper's d^2 and b^2 (times d): distance of the sample covariance from the target, and
    # its own mean squared error, sum over rows of |x x' - sample|^2 / n^2.
    spread = np.square(sample).sum() - d * scale**2
    lengths = np.einsum("ij,ij->i", x, x)
    error = (np.square(lengths).sum() / n - np.square(sample).sum()) / n
    shrinkage = 1.0 if spread <= 0 else float(min(max(error / spread, 0.0), 1.0))
    shrunk = (1 - shrinkage) * sample
    shrunk[np.diag_indices(d)] += shrinkage * scale
    return shrunk, shrinkage


def whitening(embeddings: NDArray[Any], groups: NDArray[Any]) -> NDArray[np.float16]:
    """Projection under which the spread within groups is the same in all directions.

    Args:
        embeddings: of normal clips [shape=(n, d)].
        groups: section and domain of each, in any coding [shape=(n,)].

    Returns:
        L of the inverse covariance [shape=(d (d + 1) / 2,)]; distances change by less than
        1e-3 (relative) for being kept in float16. All rows equal give the identity.
    """
    x = np.array(embeddings, dtype=np.float64)  # thousands of rows: changed in place
    for group in np.unique(groups):
        rows = groups == group
        own = x if rows.all() else x[rows]
        own -= own.mean(axis=0)
        _hold(own)
        if own is not x:
            x[rows] = own
    covariance, _ = ledoit_wolf(x)
    # In units of the mean deviation, so that float16 has the range whatever the embedding's.
    scale = float(np.sqrt(np.trace(covariance) / len(covariance)))
    if not scale > np.finfo(np.float32).tiny:
        return _triangle(np.eye(x.shape[1]))
    # The shrinkage keeps the smallest eigenvalue off 0, unless it is 0 itself.
    floor = 1e-6 * np.eye(len(covariance))
    factor = np.linalg.cholesky(np.linalg.inv(covariance / scale**2 + floor))
    return _triangle(factor)


def _hold(centred: NDArray[np.float64]) -> None:
    """Shorten rows [shape=(n, d)] to at most twice the median length."""
    lengths = np.sqrt(np.einsum("ij,ij->i", centred, centred))
    most = _MOST_LENGTH * float(np.median(lengths))
    if most > 0:
        centred *= np.minimum(1.0, most / np.maximum(lengths, 1e-300))[:, np.newaxis]


def _triangle(matrix: NDArray[np.float64]) -> NDArray[np.float16]:
    triangle: NDArray[np.float64] = matrix[np.tri(len(matrix), dtype=bool)]
    return triangle.astype(np.float16)
