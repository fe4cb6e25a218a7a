"""Presets: everything that defines a recipe, one TOML file each."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any, TypeVar

from asd_edge.errors import AsdError, MissingFileError, ParameterError
from asd_edge.frontend.mel import MelConfig
from asd_edge.frontend.windows import FrontEnd
from asd_edge.model import VIEWS
from asd_edge.scoring.views import ScoringConfig

PSEUDO_CLASSES = ("statistics_exchange", "shift")


_T = TypeVar("_T")
# Types of plain values, by how the fields of the tables are annotated.
_KINDS: dict[str, tuple[type, ...]] = {
    "int": (int,),
    "float": (float, int),
    "str": (str,),
    "bool": (bool,),
}


class PresetError(AsdError, ValueError):
    """A preset that is not there or does not make sense."""

    kind = "preset"

    def __init__(self, name: str | Path, reason: str) -> None:
        super().__init__(f"preset {name}: {reason}")


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
    """The view that is not learned; see `statistics.TimeStatistics`.

    Attributes:
        lags: in frames, ascending.
    """

    lags: tuple[int, ...]

    def __post_init__(self) -> None:
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


@dataclass(frozen=True)
class Preset:
    """A recipe; `model` or `statistics` may be missing, and with it the view."""

    name: str
    front_end: FrontEnd
    training: TrainingConfig
    views: Mapping[str, ViewConfig]
    model: ModelConfig | None = None
    statistics: StatisticsConfig | None = None
    loss: LossConfig = field(default_factory=LossConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)

    def __post_init__(self) -> None:
        has = dict(zip(VIEWS, (self.model, self.statistics), strict=True))
        there = {name for name, config in has.items() if config is not None}
        if not there or set(self.views) != there:
            raise PresetError(
                self.name,
                "wants [model] with [scoring.embedding], [statistics] with "
                "[scoring.statistics], or both",
            )
        if self.model is None and self.training.epochs > 0:
            raise PresetError(self.name, "has no [model] to train; epochs must be 0")
        if self.model is not None and (self.training.epochs < 1 or self.training.holdout == 0):
            raise PresetError(self.name, "epochs and holdout must be above 0 to train [model]")
        if self.loss.drawn and self.augment.pseudo_classes:
            raise PresetError(self.name, 'pseudo_classes need mining other than "none", or adacos')
        if self.augment.mixup and self.loss.name != "adacos":
            raise PresetError(self.name, "mixup is for the loss adacos")
        widths = {}
        if self.model is not None:
            widths["embedding"] = self.model.embedding_dim
        if self.statistics is not None:  # a mean, and a change for each lag, of each band
            widths["statistics"] = self.front_end.mel.n_mels * (1 + len(self.statistics.lags))
        for view, width in widths.items():
            for part, (_, last) in self.views[view].scoring.parts.items():
                if last > width:
                    raise PresetError(
                        self.name,
                        f"scoring.{view}.parts.{part} ends at column {last}, and the view has "
                        f"{width}; change the parts with it, or set parts = {{}} for none",
                    )

    @property
    def label(self) -> str:
        """Name of the recipe; with a digest, if it is not as the preset of that name is.

        Seeds of one recipe have one label, and runs whose values were changed have others.
        """
        if self.name in names() and load(self.name) == self:
            return self.name
        values = {key: value for key, value in self.to_dict().items() if key != "name"}
        digest = hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()
        return f"{self.name} ({digest[:6]})"

    def to_dict(self) -> dict[str, Any]:
        """Give the preset as plain values in the layout of the TOML files, for JSON."""
        values = {k: v for k, v in dataclasses.asdict(self).items() if v is not None}
        values["scoring"] = {
            name: {**view.pop("scoring"), **view} for name, view in values.pop("views").items()
        }
        for view in values["scoring"].values():
            view["k"] = "all" if view["k"] is None else view["k"]
        return values

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Preset:
        """Read what `to_dict` gave, or a TOML file with its name added.

        Raises:
            PresetError: a missing, unknown or senseless value.
        """
        name = str(values.get("name", "?"))
        tables = {
            "model": ModelConfig,
            "statistics": StatisticsConfig,
            "loss": LossConfig,
            "augment": AugmentConfig,
        }
        try:
            _check_keys(name, "", values, {"name", "front_end", "training", "scoring", *tables})
            front_end = _table(name, "front_end", values)
            _check_keys(name, "front_end", front_end, _fields(FrontEnd))
            _check_keys(name, "front_end.mel", front_end.get("mel", {}), _fields(MelConfig))
            scoring = _table(name, "scoring", values)
            views = {
                view: _view(name, view, _table(name, view, scoring, "scoring.")) for view in scoring
            }
            training = _table(name, "training", values)
            return cls(
                name=name,
                front_end=_made(name, "front_end", FrontEnd.from_dict, front_end),
                training=_config(name, "training", TrainingConfig, training),
                views=views,
                **{
                    table: _config(name, table, config, _table(name, table, values))
                    for table, config in tables.items()
                    if table in values
                },
            )
        except PresetError:
            raise
        except (AsdError, TypeError, AttributeError, KeyError) as error:
            raise PresetError(name, str(error)) from error


def names() -> list[str]:
    """Names of the presets that come with asd-edge."""
    return sorted(
        p.name.removesuffix(".toml") for p in _folder().iterdir() if p.name != "__pycache__"
    )


def load(name: str, changes: Sequence[str] = ()) -> Preset:
    """Load a preset that comes with asd-edge, by name, or a TOML file, by path.

    A file may begin with `base = "edge"` (a name or a path, relative to the file) and then hold
    only what differs; a list or a value replaces the base's.

    Args:
        name: of the preset, or a path NAME.toml.
        changes: values to set afterwards, as "table.key=value" with a TOML value; a text
            needs no quotes.

    Raises:
        PresetError: no such preset, or a missing, unknown or senseless value in it.
        MissingFileError: no such file.
    """
    values = _values(name, ())
    for change in changes:
        _set(values, change, name)
    return Preset.from_dict({"name": Path(name).stem if name.endswith(".toml") else name, **values})


def _values(name: str, above: tuple[str, ...]) -> dict[str, Any]:
    """Read the TOML values of a preset, with those of its base below."""
    if name in above:
        raise PresetError(name, "is its own base")
    if name.endswith(".toml"):
        path = Path(name)
        if not path.is_file():
            raise MissingFileError(path, "preset")
        text = path.read_text(encoding="utf-8", errors="replace")
    elif name in names():
        text = (_folder() / f"{name}.toml").read_text(encoding="utf-8")
    else:
        raise PresetError(name, f"there are {', '.join(names())}, and files NAME.toml of your own")
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise PresetError(Path(name).stem, f"is not TOML: {error}") from error
    base = values.pop("base", None)
    if base is None:
        return values
    if not isinstance(base, str):
        raise PresetError(Path(name).stem, "base is the name of a preset or a path NAME.toml")
    if base.endswith(".toml"):
        base = str(Path(name).parent / base)
    return _merged(_values(base, (*above, name)), values)


def _merged(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in over.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = _merged(merged[key], value) if both else value
    return merged


def _set(values: dict[str, Any], change: str, name: str) -> None:
    """Apply one "table.key=value"."""
    path, equals, text = change.partition("=")
    keys = [key.strip() for key in path.split(".")]
    if not equals or len(keys) < 2 or not all(keys):
        raise PresetError(name, f"{change!r} sets nothing; expected TABLE.KEY=VALUE")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text.strip()
    table = values
    for key in keys[:-1]:
        table = table.setdefault(key, {})
        if not isinstance(table, dict):
            raise PresetError(name, f"{path.strip()}: {key} is no table")
    table[keys[-1]] = value


def _folder() -> Any:
    return resources.files("asd_training") / "presets"


def _fields(config: type) -> set[str]:
    return {field.name for field in dataclasses.fields(config)}


def _check_keys(name: str, table: str, values: Any, known: set[str]) -> None:
    """Raise PresetError for a key that the table does not have, naming those that it has."""
    if not isinstance(values, dict):
        raise PresetError(name, f"{table} is no table of keys and values")
    if unknown := sorted(set(values) - known):
        if not table:
            raise PresetError(
                name, f"unknown table [{unknown[0]}]; there are {', '.join(sorted(known))}"
            )
        raise PresetError(
            name, f"[{table}] has no {unknown[0]!r}; it has: {', '.join(sorted(known))}"
        )


def _table(name: str, table: str, values: dict[str, Any], above: str = "") -> dict[str, Any]:
    if table not in values:
        raise PresetError(name, f"the table [{above}{table}] is missing")
    if not isinstance(values[table], dict):
        raise PresetError(name, f"{above}{table} is no table of keys and values")
    found: dict[str, Any] = values[table]
    return found


def _made(preset: str, table: str, make: Callable[..., _T], /, *values: Any, **named: Any) -> _T:
    """Make a part of the preset; an error names its table."""
    try:
        return make(*values, **named)
    except (AsdError, TypeError, ValueError, AttributeError) as error:
        # "__init__() missing 1 required positional argument: 'epochs'", and the like.
        reason = str(error).partition("__init__() ")[2] or str(error)
        raise PresetError(preset, f"[{table}] {reason}") from error


def _config(name: str, table: str, config: Any, values: dict[str, Any]) -> Any:
    _check_keys(name, table, values, _fields(config))
    for field_ in dataclasses.fields(config):
        kinds = _KINDS.get(str(field_.type), (object,))
        value = values.get(field_.name)
        if field_.name in values and (
            not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds)
        ):
            raise PresetError(
                name, f"[{table}] {field_.name} is {value!r}; expected {kinds[0].__name__}"
            )
    return _made(name, table, config, **_tuples(values))


def _tuples(values: dict[str, Any]) -> dict[str, Any]:
    def plain(value: Any) -> Any:
        return tuple(plain(v) for v in value) if isinstance(value, list | tuple) else value

    return {key: plain(value) for key, value in values.items()}


def _view(name: str, view: str, values: dict[str, Any]) -> ViewConfig:
    rest = dict(values)
    table = f"scoring.{view}"
    _check_keys(name, table, rest, _fields(ScoringConfig) | {"references", "weight"})
    own = {name: rest.pop(name) for name in ("references", "weight") if name in rest}
    if rest.get("k") == "all":
        rest["k"] = None
    return _made(name, table, ViewConfig, _made(name, table, ScoringConfig, **rest), **own)
