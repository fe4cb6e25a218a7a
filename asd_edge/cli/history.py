"""asd-edge history: print and export what the monitor has noted."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import Any, TextIO

import click

from asd_edge.cli.exit_status import AsdCommand

# The widths of the columns follow from so many rows.
_ROWS_FOR_WIDTHS = 500


@click.command(cls=AsdCommand)
@click.argument("config", type=click.Path(path_type=Path), required=False)
@click.option("--folder", type=click.Path(path_type=Path), help="Folder of a history instead.")
@click.option("--machine", help="Only this machine.")
@click.option(
    "--kind",
    type=click.Choice(["alarms", "hours", "windows"]),
    default="alarms",
    show_default=True,
    help="Alarms, a row an hour, or every window.",
)
@click.option("--since", type=click.DateTime(), help="From this time on, in the local time zone.")
@click.option("--until", type=click.DateTime(), help="Before this time.")
@click.option(
    "--format",
    "style",
    type=click.Choice(["table", "csv", "jsonl", "parquet"]),
    default="table",
    show_default=True,
    help="Parquet needs pyarrow and -o.",
)
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Write to this file.")
def history(
    config: Path | None,
    folder: Path | None,
    machine: str | None,
    kind: str,
    since: datetime | None,
    until: datetime | None,
    style: str,
    output: Path | None,
) -> None:
    """Print the history that the monitor of CONFIG has written, or export it."""
    from asd_edge.monitor import config as settings
    from asd_edge.monitor.history import export
    from asd_edge.monitor.history.read import History

    if style == "parquet" and output is None:
        raise click.UsageError("--format parquet needs -o FILE.")
    if folder is None:
        where = settings.read(config).history if config else settings.HistoryConfig()
        folder = where.path
    times = (since.timestamp() if since else None, until.timestamp() if until else None)
    rows = export.rows(History(folder), kind, machine, *times)
    if style == "parquet" and output is not None:
        export.write_parquet(rows, output)
        return
    write = {"csv": export.write_csv, "jsonl": export.write_jsonl, "table": _table}[style]
    if output is None:
        write(rows, sys.stdout)
        return
    from asd_edge.atomic_files import atomic_path

    with atomic_path(output) as path, path.open("w", newline="") as file:
        write(rows, file)


def _table(rows: Iterable[dict[str, Any]], out: TextIO) -> None:
    from asd_edge.cli.display import harmless

    cells = ({k: harmless(_cell(k, v)) for k, v in row.items() if k != "monotonic"} for row in rows)
    first = list(itertools.islice(cells, _ROWS_FOR_WIDTHS))
    if not first:
        return
    widths = {k: max(len(k), *(len(row[k]) for row in first)) for k in first[0]}
    for row in itertools.chain([{k: k for k in widths}], first, cells):
        out.write("  ".join(f"{row[k]:{w}}" for k, w in widths.items()).rstrip() + "\n")


def _is_time(name: str, value: object) -> bool:
    return isinstance(value, str) and (name.endswith("_at") or name in ("start", "end"))


def _cell(name: str, value: object) -> str:
    if value is None or value == ():
        return "-"
    if _is_time(name, value):
        return str(value)[:19].replace("T", " ")
    if isinstance(value, tuple):
        return " ".join(map(str, value))
    return f"{value:.4g}" if isinstance(value, float) else str(value)
