"""Simes' rule: the stated rate at every length, and faults found in long recordings."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest
import scipy.stats
from numpy.typing import ArrayLike, NDArray

from asd_edge.scoring.recording_rule import RecordingResult
from asd_edge.scoring.recording_rule import decide_recording as decide_scores
from asd_edge.scoring.recording_tail import RecordingTail


class Known:
    """A tail that is known: scores are tail probabilities with their sign changed."""

    def __init__(self) -> None:
        self.single = self

    def probability(self, scores: NDArray[np.float64]) -> NDArray[np.float64]:
        return -scores

    def threshold(self, rate: float) -> SimpleNamespace:
        return SimpleNamespace(value=-rate)

    def chance(self, scores: NDArray[np.float64], counts: ArrayLike) -> NDArray[np.float64]:
        return np.minimum(-scores * np.asarray(counts), 1.0)

    def score(self, chance: float, count: float) -> float:
        return -chance / count


def decide_recording(p: ArrayLike, rate: float, hop: float = 0.5) -> RecordingResult:
    """Decide by known tail probabilities; the threshold is one of them, too."""
    result = decide_scores(-np.asarray(p, np.float64), cast(RecordingTail, Known()), rate, hop)
    return result._replace(threshold=-result.threshold)


@pytest.mark.parametrize("windows", [1, 2, 11, 119, 719])
@pytest.mark.parametrize("rate", [0.01, 0.1])
def test_the_stated_rate_whatever_the_length(windows: int, rate: float) -> None:
    rng = np.random.default_rng(windows)
    alarms = sum(decide_recording(p, rate).p_value <= rate for p in rng.random((3000, windows)))
    # Simes' test is exact for independent windows and has nine tenths of the rate.
    low = scipy.stats.binom.ppf(0.0005, 3000, rate if windows == 1 else 0.9 * rate)
    assert low <= alarms <= scipy.stats.binom.ppf(0.9995, 3000, rate)


def test_windows_that_are_alike_do_not_raise_the_rate() -> None:
    """Windows that overlap by half, and a machine whose hours differ: normal scores, correlated."""
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(2000, 240))
    scores = (noise[:, 1:] + noise[:, :-1]) / np.sqrt(2)
    scores = 0.8 * scores + 0.6 * rng.normal(size=(2000, 1))
    p = scipy.stats.norm.sf(scores)
    alarms = sum(decide_recording(row, 0.05).p_value <= 0.05 for row in p)
    assert alarms <= scipy.stats.binom.ppf(0.999, 2000, 0.05)


@pytest.mark.parametrize(("windows", "low"), [(11, 0.8), (71, 0.8), (719, 0.8)])
def test_overlapping_windows_of_one_minute_to_one_hour_use_the_rate(
    windows: int, low: float
) -> None:
    """Neither more than is asked for, nor so little that faults pass: 1, 6 and 60 minutes."""
    rng = np.random.default_rng(windows)
    noise = rng.normal(size=(6000, windows + 1))
    p = scipy.stats.norm.sf((noise[:, 1:] + noise[:, :-1]) / np.sqrt(2))
    alarms = sum(decide_recording(row, 0.05).p_value <= 0.05 for row in p)
    assert scipy.stats.binom.ppf(0.001, 6000, low * 0.05) <= alarms
    assert alarms <= scipy.stats.binom.ppf(0.999, 6000, 0.05)


def test_a_machine_that_drifts_for_a_minute_keeps_the_rate() -> None:
    """Windows five seconds apart whose correlation is 0.9, and halves in 33 s: an hour each."""
    rng = np.random.default_rng(5)
    z = rng.normal(size=(2000, 719))
    for i in range(1, 719):
        z[:, i] = 0.9 * z[:, i - 1] + np.sqrt(1 - 0.9**2) * z[:, i]
    p = scipy.stats.norm.sf(z)
    alarms = sum(decide_recording(row, 0.01).p_value <= 0.01 for row in p)
    assert alarms <= scipy.stats.binom.ppf(0.999, 2000, 0.01)


def test_one_window_is_its_own_p_value() -> None:
    for p in (0.009, 0.01, 0.011, 1.0):
        result = decide_recording([p], 0.01)
        assert result.p_value == p
        assert result.anomalous.tolist() == [p <= 0.01]
        assert result.threshold == 0.01


def test_without_stretches_it_is_scipy_s_rule_of_benjamini_and_hochberg() -> None:
    rng = np.random.default_rng(1)
    for _ in range(200):
        p = rng.random(rng.integers(2, 40)) ** 3
        p[1::2] = 1.0  # no two neighbours are low
        adjusted = scipy.stats.false_discovery_control(p) / 0.9
        result = decide_recording(p, 0.05)
        assert result.p_value == pytest.approx(min(adjusted.min(), 1))
        assert result.anomalous.tolist() == (adjusted <= 0.05).tolist()


def test_the_p_value_and_the_windows_agree() -> None:
    rng = np.random.default_rng(3)
    for _ in range(500):
        p = rng.random(60)
        start = rng.integers(0, 50)
        p[start : start + rng.integers(1, 20)] *= 10 ** rng.uniform(-5, 0)
        result = decide_recording(p, 0.05)
        assert (result.p_value <= 0.05) == result.anomalous.any()
        assert (p[result.anomalous] <= result.threshold).all()


def test_a_fault_of_a_minute_in_twenty() -> None:
    """Eleven windows in a row that are each 1 in 500; alone, or scattered, they would not do."""
    rng = np.random.default_rng(2)
    p = rng.uniform(0.01, 1, 239)
    p[140] = 0.002
    assert not decide_recording(p, 0.01).anomalous.any()
    p[5:225:20] = 0.002
    assert not decide_recording(p, 0.01).anomalous.any()
    p[140:151] = 0.002
    assert set(np.flatnonzero(decide_recording(p, 0.01).anomalous)) == set(range(140, 151))


def test_a_machine_that_is_a_little_louder_all_day_is_normal() -> None:
    p = np.random.default_rng(4).uniform(0.02, 0.3, 719)
    assert not decide_recording(p, 0.01).anomalous.any()


def by_the_formula(p: list[float], rate: float, hop: float) -> tuple[float, list[bool], float]:
    """The rule as its module words it: every stretch one by one."""
    m = len(p)
    share = 0.9 * rate
    ranked = sorted(p)
    p_value = min(m * x / k for k, x in enumerate(ranked, 1)) / 0.9
    level = max((k * share / m for k, x in enumerate(ranked, 1) if x <= k * share / m), default=0)
    found = {i for i in range(m) if p[i] <= level}
    threshold = level if found else share / m
    lengths = 1 + (m - 1) * hop  # window lengths that fit into the recording
    for length in (2, 4, 6):
        windows = 1 + round((length - 1) / hop)
        for start in range(m - windows + 1):
            q = max(p[start : start + windows])
            if q > rate:
                continue
            own = 3 / 0.1 * lengths * q ** (1 + 0.3 * (length - 1))
            p_value = min(p_value, max(own, q))
            if own <= rate * (1 + 1e-12):
                found |= set(range(start, start + windows))
                most = (rate / (30 * lengths)) ** (1 / (1 + 0.3 * (length - 1)))
                level = max(level, min(most, rate))
                threshold = level
    return min(p_value, 1.0), [i in found for i in range(m)], threshold


@pytest.mark.parametrize("hop", [0.25, 0.5, 1.0])
def test_every_stretch_by_the_formula(hop: float) -> None:
    rng = np.random.default_rng(7)
    seen = set()
    for _ in range(400):
        p = rng.uniform(0, 1, rng.integers(2, 60))
        start, rate = rng.integers(len(p)), 10 ** rng.uniform(-3, -1)
        p[start : start + rng.integers(1, 30)] *= rate * 10 ** rng.uniform(-2, 1)
        expected = by_the_formula(p.tolist(), rate, hop)
        result = decide_recording(p, rate, hop)
        assert result.p_value == pytest.approx(expected[0], rel=1e-9)
        assert result.anomalous.tolist() == expected[1]
        assert result.threshold == pytest.approx(expected[2], rel=1e-9)
        seen.add(sum(expected[1]) > 0)
    assert seen == {True, False}
    assert (
        decide_recording([0.02, 0.03, 0.5], 0.1)[::2]
        == (decide_recording([0.02, 0.03, 0.5], 0.1, 0.5)[::2])
    )


@pytest.mark.parametrize("m", [3, 4, 7, 8, 11, 12])
def test_recordings_as_long_as_a_stretch(m: int) -> None:
    """Three, seven and eleven windows that overlap by half are two, four and six lengths."""
    p = [0.004] * m
    expected = by_the_formula(p, 0.05, 0.5)
    result = decide_recording(p, 0.05)
    assert result.p_value == pytest.approx(expected[0])
    assert result.anomalous.tolist() == expected[1]


def test_at_the_bounds() -> None:
    """What reaches a bound counts, by each of the two tests."""
    p = [0.9 * 0.01 / 4, 1.0, 1.0, 1.0]
    result = decide_recording(p, 0.01)
    assert result.anomalous.tolist() == [True, False, False, False]
    assert result.threshold == p[0]
    rate = 1e-12  # so low that a stretch of windows at the rate itself is enough
    result = decide_recording([rate] * 3 + [1.0] * 40, rate)
    assert result.anomalous.tolist() == [True] * 3 + [False] * 40
    assert result.threshold == rate
    assert decide_recording([1.0, 1.0, 1.0], 0.01).p_value == 1.0
