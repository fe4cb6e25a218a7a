"""Anomaly score: distance of an embedding to the nearest references, in units of the threshold.

A model may give several embeddings of a clip, its views (what the network learned, the statistics
over time). Each has references and a rule of its own, and may be measured in parts besides the
whole (`asd_edge.scoring.views`). With

    D     mean distance to the k nearest references, of the whole and each part,
    z     deviation of D ** e from that of unseen normal clips, in their spread,

a view's deviation is the largest z of whole and parts, and the score

    ( sum over views of  factor * (deviation + offset) ) ** (1 / e),

scaled so that 1 is the threshold: a clip that scores 1.6 is 1.6 times as far from the normal ones
as the threshold is. A view without standards, as in a scorer that is being built, scores D.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from asd_edge._core import squared_distances
from asd_edge.errors import ParameterError
from asd_edge.frontend.mel import instruction_set
from asd_edge.scoring.views import Standard, StandardArrays, View
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
    """
    prepared = _prepared(x, metric), _prepared(references, metric)
    return _between(*prepared, metric, instruction_set())


def _prepared(x: NDArray[np.float32], metric: str) -> NDArray[Any]:
    if metric != "cosine":
        return x
    rows = x.astype(np.float64)  # 1 - cos cancels where vectors are alike
    rows /= np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), np.finfo(np.float32).tiny)
    return rows


def _between(
    a: NDArray[Any], b: NDArray[Any], metric: str, instruction_set: str
) -> NDArray[np.float64]:
    if metric == "cosine":
        cosines: NDArray[np.float64] = a @ b.T
        return np.maximum(1.0 - cosines, 0.0)
    # Differences first: |a|^2 + |b|^2 - 2ab would cancel where the distance is small.
    squares = squared_distances(a, b, instruction_set)
    return np.sqrt(squares, out=squares)


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
        self._columns, self._metric = columns, view.config.metric
        self._instruction_set = instruction_set()
        self._project = projection(triangle) if triangle.size else None
        self._references = self.prepare(view.references.embeddings[rows])
        self._density = density[rows].astype(np.float64) if density.size else None

    def prepare(self, x: NDArray[np.float32]) -> NDArray[Any]:
        """Give windows [shape=(w, d)] as `distances` wants them."""
        own = np.ascontiguousarray(x[:, self._columns])
        return _prepared(own if self._project is None else self._project(own), self._metric)

    def distances(self, x: NDArray[np.float32], used: slice) -> NDArray[np.float64]:
        """Distances of windows to some of the references [shape=(w, n)]."""
        d = _between(self.prepare(x), self._references[used], self._metric, self._instruction_set)
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
        ends = np.cumsum(counts).tolist()
        self.used = {
            name: slice(None) if view.config.pool_sections else slice(end - count, end)
            for name, count, end in zip(self.sections, counts.tolist(), ends, strict=True)
        }
        # Of each section, and of all.
        self._standards: dict[str | None, StandardArrays] = {}
        if view.standards:
            groups = {name: [name] for name in self.sections} | {None: list(self.sections)}
            self._standards = {
                key: StandardArrays.of([view.standards[name] for name in names])
                for key, names in groups.items()
            }
        self._parts = [
            _PartScorer(*measured, view, self.rows) for measured in references.measured(view.config)
        ]

    def distances(self, x: NDArray[np.float32], used: slice) -> list[NDArray[np.float64]]:
        """Distances of windows to some references, of the whole and each part [shape=(w, n)]."""
        return [part.distances(x, used) for part in self._parts]

    def means(self, d: list[NDArray[np.float64]]) -> NDArray[np.float64]:
        """Mean of the k smallest distances, of whole and parts [shape=(parts + 1, w)]."""
        return np.array([self._mean(x) for x in d])

    def means_by_section(self, d: list[NDArray[np.float64]]) -> NDArray[np.float64]:
        """Means in each section, by distances to all references.

        Returns:
            [shape=(sections, parts + 1, w)].
        """
        if self.config.k == 1 and not self.config.pool_sections:
            starts = [self.used[name].start for name in self.sections]  # which lie side by side
            smallest = np.array([np.minimum.reduceat(x, starts, axis=1) for x in d])
            return smallest.transpose(2, 0, 1)
        return np.array([self.means([x[:, self.used[name]] for x in d]) for name in self.sections])

    def _mean(self, d: NDArray[np.float64]) -> NDArray[np.float64]:
        k = self.config.k
        if k == 1:
            smallest: NDArray[np.float64] = np.minimum.reduce(d, axis=1)
            return smallest
        if k is not None and k < d.shape[1]:
            d = np.partition(d, k - 1, axis=1)[:, :k]
        mean: NDArray[np.float64] = d.mean(axis=1)
        return mean

    def contributions(self, means: NDArray[np.float64], section: str | None) -> list[list[float]]:
        """What each window contributes to the score's power, by sections and windows.

        Args:
            means: of one section or, without a name, of all [shape=(sections, parts + 1, w)].
            section: the section's name.
        """
        if self._standards:
            values = self._standards[section].contributions(means, self.config)
        else:  # the distance itself, whose power is taken back
            values = means[:, 0] ** self.config.exponent
        powers: list[list[float]] = values.tolist()
        return powers

    def nearest(self, d: NDArray[np.float64], section: str) -> int:
        """Which reference is nearest to all windows together, by distances to a section's."""
        return int(self.rows[self.used[section]][d.sum(axis=0).argmin()])


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
            name: view.means(view.distances(embeddings[name], view.used[section])).mean(axis=1)
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
        every = {}  # distances by view; to all references where the section is not known
        shares = {}  # what each view contributes, by sections and windows
        for name, view in self._scorers.items():
            used = slice(None) if known is None else view.used[known]
            every[name] = d = view.distances(embeddings[name], used)
            means = view.means_by_section(d) if known is None else view.means(d)[np.newaxis]
            shares[name] = view.contributions(means, known)
        best = None
        for i, candidate in enumerate(self.sections if known is None else (known,)):
            # Lists from here on: there are a few values, and arrays would take ten times as long.
            parts = {name: values[i] for name, values in shares.items()}
            sums = [sum(values) for values in zip(*parts.values(), strict=True)]
            windows = tuple([value ** (1 / self._exponent) for value in sums])
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
        return ClipScore(
            score=score,
            section=found,
            section_known=known is not None,
            windows=windows,
            views=views,
            nearest=str(self.views[decisive].references.clips[row]),
        )

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
