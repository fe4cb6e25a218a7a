"""References, densities, weights and calibration from embeddings of normal clips."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from sklearn.neighbors import NearestNeighbors

from asd_edge.errors import ParameterError
from asd_edge.scoring.calibration import robust_normal
from asd_edge.scoring.fit import (
    ViewRule,
    cross_fit,
    fit_scorer,
    score_unseen,
    score_unseen_by_folds,
)
from asd_edge.scoring.folds import folds
from asd_edge.scoring.normals import NormalEmbeddings
from asd_edge.scoring.scorer import Scorer
from asd_edge.scoring.standards import calibrate, unseen_scores
from asd_edge.scoring.views import ScoringConfig
from asd_training.reference_selection import random_clips, source_centres


def make_normals(clips: int = 30, windows: int = 2, seed: int = 0) -> NormalEmbeddings:
    """Clips of two sections; every fifth is of the target domain."""
    rng = np.random.default_rng(seed)
    number = np.repeat(np.arange(clips), windows)
    sections = np.where(number % 2 == 0, "00", "01")
    x = rng.standard_normal((len(number), 6)) + (number % 2)[:, None] * 5
    return NormalEmbeddings(
        views={"a": x.astype(np.float32), "b": (10 * x[:, :3] ** 2).astype(np.float32)},
        clips=np.array([f"clip_{i:02d}" for i in number]),
        sections=sections,
        domains=np.where(number % 5 == 0, "target", "source"),
    )


def test_every_window_is_a_reference() -> None:
    normals = make_normals()
    references = fit_scorer({"a": ViewRule()}, normals).views["a"].references
    np.testing.assert_array_equal(references.embeddings, normals.views["a"])
    np.testing.assert_array_equal(references.clips, normals.clips)
    assert references.whitening.size == references.density.size == 0


def test_random_clips_come_whole() -> None:
    normals = make_normals()
    rows = np.concatenate(random_clips(normals, 4, seed=1))
    chosen = normals.clips[rows]
    assert {s: len(set(chosen[normals.sections[rows] == s])) for s in ("00", "01")} == {
        "00": 4,
        "01": 4,
    }
    assert len(rows) == 2 * 8
    other = np.concatenate(random_clips(normals, 4, seed=2))
    assert set(normals.clips[other]) != set(chosen)


def test_centres_of_the_source_and_all_of_the_target() -> None:
    normals = make_normals()
    rule = ViewRule(select=lambda x, n: source_centres(x, n, 3, 0))
    references = fit_scorer({"a": rule}, normals).views["a"].references
    for section in ("00", "01"):
        own = references.sections == section
        assert (own & (references.domains == "source")).sum() == 3
        targets = (normals.sections == section) & (normals.domains == "target")
        assert (own & (references.domains == "target")).sum() == targets.sum()
    # One centre is the mean, by the name of the clip next to it.
    rule = ViewRule(select=lambda x, n: source_centres(x, n, 1, 0))
    references = fit_scorer({"a": rule}, normals).views["a"].references
    source = (normals.sections == "00") & (normals.domains == "source")
    x = normals.views["a"][source]
    np.testing.assert_allclose(references.embeddings[0], x.mean(axis=0), rtol=1e-5)
    nearest = np.argmin(np.linalg.norm(x - x.mean(axis=0), axis=1))
    assert references.clips[0] == normals.clips[source][nearest]


def test_local_density_is_the_mean_distance_to_neighbours_of_other_clips() -> None:
    normals = make_normals()
    normals = dataclasses.replace(normals, domains=np.full(len(normals.clips), ""))
    rule = ViewRule(ScoringConfig(local_density=3))
    references = fit_scorer({"a": rule}, normals).views["a"].references
    x = normals.views["a"]
    for i in (0, 1, 17, 40):
        own = references.density[normals.sections == normals.sections[i]]
        if references.density[i] in (own.min(), own.max()):
            continue  # held
        others = (normals.sections == normals.sections[i]) & (normals.clips != normals.clips[i])
        nearest = NearestNeighbors(n_neighbors=3).fit(x[others])
        expected = nearest.kneighbors(x[i : i + 1])[0].mean()
        assert references.density[i] == pytest.approx(expected, rel=1e-5)


def test_views_count_as_their_rules_say_and_the_threshold_is_1() -> None:
    normals, unseen = make_normals(60), make_normals(60, seed=1)
    parts = {"first": (0, 2), "rest": (2, normals.views["a"].shape[1])}
    rules = {
        "a": ViewRule(ScoringConfig("whitened", parts=parts, emphasis=0.5), weight=2.0),
        "b": ViewRule(weight=0.5),
    }
    raw = fit_scorer(rules, normals)
    distances = score_unseen(raw, unseen)
    scorer, calibration = calibrate(rules, raw, distances, 30, false_alarm_rate=0.02)
    for section in ("00", "01"):
        assert calibration.threshold(section).value == pytest.approx(1, abs=1e-9)
        assert calibration.tail_probability(section, 1.0)[0] == pytest.approx(0.02, abs=1e-9)
    own = distances.sections == "00"
    total = np.zeros(own.sum())
    deviations = {}
    for name, d in distances.views.items():
        x = np.cbrt(d[own])
        centre, spread = np.array([robust_normal(column) for column in x.T]).T
        z = (x - centre) / spread
        config = rules[name].config
        deviation = z.max(axis=1) + config.emphasis * z[:, 0]
        offset = (centre / spread).mean() + config.emphasis * centre[0] / spread[0]
        deviations[name] = rules[name].weight * (deviation + offset)
        total += deviations[name]
    # In proportion to the formula, by hand; the proportion makes the threshold 1.
    scores = np.array(calibration.scores["00"])
    np.testing.assert_allclose(np.sort(total**3) / np.sort(total**3)[0], scores / scores[0])
    clip = unseen.clips == "clip_02"
    place = np.flatnonzero(distances.clips[own] == "clip_02")[0]
    scored = scorer.score({v: x[clip][:1] for v, x in unseen.views.items()}, "00")
    assert sum(scored.views.values()) == pytest.approx(scored.score)
    scored = score_unseen(raw, unseen.take(clip))
    assert unseen_scores(scorer, scored)[0] == pytest.approx(
        total[place] ** 3 / np.sort(total**3)[0] * scores[0]
    )


def test_an_odd_reference_does_not_reach_far() -> None:
    normals = make_normals()
    normals = dataclasses.replace(normals, domains=np.full(len(normals.clips), ""))
    x = normals.views["a"].copy()
    x[0] += 1000
    rule = ViewRule(ScoringConfig(local_density=2))
    odd = dataclasses.replace(normals, views={"a": x})
    density = fit_scorer({"a": rule}, odd).views["a"].references.density
    own = normals.sections == normals.sections[0]
    assert density[0] == density[own].max()
    assert density[0] <= 1.51 * np.median(density[own])


def test_references_of_a_domain_with_few_clips_reach_farther() -> None:
    normals = make_normals(60)
    few = np.isin(normals.clips, ["clip_00", "clip_10", "clip_20"])
    normals = dataclasses.replace(normals, domains=np.where(few, "target", "source"))
    rule = ViewRule(ScoringConfig(local_density=2))
    references = fit_scorer({"a": rule}, normals).views["a"].references
    alike = dataclasses.replace(normals, domains=np.full(len(few), ""))
    before = fit_scorer({"a": rule}, alike).views["a"].references
    # Bounds for 1 in 100 by scipy.stats.t, of 3 clips and of 27, with cube roots that spread by
    # 2.5 % of their centre: (1 + 0.025 * t.ppf(0.99, 2) * sqrt(4 / 3)) ** 3 and with 8 and 28 / 27.
    np.testing.assert_allclose(references.reach[few], 1.7325 / 1.2379, rtol=1e-3)
    assert (references.reach[~few] == 1).all()
    np.testing.assert_array_equal(references.density, before.density)
    assert before.reach.size == 0


def test_one_view_is_in_proportion_to_the_distance() -> None:
    normals = make_normals(60)
    rules = {"a": ViewRule()}
    distances = score_unseen(fit_scorer(rules, normals), make_normals(60, seed=1))
    _, calibration = calibrate(rules, fit_scorer(rules, normals), distances, 30)
    own = np.sort(distances.views["a"][distances.sections == "00", 0])
    scores = np.array(calibration.scores["00"])
    np.testing.assert_allclose(scores / own, scores[0] / own[0])


def test_folds_leave_every_clip_out_once_and_spread_sections() -> None:
    normals = make_normals(50)
    fold = folds(normals, 5)
    for clip in np.unique(normals.clips):
        assert len(set(fold[normals.clips == clip])) == 1
    for group in np.unique(normals.groups):
        own = np.unique(
            np.stack([normals.clips, fold.astype(str)])[:, normals.groups == group], axis=1
        )
        counts = np.unique(own[1], return_counts=True)[1]
        assert counts.max() - counts.min() <= 1
    lonely = make_normals(11)  # one target clip of section 01
    fold = folds(lonely, 5)
    assert set(lonely.clips[fold == -1]) == {"clip_05"}


def test_cross_fitting_scores_each_clip_without_itself() -> None:
    normals = make_normals(20)
    rules = {"a": ViewRule(), "b": ViewRule()}
    scorer, calibration = cross_fit(rules, normals)
    assert sum(map(len, calibration.scores.values())) == 20
    assert len(scorer.views["a"].references.embeddings) == 40
    assert min(calibration.pooled) > 0.05  # a clip among its references would score about 0
    seen = [
        scorer.score({v: x[normals.clips == c] for v, x in normals.views.items()}).score
        for c in np.unique(normals.clips)
    ]
    assert max(seen) < 0.25 * min(calibration.pooled)  # as near as scores tell


def test_the_false_alarm_rate_is_kept() -> None:
    """Cross-fitted thresholds on clips of the same kind: realised within the binomial interval."""
    scorer, calibration = cross_fit(
        {"a": ViewRule(ScoringConfig("whitened"))}, make_normals(400, 1)
    )
    fresh = score_unseen(scorer, make_normals(2000, 1, seed=7))
    rate = 0.05
    alarms = 0
    for section in ("00", "01"):
        threshold = calibration.threshold(section, rate).value
        alarms += int((unseen_scores(scorer, fresh)[fresh.sections == section] >= threshold).sum())
    # 2000 clips, and a threshold from 200 a section: both contribute to the spread.
    deviation = np.sqrt(rate * (1 - rate) * (1 / 2000 + 1 / 400))
    # Normal tails are shorter than those the threshold is made for.
    assert rate / 2 - 3 * deviation < alarms / 2000 < rate + 3 * deviation


def test_too_few_clips() -> None:
    with pytest.raises(ParameterError, match="normal clips"):
        cross_fit({"a": ViewRule()}, make_normals(1))


def test_few_clips_are_left_out_one_by_one() -> None:
    sizes = []

    def make(rest: NormalEmbeddings) -> Scorer:
        sizes.append(len(rest.clips))
        return fit_scorer({"a": ViewRule()}, rest)

    normals = make_normals(24, windows=1)  # 12 a section
    normals = dataclasses.replace(normals, domains=np.full(24, ""))
    score_unseen_by_folds(make, normals)
    assert sizes == [22] * 12  # one of each section
