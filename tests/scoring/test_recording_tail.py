"""What the windows of a recording share: against SciPy's integrals, and by its false alarms."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.integrate
import scipy.optimize
import scipy.stats
from numpy.typing import NDArray

from asd_edge.scoring import recording_tail as module
from asd_edge.scoring.calibration import Tail
from asd_edge.scoring.recording_rule import decide_recording
from asd_edge.scoring.recording_tail import RecordingTail, recording_tail

Scores = NDArray[np.float64]


def normals(n: int, seed: int, sigma: float = 0.5) -> Scores:
    """Scores of normal clips as machines have them: their logarithms are normal."""
    return np.exp(sigma * np.random.default_rng(seed).normal(size=n))


def held_square(density: Any, scale: float = 1.0) -> float:
    """E[min(x^2, 3^2)] of a symmetric distribution of SciPy."""
    inside = scipy.integrate.quad(lambda x: 2 * x**2 * density.pdf(x / scale) / scale, 0, 3)[0]
    return float(inside + 2 * 9 * density.sf(3 / scale))


def test_the_constants_are_scipy_s() -> None:
    assert abs(module._HELD_VARIANCE - held_square(scipy.stats.norm)) < 1e-6
    for dof, _, scale in module._TAILS:
        found = held_square(scipy.stats.t(dof), scale)
        assert found == pytest.approx(held_square(scipy.stats.norm), abs=1e-6)
    assert sum(before for _, before, _ in module._TAILS) == 1


def by_scipy(clips: Scores, score: float, count: float, kind: str = "upper") -> float:
    """Compute the chance by SciPy's distributions and its quadrature."""
    single = Tail.fit(clips, kind)
    n, away = len(clips), np.cbrt(clips) - single.centre
    away = np.clip(away, 0, None) if kind == "upper" else np.abs(away)
    share = 0.5 if kind == "upper" else 1.0

    told = np.square(np.minimum(away, 3 * single.spread)).sum() / ((n - 1) * share)
    spread = np.sqrt(told / held_square(scipy.stats.norm))
    logs, chances = [], []
    seen = np.minimum(away[away > 0] / spread, 4)
    for dof, before in ((20, 0.8), (5, 0.2)):
        scale = scipy.optimize.brentq(
            lambda s, dof=dof: held_square(scipy.stats.t(dof), s) - held_square(scipy.stats.norm),
            0.5,
            1.2,
        )
        t = scipy.stats.t(dof, scale=scale)
        logs.append(np.log(before) + t.logpdf(seen).sum())
        x = (np.cbrt(score) - single.centre) / spread / np.sqrt(1 + 1 / n)
        squares = scipy.stats.chi2(share * n, scale=1 / (share * n))
        chances.append(
            scipy.integrate.quad(
                lambda w, t=t, x=x: min(1, count * t.sf(x * np.sqrt(w))) * squares.pdf(w),  # noqa: B023
                0,
                8,
                limit=300,
            )[0]
        )
    weights = np.exp(np.array(logs) - max(logs))
    return float(np.dot(weights, chances) / weights.sum())


@pytest.mark.parametrize(
    ("n", "kind"), [(12, "upper"), (48, "upper"), (240, "upper"), (30, "both")]
)
def test_chances_are_the_integral(n: int, kind: str) -> None:
    clips = normals(n, n)
    tail = RecordingTail(Tail.fit(clips, kind))
    for score in (1.5, 3.0, 6.0):
        for count in (1.0, 6.0, 360.0):
            found = float(tail.chance(np.array([score]), count)[0])
            expected = by_scipy(clips, score, count, kind)
            # The cube of a normal deviate is nearly a chi-square; of six degrees of freedom less.
            assert found == pytest.approx(expected, rel=0.15 if n == 12 else 0.01)


def test_many_windows_are_as_one_by_one() -> None:
    tail = RecordingTail(Tail.fit(normals(48, 0)))
    scores = np.linspace(0.1, 9, 2500)
    counts = np.linspace(1, 500, 2500)
    found = tail.chance(scores, counts)
    for i in (0, 1023, 1024, 2047, 2048, 2499):
        alone = tail.chance(scores[i : i + 1], counts[i])[0]
        assert found[i] == pytest.approx(alone, rel=1e-12)
    assert (np.diff(tail.chance(scores, 6.0)) <= 0).all()


@pytest.mark.parametrize("count", [1.0, 6.0, 719.0, 1e6])
@pytest.mark.parametrize("chance", [0.3, 0.009, 1e-5])
def test_scores_and_chances_are_inverse(count: float, chance: float) -> None:
    for n in (10, 48, 400):
        tail = RecordingTail(Tail.fit(normals(n, 1)))
        score = tail.score(chance, count)
        assert tail.chance(np.array([score]), count)[0] == pytest.approx(chance, rel=1e-5)
        assert tail.score(chance, count) == score


