"""The clips that a command is given: which they are, and what became of those that fail."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import click

from asd_edge.cli.display import harmless
from asd_edge.errors import AsdError

# Clips that fail for the same reason, of which each has a line.
_OF_A_KIND = 3


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


class Failures:
    """Lines about clips that fail: the first of a kind at once, the rest of it in one at the end.

    Attributes:
        count: of the clips.
    """

    def __init__(self) -> None:
        self.count = 0
        self._of_kind: dict[str, int] = {}
        self._more: dict[str, list[str]] = {}

    def add(self, path: Path, error: Exception) -> None:
        """Say what is wrong with a clip, or keep its name if others had the same."""
        self.count += 1
        kind = getattr(error, "kind", "") or type(error).__name__
        self._of_kind[kind] = self._of_kind.get(kind, 0) + 1
        if self._of_kind[kind] <= _OF_A_KIND:
            click.echo(failure(path, error), err=True)
        else:
            self._more.setdefault(kind, []).append(str(path))

    def finish(self) -> None:
        """Name the clips that had no line of their own."""
        for kind, names in self._more.items():
            text = f"Error: so it is with {len(names)} more ({kind}): {', '.join(names)}"
            click.echo(harmless(text), err=True)
