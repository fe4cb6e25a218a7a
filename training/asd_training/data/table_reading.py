"""Read a feature table, or a part of it, and check it like any outside input."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from asd_edge.errors import AsdError, MissingFileError
from asd_edge.frontend.windows import FrontEnd
from asd_training.errors import DatasetError

METADATA_KEY = b"asd_edge.front_end"
_TEXTS = ("clip", "machine", "section", "domain", "split", "label", "attributes", "digest")


@dataclass(frozen=True)
class Failure:
    """A recording without features; as a text it is one line with the file and the reason."""

    clip: str
    place: str
    kind: str
    reason: str

    def __str__(self) -> str:
        return f"{self.place}: {self.reason}"


@dataclass(frozen=True)
class FeatureTable:
    """A table in memory.

    Attributes:
        front_end: that made the features.
        clips: the columns but for the features, one value a clip, sorted by `clip`
            [shape=(n_clips,)], and `first`, the clip's first window in `features`. Tables of
            earlier versions lack rate, channels, seconds, level_db and clipped.
        features: [shape=(total of n_windows, n_mels, n_frames)].
        failures: recordings without features; they are not among the clips.
    """

    front_end: FrontEnd
    clips: Mapping[str, NDArray[Any]]
    features: NDArray[np.float32]
    failures: tuple[Failure, ...] = ()

    def __len__(self) -> int:
        return len(self.clips["clip"])

    def windows(self, row: int) -> NDArray[np.float32]:
        """Windows of a clip by its row number [shape=(n_windows, n_mels, n_frames)]."""
        first = self.clips["first"][row]
        return self.features[first : first + self.clips["n_windows"][row]]

    def take(self, chosen: NDArray[np.bool_]) -> FeatureTable:
        """Give the table of the chosen rows; it shares the features."""
        clips = {name: values[chosen] for name, values in self.clips.items()}
        return replace(self, clips=clips)


def load(path: str | Path, machine: str | None = None, split: str | None = None) -> FeatureTable:
    """Read a table, or the rows of one machine and split.

    Raises:
        MissingFileError: no such file.
        DatasetError: not a table of features, or none of the rows asked for.
    """
    path = Path(path)
    if not path.exists():
        raise MissingFileError(path, "feature table")
    try:
        with pq.ParquetFile(path) as file:
            front_end = _front_end(file)
            rows, arrays = _read_rows(file, front_end, machine, split)
    except (pa.ArrowException, OSError, KeyError, TypeError, ValueError) as error:
        detail = f" ({error})" if isinstance(error, AsdError) else ""
        raise DatasetError(
            path, f"is not a feature table{detail}; make one with asd-data features"
        ) from error
    failures = tuple(
        Failure(row["clip"], row["clip"], str(row["kind"]), str(row["reason"]))
        for row in rows
        if row["n_windows"] == 0
    )
    rows = [row for row in rows if row["n_windows"] > 0]
    if not rows:
        kind = {"train": "training ", "test": "test "}.get(split or "", "")
        of = f" of machine {machine!r}" if machine is not None else ""
        why = f"; {failures[0]}" if failures else ""
        raise DatasetError(path, f"has no {kind}clips{of}{why}")
    order = sorted(range(len(rows)), key=lambda i: str(rows[i]["clip"]))
    rows = [rows[i] for i in order]
    clips = {name: np.array([row[name] for row in rows]) for name in rows[0]}
    clips["first"] = clips["n_windows"].cumsum() - clips["n_windows"]
    if "recording" not in clips:  # a table of an earlier version
        clips |= {"recording": clips["clip"], "start_s": np.zeros(len(rows))}
    return FeatureTable(front_end, clips, np.concatenate([arrays[i] for i in order]), failures)


def _front_end(file: pq.ParquetFile) -> FrontEnd:
    values = json.loads((file.schema_arrow.metadata or {})[METADATA_KEY])
    if not isinstance(values, dict):
        raise TypeError(values)
    return FrontEnd.from_dict(values)


def _read_rows(
    file: pq.ParquetFile, front_end: FrontEnd, machine: str | None, split: str | None
) -> tuple[list[dict[str, Any]], list[NDArray[np.float32]]]:
    """Read the rows of one machine and split, and check them like any outside input.

    Returns:
        the rows without their features, and the features of those that have some.

    Raises:
        DatasetError: a column that is missing or of another type, a value that makes no sense.
    """
    names = file.schema_arrow.names
    needed = {*_TEXTS, "n_windows", "features"}
    if missing := sorted(needed - set(names)):
        raise DatasetError(f"column {missing[0]}", "is missing")
    kept: list[dict[str, Any]] = []
    arrays: list[NDArray[np.float32]] = []
    seen: set[str] = set()
    for group in range(file.num_row_groups):
        table = file.read_row_group(group)
        # Lists and DLPack: all else that makes arrays of a table imports pandas, which takes
        # longer than the rest of this function.
        rows = table.select([name for name in names if name != "features"]).to_pylist()
        _check_rows(rows, seen)
        features = table["features"].combine_chunks()
        for i, row in enumerate(rows):
            if machine not in (None, row["machine"]) or split not in (None, row["split"]):
                continue
            kept.append(row)
            if row["n_windows"] > 0:
                arrays.append(_windows(row, features[i], front_end))
    return kept, arrays


def _windows(row: Mapping[str, Any], features: Any, front_end: FrontEnd) -> NDArray[np.float32]:
    """Give the features of a row as windows [shape=(n_windows, n_mels, n_frames)]."""
    found = np.from_dlpack(features.values) if features.is_valid else np.empty(0)
    values = found.astype(np.float32, copy=False)
    if values.size != row["n_windows"] * front_end.shape[0] * front_end.shape[1]:
        raise DatasetError(
            f"clip {row['clip']}", f"has {values.size} features in its {row['n_windows']} windows"
        )
    if not np.isfinite(values).all():
        raise DatasetError(f"clip {row['clip']}", "has features that are NaN or infinite")
    return values.reshape(row["n_windows"], *front_end.shape)


def _check_rows(rows: Sequence[Mapping[str, Any]], seen: set[str]) -> None:
    """Raise DatasetError for text that is no text, or a value that makes no sense."""
    for name in _TEXTS:
        if not all(isinstance(row[name], str) for row in rows):
            raise DatasetError(f"column {name}", "has values that are no text")
    allowed = {"split": {"train", "test"}, "label": {"normal", "anomaly", "unknown"}}
    for name, values in allowed.items():
        if odd := sorted({row[name] for row in rows} - values):
            raise DatasetError(f"column {name}", f"has the value {odd[0]!r}")
    for machine in {row["machine"] for row in rows}:
        # It becomes the name of a folder below the user's.
        if machine in ("", ".", "..") or any(c in machine for c in "/\\\0"):
            raise DatasetError("column machine", f"has {machine!r}, which is no name of a folder")
    for row in rows:
        if row["clip"] in seen:
            raise DatasetError(f"clip {row['clip']}", "is there twice")
        seen.add(row["clip"])
        # A recording without features has none, and the reason.
        least = 0 if row.get("reason") else 1
        if type(row["n_windows"]) is not int or row["n_windows"] < least:
            raise DatasetError("column n_windows", "has values that are no numbers from 1")
