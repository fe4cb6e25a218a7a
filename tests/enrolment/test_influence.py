"""The strangest clips, and what the threshold would be without them."""

from __future__ import annotations

import numpy as np
import pytest

from asd_edge.enrolment.influence import strangest
from asd_edge.scoring.calibration import Calibration
from asd_edge.scoring.fit import ViewRule, fit_scorer, score_unseen_by_folds
from asd_edge.scoring.normals import NormalEmbeddings
from asd_edge.scoring.standards import calibrate
from asd_edge.scoring.views import ScoringConfig

RULES = {
    "a": ViewRule(ScoringConfig("whitened", local_density=2, parts={"left": (0, 4)}, emphasis=0.25))
}


def drawn(n: int, odd: int | None) -> NormalEmbeddings:
    x = np.random.default_rng(0).normal(0, 1, (n, 12)).astype(np.float32)
    if odd is not None:
        x[odd] += 30
    names = np.array([f"monday.wav@{10 * i}s" for i in range(n)])
    return NormalEmbeddings({"a": x}, names, np.full(n, "00"), np.full(n, ""))


def fitted(normals: NormalEmbeddings):
    unseen = score_unseen_by_folds(lambda part: fit_scorer(RULES, part), normals)
    scorer, calibration = calibrate(RULES, fit_scorer(RULES, normals), unseen, len(normals.clips))
    return scorer, calibration, unseen


def test_one_fault_among_fifty_is_strangest_and_hardly_moves_the_threshold() -> None:
    fault = np.full((1, 12), 30.0, np.float32)
    scorer, calibration, unseen = fitted(drawn(50, odd=17))
    found = strangest(scorer, calibration, unseen)
    assert len(found) == 5
    assert found[0].clip == "monday.wav@170s"
    assert found[0].score > 2
    assert 0.9 < found[0].threshold_without < 1
    assert [one.score for one in found] == sorted((one.score for one in found), reverse=True)
    # Another fault, not quite like it, is still far above the threshold.
    clean, _, _ = fitted(drawn(49, odd=None))
    other = fault.copy()
    other[0, ::2] -= 60
    assert scorer.score({"a": other}, "00").score > 0.5 * clean.score({"a": other}, "00").score > 2


def test_the_threshold_without_a_clip_is_that_of_the_other_scores() -> None:
    scorer, calibration, unseen = fitted(drawn(30, odd=3))
    first = strangest(scorer, calibration, unseen)[0]
    rest = tuple(s for s in calibration.scores["00"] if s != max(calibration.scores["00"]))
    expected = Calibration({"00": rest}).threshold("00").value
    assert first.threshold_without == pytest.approx(expected, rel=1e-6)
