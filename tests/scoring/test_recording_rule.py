"""Simes' rule: the stated rate at every length, and faults found in long recordings."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats

from asd_edge.scoring.recording_rule import decide_recording


@pytest.mark.parametrize("windows", [1, 2, 11, 119, 719])
@pytest.mark.parametrize("rate", [0.01, 0.1])
def test_the_stated_rate_whatever_the_length(windows: int, rate: float) -> None:
    rng = np.random.default_rng(windows)
    alarms = sum(decide_recording(p, rate).p_value <= rate for p in rng.random((3000, windows)))
    low, high = scipy.stats.binom.interval(0.999, 3000, rate)
    assert low <= alarms <= high


def test_windows_that_are_alike_do_not_raise_the_rate() -> None:
    """Windows that overlap by half, and a machine whose hours differ: normal scores, correlated."""
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(2000, 240))
    scores = (noise[:, 1:] + noise[:, :-1]) / np.sqrt(2)
    scores = 0.8 * scores + 0.6 * rng.normal(size=(2000, 1))
    p = scipy.stats.norm.sf(scores)
    alarms = sum(decide_recording(row, 0.05).p_value <= 0.05 for row in p)
    assert alarms <= scipy.stats.binom.ppf(0.999, 2000, 0.05)


def test_one_window_is_its_own_p_value() -> None:
    for p in (0.009, 0.01, 0.011, 1.0):
        result = decide_recording([p], 0.01)
        assert result.p_value == p
        assert result.anomalous.tolist() == [p <= 0.01]
        assert result.window_rate == 0.01


def test_it_is_scipy_s_rule_of_benjamini_and_hochberg() -> None:
    rng = np.random.default_rng(1)
    for _ in range(200):
        p = rng.random(rng.integers(1, 40)) ** 3
        adjusted = scipy.stats.false_discovery_control(p)
        result = decide_recording(p, 0.05)
        assert result.p_value == pytest.approx(adjusted.min())
        assert result.anomalous.tolist() == (adjusted <= 0.05).tolist()
        assert (result.p_value <= 0.05) == result.anomalous.any()
        np.testing.assert_array_equal(result.anomalous, (p <= result.window_rate) & (
            result.p_value <= 0.05
        ))  # fmt: skip


def test_a_fault_of_a_minute_in_an_hour() -> None:
    """Eleven windows of 719 that are each 1 in 10,000; no single one of them would do."""
    rng = np.random.default_rng(2)
    p = rng.uniform(0.01, 1, 719)
    p[300] = 1e-4
    assert not decide_recording(p, 0.01).anomalous.any()
    p[300:311] = 1e-4
    assert np.flatnonzero(decide_recording(p, 0.01).anomalous).tolist() == list(range(300, 311))
