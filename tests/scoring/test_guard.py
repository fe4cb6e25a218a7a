"""Views that count with few clips, and guards, which decide alone or not at all."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from asd_edge.errors import ParameterError
from asd_edge.scoring.fit import ViewRule, cross_fit, fit_scorer, score_unseen_by_folds
from asd_edge.scoring.normals import NormalEmbeddings
from asd_edge.scoring.scorer import Scorer
from asd_edge.scoring.standards import standards
from asd_edge.scoring.views import ScoringConfig

GUARD = ScoringConfig(k=None, guard=1.0)
CLIPS = 20


def normals(level_spread: float, clips: int = CLIPS) -> NormalEmbeddings:
    rng = np.random.default_rng(0)
    names = np.array([f"{i:02d}.wav" for i in range(clips)])
    return NormalEmbeddings(
        {
            "shape": rng.standard_normal((clips, 6)).astype(np.float32),
            "level": rng.normal(-40, level_spread, (clips, 1)).astype(np.float32),
        },
        names,
        np.full(clips, "00"),
        np.full(clips, ""),
    )


def score(scorer: Scorer, level: float) -> float:
    clip = {"shape": np.full((1, 6), 0.2, np.float32), "level": np.full((1, 1), level, np.float32)}
    return scorer.score(clip, "00").score


@pytest.mark.parametrize(("level_spread", "counted"), [(0.01, 1.0), (3.0, 3.0)])
def test_a_guard_calls_anomalous_what_its_own_tail_says(
    level_spread: float, counted: float
) -> None:
    """A tenth of 1 in 100 on both sides, by a deviation of 1 dB or more."""
    known = normals(level_spread)
    scorer, calibration = cross_fit({"shape": ViewRule(), "level": ViewRule(GUARD)}, known)
    assert calibration.threshold("00").value == 1
    limit = counted * stats.t.isf(0.001 / 2, 10) * np.sqrt(1 + 1 / CLIPS)
    centre = float(known.views["level"].mean())
    # The deviation of 20 values is known to a fifth or so.
    within, beyond = (0.99, 1.01) if counted == 1 else (0.7, 1.4)
    for sign in (-1, 1):
        assert score(scorer, centre + sign * within * limit) < 1
        assert score(scorer, centre + sign * beyond * limit) > 1


def test_a_guard_leaves_ordinary_scores_alone_and_says_when_it_decides() -> None:
    known = normals(1.0)
    with_guard, _ = cross_fit({"shape": ViewRule(), "level": ViewRule(GUARD)}, known)
    without, _ = cross_fit({"shape": ViewRule()}, known)
    x = known.views["shape"][:3]
    ordinary = with_guard.score({"shape": x, "level": np.full((3, 1), -40, np.float32)}, "00")
    alone = without.score({"shape": x}, "00")
    assert ordinary.windows == pytest.approx(alone.windows)
    assert ordinary.views["level"] == 0
    loud = with_guard.score({"shape": x[:1], "level": np.full((1, 1), -20, np.float32)}, "00")
    assert loud.views == {"shape": 0, "level": pytest.approx(loud.score)}


@pytest.mark.parametrize(("windows", "share"), [(0, 1.0), (30, 0.7), (100, 1e-6), (900, 1e-6)])
def test_a_view_of_few_clips_loses_its_weight(windows: int, share: float) -> None:
    known = normals(1.0)
    found = []
    for few in (0, 100):
        rules = {"shape": ViewRule(), "level": ViewRule(ScoringConfig(few_clips=few), weight=0.4)}
        unseen = score_unseen_by_folds(lambda some, r=rules: fit_scorer(r, some), known)
        given = standards(rules, ("00",), unseen, windows, 0.01)
        found.append(given["level"]["00"].factor / given["shape"]["00"].factor)
    assert found[0] == pytest.approx(0.4)
    assert found[1] == pytest.approx(0.4 * share)


@pytest.mark.parametrize("values", [{"k": 1}, {"metric": "cosine"}, {"local_density": 2}])
def test_a_guard_measures_the_distance_to_all(values: dict[str, object]) -> None:
    with pytest.raises(ParameterError, match="guard"):
        ScoringConfig(**{"k": None, "guard": 1.0, **values})  # type: ignore[arg-type]
