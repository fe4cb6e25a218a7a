"""The clips that a command is given: which they are, and what became of those that fail."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import click

from asd_edge.cli.display import harmless
from asd_edge.errors import AsdError


def find_clips(arguments: Iterable[Path]) -> tuple[list[Path], int]:
    """Find the sound files among files and folders; say on stderr what is not read.

    Returns:
        the files, and how many arguments or folders could not be searched: the command then ends
        with status 1.
    """
    from asd_edge.audio.search import find

    found = find(arguments)
    for error in found.unread:
        click.echo(f"Error: {harmless(str(error))}", err=True)
    if found.passed_over:
        click.echo(f"Note: {harmless(found.note())}", err=True)
    return list(dict.fromkeys(found.paths)), len(found.unread)


def failure(path: Path, error: Exception) -> str:
    """Make the line about a clip that could not be read or scored.

    An error that is none of the project's own is a defect of it or of a library; it must not cost
    the rest of the batch either.
    """
    if isinstance(error, AsdError):
        return f"Error: {harmless(str(error))}"
    detail = " ".join(str(error).split())
    return f"Error: {harmless(f'{path}: {type(error).__name__}: {detail}'[:500])}"
