"""Tables of a preset: their keys, values and ranges."""

from __future__ import annotations

from dataclasses import dataclass

from asd_edge.errors import ParameterError
from asd_edge.scoring.views import ScoringConfig

PSEUDO_CLASSES = ("statistics_exchange", "shift")


@dataclass(frozen=True)
class ModelConfig:
    """The network; the lists have one entry a block. See `model.TripletCNN`.

    Attributes:
        normalize: "none", or "band": each mel band to mean 0 and deviation 1.
        separable: depthwise-separable blocks after the first one.
        channels, kernel, padding: of each block's convolution.
        stride: the same; a pair is (along the bands, along time).
        pool_kernel, pool_stride: of each block's max pooling; kernel 1 means none.
        dropout: share of channels dropped after each block, 0 to below 1.
        head: "flatten", or "time_mean": mean over time, then flatten.
        embedding_dim: length d of the embedding.
    """

    normalize: str
    separable: bool
    channels: tuple[int, ...]
    kernel: tuple[int, ...]
    stride: tuple[int | tuple[int, int], ...]
    padding: tuple[int, ...]
    pool_kernel: tuple[int, ...]
    pool_stride: tuple[int, ...]
    dropout: float
    head: str
    embedding_dim: int

    def __post_init__(self) -> None:
        if self.normalize not in ("none", "band"):
            raise ParameterError("normalize", self.normalize, "none or band")
        if self.head not in ("flatten", "time_mean"):
            raise ParameterError("head", self.head, "flatten or time_mean")
        if not 0 <= self.dropout < 1:
            raise ParameterError("dropout", self.dropout, "a share from 0 to below 1")
        if self.embedding_dim < 1:
            raise ParameterError("embedding_dim", self.embedding_dim, "at least 1")
        for name in ("kernel", "stride", "padding", "pool_kernel", "pool_stride"):
            values = getattr(self, name)
            if len(values) != len(self.channels):
                raise ParameterError(name, values, f"{len(self.channels)} values, one a block")


@dataclass(frozen=True)
class StatisticsConfig:
    """The views that are not learned; see `time_statistics`.

    Attributes:
        lags: in frames, ascending.
        joined: neighbouring bands that are one in the views "bands" and "band_changes"; with them
            comes the view "level". 0: "statistics" alone.
    """

    lags: tuple[int, ...]
    joined: int = 0

    def __post_init__(self) -> None:
        if self.joined < 0 or (self.joined and not self.lags):
            raise ParameterError("joined", self.joined, "0, or a number of bands beside lags")
        if any(lag < 1 for lag in self.lags) or list(self.lags) != sorted(set(self.lags)):
            raise ParameterError("lags", self.lags, "ascending numbers of frames, from 1")


@dataclass(frozen=True)
class LossConfig:
    """What the network learns by; see `losses`.

    Attributes:
        name: "triplet" or "adacos" (sub-cluster AdaCos).
        mining: of triplets: "none" (the data set draws one a clip, the report's way), or
            "all" triplets of a batch.
        margin: of triplets.
        subclusters: centres a class of AdaCos; they stay where they are drawn.
    """

    name: str = "triplet"
    mining: str = "none"
    margin: float = 1.0
    subclusters: int = 16

    def __post_init__(self) -> None:
        for name, choices in {
            "name": ("triplet", "adacos"),
            "mining": ("none", "all"),
        }.items():
            if getattr(self, name) not in choices:
                raise ParameterError(f"loss {name}", getattr(self, name), " or ".join(choices))
        if not self.margin > 0:
            raise ParameterError("margin", self.margin, "a value above 0")
        if self.subclusters < 1:
            raise ParameterError("subclusters", self.subclusters, "at least 1")

    @property
    def drawn(self) -> bool:
        """Whether the data set draws the triplets."""
        return self.name == "triplet" and self.mining == "none"


@dataclass(frozen=True)
class AugmentConfig:
    """Changes to training clips; see `augment`.

    Attributes:
        pseudo_classes: changes that make a clip one of another class.
        shift_bands: most bands that "shift" moves a spectrogram by.
        mixup: share of clips that are mixed with another one; for AdaCos.
    """

    pseudo_classes: tuple[str, ...] = ()
    shift_bands: int = 3
    mixup: float = 0.0

    def __post_init__(self) -> None:
        for name in self.pseudo_classes:
            if name not in PSEUDO_CLASSES:
                raise ParameterError("pseudo_classes", name, " or ".join(PSEUDO_CLASSES))
        if not 0 <= self.mixup <= 1:
            raise ParameterError("mixup", self.mixup, "a share from 0 to 1")
        if self.shift_bands < 1:
            raise ParameterError("shift_bands", self.shift_bands, "at least 1")


@dataclass(frozen=True)
class TrainingConfig:
    """How the network learns, with AdamW.

    Attributes:
        epochs: passes over the training clips; 0 where nothing is learned.
        min_items: clips of an epoch; fewer than this are gone through several times.
        batch_size: clips a step; of drawn triplets, triplets.
        lr: the learning rate, or its peak.
        schedule: "constant", or "one_cycle": up over the first third, down to 0.
        weight_decay: of AdamW.
        holdout: share of each section's and domain's normal clips, rounded up, that
            training never sees and the threshold comes from. 0, only where nothing is
            learned: cross-fitting calibrates.
        patience: stop after so many epochs without a lower loss of the held-out clips; 0: never.
        keep: the network that the run ends with: of the "last" epoch, or of the "best", by the
            loss of the held-out clips.
        checkpoint_every: keep a checkpoint of its own every so many epochs; 0: none.
    """

    epochs: int
    holdout: float
    min_items: int = 1
    batch_size: int = 32
    lr: float = 1e-3
    schedule: str = "constant"
    weight_decay: float = 0.0
    patience: int = 0
    keep: str = "last"
    checkpoint_every: int = 0

    def __post_init__(self) -> None:
        for name in ("min_items", "batch_size", "lr"):
            if not getattr(self, name) > 0:
                raise ParameterError(name, getattr(self, name), "a value above 0")
        for name in ("epochs", "patience", "checkpoint_every"):
            if getattr(self, name) < 0:
                raise ParameterError(name, getattr(self, name), "0 or more")
        if self.keep not in ("last", "best"):
            raise ParameterError("keep", self.keep, "last or best")
        if self.schedule not in ("constant", "one_cycle"):
            raise ParameterError("schedule", self.schedule, "constant or one_cycle")
        if not 0 <= self.weight_decay < 1:
            raise ParameterError("weight_decay", self.weight_decay, "0 to below 1")
        if not 0 <= self.holdout < 1:
            raise ParameterError("holdout", self.holdout, "a share from 0 to below 1")


@dataclass(frozen=True)
class ViewConfig:
    """How a view is scored.

    Attributes:
        scoring: the rule.
        references: "all" training clips, "random-N" of each section, or "kmeans-N":
            centres of each section's source domain, and every clip of the target domain.
        weight: of the view beside the others.
    """

    scoring: ScoringConfig
    references: str = "all"
    weight: float = 1.0

    def __post_init__(self) -> None:
        kind, _, count = self.references.partition("-")
        if self.references != "all" and not (
            kind in ("random", "kmeans") and count.isdigit() and int(count) > 0
        ):
            raise ParameterError("references", self.references, '"all", "random-N" or "kmeans-N"')
        if not self.weight > 0:
            raise ParameterError("weight", self.weight, "a value above 0")
