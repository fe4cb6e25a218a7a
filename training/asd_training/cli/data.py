"""The command `asd-data`: making data sets and tables of features."""

from __future__ import annotations

from pathlib import Path

import click

from asd_edge.cli.exit_status import AsdGroup
from asd_training.synth import MACHINES


@click.group(
    cls=AsdGroup,
    elsewhere=dict.fromkeys(("features", "score"), "asd_training.cli.archive"),
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(package_name="asd-edge")
def main() -> None:
    """Make data sets and feature tables for asd-train, and score archives of any size."""


@main.command()
@click.argument("out", type=click.Path(path_type=Path, file_okay=False))
@click.option(
    "--machine",
    "machines",
    multiple=True,
    type=click.Choice(MACHINES),
    help="Machine type; repeat for several.  [default: all seven]",
)
@click.option("--sections", type=click.IntRange(1, 100), default=3, show_default=True)
@click.option(
    "--train",
    type=click.IntRange(1, 10000),
    default=60,
    show_default=True,
    help="Normal clips of the source domain for training, per section.",
)
@click.option(
    "--target-train",
    type=click.IntRange(0, 10000),
    default=3,
    show_default=True,
    help="The same of the target domain.",
)
@click.option(
    "--test",
    type=click.IntRange(0, 10000),
    default=20,
    show_default=True,
    help="Test clips per section, domain and label.",
)
@click.option(
    "--seconds",
    type=click.FloatRange(1, 600),
    default=10.0,
    show_default=True,
    help="Length of a clip.",
)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
@click.option("--jobs", type=click.IntRange(min=1), help="Processes.  [default: one a core]")
def synth(
    out: Path,
    machines: tuple[str, ...],
    sections: int,
    train: int,
    target_train: int,
    test: int,
    seconds: float,
    seed: int,
    jobs: int | None,
) -> None:
    """Write a synthetic data set in the layout of DCASE 2022 and later to the folder OUT.

    For demos and tests only: the sounds are computed from simple models of the
    machines. The same seed gives the same files. Clips that are in OUT already
    are kept, so an interrupted run can be repeated.
    """
    from asd_training.progress import bar
    from asd_training.synth.dataset import SynthConfig, write_dataset

    config = SynthConfig(machines or MACHINES, sections, train, target_train, test, seconds, seed)
    with bar() as progress:
        task = progress.add_task("synthesise", total=None, note="")
        count = write_dataset(
            out,
            config,
            jobs,
            lambda done, total: progress.update(task, completed=done, total=total),
        )
    names = ", ".join(dict.fromkeys(config.machines))
    click.echo(f"{out}: {count} synthetic clips of {seconds:g} s ({names})", err=True)


if __name__ == "__main__":
    main()
