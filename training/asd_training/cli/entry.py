"""Entry points of the workstation's commands; see `asd_edge.cli.startup.run`."""

from __future__ import annotations

import logging
import sys

from asd_edge.cli.startup import run


def data() -> None:
    """Run `asd-data`."""
    _show_warnings()
    run("asd_training.cli.data")


def train() -> None:
    """Run `asd-train`."""
    _show_warnings()
    run("asd_training.cli.train")


def evaluate() -> None:
    """Run `asd-evaluate`."""
    _show_warnings()
    run("asd_training.cli.evaluate")


def _show_warnings() -> None:
    """Print what is logged as the commands' other warnings are, each sentence once."""
    said = set[str]()

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            from asd_edge.cli.display import harmless  # here, because hardly any run needs it

            sentence = harmless(record.getMessage())
            if sentence not in said:
                said.add(sentence)
                print(f"Warning: {sentence}", file=sys.stderr)

    logging.getLogger("asd_training").addHandler(Handler(logging.WARNING))
