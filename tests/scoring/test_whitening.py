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


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
@pytest.mark.parametrize(("n", "d"), [(30, 4), (6, 40)])
def test_shrinkage_has_no_unit(n: int, d: int, scale: float) -> None:
    x = clips(n, d) * scale
    x -= x.mean(axis=0)
    expected = LedoitWolf(assume_centered=True).fit(x)
    assert ledoit_wolf(x)[1] == pytest.approx(expected.shrinkage_, rel=1e-9)


def test_shrinkage_at_its_bounds() -> None:
    covariance, shrinkage = ledoit_wolf([[2.0], [-2.0]])  # one dimension is its own target
    assert (covariance.item(), shrinkage) == (4.0, 1.0)
    covariance, shrinkage = ledoit_wolf([[3.0, 4.0], [-3.0, -4.0]])  # all rows alike: no error
    np.testing.assert_allclose(covariance, [[9, 12], [12, 16]])
    assert shrinkage == 0.0
    x = np.array([[1.0, 0], [-1, 0], [0, 1.1], [0, -1.1]])  # nearly round: all error
    assert ledoit_wolf(x)[1] == 1.0 == LedoitWolf(assume_centered=True).fit(x).shrinkage_


def test_clips_on_a_line_have_a_projection() -> None:
    triangle = whitening(np.array([[3.0, 4.0], [-3.0, -4.0]] * 3), np.full(6, "a"))
    matrix = as_matrix(triangle)
    assert np.isfinite(matrix).all()
    along, across = (np.linalg.norm(np.array(v) @ matrix) for v in ([0.6, 0.8], [-0.8, 0.6]))
    assert across / along > 100


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
def test_a_far_clip_counts_as_one_at_twice_the_median_distance(scale: float) -> None:
    x = clips(9, 3) * scale
    x = np.concatenate([x - x.mean(axis=0), x.mean(axis=0) - x])  # the mean is 0 at both ends
    far = np.array([[1.0, 2.0, 2.0], [-1.0, -2.0, -2.0]]) / 3
    odd = np.concatenate([x, 1000 * scale * far])
    held = np.concatenate([x, 2 * np.median(np.linalg.norm(odd, axis=1)) * far])
    group = np.full(len(x) + 2, "a")
    np.testing.assert_allclose(whitening(odd, group), whitening(held, group), rtol=1e-3)


def test_most_clips_in_one_place_do_not_hold_the_others_there() -> None:
    """The median distance is 0; the clips beside it are the spread that there is."""
    step = np.array([1.0, 0.0, 0.0])
    x = np.array([0 * step, 0 * step, 0 * step, step, -step])
    matrix = as_matrix(whitening(x, np.full(5, "a")))
    assert matrix[1, 1] / matrix[0, 0] > 1.1


def test_it_is_in_units_of_the_mean_deviation() -> None:
    x, groups = clips(200, 6), np.repeat(["a", "b"], 100)
    matrix = as_matrix(whitening(x, groups))
    assert np.trace(np.linalg.inv(matrix @ matrix.T)) == pytest.approx(6, rel=0.01)
