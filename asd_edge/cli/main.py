"""asd-edge: the group of the device's commands, each imported when it is called."""

from __future__ import annotations

import click

from asd_edge.cli.exit_status import AsdGroup

# A process that runs one command does not pay for the options of the others (4 ms).
_ELSEWHERE = {
    "bench": "asd_edge.cli.bench",
    "enroll": "asd_edge.cli.enroll",
    "explain": "asd_edge.cli.explain",
    "history": "asd_edge.cli.history",
    "info": "asd_edge.cli.bundle",
    "monitor": "asd_edge.cli.monitor",
    "score": "asd_edge.cli.score",
    "verify": "asd_edge.cli.bundle",
}


def _print_versions(context: click.Context, option: click.Parameter, wanted: bool) -> None:
    if not wanted or context.resilient_parsing:
        return
    from asd_edge import __version__
    from asd_edge.support import versions

    click.echo(f"asd-edge {__version__}")
    click.echo(", ".join(f"{name} {version}" for name, version in versions().items()))
    context.exit()


@click.group(
    cls=AsdGroup,
    elsewhere=_ELSEWHERE,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_versions,
    help="Print the version, and those of the packages that matter, and end.",
)
def main() -> None:
    """Score machine sounds with a bundle: of asd-export, of enroll, or the built-in one."""
