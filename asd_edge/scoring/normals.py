"""Embeddings of normal clips, which become references, with their clips, sections and domains."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class NormalEmbeddings:
    """Embeddings of normal clips, a row a window.

    Attributes:
        views: name of the view -> embeddings [shape=(n, d)].
        clips, sections, domains: [shape=(n,)].
        recordings, start_s: where clips are pieces of longer recordings, which one and where in it
            each begins, in s [shape=(n,)]; else empty.
    """

    views: Mapping[str, NDArray[np.float32]]
    clips: NDArray[np.str_]
    sections: NDArray[np.str_]
    domains: NDArray[np.str_]
    recordings: NDArray[np.str_] = field(default_factory=lambda: np.empty(0, np.str_))
    start_s: NDArray[np.float64] = field(default_factory=lambda: np.empty(0))

    def take(self, rows: NDArray[np.bool_] | NDArray[np.intp]) -> NormalEmbeddings:
        """Give some rows, by a mask [shape=(n,)] or by number."""
        return NormalEmbeddings(
            {name: x[rows] for name, x in self.views.items()},
            self.clips[rows],
            self.sections[rows],
            self.domains[rows],
            self.recordings[rows] if len(self.recordings) else self.recordings,
            self.start_s[rows] if len(self.start_s) else self.start_s,
        )

    @property
    def groups(self) -> NDArray[np.str_]:
        """Section and domain of each row as one string [shape=(n,)]."""
        return np.char.add(np.char.add(self.sections, "/"), self.domains)
