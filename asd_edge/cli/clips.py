"""Find the clips that a command is given, and report those that fail."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

import click

from asd_edge.cli.display import harmless
from asd_edge.errors import AsdError

_NAMED = 20  # clips with the same error that are named behind the first


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
    """One line for each error: of the first clip at once, of the others together at the end.

    Attributes:
        count: of the clips.
    """

    def __init__(self) -> None:
        self.count = 0
        self._more: dict[str, list[tuple[Path, Exception]]] = {}

    def add(self, path: Path, error: Exception) -> None:
        """Say what is wrong with a clip, or keep it if an earlier one had the same."""
        self.count += 1
        # Numbers differ between clips, and the cause is the same.
        cause = re.sub(r"[\d.]+", "0", str(error).replace(str(path), ""))
        if cause in self._more:
            self._more[cause].append((path, error))
        else:
            self._more[cause] = []
            click.echo(failure(path, error), err=True)

    def finish(self) -> None:
        """Name the clips that had no line of their own."""
        for clips in self._more.values():
            if len(clips) == 1:
                click.echo(failure(*clips[0]), err=True)
            elif clips:
                kind = getattr(clips[0][1], "kind", "") or type(clips[0][1]).__name__
                names = listed([str(path) for path, _ in clips])
                text = f"Error: so it is with {len(clips)} more ({kind}): {names}"
                click.echo(harmless(text), err=True)


def listed(names: list[str], most: int = _NAMED) -> str:
    """Name some clips, and say how many more there are.

    >>> listed(["a.wav", "b.wav"])
    'a.wav, b.wav'
    """
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
