"""Student's quantile against scipy."""

from __future__ import annotations

import pytest
import scipy.stats

from asd_edge.scoring.student_t import quantile


@pytest.mark.parametrize("dof", [1, 2, 3, 4, 5, 8, 29, 30, 99, 998, 999])
def test_quantile(dof: int) -> None:
    for q in (0.001, 0.3, 0.5, 0.9, 0.99, 0.999, 0.99999):
        expected = scipy.stats.t.ppf(q, dof)
        assert quantile(q, dof) == pytest.approx(expected, rel=1e-9, abs=1e-12)
