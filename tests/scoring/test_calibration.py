"""Thresholds and tail probabilities against scipy, simulations and each other."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from asd_edge.errors import ParameterError
from asd_edge.scoring.calibration import MIN_SECTION_CLIPS, Calibration, Tail, robust_normal


def gamma_scores(n: int, seed: int = 0, shape: float = 20.0, scale: float = 0.01) -> list[float]:
    return np.random.default_rng(seed).gamma(shape, scale, n).tolist()


@pytest.mark.parametrize("shape", [3.0, 10.0, 60.0])
def test_of_many_scores_centre_and_spread_are_those_of_the_cube_roots(shape: float) -> None:
    """Huber's estimates of normal values are their mean and deviation."""
    scores = gamma_scores(20000, seed=3, shape=shape, scale=0.3)
    tail, roots = Tail.fit(scores), np.cbrt(scores)
    assert tail.centre == pytest.approx(roots.mean(), rel=0.005)
    assert tail.spread == pytest.approx(roots.std(), rel=0.03)


def test_low_scores_say_nothing_of_how_high_normal_ones_reach() -> None:
    roots = np.linspace(0.9, 1.1, 41)
    lower = np.where(roots < 1, 1 - 2 * (1 - roots), roots)  # twice as far down
    upper = 2 - lower  # twice as far up
    both = Tail.fit(lower**3, "both").spread
    assert Tail.fit(upper**3, "both").spread == pytest.approx(both)
    assert Tail.fit(lower**3).spread < 0.95 * both < 1.05 * both < Tail.fit(upper**3).spread
    # By the definition: twice the squares above the centre, held at two of Huber's spreads.
    centre = upper.mean()
    squares = 2 * np.square(upper[upper > centre] - centre).sum() / 40
    assert Tail.fit(upper**3).spread == pytest.approx(np.sqrt(squares / 0.9205), rel=1e-3)


def test_the_tail_of_both_sides_is_that_of_bundles_up_to_schema_3() -> None:
    """Huber's spread of normal values is their deviation; 8 degrees of freedom of many."""
    roots = np.random.default_rng(2).normal(3.0, 0.2, 5000)
    calibration = Calibration({"00": tuple(roots**3)}, kind="both")
    expected = (roots.mean() + roots.std() * scipy.stats.t.isf(0.01, 8)) ** 3
    assert calibration.threshold("00").value == pytest.approx(expected, rel=0.01)
    assert Calibration.from_dict(calibration.to_dict()) == calibration


@pytest.mark.parametrize("n", [5, 8])
@pytest.mark.parametrize("rate", [0.05, 0.01])
def test_few_gamma_scores_give_the_stated_rate(n: int, rate: float) -> None:
    """Many calibrations: a fit that is taken for the truth would give 5 % for 1 % of five."""
    rng = np.random.default_rng(n)
    shape, sets = 20.0, 2000
    thresholds = [
        Tail.fit(scores).threshold(rate).value for scores in rng.gamma(shape, 1.0, (sets, n))
    ]
    realised = scipy.stats.gamma.sf(thresholds, shape).mean()
    assert rate / 2 < realised < 2 * rate


@pytest.mark.parametrize("n", [12, 48, 240])
def test_the_rate_holds_for_the_long_tails_of_real_clips(n: int) -> None:
    """Cube roots of Student's t with 8 degrees of freedom, as the recordings suggested."""
    rng = np.random.default_rng(n)
    rate, sets = 0.01, 400
    roots = 3 + 0.2 * rng.standard_t(8, (sets, n))
    thresholds = [Tail.fit(row**3).threshold(rate).value for row in roots]
    realised = scipy.stats.t.sf((np.cbrt(thresholds) - 3) / 0.2, 8).mean()
    assert rate / 2 < realised < 2 * rate


@pytest.mark.parametrize("odd", [2.0, 10.0, 1e4])
@pytest.mark.parametrize("n", [12, 50])
def test_one_odd_clip_hardly_moves_the_threshold(n: int, odd: float) -> None:
    clean = gamma_scores(n, seed=1, shape=60)
    before = Calibration({"00": tuple(clean)}).threshold("00").value
    after = Calibration({"00": (*clean, odd * max(clean))}).threshold("00").value
    assert before <= after < before * (1.1 if n == 50 else 1.35)


