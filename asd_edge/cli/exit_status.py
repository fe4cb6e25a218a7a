"""Error reporting and exit status: one line on stderr for an error of the user.

0    done
1    an error of the input or of the file system, said in one line
2    wrong usage (click's own)
130  interrupted from the keyboard (128 + SIGINT)
141  the reader of stdout went away, as in `... | head` (128 + SIGPIPE)
"""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Any

import click

from asd_edge.cli.display import harmless, never_fail_on_output
from asd_edge.errors import AsdError, OptionalDependencyError

INTERRUPTED = 130
BROKEN_PIPE = 141

# The base install is the runtime; the workstation's commands come with it and need more.
_TRAIN = ("jinja2", "torch", "pandas", "pyarrow", "rich", "scipy", "sklearn", "matplotlib")
_EXTRAS = dict.fromkeys(_TRAIN, "train") | dict.fromkeys(("onnx", "onnxscript"), "export")
_EXTRAS |= dict.fromkeys(("dask", "distributed", "fsspec"), "cluster")


@contextlib.contextmanager
def report_errors() -> Iterator[None]:
    """Turn what the block raises into click's ways to end: a line `Error: ...`, a status.

    AsdError and OSError are about what the user gave or has; anything else is
    a defect of the program and keeps its traceback.
    """
    never_fail_on_output()
    if sys.stdout is None:  # `>&-`: results would be lost in silence
        raise click.ClickException("standard output is closed; results have nowhere to go")
    try:
        try:
            yield
        finally:
            # A closed pipe has to show here: at shutdown it could only be a traceback.
            sys.stdout.flush()
    except BrokenPipeError as error:
        # What is still buffered would raise again when Python closes stdout.
        _discard_stdout()
        raise click.exceptions.Exit(BROKEN_PIPE) from error
    except AsdError as error:
        raise click.ClickException(harmless(str(error))) from error
    except OSError as error:
        if error.errno == errno.ENOSPC and error.filename is None:
            _discard_stdout()  # as above, if it was stdout that is full
        place = f"{os.fsdecode(error.filename)}: " if _is_name(error.filename) else ""
        raise click.ClickException(harmless(f"{place}{error.strerror or error}")) from error
    except ModuleNotFoundError as error:
        package = (error.name or "").split(".")[0]
        if package not in _EXTRAS:
            raise
        raise click.ClickException(
            str(OptionalDependencyError(package, _EXTRAS[package]))
        ) from error
    except KeyboardInterrupt as error:
        click.echo("Interrupted", err=True)
        raise click.exceptions.Exit(INTERRUPTED) from error


def _discard_stdout() -> None:
    with contextlib.suppress(OSError, ValueError):
        devnull = os.open(os.devnull, os.O_WRONLY)
        os.dup2(devnull, sys.stdout.fileno())
        os.close(devnull)


def _is_name(name: object) -> bool:
    return isinstance(name, (str, bytes))


class AsdCommand(click.Command):
    """A command whose errors end as this module says: `@click.command(cls=AsdCommand)`."""

    def make_context(self, *args: Any, **kwargs: Any) -> click.Context:
        with report_errors():  # `--help` prints here
            return super().make_context(*args, **kwargs)

    def invoke(self, ctx: click.Context) -> Any:
        with report_errors():
            return super().invoke(ctx)


class AsdGroup(click.Group):
    """A group whose commands' errors end as this module says: `@click.group(cls=AsdGroup)`.

    Args:
        elsewhere: name of a command -> module that has it under that name, and
            is imported when the command is wanted.
    """

    def __init__(self, *args: Any, elsewhere: Mapping[str, str] | None = None, **options: Any):
        super().__init__(*args, **options)
        self._elsewhere = dict(elsewhere or {})

    def make_context(self, *args: Any, **kwargs: Any) -> click.Context:
        with report_errors():  # `--help` prints here
            return super().make_context(*args, **kwargs)

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted({*self.commands, *self._elsewhere})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name in self._elsewhere and cmd_name not in self.commands:
            self.add_command(getattr(import_module(self._elsewhere[cmd_name]), cmd_name))
        return super().get_command(ctx, cmd_name)

    def invoke(self, ctx: click.Context) -> Any:
        with report_errors():
            return super().invoke(ctx)
