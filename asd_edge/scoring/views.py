"""Views: the references of one output of the model, and the rule that scores it.

All of it is data, which travels in the bundle: the metric, how many references, the parts of the
embedding that are measured apart, and the standards that make distances of different views and
parts comparable.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from asd_edge._core import DistanceStandard
from asd_edge.errors import ParameterError
from asd_edge.frontend.mel import MelConfig

STATISTICS = "statistics"  # the view that begins with the mean of each band over time
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
        parts: name -> first and last column (not included) of a part of the embedding that is
            measured by itself besides the whole. A fault that shows in one part alone is
            drowned by the ordinary variation of the others in one distance of all.
        emphasis: weight of the whole's deviation that is added to the largest deviation of the
            whole and its parts.
        exponent: power of a distance whose values for normal clips are nearly normal: 1/3, or 1 in
            bundles of schema 2. One for all views of a bundle.
        few_clips: number of normal windows from which on the view has no weight; with fewer its
            weight is the greater. 0: its weight is always the same. A view of a few coarse
            features knows what is normal from fewer clips than one of many.
        guard: 0, or least spread of the embedding (in its units) among normal clips for a view that
            adds nothing to the score unless it alone makes the window anomalous: when it lies
            farther from the normal ones than a tenth of the false-alarm rate allows.
    """

    metric: str = "euclidean"
    k: int | None = 1
    pool_sections: bool = False
    local_density: int = 0
    parts: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    emphasis: float = 0.0
    exponent: float = 1 / 3
    few_clips: int = 0
    guard: float = 0.0

    def __post_init__(self) -> None:
        if self.metric not in METRICS:
            raise ParameterError("metric", self.metric, " or ".join(METRICS))
        if self.k is not None and self.k < 1:
            raise ParameterError("k", self.k, "at least 1, or None for all references")
        if self.local_density < 0:
            raise ParameterError("local_density", self.local_density, "0 or more neighbours")
        if not 0 <= self.emphasis < np.inf:
            raise ParameterError("emphasis", self.emphasis, "0 or more")
        if not 0 < self.exponent <= 1:
            raise ParameterError("exponent", self.exponent, "above 0, up to 1")
        if self.few_clips < 0:
            raise ParameterError("few_clips", self.few_clips, "0 or more windows")
        if not 0 <= self.guard < np.inf:
            raise ParameterError("guard", self.guard, "0, or a spread above 0")
        if self.guard and (self.metric, self.k, self.local_density) != ("euclidean", None, 0):
            raise ParameterError("guard", self.guard, "0 but for euclidean distances to all (k)")
        object.__setattr__(
            self, "parts", {name: (int(a), int(b)) for name, (a, b) in self.parts.items()}
        )
        for first, last in self.parts.values():
            if not 0 <= first < last:
                raise ParameterError("parts", (first, last), "a first column below the last")

    def columns(self, d: int) -> list[slice]:
        """Columns that are measured, of an embedding of length d: the whole, then each part."""
        if any(last > d for _, last in self.parts.values()):
            raise ParameterError("parts", dict(self.parts), f"columns up to {d}")
        return [slice(0, d), *(slice(first, last) for first, last in self.parts.values())]


