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
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from asd_edge._core import Neighbours
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
    if metric == "cosine":
        return _cosine_distances(_unit_rows(x), _unit_rows(references))
    return Neighbours(references, None, 0, instruction_set()).distances(x, 0, len(references))


def _unit_rows(x: NDArray[np.float32]) -> NDArray[np.float64]:
    rows = x.astype(np.float64)  # 1 - cos cancels where vectors are alike
    rows /= np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), np.finfo(np.float32).tiny)
    return rows


def _cosine_distances(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    cosines: NDArray[np.float64] = a @ b.T
    return np.maximum(1.0 - cosines, 0.0)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


class _PartScorer:
    """References of one view, or of a part of it, projected."""

    def __init__(
        self,
        columns: slice,
        triangle: NDArray[np.float16],
        density: NDArray[np.float32],
        view: View,
        rows: NDArray[np.intp],
    ) -> None:
        self._columns = columns
        self._unit_references: NDArray[np.float64] | None = None
        project = projection(triangle) if triangle.size else None
        references = np.ascontiguousarray(view.references.embeddings[rows, columns])
        if view.config.metric == "cosine":
            self._unit_references = _unit_rows(references)
        if project is not None:
            references = project(references)
        self._neighbours = Neighbours(references, project, columns.start, instruction_set())
        self._density = density[rows].astype(np.float64) if density.size else None

    def distances(self, x: NDArray[np.float32], used: slice) -> NDArray[np.float64]:
        """Distances of windows [shape=(w, d of the view)] to some references [shape=(w, n)]."""
        if self._unit_references is None:
            d = self._neighbours.distances(x, used.start, used.stop)
        else:
            rows = _unit_rows(x[:, self._columns])
            d = _cosine_distances(rows, self._unit_references[used])
        if self._density is not None:
            d /= self._density[used]
        return d


class _ViewScorer:
    """One view with its references projected, those of a section side by side.

    Attributes:
        rows: which reference each of them is [shape=(n,)].
        used: section -> those of them that its clips are measured against.
        config: the rule.
    """

    def __init__(self, view: View) -> None:
        references = view.references
        self.config = view.config
        names, counts = np.unique(references.sections, return_counts=True)
        self.sections: tuple[str, ...] = tuple(names.tolist())
        self.rows = np.argsort(references.sections, kind="stable")
        self.all = slice(0, len(self.rows))
        ends = np.cumsum(counts).tolist()
        self.used = {
            name: self.all if view.config.pool_sections else slice(end - count, end)
            for name, count, end in zip(self.sections, counts.tolist(), ends, strict=True)
        }
        reach = references.reach
        self._reach = (reach[self.rows] if reach.size else reach).astype(np.float64)
        self._standards = view.standards
        self._parts = [
            _PartScorer(*measured, view, self.rows) for measured in references.measured(view.config)
        ]

    def distances(self, x: NDArray[np.float32], used: slice) -> list[NDArray[np.float64]]:
        """Distances of windows to some references [shape=(w, n)].

        Returns:
            those of the whole and each part, and of the whole by how far references reach, if some
            reach farther than others.
        """
        d = [part.distances(x, used) for part in self._parts]
        return [*d, d[0] / self._reach[used]] if self._reach.size else d

    def means(self, d: list[NDArray[np.float64]]) -> list[list[float]]:
        """Mean of the k smallest distances: whole and parts -> windows -> mean."""
        return self._reached([self._mean(x) for x in d])

    def _reached(self, means: list[list[float]]) -> list[list[float]]:
        """Means of the whole and each part, by those of all that `distances` gave."""
        if not self._reach.size:
            return means
        *parts, farther = means
        # One factor for whole and parts: each by itself would take the domain that suits it.
        factors = [a / b if b > 0 else 1.0 for a, b in zip(farther, parts[0], strict=True)]
        return [[x * factor for x, factor in zip(part, factors, strict=True)] for part in parts]

    def means_by_section(self, d: list[NDArray[np.float64]]) -> list[list[list[float]]]:
        """Means in each section, by distances to all references; otherwise like `means`."""
        if self.config.k == 1 and not self.config.pool_sections:
            starts = [self.used[name].start for name in self.sections]  # which lie side by side
            smallest = [np.minimum.reduceat(x, starts, axis=1).T.tolist() for x in d]
            return [self._reached(list(parts)) for parts in zip(*smallest, strict=True)]
        return [self.means([x[:, self.used[name]] for x in d]) for name in self.sections]

    def _mean(self, d: NDArray[np.float64]) -> list[float]:
        k = self.config.k
        if k == 1:  # a NaN is the smallest; a clip's few windows take a third of `min(axis=1)`
            return [row.item(row.argmin()) for row in d]
        if k is not None and k < d.shape[1]:
            d = np.partition(d, k - 1, axis=1)[:, :k]
        mean: list[float] = d.mean(axis=1).tolist()
        return mean

    def contributions(self, means: list[list[float]], section: str) -> list[float]:
        """What each window contributes to the score's power, by a section's means."""
        if self._standards:
            windows = zip(*means, strict=True)
            return self._standards[section].contributions(windows, self.config)
        # The distance itself, whose power is taken back.
        return [mean**self.config.exponent for mean in means[0]]

    def nearest(self, d: NDArray[np.float64], section: str) -> int:
        """Which reference is nearest to all windows together, by distances to a section's."""
        total = d[0] if len(d) == 1 else d.sum(axis=0)
        return int(self.rows[self.used[section].start + int(total.argmin())])


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
            name: np.mean(view.means(view.distances(embeddings[name], view.used[section])), axis=1)
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
        every = {}  # distances by view; to all references where the section is not known
        shares = {}  # what each view contributes, by sections and windows
        for name, view in self._scorers.items():
            used = view.all if known is None else view.used[known]
            every[name] = d = view.distances(embeddings[name], used)
            means = [view.means(d)] if len(candidates) == 1 else view.means_by_section(d)
            shares[name] = list(map(view.contributions, means, candidates))
        best = None
        for i, candidate in enumerate(candidates):
            parts = combined({name: values[i] for name, values in shares.items()}, self._guards)
            sums = list(map(sum, zip(*parts.values(), strict=True)))
            try:
                windows = tuple([value ** (1 / self._exponent) for value in sums])
            except OverflowError:  # of a forged bundle's numbers; what is infinite is refused
                windows = (math.inf,) * len(sums)
            score = _mean(windows)
            if best is None or score < best[0]:
                best = score, windows, sums, parts, candidate
        assert best is not None
        score, windows, sums, parts, found = best
        # Each window's score is shared out as the sum that it is a power of.
        rates = [w / total if total > 0 else 0.0 for w, total in zip(windows, sums, strict=True)]
        views = {
            name: _mean([rate * value for rate, value in zip(rates, values, strict=True)])
            for name, values in parts.items()
        }
        decisive = max(views, key=views.__getitem__)
        scorer, whole = self._scorers[decisive], every[decisive][0]
        row = scorer.nearest(whole[:, scorer.used[found]] if known is None else whole, found)
        nearest = self.views[decisive].references.clips.item(row)
        return ClipScore(score, found, known is not None, windows, views, nearest)

    def nearest(self, embeddings: Mapping[str, NDArray[Any]], view: str, section: str) -> int:
        """Row of the view's reference, of those used for a section, nearest to a clip's windows."""
        scorer = self._scorers[view]
        d = scorer.distances(embeddings[view], scorer.used[section])[0]
        return scorer.nearest(d, section)

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
