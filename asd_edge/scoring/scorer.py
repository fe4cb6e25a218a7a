"""Anomaly score: distance of an embedding to the nearest references, in units of the threshold.

A model may give several embeddings of a clip, its views (what the network learned, the statistics
over time). Each has references and a rule of its own, and may be measured in parts besides the
whole (`asd_edge.scoring.views`). With

    D     mean distance to the k nearest references, of the whole and each part; all times
          D'(whole) / D(whole), if references of a domain with few clips reach farther: D' is of
          distances that are divided by each reference's reach,
    z     deviation of D ** e from that of unseen normal clips, in their spread,

a view's deviation is the largest z of whole and parts, and the score

    ( sum over views of  factor * (deviation + offset) ) ** (1 / e),

scaled so that 1 is the threshold: a clip that scores 1.6 is 1.6 times as far from the normal ones
as the threshold is. A view without standards, as in a scorer that is being built, scores D. A view
that is a guard (`asd_edge.scoring.views.ScoringConfig`) takes the place of the sum where it is
larger.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
import operator
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from asd_edge._core import Neighbours, ReferenceSet
from asd_edge.errors import ParameterError
from asd_edge.frontend.mel import instruction_set
from asd_edge.scoring.views import Standard, View, combined
from asd_edge.scoring.whitening import projection


def distances(
    x: NDArray[np.float32], references: NDArray[np.float32], metric: str
) -> NDArray[np.float64]:
    """Distances between embeddings and references.

    Args:
        x: [shape=(w, d)].
        references: [shape=(n, d)].
        metric: "cosine", where a zero vector is at distance 1 from all, or "euclidean";
            "whitened" is the euclidean distance of embeddings that are projected already.

    Returns:
        [shape=(w, n)], float64. PyTorch's PairwiseDistance adds 1e-6 to every
        component of the difference; that is left out here, which changes a
        distance by at most 1e-6 * sqrt(d).

    Raises:
        ParameterError: rows of different length.
    """
    if x.ndim != 2 or references.ndim != 2 or x.shape[1] != references.shape[1]:
        raise ParameterError("shapes", (x.shape, references.shape), "(w, d) and (n, d)")
    cosine = metric == "cosine"
    return Neighbours(references, None, 0, instruction_set(), cosine).distances(x)


Means: TypeAlias = list[tuple[float, ...]]  # of each window: of the whole and each part


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


class _ViewScorer:
    """One view with its references projected, those of a section side by side.

    Attributes:
        sections: their names.
        rows: which reference each of them is [length n].
    """

    def __init__(self, view: View) -> None:
        references = view.references
        config = self._config = view.config
        names, counts = np.unique(references.sections, return_counts=True)
        self.sections: tuple[str, ...] = tuple(names.tolist())
        rows = np.argsort(references.sections, kind="stable")
        self.rows: list[int] = rows.tolist()
        # Where the references of each section begin, and where those of the last one end.
        edges = [0, *np.cumsum(counts).tolist()]
        if config.pool_sections:
            every = 0, len(rows)
            self._edges = dict.fromkeys(self.sections, every)
            self._all_edges = every
        else:
            self._edges = dict(zip(self.sections, itertools.pairwise(edges), strict=True))
            self._all_edges = tuple(edges)
        self._standards = {name: x.by_rule(config) for name, x in view.standards.items()}
        parts = [
            _neighbours(columns, triangle, density, view, rows)
            for columns, triangle, density in references.measured(config)
        ]
        reach = references.reach[rows] if references.reach.size else None
        self._measured = ReferenceSet(parts, config.k or 0, reach)

    def means(self, x: NDArray[np.float32], section: str) -> tuple[Means, int]:
        """Mean distances of windows [shape=(w, d)] to the k nearest references of a section.

        Returns:
            them, and the number of the reference that is nearest to all windows together.
        """
        return self._measured.means(x, self._edges[section])[0]

    def means_by_section(self, x: NDArray[np.float32]) -> list[tuple[Means, int]]:
        """Give what `means` does for every section."""
        found = self._measured.means(x, self._all_edges)
        return found * len(self.sections) if self._config.pool_sections else found

    def contributions(self, means: Means, section: str) -> list[float]:
        """What each window contributes to the score's power, by a section's means."""
        if self._standards:
            return self._standards[section].contributions(means)
        # The distance itself, whose power is taken back.
        return [whole**self._config.exponent for whole, *_ in means]


def _neighbours(
    columns: slice,
    triangle: NDArray[np.float16],
    density: NDArray[np.float32],
    view: View,
    rows: NDArray[np.intp],
) -> Neighbours:
    """Project some columns of a view's references, in a given order."""
    project = projection(triangle) if triangle.size else None
    references = np.ascontiguousarray(view.references.embeddings[rows, columns])
    return Neighbours(
        references if project is None else project(references),
        project,
        columns.start,
        instruction_set(),
        view.config.metric == "cosine",
        density[rows] if density.size else None,
    )


