"""Whitening against scikit-learn's Ledoit-Wolf and SciPy's Mahalanobis distance."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.distance import cdist
from sklearn.covariance import LedoitWolf

from asd_edge.errors import ParameterError
from asd_edge.frontend.mel import instruction_sets
from asd_edge.scoring.whitening import as_matrix, ledoit_wolf, projection, whitening


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
    projected = projection(whitening(x, groups))(x[:9])
    got = cdist(projected, projected)
    # Up to a common factor, as the module says; 16 bits keep three digits.
    off = ~np.eye(9, dtype=bool)
    ratio = got[off] / expected[off]
    np.testing.assert_allclose(ratio, ratio.mean(), rtol=3e-3)


def test_equal_clips_are_left_as_they_are() -> None:
    x = np.ones((4, 3), np.float32)
    triangle = whitening(x, np.array(["a", "a", "b", "b"]))
    np.testing.assert_array_equal(as_matrix(triangle), np.eye(3))


def test_a_single_clip_a_group_is_no_spread() -> None:
    x = clips(3, 4).astype(np.float32)
    np.testing.assert_array_equal(as_matrix(whitening(x, np.array(["a", "b", "c"]))), np.eye(4))


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_the_unit_does_not_matter(scale: float) -> None:
    x, groups = clips(60, 5), np.repeat(["a", "b"], 30)
    np.testing.assert_allclose(whitening(x * scale, groups), whitening(x, groups), rtol=2e-3)


@pytest.mark.parametrize("name", instruction_sets())
@pytest.mark.parametrize("d", [1, 3, 15, 16, 17, 100, 257])
def test_projections_multiply_with_the_triangle(
    name: str, d: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ASD_EDGE_SIMD", name)
    rng = np.random.default_rng(d)
    # All sizes that float16 has, those below its normal range and zeros among them.
    values = rng.standard_normal(d * (d + 1) // 2) * 10.0 ** rng.integers(-9, 5, d * (d + 1) // 2)
    triangle = values.astype(np.float16)
    matrix = np.zeros((d, d))
    matrix[np.tril_indices(d)] = triangle
    np.testing.assert_array_equal(as_matrix(triangle), matrix)
    x = rng.standard_normal((5, d)).astype(np.float32)
    got = projection(triangle)(x)
    assert got.dtype == np.float32
    # Each of d roundings is at most half a unit in the last place of the sum so far.
    bound = 2**-24 * (d + 2) * (np.abs(x).astype(np.float64) @ np.abs(matrix))
    assert (np.abs(got - x.astype(np.float64) @ matrix) <= bound).all()
    np.testing.assert_array_equal(projection(triangle)(x[1:2, :]), got[1:2])
    assert projection(triangle)(x[:0]).shape == (0, d)


def test_senseless_triangles_and_embeddings_are_refused() -> None:
    for bad in (np.inf, -np.inf, np.nan):
        triangle = np.ones(153, np.float16)
        triangle[150] = bad
        with pytest.raises(ParameterError, match="NaN or infinite"):
            projection(triangle)
    for n in (0, 2, 4):
        with pytest.raises(ParameterError, match="triangle"):
            projection(np.ones(n, np.float16))
    with pytest.raises(ParameterError, match=r"embeddings\.shape"):
        projection(np.ones(3, np.float16))(np.ones((1, 3), np.float32))
