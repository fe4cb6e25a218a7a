"""Student's t against scipy."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats

from asd_edge.scoring.student_t import (
    quantile,
    upper_quantile,
    upper_tail,
    upper_tail_of_one,
)

DOFS = [1, 2, 3, 4, 5, 8, 29, 30, 99, 998, 999]


@pytest.mark.parametrize("dof", DOFS)
def test_quantile(dof: int) -> None:
    for q in (0.001, 0.3, 0.5, 0.9, 0.99, 0.999, 0.99999):
        expected = scipy.stats.t.ppf(q, dof)
        assert quantile(q, dof) == pytest.approx(expected, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("dof", DOFS[:8])
def test_the_tail_keeps_its_precision_far_out(dof: int) -> None:
    """1 - F would be 0, or noise, from 1e-16 down."""
    t = np.array([-1e3, -3, -0.5, 0, 0.5, 1, 2.9, 5, 10, 100, 1e4])
    np.testing.assert_allclose(upper_tail(t, dof), scipy.stats.t.sf(t, dof), rtol=1e-9)


@pytest.mark.parametrize("dof", DOFS[:8])
def test_upper_quantiles_of_rare_values(dof: int) -> None:
    for p in (0.9, 0.5, 0.01, 1e-6, 1e-12):
        expected = scipy.stats.t.isf(p, dof)
        assert upper_quantile(p, dof) == pytest.approx(expected, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("dof", [1, 2, 3, 4, 7, 8, 30])
def test_one_number_has_the_tail_that_an_array_has(dof: int) -> None:
    t = np.concatenate([np.linspace(-9, 9, 181), [0.0, 40.0, 1e4]])
    expected = upper_tail(t, dof)
    found = [upper_tail_of_one(float(x), dof) for x in t]
    np.testing.assert_allclose(found, expected, rtol=1e-9)
