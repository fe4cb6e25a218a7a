"""Which clips are left out together, and that the threshold does not depend on it."""

from __future__ import annotations

import dataclasses
from functools import partial

import numpy as np
import pytest

from asd_edge.scoring.fit import ViewRule, fit_scorer, score_unseen_by_folds
from asd_edge.scoring.folds import chain, fold_count, folds
from asd_edge.scoring.normals import NormalEmbeddings
from asd_edge.scoring.standards import calibrate
from asd_edge.scoring.views import ScoringConfig

RULES = {"a": ViewRule(ScoringConfig("whitened", local_density=2))}


def clips(x: np.ndarray, seed: int = 0) -> NormalEmbeddings:
    """Clips of one section, a row each, by names in an order that says nothing of what they are."""
    names = np.array([f"clip_{i:03d}" for i in np.random.default_rng(seed).permutation(len(x))])
    n = len(x)
    return NormalEmbeddings({"a": x.astype(np.float32)}, names, np.full(n, "00"), np.full(n, ""))


def with_twins(n: int, seed: int) -> np.ndarray:
    """Normal clips, of which five pairs lie apart from all but each other."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, 100))
    for row in range(0, 10, 2):
        kind = 0.3 * x[row] + 2 * rng.standard_normal(100)
        x[row : row + 2] = kind + 0.5 * rng.standard_normal((2, 100))
    return x


def threshold(normals: NormalEmbeddings, fresh: np.ndarray) -> float:
    """Threshold in multiples of the median distance of fresh normal clips."""
    unseen = score_unseen_by_folds(partial(fit_scorer, RULES), normals)
    fitted = calibrate(RULES, fit_scorer(RULES, normals), unseen, len(normals.clips))[0]
    scores = [fitted.score({"a": row[np.newaxis].astype(np.float32)}).score for row in fresh]
    return 1 / float(np.median(scores))


@pytest.mark.parametrize("seed", range(5))
def test_twins_are_never_left_out_together(seed: int) -> None:
    fold = folds(clips(with_twins(60, seed), seed), 10)
    for row in range(0, 10, 2):
        assert fold[row] != fold[row + 1]


@pytest.mark.parametrize("seed", range(8))
def test_one_fault_among_fifty_clips_moves_the_threshold_by_less_than_a_tenth(seed: int) -> None:
    """Of a machine some of whose sounds come seldom; random folds move it by up to a fifth."""
    rng = np.random.default_rng(100 + seed)
    x = with_twins(50, seed)
    fault = rng.standard_normal((1, 100)) + 2 * rng.standard_normal((1, 100))
    fresh = rng.standard_normal((40, 100))
    before = threshold(clips(x, seed), fresh)
    after = threshold(clips(np.concatenate([x, fault]), seed + 50), fresh)
    assert after / before == pytest.approx(1, abs=0.1)


def test_names_and_order_of_the_clips_do_not_matter() -> None:
    x = with_twins(30, 0)
    fold = folds(clips(x, 1), 10)
    order = np.random.default_rng(5).permutation(30)
    assert folds(clips(x[order], 2), 10).tolist() == fold[order].tolist()


def test_held_out_clips_are_spread_evenly_and_the_others_stay() -> None:
    normals = clips(with_twins(30, 0))
    normals = dataclasses.replace(normals, domains=np.where(np.arange(30) < 27, "source", "target"))
    only = np.isin(np.arange(30), [0, 1, 4, 8, 9, 20, 29])
    fold = folds(normals, 5, only)
    assert (fold[~only] == -1).all()
    # The target domain's, too: two other clips of it stay.
    assert sorted(np.bincount(fold[only], minlength=5).tolist()) == [1, 1, 1, 2, 2]
    assert fold[0] != fold[1]
    assert fold[8] != fold[9]
    assert (folds(normals, 5, np.zeros(30, bool)) == -1).all()


def test_a_chain_goes_to_the_nearest_that_is_left() -> None:
    x = np.array([[0.0, 0], [1, 0], [9, 0], [2.5, 0], [4.5, 0]], np.float32)
    assert chain(x) == [2, 4, 3, 1, 0]
    # A column of other units counts no more, a constant one nothing.
    assert chain(np.stack([x[:, 0], 1e6 * x[:, 0], np.full(5, 7.0)], axis=1)) == [2, 4, 3, 1, 0]
    assert chain(x[:1]) == [0]


@pytest.mark.parametrize("seed", range(5))
def test_a_chain_is_that_of_distances_one_by_one(seed: int) -> None:
    x = np.random.default_rng(seed).standard_normal((40, 3)).astype(np.float32)
    scaled = (x - x.mean(axis=0)) / x.std(axis=0)
    order = [int(np.argmax(np.linalg.norm(scaled, axis=1)))]
    while len(order) < len(x):
        left = [i for i in range(len(x)) if i not in order]
        order.append(min(left, key=lambda i: float(np.linalg.norm(scaled[i] - scaled[order[-1]]))))
    assert chain(x) == order


def test_a_recording_is_left_out_in_ten_blocks_at_most() -> None:
    normals = clips(np.random.default_rng(0).standard_normal((60, 8)))
    normals = dataclasses.replace(
        normals, recordings=np.repeat(["monday", "tuesday"], 30), start_s=np.arange(60.0) % 30
    )
    fold = folds(normals, 40)
    for recording in ("monday", "tuesday"):
        counts = np.unique(fold[normals.recordings == recording], return_counts=True)[1]
        assert counts.tolist() == [3] * 10


def test_the_number_of_folds_changes_without_a_step() -> None:
    counts = [fold_count(["00"] * n) for n in range(2, 200)]
    assert counts[:19] == list(range(2, 21))  # each clip by itself
    assert max(abs(np.diff(counts))) == 1
    assert counts[-1] == 10
    assert fold_count([]) == 2
    assert fold_count(["00"] * 12 + ["01"] * 8) == 12


def test_pieces_of_a_recording_are_left_out_in_blocks() -> None:
    """However unlike their neighbours they are."""
    x = np.random.default_rng(0).standard_normal((45, 8))
    normals = dataclasses.replace(
        clips(x),
        recordings=np.repeat(["monday", "tuesday", "wednesday"], 15),
        start_s=np.tile(np.arange(15.0), 3),
    )
    fold = folds(normals, 5)
    assert np.bincount(fold).tolist() == [9] * 5
    blocks = fold.reshape(15, 3)
    assert (blocks == blocks[:, :1]).all()
    one = folds(normals.take(np.arange(15)), 5).reshape(5, 3)
    assert sorted(one[:, 0].tolist()) == list(range(5))
