"""New normal clips for references whose own clips are not at hand, as in an exported bundle.

What is there stays: references, whitening, standards, and the scores behind the thresholds. The
new clips become references beside it, of a section that is known or of one of their own,
and are scored for the threshold against what is there and the other new ones. References
that come later draw old scores down a little, so the old thresholds are a little high, not low.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asd_edge.scoring.calibration import Calibration
from asd_edge.scoring.density import local_density, reach
from asd_edge.scoring.fit import ViewRule, part_arrays, score_unseen_by_folds
from asd_edge.scoring.normals import NormalEmbeddings
from asd_edge.scoring.scorer import Scorer
from asd_edge.scoring.standards import UnseenDistances, rescaled, scores_by_section, standards
from asd_edge.scoring.views import References, Standard, View
from asd_edge.scoring.whitening import projection

# Embeddings of one clip by two runtimes differ by less, those of two clips by far more.
_SAME = 1e-4


def extend(
    rules: Mapping[str, ViewRule],
    scorer: Scorer,
    calibration: Calibration,
    normals: NormalEmbeddings,
    *,
    advance: Callable[[], None] = lambda: None,
) -> tuple[Scorer, Calibration, UnseenDistances]:
    """Add clips to a scorer and its calibration.

    Args:
        rules: of the views.
        scorer: of the bundle that is extended.
        calibration: of the bundle that is extended.
        normals: the new clips.
        advance: called after each fold.

    Returns:
        the scorer and the calibration of all, and the distances of the new clips.

    Raises:
        ParameterError: no section of the new clips has two.
    """
    make = partial(extended, scorer)
    unseen = score_unseen_by_folds(make, normals, advance=advance)
    both = make(normals)
    new = sorted(set(both.sections) - set(scorer.sections))
    rate = calibration.false_alarm_rate
    windows = len(next(iter(both.views.values())).references.clips)
    added: dict[str, dict[str, Standard]] = {name: {} for name in both.views}
    if new:
        added = standards(rules, new, unseen, windows, rate)
    both = both.with_standards(
        {name: {**view.standards, **added[name]} for name, view in both.views.items()}
    )
    scores = dict(calibration.scores)
    for section, values in scores_by_section(both, unseen).items():
        scores[section] = (*scores.get(section, ()), *values)
    return *rescaled(both, Calibration(scores, rate)), unseen


def extended(scorer: Scorer, normals: NormalEmbeddings) -> Scorer:
    """Give a scorer with every window of some clips as one more reference.

    Sections that are new have standards of no meaning.
    """
    return Scorer(
        {name: _with(view, normals.views[name], normals) for name, view in scorer.views.items()}
    )


def _with(view: View, x: NDArray[np.float32], normals: NormalEmbeddings) -> View:
    old = view.references
    together = NormalEmbeddings(
        {},
        clips=np.concatenate([old.clips, normals.clips]),
        sections=np.concatenate([old.sections, normals.sections]),
        domains=np.concatenate([old.domains, normals.domains]),
    )
    embeddings = np.concatenate([old.embeddings, x])
    triangles, density = [], []
    farther = np.empty(0, np.float32)
    if view.config.local_density:
        new_reach = reach(normals, together)
        if old.reach.size or new_reach.size:
            farther = np.concatenate([_of_each(old.reach, old.clips), _of_each(new_reach, x)])
    for columns, triangle, there in old.measured(view.config):
        projected = np.ascontiguousarray(embeddings[:, columns])
        if triangle.size:
            triangles.append(triangle)
            projected = projection(triangle)(projected)
        if there.size:
            new = projected[len(old.embeddings) :]
            own = local_density(new, normals, projected, together, view.config)
            density.append(np.concatenate([there, own]))
    references = References(
        embeddings,
        together.sections,
        together.domains,
        together.clips,
        **part_arrays(triangles, density),
        reach=farther,
    )
    ones = (1.0,) * (1 + len(view.config.parts))
    unknown = Standard(ones, ones, 0.0, 1.0)
    standards = {
        section: view.standards.get(section, unknown) for section in set(together.sections.tolist())
    }
    return dataclasses.replace(view, references=references, standards=standards)


def _of_each(reach: NDArray[np.float32], references: NDArray[Any]) -> NDArray[np.float32]:
    """Reach of each reference, 1 where none is given."""
    return reach if reach.size else np.ones(len(references), np.float32)


def is_reference(scorer: Scorer, embeddings: Mapping[str, NDArray[np.float32]]) -> bool:
    """Say whether all windows of a clip [view -> shape=(w, d)] are references of some view."""
    return any(
        all(
            (
                np.abs(view.references.embeddings - row).max(axis=1) <= _SAME * np.abs(row).max()
            ).any()
            for row in embeddings[name]
        )
        for name, view in scorer.views.items()
    )
