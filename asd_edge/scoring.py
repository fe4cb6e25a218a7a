"""Anomaly score: mean distance of an embedding to the nearest references of its section."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asd_edge.errors import ParameterError

METRICS = ("euclidean", "cosine")


@dataclass(frozen=True)
class ScoringConfig:
    """How distances become a score.

    Attributes:
        metric: "euclidean" (PyTorch's PairwiseDistance) or "cosine" (1 - cosine similarity).
        k: number of nearest references whose distances are averaged, or None for all.
        pool_sections: measure against the references of all sections together
            (the report's way) instead of those of the clip's own section.
    """

    metric: str = "euclidean"
    k: int | None = 1
    pool_sections: bool = False

    def __post_init__(self) -> None:
        if self.metric not in METRICS:
            raise ParameterError("metric", self.metric, " or ".join(METRICS))
        if self.k is not None and self.k < 1:
            raise ParameterError("k", self.k, "at least 1, or None for all references")


@dataclass(frozen=True)
class References:
    """Embeddings of normal clips.

    Attributes:
        embeddings: [shape=(n, d)], float32.
        sections, domains, clips: [shape=(n,)], strings; a domain is "source",
            "target" or "".
    """

    embeddings: NDArray[np.float32]
    sections: NDArray[np.str_]
    domains: NDArray[np.str_]
    clips: NDArray[np.str_]

    def __post_init__(self) -> None:
        n = len(self.embeddings)
        if self.embeddings.ndim != 2 or n == 0:
            raise ParameterError("embeddings.shape", self.embeddings.shape, "(n, d) with n > 0")
        if not np.isfinite(self.embeddings).all():
            raise ParameterError("embeddings", "NaN or infinite", "finite values")
        if not len(self.sections) == len(self.domains) == len(self.clips) == n:
            raise ParameterError("references", "rows of unequal number", f"{n} of each")


def distances(
    x: NDArray[np.float32], references: NDArray[np.float32], metric: str
) -> NDArray[np.float64]:
    """Distances between embeddings and references.

    Args:
        x: [shape=(w, d)].
        references: [shape=(n, d)].
        metric: "euclidean" or "cosine"; for cosine a zero vector is at distance 1 from all.

    Returns:
        [shape=(w, n)], float64. PyTorch's PairwiseDistance adds 1e-6 to every
        component of the difference; that is left out here, which changes a
        distance by at most 1e-6 * sqrt(d).
    """
    a = x.astype(np.float64)
    b = references.astype(np.float64)
    if metric == "cosine":
        a /= np.maximum(np.linalg.norm(a, axis=1, keepdims=True), np.finfo(np.float32).tiny)
        b /= np.maximum(np.linalg.norm(b, axis=1, keepdims=True), np.finfo(np.float32).tiny)
        return np.maximum(1.0 - a @ b.T, 0.0)
    # Differences first: |a|^2 + |b|^2 - 2ab would cancel where the distance is small.
    # One window at a time keeps the memory at (n, d).
    return np.stack([np.linalg.norm(b - row, axis=1) for row in a])


class Scorer:
    """References and a scoring rule, ready to score embeddings."""

    def __init__(self, config: ScoringConfig, references: References) -> None:
        self.config = config
        self.references = references
        self.sections: tuple[str, ...] = tuple(sorted(set(references.sections.tolist())))
        self._rows = {name: references.sections == name for name in self.sections}

    def score(self, embeddings: NDArray[Any], section: str | None = None) -> ClipScore:
        """Score one clip.

        Args:
            embeddings: of the clip's windows [shape=(w, d)].
            section: the clip's section. One that has no references, or None, is
                scored against every section, and the nearest is named.

        Returns:
            the score; a clip's score is the mean over its windows.
        """
        d = distances(embeddings, self.references.embeddings, self.config.metric)
        known = section in self._rows
        if known and section is not None:
            nearest = section
        else:
            nearest = min(self.sections, key=lambda name: self._mean(d[:, self._rows[name]]).mean())
        own = d if self.config.pool_sections else d[:, self._rows[nearest]]
        windows = self._mean(own)
        return ClipScore(float(windows.mean()), nearest, known, tuple(windows.tolist()))

    def _mean(self, d: NDArray[np.float64]) -> NDArray[np.float64]:
        """Mean of the k smallest of each row [shape=(w,)]."""
        k = self.config.k
        if k is not None and k < d.shape[1]:
            d = np.partition(d, k - 1, axis=1)[:, :k]
        mean: NDArray[np.float64] = d.mean(axis=1)
        return mean


@dataclass(frozen=True)
class ClipScore:
    """Score of one clip.

    Attributes:
        score: mean over the windows; larger is more anomalous.
        section: the clip's own section, or the nearest one if that is unknown.
        section_known: whether the section was given and has references.
        windows: score of each window, in order.
    """

    score: float
    section: str
    section_known: bool
    windows: tuple[float, ...]
