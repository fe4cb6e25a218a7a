"""Texts of a model card: a TOML file of the user's, and the figures of an evaluation."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

from asd_edge.bundle.card import KEYS
from asd_edge.errors import ConfigError, MissingFileError

SUMMARY = "summary.json"  # written by asd-evaluate


def read_card(path: Path | None, evaluation: Path | None) -> dict[str, str]:
    """Read the texts of a model card.

    Args:
        path: TOML file with some of the keys of a card.
        evaluation: folder that asd-evaluate wrote.

    Raises:
        MissingFileError: there is no such file or folder.
        ConfigError: not TOML, a key that a card does not have, or a value that is no text.
    """
    texts: dict[str, str] = {}
    if evaluation is not None:
        texts["evaluation"] = _in_words(_read(evaluation / SUMMARY, json.loads))
    if path is None:
        return texts
    for key, value in _read(path, tomllib.loads).items():
        if key not in KEYS:
            raise ConfigError(path, key, f"is no key of a model card; there are {', '.join(KEYS)}")
        if not isinstance(value, str):
            raise ConfigError(path, key, "is no text")
        texts[key] = value
    return texts


def _read(path: Path, parse: Any) -> dict[str, Any]:
    try:
        values = parse(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise MissingFileError(path) from error
    except ValueError as error:  # of both formats
        raise ConfigError(path, "the file", f"cannot be read ({error})") from error
    if not isinstance(values, dict):
        raise ConfigError(path, "the file", "is no table of keys and values")
    return values


def _in_words(figures: dict[str, Any]) -> str:
    """Put the figures of `summary.json` into a sentence; those that are missing are left out."""
    parts = [
        f"{name} {figures[key]:.4f}"
        for key, name in (("official_score", "official score"), ("auc", "mean AUC"))
        if isinstance(figures.get(key), float)
    ]
    for key, name in (("caught", "anomalies caught"), ("false_alarms", "false alarms")):
        if isinstance(figures.get(key), float):
            parts.append(f"{100 * figures[key]:.1f} % {name}")
    return (
        f"{', '.join(parts)} on {figures.get('clips', '?')} test clips of {figures.get('data')} "
        f"(rules of DCASE {figures.get('rules')}, {figures.get('date')})"
    )
