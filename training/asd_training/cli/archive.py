"""asd-data score: score an archive of any size on a cluster."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from asd_edge.cli.display import harmless
from asd_edge.cli.exit_status import INTERRUPTED


@click.command()
@click.argument("archive")
@click.option(
    "--bundle",
    required=True,
    type=click.Path(path_type=Path),
    help="The bundle, a folder NAME.asd.",
)
@click.option(
    "-o",
    "--output",
    required=True,
    help="Folder or URL of the Parquet data set; clips that it holds already are not scored again.",
)
@click.option(
    "--scheduler",
    metavar="ADDRESS",
    help="Dask scheduler to use, as tcp://host:8786. Default: the cores of this computer.",
)
@click.option(
    "--workers", type=click.IntRange(min=1), help="Processes on this computer. Default: cores."
)
@click.option("--section", help="Section of all clips. Default: what DCASE file names say.")
@click.option(
    "--false-alarm-rate",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    help="Share of normal clips that may be called anomalous. Default: the bundle's.",
)
def score(
    archive: str,
    bundle: Path,
    output: str,
    scheduler: str | None,
    workers: int | None,
    section: str | None,
    false_alarm_rate: float | None,
) -> None:
    """Score every sound file of ARCHIVE, a folder or a URL such as s3://bucket/recordings.

    Writes OUTPUT/<machine>/<day>/part-NNNNN.parquet, a row a clip. The machine is the nearest
    folder that is no split, label, section or date; the day is that in the file's name or folders,
    else that of its last change. A clip that cannot be scored has a row with the reason, and the
    exit status is 1. The same command goes on where an interrupted one stopped.
    """
    from asd_training.archive.scoring import score_archive

    if scheduler is not None and workers is not None:
        raise click.UsageError("--scheduler and --workers exclude each other.")
    bar = click.progressbar(
        length=1, label="Scoring", file=sys.stderr, hidden=not sys.stderr.isatty()
    )

    def start(count: int) -> None:
        bar.length = count

    try:
        with bar:
            done = score_archive(
                archive,
                bundle,
                output,
                scheduler=scheduler,
                workers=workers,
                section=section,
                false_alarm_rate=false_alarm_rate,
                say=lambda sentence: click.echo(harmless(sentence), err=True),
                start=start,
                advance=bar.update,
            )
    except KeyboardInterrupt:
        click.echo(f"Interrupted; the same command goes on with {output}", err=True)
        raise click.exceptions.Exit(INTERRUPTED) from None
    for folder in done.unread:
        click.echo(f"Error: {harmless(folder)}", err=True)
    counts = done.counts
    kept = f", of which {done.kept} were there already" if done.kept else ""
    parts = done.made + done.kept
    click.echo(
        f"{output}: {counts.clips} clips in {parts} part{'s' if parts != 1 else ''}{kept}; "
        f"{counts.anomalous} anomalous",
        err=True,
    )
    if counts.failed:
        click.echo(
            f"{counts.failed} of {counts.clips} clips could not be scored; their rows say why.",
            err=True,
        )
    if counts.failed or done.unread:
        sys.exit(1)
