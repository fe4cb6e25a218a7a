"""Entry points of the workstation's commands; see `asd_edge.cli.startup.run`."""

from __future__ import annotations

from asd_edge.cli.startup import run


def data() -> None:
    """Run `asd-data`."""
    run("asd_training.cli.data")


def train() -> None:
    """Run `asd-train`."""
    run("asd_training.cli.train")


def evaluate() -> None:
    """Run `asd-evaluate`."""
    run("asd_training.cli.evaluate")