@dataclass(frozen=True, eq=False, repr=False)  # arrays: no one answer to ==, long to print
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
        part_density, part_whitening: the same of the parts: densities [shape=(parts, n)], and
            projections one after the other [shape=(sum of d (d + 1) / 2,)].
        reach: how many times as far as others each reference reaches [shape=(n,)], more than 1 in
            a domain of which few clips are known; empty for none. See `asd_edge.scoring.scorer`.
    """

    embeddings: NDArray[np.float32]
    sections: NDArray[np.str_]
    domains: NDArray[np.str_]
    clips: NDArray[np.str_]
    density: NDArray[np.float32] = field(default_factory=lambda: np.empty(0, np.float32))
    whitening: NDArray[np.float16] = field(default_factory=lambda: np.empty(0, np.float16))
    part_density: NDArray[np.float32] = field(default_factory=lambda: np.empty((0, 0), np.float32))
    part_whitening: NDArray[np.float16] = field(default_factory=lambda: np.empty(0, np.float16))
    reach: NDArray[np.float32] = field(default_factory=lambda: np.empty(0, np.float32))

    def __post_init__(self) -> None:
        n = len(self.embeddings)
        if self.embeddings.ndim != 2 or n == 0:
            raise ParameterError("embeddings.shape", self.embeddings.shape, "(n, d) with n > 0")
        if not len(self.sections) == len(self.domains) == len(self.clips) == n:
            raise ParameterError("references", "rows of unequal number", f"{n} of each")
        for name in ("density", "reach"):
            if getattr(self, name).shape not in ((0,), (n,)):
                raise ParameterError(f"{name}.shape", getattr(self, name).shape, f"({n},)")
        if self.part_density.ndim != 2 or self.part_density.shape[1] not in (0, n):
            raise ParameterError("part_density.shape", self.part_density.shape, f"(parts, {n})")
        length = _triangle(self.embeddings.shape[1])
        if self.whitening.shape not in ((0,), (length,)):
            raise ParameterError("whitening.shape", self.whitening.shape, f"({length},)")
        for name in ("whitening", "part_whitening"):
            values = getattr(self, name)
            if values.dtype != np.float16:
                raise ParameterError(f"{name}.dtype", str(values.dtype), "float16")
        for name in ("embeddings", "density", "part_density", "reach"):
            # The whitening's values are checked by who uses it.
            if not np.isfinite(getattr(self, name)).all():
                raise ParameterError(name, "NaN or infinite", "finite values")
        for name in ("density", "part_density", "reach"):
            if (getattr(self, name) <= 0).any():
                raise ParameterError(name, "0 or less", "distances above 0")

    def measured(
        self, config: ScoringConfig
    ) -> list[tuple[slice, NDArray[np.float16], NDArray[np.float32]]]:
        """Columns, whitening and density of the whole and each part; empty arrays for none.

        Raises:
            ParameterError: arrays that do not go with the rule.
        """
        columns = config.columns(self.embeddings.shape[1])
        widths = [part.stop - part.start for part in columns[1:]]
        whitened, dense = config.metric == "whitened", config.local_density > 0
        lengths = [_triangle(width) if whitened else 0 for width in widths]
        if whitened != (self.whitening.size > 0):
            raise ParameterError("whitening", self.whitening.shape, "one if whitened")
        if dense != (self.density.size > 0):
            raise ParameterError("density", self.density.shape, "one if local_density")
        if self.part_whitening.shape != (sum(lengths),):
            raise ParameterError("part_whitening", self.part_whitening.shape, f"{sum(lengths)}")
        if self.part_density.size != (len(widths) * len(self.embeddings) if dense else 0):
            raise ParameterError("part_density", self.part_density.shape, "a row a part")
        ends = np.cumsum([0, *lengths])
        triangles = [self.whitening] + [
            self.part_whitening[a:b] for a, b in itertools.pairwise(ends)
        ]
        density = [self.density, *(self.part_density if dense else [self.density] * len(widths))]
        return list(zip(columns, triangles, density, strict=True))


def _triangle(d: int) -> int:
    return d * (d + 1) // 2


class Standard(NamedTuple):
    """What makes a view's distances comparable with those of other views, in one section.

    With x = distance ** exponent of the whole and each part, a view contributes

        factor * (max over whole and parts of z + emphasis * z of the whole + offset)

    (not below 0), where z = (x - centre) / spread; an x below a quarter of its centre counts as
    that.

    Attributes:
        centres, spreads: of x over unseen normal clips: of the whole, then of each part.
        offset: makes the contribution of distance 0 nearly 0.
        factor: weight of the view over the section's threshold.
    """

    centres: tuple[float, ...]
    spreads: tuple[float, ...]
    offset: float
    factor: float

    @classmethod
    def checked(
        cls, centres: Iterable[float], spreads: Iterable[float], offset: float, factor: float
    ) -> Standard:
        """Make one of numbers that come from elsewhere.

        Raises:
            ParameterError: numbers that no standard has.
        """
        made = cls(tuple(map(float, centres)), tuple(map(float, spreads)), offset, factor)
        values = (*made.centres, *made.spreads, offset, factor)
        if not (np.isfinite(values).all() and min(values) >= 0):
            raise ParameterError("standard", values, "finite numbers, 0 or more")
        if not (factor > 0 and all(spread > 0 for spread in made.spreads)):
            raise ParameterError("standard", values, "spreads and a factor above 0")
        if len(made.centres) != len(made.spreads):
            raise ParameterError("standard", values, "a spread for each centre")
        return made

    def contributions(
        self, distances: Iterable[Sequence[float]], config: ScoringConfig
    ) -> list[float]:
        """Contribution of each window to the score's power.

        Args:
            distances: of each window, those of the whole and of each part.
            config: the rule.
        """
        return self.by_rule(config).contributions(distances)

    def by_rule(self, config: ScoringConfig) -> DistanceStandard:
        """Make what `contributions` uses, for many clips."""
        return DistanceStandard(
            self.centres,
            self.spreads,
            offset=self.offset,
            factor=self.factor,
            exponent=config.exponent,
            emphasis=config.emphasis,
        )


@dataclass(frozen=True, eq=False, repr=False)  # arrays: no one answer to ==, long to print
class View:
    """One output of the model: its references and how they are used.

    Attributes:
        config: the rule.
        references: of normal clips.
        standards: section -> standard; empty before there are any, and the score is the distance.
        weight: of the view beside the others in units of its deviation, which `standards`
            were made by and those of more clips or another machine will be.
    """

    config: ScoringConfig
    references: References
    standards: Mapping[str, Standard] = field(default_factory=dict)
    weight: float = 1.0

    def __post_init__(self) -> None:
        self.references.measured(self.config)
        sections = set(self.references.sections.tolist())
        if self.standards and set(self.standards) != sections:
            raise ParameterError("standards", sorted(self.standards), f"of {sorted(sections)}")
        for standard in self.standards.values():
            if len(standard.centres) != 1 + len(self.config.parts):
                raise ParameterError("standards", len(standard.centres), "one a part, and one more")
        if not 0 < self.weight < np.inf:
            raise ParameterError("weight", self.weight, "a value above 0")


def combined(
    parts: Mapping[str, list[float]], guards: Sequence[str]
) -> tuple[Mapping[str, list[float]], list[float]]:
    """Give what each view contributes to each window, and their sums, the power of its score.

    A guard contributes alone where it says more than all other views together, and else nothing.

    Args:
        parts: view -> contribution of each window by its standard.
        guards: views that are guards.
    """
    summed = [values for name, values in parts.items() if name not in guards]
    sums: list[float] = list(map(sum, zip(*summed, strict=True)))
    if not guards:
        return parts, sums
    nothing = [0.0] * len(parts[guards[0]])
    counted = {name: nothing if name in guards else values for name, values in parts.items()}
    sums = sums or list(nothing)  # where every view is a guard
    for guard in guards:
        alone = parts[guard]
        for i in [i for i, others in enumerate(sums) if alone[i] > others]:
            counted = {name: [*x[:i], 0.0, *x[i + 1 :]] for name, x in counted.items()}
            counted[guard][i] = sums[i] = alone[i]
    return counted, sums


Bands: TypeAlias = NDArray[np.float32] | None  # mean level of each, in dB [shape=(n_mels,)]


def band_levels(embeddings: Mapping[str, NDArray[np.float32]], mel: MelConfig) -> Bands:
    """Mean level of each band, the highest of all windows; None where no embedding tells it."""
    statistics = embeddings.get(STATISTICS)
    if statistics is None or mel.log != "db":
        return None
    levels: NDArray[np.float32] = statistics[0, : mel.n_mels]
    if len(statistics) > 1:  # for one window, a maximum would take a hundredth of its score
        levels = statistics[:, : mel.n_mels].max(axis=0)
    return levels


def highest(parts: Sequence[Bands]) -> Bands:
    """Put what `band_levels` gave of some windows together."""
    known = [part for part in parts if part is not None]
    return np.max(known, axis=0) if known else None


def lowest_levels(views: Mapping[str, View], mel: MelConfig) -> Bands:
    """Mean level of each band, the lowest of all references; None where they do not tell it."""
    view = views.get(STATISTICS)
    if view is None or mel.log != "db":
        return None
    levels: NDArray[np.float32] = view.references.embeddings[:, : mel.n_mels].min(axis=0)
    return levels