finite_scores = st.lists(st.floats(1e-3, 1e3), min_size=2, max_size=60).filter(
    lambda values: np.ptp(np.cbrt(values)) > 1e-6
)


@given(scores=finite_scores, rate=st.floats(1e-9, 0.999))
def test_the_tail_probability_of_the_threshold_is_the_rate(
    scores: list[float], rate: float
) -> None:
    calibration = Calibration({"00": tuple(scores)})
    threshold = calibration.threshold("00", rate).value
    if threshold > 0:  # a rate so high that even 0 would be too low is given 0
        assert calibration.tail_probability("00", threshold)[0] == pytest.approx(rate, rel=1e-6)


@given(scores=finite_scores)
def test_the_tail_probability_falls_with_the_score(scores: list[float]) -> None:
    calibration = Calibration({"00": tuple(scores)})
    p = calibration.tail_probability("00", np.geomspace(1e-3, 1e5, 200))
    assert p.shape == (200,)
    assert (np.diff(p) <= 0).all()
    assert ((p > 0) & (p <= 1)).all()


def test_the_tail_goes_on_far_below_one_in_n() -> None:
    calibration = Calibration({"00": tuple(gamma_scores(30))})
    p = calibration.tail_probability("00", [max(calibration.pooled) * x for x in (2, 20, 2000)])
    assert (p > 0).all()
    assert (p < 1e-3).all()
    assert (np.diff(p) < 0).all()


@pytest.mark.parametrize("n", [12, 60])
def test_the_true_rate_lies_where_the_threshold_says(n: int) -> None:
    """In 90 % of calibrations, of cube roots as the fit takes them to be."""
    rng = np.random.default_rng(n)
    inside, sets = 0, 600
    for _ in range(sets):
        threshold = Tail.fit((3 + 0.2 * rng.standard_t(8, n)) ** 3).threshold(0.01)
        realised = scipy.stats.t.sf((np.cbrt(threshold.value) - 3) / 0.2, 8)
        inside += threshold.lowest_rate <= realised <= threshold.highest_rate
    assert 0.8 < inside / sets < 0.97


def test_sections_with_few_clips_share_all() -> None:
    few, many = gamma_scores(3, 1), gamma_scores(MIN_SECTION_CLIPS, 2)
    calibration = Calibration({"00": tuple(few), "01": tuple(many)})
    assert calibration.threshold("01").n == len(many)
    for section in ("00", "unknown"):
        assert calibration.threshold(section).n == len(few) + len(many)


def test_json_round_trip() -> None:
    calibration = Calibration({"00": tuple(gamma_scores(5))}, false_alarm_rate=0.02)
    assert Calibration.from_dict(json.loads(json.dumps(calibration.to_dict()))) == calibration


@pytest.mark.parametrize("scores", [(), (1.0,), (2.0, 2.0), (1.0, math.nan)])
def test_too_little_to_calibrate_from(scores: tuple[float, ...]) -> None:
    with pytest.raises(ParameterError, match="calibration scores"):
        Calibration({"00": scores})


@pytest.mark.parametrize("rate", [0.0, 1.0, -0.1, math.nan])
def test_rates_outside_their_range(rate: float) -> None:
    with pytest.raises(ParameterError, match="false-alarm rate"):
        Calibration({"00": (1.0, 2.0)}).threshold("00", rate)


def test_a_kind_of_tail_that_is_not_known() -> None:
    with pytest.raises(ParameterError, match="upper or both"):
        Calibration({"00": (1.0, 2.0)}, kind="lower")


def test_the_threshold_is_exactly_1_in_its_own_units() -> None:
    scores = np.random.default_rng(5).gamma(30.0, 1 / 30, 40)
    value = Calibration({"00": tuple(scores)}).threshold("00").value
    own = Calibration({"00": tuple(scores / value)})
    assert own.threshold("00").value == 1.0
    assert own.threshold("00", 0.02).value < 1.0