class Scorer:
    """References and scoring rules of every view, ready to score embeddings.

    Args:
        views: name of the model's output -> view; all have the same sections.

    Raises:
        ParameterError: no views, other sections in one, or other exponents.
    """

    def __init__(self, views: Mapping[str, View]) -> None:
        self.views = dict(views)
        self._scorers = {name: _ViewScorer(view) for name, view in views.items()}
        sections = {scorer.sections for scorer in self._scorers.values()}
        exponents = {view.config.exponent for view in views.values()}
        if len(sections) != 1:
            raise ParameterError("views", sorted(views), "at least one, all of the same sections")
        if len(exponents) != 1:
            raise ParameterError("exponent", sorted(exponents), "the same in all views")
        self.sections: tuple[str, ...] = sections.pop()
        self._exponent = exponents.pop()
        self._guards = [name for name, view in views.items() if view.config.guard]

    def distances(
        self, embeddings: Mapping[str, NDArray[Any]], section: str
    ) -> dict[str, NDArray[np.float64]]:
        """Mean distances of one clip to the nearest references of a section that is known.

        Args:
            embeddings: view -> embeddings of the clip's windows [shape=(w, d)].
            section: one of `sections`.

        Returns:
            view -> means over the windows, of the whole and each part [shape=(parts + 1,)].
        """
        return {
            name: np.mean(view.means(embeddings[name], section)[0], axis=0)
            for name, view in self._scorers.items()
        }

    def score(
        self, embeddings: Mapping[str, NDArray[Any]], section: str | None = None
    ) -> ClipScore:
        """Score one clip.

        Args:
            embeddings: view -> embeddings of the clip's windows [shape=(w, d)].
            section: the clip's section. One that has no references, or None, is
                scored against every section, and the nearest is named.

        Returns:
            the score; a clip's score is the mean over its windows.

        Raises:
            ParameterError: several views without standards, whose distances cannot be compared.
        """
        if len(self.views) > 1 and not all(view.standards for view in self.views.values()):
            raise ParameterError("standards", "none", "one for each view and section")
        known = section if section in self.sections else None
        candidates = self.sections if known is None else (known,)
        shares = {}  # what each view contributes, by sections and windows
        nearest = {}  # by view and section
        for name, view in self._scorers.items():
            x = embeddings[name]
            found = view.means_by_section(x) if known is None else [view.means(x, known)]
            shares[name] = [
                view.contributions(means, candidate)
                for (means, _), candidate in zip(found, candidates, strict=True)
            ]
            nearest[name] = [row for _, row in found]
        best = None
        for i in range(len(candidates)):
            given = {name: values[i] for name, values in shares.items()}
            parts, sums = combined(given, self._guards)
            try:
                windows = tuple([value ** (1 / self._exponent) for value in sums])
            except OverflowError:  # of a forged bundle's numbers; what is infinite is refused
                windows = (math.inf,) * len(sums)
            score = _mean(windows)
            if best is None or score < best[0]:
                best = score, windows, sums, parts, i
        assert best is not None
        score, windows, sums, parts, place = best
        # Each window's score is shared out as the sum that it is a power of.
        rates = [w / total if total > 0 else 0.0 for w, total in zip(windows, sums, strict=True)]
        views = {
            name: sum(map(operator.mul, rates, values)) / len(rates)
            for name, values in parts.items()
        }
        decisive = max(views, key=views.__getitem__)
        row = self._scorers[decisive].rows[nearest[decisive][place]]
        clip = self.views[decisive].references.clips.item(row)
        return ClipScore(score, candidates[place], known is not None, windows, views, clip)

    def nearest(self, embeddings: Mapping[str, NDArray[Any]], view: str, section: str) -> int:
        """Row of the view's reference, of those used for a section, nearest to a clip's windows."""
        scorer = self._scorers[view]
        return scorer.rows[scorer.means(embeddings[view], section)[1]]

    def with_standards(self, standards: Mapping[str, Mapping[str, Standard]]) -> Scorer:
        """Give a scorer of the same references with standards by view and section."""
        return Scorer(
            {
                name: dataclasses.replace(view, standards=standards[name])
                for name, view in self.views.items()
            }
        )


class ClipScore(NamedTuple):
    """Score of one clip.

    Attributes:
        score: mean over the windows, in units of the threshold; larger is more anomalous.
        section: the clip's own section, or the nearest one if that is unknown.
        section_known: whether the section was given and has references.
        windows: score of each window, in order.
        views: what each view contributes to the score; they sum to it.
        nearest: clip of the nearest reference, in the view that contributes most.
    """

    score: float
    section: str
    section_known: bool
    windows: tuple[float, ...]
    views: Mapping[str, float]
    nearest: str


def join_scores(parts: list[ClipScore], known: bool) -> ClipScore:
    """Put the scores of consecutive windows together; the nearest is that of the worst ones."""
    windows = tuple(score for part in parts for score in part.windows)
    worst = max(parts, key=lambda part: max(part.windows))
    views = {
        view: sum(part.views[view] * len(part.windows) for part in parts) / len(windows)
        for view in worst.views
    }
    mean = sum(windows) / len(windows)
    return ClipScore(mean, worst.section, known, windows, views, worst.nearest)