def test_a_score_below_the_centre() -> None:
    tail = RecordingTail(Tail.fit(normals(48, 1)))
    assert tail.score(0.9, 1.0) == pytest.approx(tail.single.centre**3)


def test_hundreds_of_clips_show_a_long_tail_and_tens_do_not() -> None:
    rng = np.random.default_rng(3)
    few, many = 40, 1000
    long, short = (
        {n: RecordingTail(Tail.fit((4 + 0.3 * x[:n]) ** 3)) for n in (few, many)}
        for x in (np.clip(rng.standard_t(3, many), -9, 9), rng.normal(size=many))
    )
    assert long[many].weights[1] > 0.99
    assert short[many].weights[1] < 0.01
    assert 0.01 < long[few].weights[1] < 0.6
    assert 0.01 < short[few].weights[1] < 0.4
    for tail in (*long.values(), *short.values()):
        assert sum(tail.weights) == pytest.approx(1)
    # So an hour asks for more where the tail is long, beside what a window asks for.
    asked = [
        tail.score(0.009, 360) / tail.single.threshold(0.01).value
        for tail in (long[many], short[many])
    ]
    assert asked[0] > 1.5 * asked[1]


@pytest.mark.parametrize(("n", "minute", "hour"), [(20, 2.5, 4.0), (48, 1.6, 2.5), (240, 1.3, 1.8)])
def test_an_odd_clip_among_the_normals_does_not_turn_the_alarm_off(
    n: int, minute: float, hour: float
) -> None:
    """However odd it is, recordings have to reach at most so many times what they had to."""
    for seed in range(5):
        clips = normals(n, seed)
        for count, most in ((6, minute), (360, hour)):
            before, after, farther = (
                RecordingTail(Tail.fit(np.append(clips[1:], last))).score(0.009, count)
                for last in (clips[0], 1e3, 1e6)
            )
            assert after < most * before
            assert farther == pytest.approx(after)


def test_it_is_made_once() -> None:
    single = Tail.fit(normals(48, 0))
    assert recording_tail(single) is recording_tail(single)
    assert recording_tail(single) is not recording_tail(single.scaled(2))


def test_the_unit_of_the_scores_does_not_matter() -> None:
    single = Tail.fit(normals(48, 0))
    tail, double = RecordingTail(single), RecordingTail(single.scaled(2))
    assert double.score(0.009, 60) == pytest.approx(2 * tail.score(0.009, 60), rel=1e-5)


@pytest.mark.parametrize(("windows", "recordings"), [(6, 3000), (36, 2000), (360, 1000)])
def test_normal_recordings_of_1_6_and_60_minutes_keep_the_rate(
    windows: int, recordings: int
) -> None:
    """Each of another machine, one in five with a long tail, by 48 clips of its own."""
    rng = np.random.default_rng(windows)
    alarms = 0
    for _ in range(recordings):
        t = rng.standard_t(5 if rng.random() < 0.2 else 20, 48 + windows)
        scores = np.maximum(3 + 0.3 * t, 0) ** 3
        tail = RecordingTail(Tail.fit(scores[:48]))
        alarms += decide_recording(scores[48:], tail, 0.01, 1.0).p_value <= 0.01
    low, high = scipy.stats.binom.ppf([0.001, 0.999], recordings, 0.01)
    assert low <= alarms <= high


def test_the_threshold_is_the_score_that_a_window_has_to_reach() -> None:
    tail = RecordingTail(Tail.fit(normals(48, 2)))
    for m in (2, 12, 720):
        rest = [0.5] * (m - 1)
        needed = decide_recording([0.5, *rest], tail, 0.01).threshold
        assert needed > tail.single.threshold(0.01).value
        assert decide_recording([needed * 1.0001, *rest], tail, 0.01).anomalous[0]
        assert not decide_recording([needed * 0.9999, *rest], tail, 0.01).anomalous.any()


def test_windows_that_are_normal_by_themselves_add_up_to_nothing() -> None:
    """An hour at nine tenths of the threshold of a window."""
    tail = RecordingTail(Tail.fit(normals(48, 2)))
    scores = np.full(719, 0.95 * tail.single.threshold(0.01).value)
    assert not decide_recording(scores, tail, 0.01).anomalous.any()


def test_scores_that_differ_by_rounding_alone_end_in_a_decision() -> None:
    """Their spread is 0, which nothing can be divided by."""
    scores = np.ones(20)
    scores[0] += 1e-15
    result = decide_recording(np.array([1.0, 1.0, 2.0]), RecordingTail(Tail.fit(scores)), 0.01)
    assert result.anomalous.tolist() == [False, False, True]
    assert np.isfinite(result.threshold)
