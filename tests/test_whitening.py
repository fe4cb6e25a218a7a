"""Whitening against scikit-learn's Ledoit-Wolf and SciPy's Mahalanobis distance."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.distance import cdist
from sklearn.covariance import LedoitWolf

from asd_edge.whitening import ledoit_wolf, whitening


def clips(n: int, d: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.standard_normal((n, d)) @ rng.standard_normal((d, d)) + rng.normal(0, 9, d)


@pytest.mark.parametrize(("n", "d"), [(400, 5), (50, 10), (20, 60), (3, 100)])
def test_ledoit_wolf(n: int, d: int) -> None:
    x = clips(n, d)
    x -= x.mean(axis=0)
    covariance, shrinkage = ledoit_wolf(x)
    expected = LedoitWolf(assume_centered=True).fit(x)
    assert shrinkage == pytest.approx(expected.shrinkage_, rel=1e-9)
    np.testing.assert_allclose(covariance, expected.covariance_, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(("n", "d"), [(200, 8), (24, 50)])
def test_the_projection_makes_mahalanobis_euclidean(n: int, d: int) -> None:
    x = clips(n, d)
    groups = np.repeat(["00/source", "01/source", "01/target", "02/source"], n // 4)
    x += 100.0 * np.array([len(g) * ord(g[1]) for g in groups])[:, None]  # groups lie far apart
    centred = np.concatenate([x[groups == g] - x[groups == g].mean(0) for g in np.unique(groups)])
    precision = np.linalg.inv(LedoitWolf(assume_centered=True).fit(centred).covariance_)
    expected = cdist(x[:9], x[:9], "mahalanobis", VI=precision)
    matrix = whitening(x, groups)
    assert matrix.dtype == np.float32
    np.testing.assert_array_equal(matrix, matrix.astype(np.float16).astype(np.float32))
    np.testing.assert_array_equal(matrix, np.tril(matrix))
    got = cdist(x[:9] @ matrix, x[:9] @ matrix)
    # Up to a common factor, as the module says; 16 bits keep three digits.
    off = ~np.eye(9, dtype=bool)
    ratio = got[off] / expected[off]
    np.testing.assert_allclose(ratio, ratio.mean(), rtol=3e-3)


def test_equal_clips_are_left_as_they_are() -> None:
    x = np.ones((4, 3), np.float32)
    np.testing.assert_array_equal(whitening(x, np.array(["a", "a", "b", "b"])), np.eye(3))


def test_a_single_clip_a_group_is_no_spread() -> None:
    x = clips(3, 4).astype(np.float32)
    np.testing.assert_array_equal(whitening(x, np.array(["a", "b", "c"])), np.eye(4))


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_the_unit_does_not_matter(scale: float) -> None:
    x, groups = clips(60, 5), np.repeat(["a", "b"], 30)
    np.testing.assert_allclose(whitening(x * scale, groups), whitening(x, groups), rtol=2e-3)
