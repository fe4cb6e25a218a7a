"""Standards: what a distance contributes to a score."""

from __future__ import annotations

import numpy as np

from asd_edge.scoring.views import ScoringConfig, Standard


def test_rounding_at_a_reference_does_not_show_in_the_score() -> None:
    """PyTorch and onnxruntime differ there by 1e-3 of a whitened distance of 30."""
    standard = Standard((3.0, 2.0), (0.1, 0.1), 30.0, 0.03)
    config = ScoringConfig(parts={"left": (0, 2)}, emphasis=0.25)
    found = standard.contributions([(0.0, 0.0), (1e-3, 2e-3), (0.3, 0.1)], config)
    assert set(found) == {found[0]}
    far = standard.contributions([(20.0, 1.0), (27.0, 1.0)], config)
    assert found[0] < far[0] < far[1]


def test_contributions_are_those_of_the_formula_in_arrays() -> None:
    standard = Standard((3.0, 2.0), (0.1, 0.2), 5.0, 0.03)
    config = ScoringConfig(parts={"left": (0, 2)}, emphasis=0.25)
    distances = np.random.default_rng(0).gamma(9.0, 3.0, (50, 2))
    z = (distances ** (1 / 3) - np.array(standard.centres)) / np.array(standard.spreads)
    expected = np.maximum(z.max(axis=1) + 0.25 * z[:, 0] + 5.0, 0.0) * 0.03
    found = standard.contributions(distances.tolist(), config)
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_a_window_that_is_not_a_number_stays_one() -> None:
    standard = Standard((3.0, 2.0), (0.1, 0.1), 30.0, 0.03)
    config = ScoringConfig(parts={"left": (0, 2)}, emphasis=0.25)
    assert np.isnan(standard.contributions([(np.nan, 9.0)], config)).all()


def test_a_contribution_is_never_below_0() -> None:
    """Its power would be no number, where it is the only one."""
    standard = Standard((3.0,), (0.1,), 0.0, 1.0)
    assert standard.contributions([(0.0,), (8.0,), (27.0,)], ScoringConfig()) == [0.0, 0.0, 0.0]
    assert standard.contributions([(30.0,)], ScoringConfig())[0] > 0
