"""Entry point of `asd-export`; see `asd_edge.cli.startup.run`."""

from __future__ import annotations

from asd_edge.cli.startup import run


def main() -> None:
    """Run `asd-export`."""
    run("asd_export.cli")
