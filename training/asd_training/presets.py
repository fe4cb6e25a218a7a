"""Presets: everything that defines a recipe, one TOML file each; how the files are read."""

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

from asd_edge.errors import AsdError, MissingFileError
from asd_edge.frontend.mel import MelConfig
from asd_edge.frontend.windows import FrontEnd
from asd_edge.model import VIEWS
from asd_edge.scoring.views import ScoringConfig
from asd_training.preset_tables import (
    AugmentConfig,
    LossConfig,
    ModelConfig,
    StatisticsConfig,
    TrainingConfig,
    ViewConfig,
)

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
        there = set(VIEWS[:1]) if self.model is not None else set()
        if self.statistics is not None:
            there |= set(VIEWS[1:] if self.statistics.joined else VIEWS[1:2])
        if not there or set(self.views) != there:
            raise PresetError(
                self.name,
                "wants [model] with [scoring.embedding], [statistics] with "
                "[scoring.statistics], or both; and where statistics.joined is not 0, "
                "[scoring.bands], [scoring.band_changes] and [scoring.level]",
            )
        if self.model is None and self.training.epochs > 0:
            raise PresetError(self.name, "has no [model] to train; training.epochs must be 0")
        if self.model is not None and (self.training.epochs < 1 or self.training.holdout == 0):
            raise PresetError(
                self.name, "training.epochs and training.holdout must be above 0 to train [model]"
            )
        if self.loss.drawn and self.augment.pseudo_classes:
            raise PresetError(
                self.name,
                'augment.pseudo_classes need another loss.mining than "none", '
                'or loss.name = "adacos"',
            )
        if self.augment.mixup and self.loss.name != "adacos":
            raise PresetError(self.name, 'augment.mixup needs loss.name = "adacos"')
        widths = {}
        if self.model is not None:
            widths["embedding"] = self.model.embedding_dim
        if self.statistics is not None:  # a mean, and a change for each lag, of each band
            n_mels, lags = self.front_end.mel.n_mels, len(self.statistics.lags)
            widths["statistics"] = n_mels * (1 + lags)
            if self.statistics.joined:
                bands = n_mels // self.statistics.joined
                widths |= {"bands": bands, "band_changes": bands * lags, "level": 1}
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