@pytest.mark.parametrize("n", [2, 5, 9, 10, 11, 12, 40])
@pytest.mark.parametrize("rate", [0.2, 0.01, 1e-6])
@pytest.mark.parametrize(("kind", "most"), [("upper", 10), ("both", 8)])
def test_the_distribution_is_scipy_s(n: int, rate: float, kind: str, most: int) -> None:
    """Threshold, its rates and both tail probabilities, from centre and spread of the roots."""
    tail = Tail(2.0, 0.3, n, kind)
    t = scipy.stats.t(min(n - 1, most))
    scale = 0.3 * math.sqrt(1 + 1 / n)
    threshold = tail.threshold(rate)
    assert threshold.value == pytest.approx((2 + scale * t.isf(rate)) ** 3)
    assert (threshold.rule, threshold.n, threshold.rate) == ("fitted", n, rate)
    unsure = scipy.stats.norm.ppf(0.95) * math.sqrt(1 / n + t.isf(rate) ** 2 / (n - 1))
    assert threshold.lowest_rate == pytest.approx(t.sf(t.isf(rate) + unsure), rel=1e-3)
    assert threshold.highest_rate == pytest.approx(t.sf(t.isf(rate) - unsure), rel=1e-3)
    scores = np.array([0.0, 0.5, 7.0, 8.0, 30.0])
    expected = t.sf((np.cbrt(scores) - 2) / scale)
    np.testing.assert_allclose(tail.probability(scores), expected, rtol=1e-9)
    for score, p in zip(scores.tolist(), expected.tolist(), strict=True):
        assert tail.probability_of_one(score) == pytest.approx(p, rel=1e-9)
    assert tail.scaled(5.0).threshold(rate).value == pytest.approx(5 * threshold.value)


def test_a_threshold_is_never_below_0() -> None:
    assert Tail(0.1, 0.3, 5).threshold(0.9).value == 0.0


@pytest.mark.parametrize("scale", [1.0, 1e-6])
@pytest.mark.parametrize("odd", [0, 1, 6])
@pytest.mark.parametrize("n", [2, 3, 8, 25])
def test_centre_and_spread_solve_huber_s_equations(n: int, odd: int, scale: float) -> None:
    """Proposal 2: values are held at two deviations; of those n - 1 are free."""
    roots = 1 + scale * np.random.default_rng(n).standard_normal(n)
    roots[:odd] += 40 * scale
    centre, spread = robust_normal(roots)
    held = np.clip(roots, centre - 2 * spread, centre + 2 * spread)
    held_variance = scipy.stats.norm.expect(lambda x: min(x * x, 4.0))
    assert held.mean() - centre == pytest.approx(0, abs=1e-7 * spread)
    expected = np.square(held - centre).sum() / (n - 1) / held_variance
    assert spread**2 == pytest.approx(expected, rel=1e-6)


def test_equal_values_are_no_spread_of_their_own() -> None:
    """More than half are equal: the median deviation is 0, and a fit that begins there stays."""
    assert robust_normal(np.array([1.0] * 5 + [1.1, 1.2]))[1] > 0.01


def test_ten_different_scores_are_enough_for_a_section() -> None:
    others = tuple(gamma_scores(20, 9))
    for own, alone in (
        (gamma_scores(10, 4), True),
        (gamma_scores(9, 4), False),
        ([0.3] * 10, False),
        ([0.3] * 9 + [0.4], True),
        ([0.2] + [0.3] * 9, True),
    ):
        calibration = Calibration({"00": tuple(own), "01": others})
        assert calibration.threshold("00").n == len(own) + (0 if alone else 20)


def test_sections_without_scores_of_their_own_are_in_their_own_units() -> None:
    """What several sections share is in units of the thresholds, so its threshold is 1."""
    several = Calibration({"00": tuple(gamma_scores(5, 1)), "01": tuple(gamma_scores(12, 2))})
    assert several.threshold("00").value == several.threshold("77").value == 1.0
    assert several.threshold("77", 0.1).value < 1.0 < several.threshold("77", 1e-4).value
    assert several.threshold("01").value != 1.0
    only = Calibration({"00": tuple(gamma_scores(5, 1))})
    assert only.threshold("77").value == only.threshold("00").value != 1.0
    assert only.false_alarm_rate == only.threshold("00").rate == 0.01
