"""The history as rows for other programs: CSV, JSON Lines, and Parquet where pyarrow is there."""

from __future__ import annotations

import csv
import dataclasses
import json
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TextIO

from asd_edge.atomic_files import atomic_path
from asd_edge.errors import OptionalDependencyError
from asd_edge.monitor.history.read import History

KINDS = ("windows", "hours", "alarms")
_TIMES = ("start", "end", "raised_at", "cleared_at", "acknowledged_at", "shelved_until")


def rows(
    history: History, kind: str, machine: str | None, since: float | None, until: float | None
) -> Iterator[dict[str, Any]]:
    """Yield rows of a kind in the order of time; times are ISO 8601 in UTC."""
    found: Iterable[Any]
    if kind == "windows":
        found = history.each_window(machine, since, until)
    elif kind == "hours":
        found = history.hours(machine, since, until)
    else:
        newest_first = history.episodes(machine, since=since, until=until, limit=-1)
        found = reversed(newest_first)
    for value in found:
        row = dataclasses.asdict(value)
        for name in _TIMES:
            if row.get(name) is not None:
                moment = datetime.fromtimestamp(row[name], UTC)
                row[name] = moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        yield row


def write_csv(found: Iterable[dict[str, Any]], out: TextIO) -> None:
    """Write rows as CSV with a header; lists are separated by spaces."""
    writer = None
    for row in found:
        if writer is None:
            writer = csv.DictWriter(out, list(row))
            writer.writeheader()
        plain = {k: " ".join(map(str, v)) if isinstance(v, tuple) else v for k, v in row.items()}
        writer.writerow(plain)


def write_jsonl(found: Iterable[dict[str, Any]], out: TextIO) -> None:
    """Write rows as JSON Lines."""
    for row in found:
        out.write(json.dumps(row) + "\n")


def write_parquet(found: Iterable[dict[str, Any]], path: Path) -> None:
    """Write rows as a Parquet file, whole or not at all.

    Raises:
        OptionalDependencyError: pyarrow is not installed.
    """
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise OptionalDependencyError("pyarrow", "train") from error
    table = pyarrow.Table.from_pylist(list(found))
    with atomic_path(path) as temporary:
        parquet.write_table(table, temporary)
