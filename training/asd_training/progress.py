"""Progress bars on stderr: on a terminal only, nothing in a pipe."""

from __future__ import annotations

import sys
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)


def bar() -> Progress:
    """Make a progress display; tasks may carry a field `note` that is shown behind the bar."""
    # FORCE_COLOR makes rich call anything a terminal; and in a pipe a hidden bar of rich before 15
    # ends with an empty line.
    hidden = not sys.stderr.isatty()
    console = Console(stderr=True, quiet=hidden)
    columns: list[Any] = [
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[note]}"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    ]
    return Progress(*columns, console=console, disable=hidden, transient=True)
