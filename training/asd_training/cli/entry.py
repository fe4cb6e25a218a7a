"""Entry points of the workstation's commands; see `asd_edge.cli.startup.run`."""

from __future__ import annotations

from asd_edge.cli.startup import run


def data() -> None:
    """Run `asd-data`."""
    run("asd_training.cli.data", _show_warnings)


def train() -> None:
    """Run `asd-train`."""
    run("asd_training.cli.train", _show_warnings)


def evaluate() -> None:
    """Run `asd-evaluate`."""
    run("asd_training.cli.evaluate", _show_warnings)


def _show_warnings() -> None:
    """Print what is logged as the commands' other warnings are, each sentence once."""
    import logging
    import sys

    said = set[str]()

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            from asd_edge.cli.display import harmless  # here, because hardly any run needs it

            sentence = harmless(record.getMessage())
            if sentence not in said:
                said.add(sentence)
                print(f"Warning: {sentence}", file=sys.stderr)

    logging.getLogger("asd_training").addHandler(Handler(logging.WARNING))
