"""Fit to normal embeddings: references, standards and calibration.

Needs NumPy alone, because a device that is taught a new machine does it too. Scores
that thresholds and standards come from are always of clips that the references have not
seen: a share that was held out, or all in turn (cross-fitting).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asd_edge.errors import ParameterError
from asd_edge.scoring.calibration import DEFAULT_FALSE_ALARM_RATE, Calibration
from asd_edge.scoring.density import local_density, reach
from asd_edge.scoring.folds import fold_count, folds
from asd_edge.scoring.normals import NormalEmbeddings
from asd_edge.scoring.scorer import Scorer, distances
from asd_edge.scoring.standards import UnseenDistances, calibrate
from asd_edge.scoring.views import References, ScoringConfig, View
from asd_edge.scoring.whitening import projection, whitening

# A function of the embeddings of a view as its metric sees them [shape=(n, d)] and of their clips;
# it gives, for each reference, the rows whose mean the reference is.
Select = Callable[[NDArray[np.float32], NormalEmbeddings], list[NDArray[np.intp]]]


def every_window(
    projected: NDArray[np.float32], normals: NormalEmbeddings
) -> list[NDArray[np.intp]]:
    """Take every window as a reference."""
    return [np.array([row]) for row in range(len(projected))]


@dataclass(frozen=True)
class ViewRule:
    """How references of a view are made of normal clips.

    Attributes:
        config: the rule that they are scored by.
        select: chooses them.
        weight: of the view beside the others, when each is in units of its deviation
            over normal clips.
    """

    config: ScoringConfig = field(default_factory=ScoringConfig)
    select: Select = every_window
    weight: float = 1.0


def fit_scorer(rules: Mapping[str, ViewRule], normals: NormalEmbeddings) -> Scorer:
    """Make a scorer of normal clips; it has no standards yet."""
    return Scorer(
        {
            name: View(
                rule.config, _references(rule, normals.views[name], normals), weight=rule.weight
            )
            for name, rule in rules.items()
        }
    )


def _references(rule: ViewRule, x: NDArray[np.float32], normals: NormalEmbeddings) -> References:
    metric = rule.config.metric
    columns = rule.config.columns(x.shape[1])
    triangles, projected = [], []
    for part in columns:
        own = np.ascontiguousarray(x[:, part])
        if metric == "whitened":
            triangles.append(whitening(own, normals.groups))
            own = projection(triangles[-1])(own)
        projected.append(own)
    groups = rule.select(projected[0], normals)
    embeddings = np.stack([x[rows].mean(axis=0) for rows in groups])
    # A mean goes by the name of the clip nearest to it.
    means = [[own[rows].mean(axis=0, keepdims=True) for rows in groups] for own in projected]
    named = np.array(
        [
            rows[np.argmin(distances(mean, projected[0][rows], metric)[0])]
            for rows, mean in zip(groups, means[0], strict=True)
        ]
    )
    clips, sections = normals.clips[named], normals.sections[named]
    density: list[NDArray[np.float32]] = []
    farther = np.empty(0, np.float32)
    if rule.config.local_density:
        farther = reach(normals.take(named), normals)
        density = [
            local_density(np.concatenate(mean), normals.take(named), own, normals, rule.config)
            for mean, own in zip(means, projected, strict=True)
        ]
    return References(
        embeddings,
        sections,
        normals.domains[named],
        clips,
        **part_arrays(triangles, density),
        reach=farther,
    )


def part_arrays(
    triangles: list[NDArray[np.float16]], density: list[NDArray[np.float32]]
) -> dict[str, NDArray[Any]]:
    """Arrays of `References`, of those of the whole and each part."""
    arrays: dict[str, NDArray[Any]] = {}
    if triangles:
        arrays["whitening"] = triangles[0]
        if len(triangles) > 1:
            arrays["part_whitening"] = np.concatenate(triangles[1:])
    if density:
        arrays["density"] = density[0]
        if len(density) > 1:
            arrays["part_density"] = np.stack(density[1:])
    return arrays


def score_unseen(scorer: Scorer, normals: NormalEmbeddings) -> UnseenDistances:
    """Measure clips against a scorer whose references they are not among."""
    names, sections = [], []
    rows: dict[str, list[NDArray[np.float64]]] = {view: [] for view in scorer.views}
    for clip in np.unique(normals.clips):
        windows = normals.clips == clip
        section = str(normals.sections[windows][0])
        found = scorer.distances({v: x[windows] for v, x in normals.views.items()}, section)
        names.append(str(clip))
        sections.append(section)
        for view, means in found.items():
            rows[view].append(means)
    return UnseenDistances(
        {view: np.array(values) for view, values in rows.items()},
        np.array(sections),
        np.array(names),
    )


def cross_fit(
    rules: Mapping[str, ViewRule],
    normals: NormalEmbeddings,
    *,
    count: int | None = None,
    false_alarm_rate: float = DEFAULT_FALSE_ALARM_RATE,
    advance: Callable[[], None] = lambda: None,
) -> tuple[Scorer, Calibration]:
    """Make a scorer of all clips, calibrated by scoring each against the others' references.

    For views whose model has not learned from the clips. See `score_unseen_by_folds`, `calibrate`.
    """
    unseen = score_unseen_by_folds(
        partial(fit_scorer, rules), normals, count=count, advance=advance
    )
    scorer = fit_scorer(rules, normals)
    return calibrate(rules, scorer, unseen, len(normals.clips), false_alarm_rate)


def score_unseen_by_folds(
    make: Callable[[NormalEmbeddings], Scorer],
    normals: NormalEmbeddings,
    *,
    count: int | None = None,
    only: NDArray[np.bool_] | None = None,
    advance: Callable[[], None] = lambda: None,
) -> UnseenDistances:
    """Measure each clip against references of the others, a fold at a time.

    The references of a fold are of nearly as many clips as the final ones. That matters: with a
    quarter more clips a whitening of more dimensions than clips can put unseen clips a
    fifth farther away.

    Args:
        make: `fit_scorer` with its rules, or another way from normal clips to a scorer.
        normals: all clips.
        count: folds, at least 2; by default `fold_count`.
        only: rows of the clips that are measured [shape=(n,)], such as those that a network has not
            learned from; the others are references in every fold. By default all are.
        advance: called after each fold.

    Raises:
        ParameterError: no section and domain has two clips.
    """
    if count is None:
        _, first = np.unique(normals.clips, return_index=True)
        count = fold_count(normals.sections[first].tolist())
    fold = folds(normals, count, only)
    parts = []
    for i in range(count):
        if (fold == i).any():
            parts.append(score_unseen(make(normals.take(fold != i)), normals.take(fold == i)))
        advance()
    if not parts:
        raise ParameterError("normal clips", len(np.unique(normals.clips)), "at least 2")
    return UnseenDistances(
        {view: np.concatenate([part.views[view] for part in parts]) for view in parts[0].views},
        np.concatenate([part.sections for part in parts]),
        np.concatenate([part.clips for part in parts]),
    )
