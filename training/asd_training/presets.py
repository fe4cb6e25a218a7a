"""Presets: everything that defines a recipe, one TOML file each."""

from __future__ import annotations

import dataclasses
import tomllib
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from asd_edge.errors import AsdError, MissingFileError, ParameterError
from asd_edge.frontend import FrontEnd
from asd_edge.scoring import ScoringConfig


class PresetError(AsdError, ValueError):
    """A preset that is not there or does not make sense."""

    def __init__(self, name: str | Path, reason: str) -> None:
        super().__init__(f"preset {name}: {reason}")


@dataclass(frozen=True)
class ModelConfig:
    """The network; the lists have one entry a block. See `model.TripletCNN`.

    Attributes:
        normalize: "none", or "band": each mel band to mean 0 and deviation 1.
        separable: depthwise-separable blocks after the first one.
        channels, kernel, stride, padding: of each block's convolution.
        pool_kernel, pool_stride: of each block's max pooling; kernel 1 means none.
        dropout: share of channels dropped after each block, 0 to below 1.
        head: "flatten", or "time_mean": mean over time, then flatten.
        embedding_dim: length d of the embedding.
        unit_norm: scale embeddings to length 1.
    """

    normalize: str
    separable: bool
    channels: tuple[int, ...]
    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[int, ...]
    pool_kernel: tuple[int, ...]
    pool_stride: tuple[int, ...]
    dropout: float
    head: str
    embedding_dim: int
    unit_norm: bool

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
class TrainingConfig:
    """How the network learns: Adam on TripletMarginLoss.

    Attributes:
        epochs: passes over the training clips, each the anchor of one triplet.
        min_triplets: of an epoch; fewer clips than this are gone through several times,
            each time with other positives and negatives.
        batch_size: triplets a step.
        lr: Adam's learning rate.
        margin: of TripletMarginLoss.
        holdout: share of each section's and domain's normal clips, rounded up,
            that training and references never see and the threshold comes from.
    """

    epochs: int
    min_triplets: int
    batch_size: int
    lr: float
    margin: float
    holdout: float

    def __post_init__(self) -> None:
        for name in ("epochs", "min_triplets", "batch_size", "lr", "margin"):
            if not getattr(self, name) > 0:
                raise ParameterError(name, getattr(self, name), "a value above 0")
        if not 0 < self.holdout < 1:
            raise ParameterError("holdout", self.holdout, "a share above 0 and below 1")


@dataclass(frozen=True)
class Preset:
    """A recipe. `references` is the number drawn from each section, or None for all."""

    name: str
    front_end: FrontEnd
    model: ModelConfig
    training: TrainingConfig
    scoring: ScoringConfig
    references: int | None

    def to_dict(self) -> dict[str, Any]:
        """Give the preset as plain values in the layout of the TOML files, for JSON."""
        values = dataclasses.asdict(self)
        scoring = values["scoring"]
        scoring["k"] = "all" if scoring["k"] is None else scoring["k"]
        references = values.pop("references")
        scoring["references"] = "all" if references is None else references
        return values

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Preset:
        """Read what `to_dict` gave, or a TOML file with its name added.

        Raises:
            PresetError: a missing, unknown or senseless value.
        """
        name = str(values.get("name", "?"))
        try:
            unknown = set(values) - {"name", "front_end", "model", "training", "scoring"}
            if unknown:
                raise PresetError(name, f"unknown table [{sorted(unknown)[0]}]")
            scoring = dict(values["scoring"])
            references = _count(scoring.pop("references"))
            scoring["k"] = _count(scoring["k"])
            model: dict[str, Any] = {
                key: tuple(value) if isinstance(value, list) else value
                for key, value in values["model"].items()
            }
            return cls(
                name=name,
                front_end=FrontEnd.from_dict(values["front_end"]),
                model=ModelConfig(**model),
                training=TrainingConfig(**values["training"]),
                scoring=ScoringConfig(**scoring),
                references=references,
            )
        except PresetError:
            raise
        except KeyError as error:
            raise PresetError(name, f"{error.args[0]!r} is missing") from error
        except (AsdError, TypeError, AttributeError) as error:
            raise PresetError(name, str(error)) from error


def names() -> list[str]:
    """Names of the presets that come with asd-edge."""
    return sorted(
        p.name.removesuffix(".toml") for p in _folder().iterdir() if p.name != "__pycache__"
    )


def load(name: str) -> Preset:
    """Load a preset that comes with asd-edge, by name, or a TOML file, by path.

    Raises:
        PresetError: no such preset, or a missing, unknown or senseless value in it.
        MissingFileError: no such file.
    """
    if name.endswith(".toml"):
        path = Path(name)
        if not path.is_file():
            raise MissingFileError(path, "preset")
        text, name = path.read_text(encoding="utf-8"), path.stem
    elif name in names():
        text = (_folder() / f"{name}.toml").read_text(encoding="utf-8")
    else:
        raise PresetError(name, f"there are {', '.join(names())}, and files NAME.toml of your own")
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise PresetError(name, f"is not TOML: {error}") from error
    return Preset.from_dict({"name": name, **values})


def _folder() -> Any:
    return resources.files("asd_training") / "presets"


def _count(value: int | str) -> int | None:
    if value == "all":
        return None
    if not isinstance(value, int) or value < 1:
        raise ParameterError("k or references", value, '"all" or a number from 1')
    return value
