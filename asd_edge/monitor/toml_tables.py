"""TOML tables to frozen dataclasses: every unknown key is an error that names the nearest one."""

from __future__ import annotations

import dataclasses
import difflib
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, get_args, get_origin

from asd_edge.errors import ConfigError, ParameterError

T = TypeVar("T")
_EXPECTED: dict[Any, str] = {
    float: "a number",
    int: "a whole number",
    bool: "true or false",
    str: "a text in quotes",
    Path: "a path in quotes",
}


def parse(cls: type[T], table: Mapping[str, Any], file: str | Path, where: str = "") -> T:
    """Make a dataclass of a table.

    Args:
        cls: a dataclass whose fields are bool, int, float, str, Path, Literal, tuple[X, ...],
            `X | None`, dict[str, dataclass] or a dataclass.
        table: what tomllib read. Relative paths are relative to the file.
        file: what messages call it.
        where: name of the table in the file.

    Raises:
        ConfigError: an unknown or missing key, a value of a wrong type or out of range.
    """
    hints = typing.get_type_hints(cls)
    # mypy knows no bound that says that a type variable is some dataclass.
    found = dataclasses.fields(cls)  # type: ignore[arg-type]  # see above
    fields = {field.name: field for field in found}
    values = {}
    for key, value in table.items():
        if key not in fields:
            raise ConfigError(file, _dotted(where, key), _unknown(key, list(fields)))
        values[key] = _value(hints[key], value, file, _dotted(where, key))
    for name, field in fields.items():
        missing = (
            field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        )
        if missing and name not in values:
            raise ConfigError(file, _dotted(where, name), "is missing")
    try:
        return cls(**values)
    except ParameterError as error:
        raise ConfigError(file, where or "the file", f"has a wrong value: {error}") from error


def _value(hint: Any, value: Any, file: str | Path, where: str) -> Any:
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        wanted = [a for a in arguments if a is not types.NoneType]
        fitting = [a for a in wanted if _fits(a, value)]
        return _value(fitting[0] if fitting else wanted[0], value, file, where)
    if dataclasses.is_dataclass(hint) and isinstance(value, dict):
        return parse(typing.cast("type[Any]", hint), value, file, where)
    if origin is dict and isinstance(value, dict):
        return {k: _value(arguments[1], v, file, _dotted(where, k)) for k, v in value.items()}
    if origin is tuple and isinstance(value, list):
        return tuple(_value(arguments[0], v, file, where) for v in value)
    if not _fits(hint, value):
        raise ConfigError(file, where, f"is {value!r}; expected {_expected(hint)}")
    if hint is Path:
        try:
            return Path(file).absolute().parent / Path(value).expanduser()
        except RuntimeError as error:
            reason = f"is {value!r}, and that home directory is not known; write it out"
            raise ConfigError(file, where, reason) from error
    return float(value) if hint is float else value


def _fits(hint: Any, value: Any) -> bool:
    if get_origin(hint) is Literal:
        return value in get_args(hint)
    if hint is float:
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if hint is Path:
        return isinstance(value, str)
    if get_origin(hint) is tuple:
        return isinstance(value, list)
    return isinstance(hint, type) and isinstance(value, hint)


def _expected(hint: Any) -> str:
    if get_origin(hint) is Literal:
        return " or ".join(repr(choice) for choice in get_args(hint))
    if get_origin(hint) is tuple:
        return "a list, [...]"
    return _EXPECTED.get(hint, "a table, [...]")


def _unknown(key: str, known: list[str]) -> str:
    near = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
    if near:
        return f"is not known here; did you mean {near[0]!r}?"
    return f"is not known here; the keys are {', '.join(known)}"


def _dotted(where: str, key: str) -> str:
    return f"{where}.{key}" if where else key
