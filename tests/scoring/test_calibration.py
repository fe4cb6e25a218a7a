"""Thresholds and p-values against scipy, brute force and the binomial distribution."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from asd_edge.errors import ParameterError
from asd_edge.scoring.calibration import MIN_SECTION_CLIPS, Calibration, predicted


def gamma_scores(n: int, seed: int = 0, shape: float = 20.0, scale: float = 0.01) -> list[float]:
    return np.random.default_rng(seed).gamma(shape, scale, n).tolist()


@pytest.mark.parametrize("shape", [1.0, 3.0, 10.0, 60.0])
def test_of_many_scores_the_prediction_is_gamma_s_quantile(shape: float) -> None:
    """Wilson and Hilferty's cube root is good for a few percent of the quantile."""
    scores = gamma_scores(20000, seed=3, shape=shape, scale=0.3)
    for q in (0.9, 0.99, 0.999):
        expected = scipy.stats.gamma.ppf(q, shape, scale=0.3)
        assert predicted(scores, q) == pytest.approx(expected, rel=0.06)


@pytest.mark.parametrize("n", [5, 10, 30])
@pytest.mark.parametrize("rate", [0.05, 0.01])
def test_few_gamma_scores_give_the_stated_rate(n: int, rate: float) -> None:
    """Many calibrations: a fit that is taken for the truth would give 5 % for 1 % of five."""
    rng = np.random.default_rng(n)
    shape, sets = 20.0, 4000
    thresholds = [predicted(scores, 1 - rate) for scores in rng.gamma(shape, 1.0, (sets, n))]
    rates = scipy.stats.gamma.sf(thresholds, shape)
    assert abs(rates.mean() - rate) < 4 * rates.std() / sets**0.5 + 0.05 * rate


finite_scores = st.lists(st.floats(1e-3, 1e3), min_size=2, max_size=60).filter(
    lambda values: len(set(values)) > 1
)


@given(scores=finite_scores, rate=st.floats(0.001, 0.999), probe=st.floats(1e-3, 1e3))
def test_the_conformal_threshold_decides_as_the_p_value(
    scores: list[float], rate: float, probe: float
) -> None:
    calibration = Calibration({"00": tuple(scores)})
    threshold = calibration.threshold("00", rate)
    p = calibration.p_value("00", probe)
    assert p == (1 + sum(s >= probe for s in scores)) / (len(scores) + 1)
    if threshold.rule == "conformal" and not math.isclose(p, rate, rel_tol=1e-6):
        assert (probe >= threshold.value) == (p <= rate)
    assert (threshold.rule == "gamma") == (rate * (len(scores) + 1) < 1 - 1e-9)


def test_the_realised_rate_lies_in_the_binomial_interval() -> None:
    """Many calibrations, so that the spread of one does not count."""
    rng = np.random.default_rng(5)
    rate, false_alarms, trials = 0.05, 0, 0
    for _ in range(300):
        scores = rng.gamma(20, 0.01, 99)
        threshold = Calibration({"00": tuple(scores.tolist())}).threshold("00", rate).value
        false_alarms += int((rng.gamma(20, 0.01, 40) >= threshold).sum())
        trials += 40
    # Clips of one calibration share its threshold, which widens the interval: variance of
    # the mean rate = p q / 40 / 300 (clips) + p q / 100 / 300 (thresholds).
    deviation = math.sqrt(rate * (1 - rate) * (1 / 40 + 1 / 100) / 300)
    assert abs(false_alarms / trials - rate) < 3 * deviation


def test_gamma_takes_over_where_conformal_cannot_decide() -> None:
    scores = gamma_scores(30)
    calibration = Calibration({"00": tuple(scores)})
    threshold = calibration.threshold("00", 0.001)
    assert (threshold.rule, threshold.n) == ("gamma", 30)
    assert threshold.value > max(scores)
    assert calibration.threshold("00", 0.1).rule == "conformal"


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
