"""Choosing references among the clips that were trained on, as a preset says."""

from __future__ import annotations

from functools import partial

import numpy as np
from numpy.typing import NDArray

from asd_edge.errors import ParameterError
from asd_edge.scoring.calibration import DEFAULT_FALSE_ALARM_RATE, Calibration
from asd_edge.scoring.fit import (
    Select,
    ViewRule,
    cross_fit,
    every_window,
    fit_scorer,
    score_unseen_by_folds,
)
from asd_edge.scoring.normals import NormalEmbeddings
from asd_edge.scoring.scorer import Scorer
from asd_edge.scoring.standards import calibrate
from asd_training.data.torch_datasets import sample_rows
from asd_training.errors import RunError
from asd_training.presets import Preset
from asd_training.run_folder import Embeddings, RunConfig


def scorer_and_calibration(
    config: RunConfig, embeddings: Embeddings, false_alarm_rate: float | None = None
) -> tuple[Scorer, Calibration]:
    """Make of a run's embeddings what scores clips.

    Held-out clips are scored against references of all others, a few at a time, which gives
    standards and calibration. In the end all are references: the network has not learned from
    the held-out ones, and clips are too dear to waste.

    Raises:
        RunError: too few normal clips for a threshold.
    """
    rules = view_rules(config.preset, config.seed)
    rate = DEFAULT_FALSE_ALARM_RATE if false_alarm_rate is None else false_alarm_rate
    normals, held_out = embeddings.normals, embeddings.held_out
    try:
        if config.preset.training.holdout > 0:
            # A fifth is held out as a rule: five folds leave out a few clips in a hundred each.
            make = partial(fit_scorer, rules)
            unseen = score_unseen_by_folds(make, normals, count=5, only=held_out)
            scorer, windows = fit_scorer(rules, normals), len(normals.clips)
            scorer, calibration = calibrate(rules, scorer, unseen, windows, rate)
        else:
            scorer, calibration = cross_fit(rules, normals, false_alarm_rate=rate)
    except ParameterError as error:
        raise RunError("run", f"has too few normal clips for a threshold ({error})") from error
    return scorer, calibration


def unseen_scorer(config: RunConfig, embeddings: Embeddings) -> Scorer:
    """Make a scorer that has not seen the held-out clips, to be tried on them.

    Its standards are those of `scorer_and_calibration`. Without held-out clips it has seen all.
    """
    final, _ = scorer_and_calibration(config, embeddings)
    rules = view_rules(config.preset, config.seed)
    scorer = fit_scorer(rules, embeddings.normals.take(~embeddings.held_out))
    return scorer.with_standards({name: view.standards for name, view in final.views.items()})


def view_rules(preset: Preset, seed: int) -> dict[str, ViewRule]:
    """Give the rules of a preset's views; the seed is of random references and k-means."""
    return {
        name: ViewRule(view.scoring, _select(view.references, seed), view.weight)
        for name, view in preset.views.items()
    }


def _select(references: str, seed: int) -> Select:
    kind, _, count = references.partition("-")
    if kind == "random":
        return lambda projected, normals: random_clips(normals, int(count), seed)
    if kind == "kmeans":
        return lambda projected, normals: source_centres(projected, normals, int(count), seed)
    return every_window


def random_clips(normals: NormalEmbeddings, n: int, seed: int) -> list[NDArray[np.intp]]:
    """Take every window of n random clips of each section."""
    clips, first = np.unique(normals.clips, return_index=True)
    drawn = sample_rows(normals.sections[first], n, seed)
    chosen = clips[np.concatenate(list(drawn.values()))]
    return [np.array([row]) for row in np.flatnonzero(np.isin(normals.clips, chosen))]


def source_centres(
    projected: NDArray[np.float32], normals: NormalEmbeddings, n: int, seed: int
) -> list[NDArray[np.intp]]:
    """Take the clusters of each section's source domain, and every window of its target domain.

    K-means finds n clusters, or as many as there are windows. Clips of the target domain are
    few as a rule, and none can be spared (Wilkinghoff 2023, DCASE Challenge, Task 2).
    """
    from sklearn.cluster import KMeans

    groups: list[NDArray[np.intp]] = []
    for section in np.unique(normals.sections):
        own = normals.sections == section
        target = own & (normals.domains == "target")
        source = np.flatnonzero(own & ~target)
        if len(source):
            clusters = KMeans(min(n, len(source)), n_init=4, random_state=seed)
            labels = clusters.fit_predict(projected[source])
            groups += [source[labels == label] for label in np.unique(labels)]
        groups += [np.array([row]) for row in np.flatnonzero(target)]
    return groups
