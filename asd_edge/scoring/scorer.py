"""Anomaly score: mean distance of an embedding to the nearest references of its section.

A model may give several embeddings of a clip, its views (what the network learned,
the statistics over time). Each has references and a rule of its own; the score is
the sum of their distances, weighted so that 1 is an ordinary normal clip:

    score = sum over views v of  weight[v, section] * mean of d(x_v, r) over the k nearest r
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asd_edge._core import squared_distances
from asd_edge.errors import ParameterError
from asd_edge.frontend.mel import instruction_set
from asd_edge.scoring.whitening import projection

METRICS = ("euclidean", "cosine", "whitened")


@dataclass(frozen=True)
class ScoringConfig:
    """How distances in one view become a score.

    Attributes:
        metric: "euclidean" (PyTorch's PairwiseDistance), "cosine" (1 - cosine similarity)
            or "whitened" (Mahalanobis; see `asd_edge.scoring.whitening`).
        k: number of nearest references whose distances are averaged, or None for all.
        pool_sections: measure against the references of all sections together
            (the report's way) instead of those of the clip's own section.
        local_density: divide the distance to a reference by that reference's mean distance
            to so many of its nearest neighbours (Wilkinghoff et al. 2025, arXiv:2509.10951):
            references that lie apart, of the target domain as a rule, then reach as
            far as crowded ones. 0 leaves it out.
    """

    metric: str = "euclidean"
    k: int | None = 1
    pool_sections: bool = False
    local_density: int = 0

    def __post_init__(self) -> None:
        if self.metric not in METRICS:
            raise ParameterError("metric", self.metric, " or ".join(METRICS))
        if self.k is not None and self.k < 1:
            raise ParameterError("k", self.k, "at least 1, or None for all references")
        if self.local_density < 0:
            raise ParameterError("local_density", self.local_density, "0 or more neighbours")


@dataclass(frozen=True, eq=False)  # arrays have no one answer to ==
class References:
    """Embeddings of normal clips in one view.

    Attributes:
        embeddings: [shape=(n, d)], float32.
        sections, domains, clips: [shape=(n,)], strings; a domain is "source",
            "target" or "". A reference that stands for several clips, their
            mean, has the name of the one nearest to it.
        density: what distances to each reference are divided by [shape=(n,)];
            empty for none.
        whitening: projection of the metric "whitened", float16 [shape=(d (d + 1) / 2,)], as
            `asd_edge.scoring.whitening` has it; empty for others.
    """

    embeddings: NDArray[np.float32]
    sections: NDArray[np.str_]
    domains: NDArray[np.str_]
    clips: NDArray[np.str_]
    density: NDArray[np.float32] = field(default_factory=lambda: np.empty(0, np.float32))
    whitening: NDArray[np.float16] = field(default_factory=lambda: np.empty(0, np.float16))

    def __post_init__(self) -> None:
        n = len(self.embeddings)
        if self.embeddings.ndim != 2 or n == 0:
            raise ParameterError("embeddings.shape", self.embeddings.shape, "(n, d) with n > 0")
        if not len(self.sections) == len(self.domains) == len(self.clips) == n:
            raise ParameterError("references", "rows of unequal number", f"{n} of each")
        d = self.embeddings.shape[1]
        if self.density.shape not in ((0,), (n,)):
            raise ParameterError("density.shape", self.density.shape, f"({n},)")
        length = d * (d + 1) // 2
        if self.whitening.shape not in ((0,), (length,)):
            raise ParameterError("whitening.shape", self.whitening.shape, f"({length},)")
        if self.whitening.dtype != np.float16:
            raise ParameterError("whitening.dtype", str(self.whitening.dtype), "float16")
        for name in ("embeddings", "density"):  # the whitening's are checked by who uses it
            if not np.isfinite(getattr(self, name)).all():
                raise ParameterError(name, "NaN or infinite", "finite values")
        if (self.density <= 0).any():
            raise ParameterError("density", "0 or less", "distances above 0")


@dataclass(frozen=True, eq=False)  # arrays have no one answer to ==
class View:
    """One embedding of the model: its references and how they are used.

    Attributes:
        config: the rule.
        references: of normal clips.
        weights: section -> factor of this view's distance in the score; empty, for
            a model of one view, means 1: the score is the distance itself.
        weight: of the view beside the others in units of its deviation, which `weights`
            were made by and those of more clips or another machine will be.
    """

    config: ScoringConfig
    references: References
    weights: Mapping[str, float] = field(default_factory=dict)
    weight: float = 1.0

    def __post_init__(self) -> None:
        if (self.config.metric == "whitened") != (self.references.whitening.size > 0):
            raise ParameterError("whitening", self.references.whitening.shape, "one if whitened")
        if (self.config.local_density > 0) != (self.references.density.size > 0):
            raise ParameterError("density", self.references.density.shape, "one if local_density")
        sections = set(self.references.sections.tolist())
        if self.weights and set(self.weights) != sections:
            raise ParameterError("weights", sorted(self.weights), f"sections {sorted(sections)}")
        if not self.weight > 0:
            raise ParameterError("weight", self.weight, "a value above 0")


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


class _ViewScorer:
    """One view with its references projected, those of a section side by side.

    Attributes:
        rows: which reference each of them is [shape=(n,)].
        used: section -> those of them that its clips are measured against.
    """

    def __init__(self, view: View) -> None:
        references = view.references
        self._metric, self._k = view.config.metric, view.config.k
        self._instruction_set = instruction_set()
        self.weights = view.weights
        self._project = projection(references.whitening) if references.whitening.size else None
        names, counts = np.unique(references.sections, return_counts=True)
        self.sections: tuple[str, ...] = tuple(names.tolist())
        self.rows = np.argsort(references.sections, kind="stable")
        ends = np.cumsum(counts).tolist()
        self.used = {
            name: slice(None) if view.config.pool_sections else slice(end - count, end)
            for name, count, end in zip(self.sections, counts.tolist(), ends, strict=True)
        }
        self._references = self.prepare(references.embeddings[self.rows])
        self._density: NDArray[np.float64] | None = None
        if references.density.size:
            self._density = references.density[self.rows].astype(np.float64)

    def prepare(self, x: NDArray[np.float32]) -> NDArray[Any]:
        """Give windows [shape=(w, d)] as `distances` wants them."""
        return _prepared(x if self._project is None else self._project(x), self._metric)

    def distances(self, x: NDArray[Any], used: slice) -> NDArray[np.float64]:
        """Distances of prepared windows to some of the references [shape=(w, n)]."""
        d = _between(x, self._references[used], self._metric, self._instruction_set)
        if self._density is not None:
            d /= self._density[used]
        return d

    def mean(self, d: NDArray[np.float64]) -> NDArray[np.float64]:
        """Mean of the k smallest distances of each window [shape=(w,)]."""
        if self._k == 1:
            smallest: NDArray[np.float64] = d.min(axis=1)
            return smallest
        if self._k is not None and self._k < d.shape[1]:
            d = np.partition(d, self._k - 1, axis=1)[:, : self._k]
        mean: NDArray[np.float64] = d.mean(axis=1)
        return mean

    def nearest(self, d: NDArray[np.float64], section: str) -> int:
        """Which reference is nearest to all windows together, by distances to a section's."""
        return int(self.rows[self.used[section]][d.sum(axis=0).argmin()])


class Scorer:
    """References and scoring rules of every view, ready to score embeddings.

    Args:
        views: name of the model's output -> view; all have the same sections.

    Raises:
        ParameterError: no views, other sections in one, or several without weights.
    """

    def __init__(self, views: Mapping[str, View]) -> None:
        self.views = dict(views)
        self._scorers = {name: _ViewScorer(view) for name, view in views.items()}
        sections = {scorer.sections for scorer in self._scorers.values()}
        if len(sections) != 1:
            raise ParameterError("views", sorted(views), "at least one, all of the same sections")
        self.sections: tuple[str, ...] = sections.pop()
        if len(views) > 1 and not all(view.weights for view in views.values()):
            raise ParameterError("weights", "none", "a weight for each view and section")

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
        """
        known = section if section in self.sections else None
        every = {}  # distances by view; to all references where the section is not known
        for name, view in self._scorers.items():
            used = slice(None) if known is None else view.used[known]
            every[name] = view.distances(view.prepare(embeddings[name]), used)
        best = None
        for candidate in self.sections if known is None else (known,):
            d = every
            if known is None:
                d = {name: x[:, self._scorers[name].used[candidate]] for name, x in every.items()}
            # Lists from here on: there are a few values, and arrays would take ten times as long.
            parts = {}
            for name, view in self._scorers.items():
                weight = view.weights.get(candidate, 1.0)
                parts[name] = [weight * x for x in view.mean(d[name]).tolist()]
            windows = tuple(map(sum, zip(*parts.values(), strict=True)))
            score = _mean(windows)
            if best is None or score < best[0]:
                best = score, windows, parts, d, candidate
        assert best is not None
        score, windows, parts, d, nearest = best
        views = {name: _mean(values) for name, values in parts.items()}
        decisive = max(views, key=views.__getitem__)
        row = self._scorers[decisive].nearest(d[decisive], nearest)
        return ClipScore(
            score=score,
            section=nearest,
            section_known=known is not None,
            windows=windows,
            views=views,
            nearest=str(self.views[decisive].references.clips[row]),
        )

    def nearest(self, embeddings: Mapping[str, NDArray[Any]], view: str, section: str) -> int:
        """Row of the view's reference, of those used for a section, nearest to a clip's windows."""
        scorer = self._scorers[view]
        d = scorer.distances(scorer.prepare(embeddings[view]), scorer.used[section])
        return scorer.nearest(d, section)

    def with_weights(self, weights: Mapping[str, Mapping[str, float]]) -> Scorer:
        """Give a scorer of the same references with weights by view and section."""
        return Scorer(
            {
                name: dataclasses.replace(view, weights=weights[name])
                for name, view in self.views.items()
            }
        )


@dataclass(frozen=True)
class ClipScore:
    """Score of one clip.

    Attributes:
        score: mean over the windows; larger is more anomalous.
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
