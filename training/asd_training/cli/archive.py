"""asd-data score and features: archives and data sets of any size, on a cluster."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from asd_edge.cli.display import harmless
from asd_edge.cli.exit_status import INTERRUPTED

_scheduler = click.option(
    "--scheduler",
    metavar="ADDRESS",
    help="Dask scheduler to use, as tcp://host:8786. Default: the cores of this computer.",
)
_workers = click.option(
    "--workers", type=click.IntRange(min=1), help="Processes on this computer. Default: cores."
)


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
@_scheduler
@_workers
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

    with _going_on("Scoring", output, scheduler, workers) as (start, advance):
        done = score_archive(
            archive,
            bundle,
            output,
            scheduler=scheduler,
            workers=workers,
            section=section,
            false_alarm_rate=false_alarm_rate,
            say=_say,
            start=start,
            advance=advance,
        )
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


@click.command()
@click.argument("data")
@click.option(
    "-o",
    "--output",
    required=True,
    type=click.Path(path_type=Path, dir_okay=False),
    help="The table, a file NAME.parquet; an existing one is brought up to date.",
)
@click.option("--machine", help="Machine type. Default: all that are in DATA.")
@click.option(
    "--preset",
    default="edge",
    show_default=True,
    help="Whose front end: adacos, edge, report, statistics, triplet, or a TOML file of your own.",
)
@_scheduler
@_workers
def features(
    data: str,
    output: Path,
    machine: str | None,
    preset: str,
    scheduler: str | None,
    workers: int | None,
) -> None:
    """Compute the features of the clips in DATA into a Parquet table, a row a clip.

    DATA is a folder or a URL such as s3://bucket/data. asd-train takes the table in the place of
    DATA. Only clips that are new or whose content has changed are computed, and an interrupted
    run goes on where it stopped. A clip that cannot be used has a row with the reason, and the
    exit status is 1.
    """
    from asd_training import presets
    from asd_training.archive.features import compute_features
    from asd_training.data.clips import find_clips

    front_end = presets.load(preset).front_end
    with _going_on("Features", str(output), scheduler, workers) as (start, advance):
        clips = find_clips(data, machine)
        start(len(clips))
        done = compute_features(
            clips,
            output,
            front_end,
            scheduler=scheduler,
            workers=workers,
            say=_say,
            advance=advance,
        )
    for failure in done.failures:
        click.echo(f"Error: {harmless(str(failure))}", err=True)
    click.echo(
        f"{output}: {done.computed} clips computed, {done.kept} unchanged, "
        f"{front_end.mel.n_mels} mels x {front_end.n_frames} frames a window",
        err=True,
    )
    if done.failures:
        click.echo(f"{len(done.failures)} of {len(clips)} clips could not be used.", err=True)
        sys.exit(1)


@contextmanager
def _going_on(
    label: str, output: str, scheduler: str | None, workers: int | None
) -> Iterator[tuple[Callable[[int], None], Callable[[int], None]]]:
    """Show how far a command is, and say that it can be repeated when it is interrupted.

    Gives what to call with the number of clips, and with those that are done.
    """
    if scheduler is not None and workers is not None:
        raise click.UsageError("--scheduler and --workers exclude each other.")
    bar = click.progressbar(length=1, label=label, file=sys.stderr, hidden=not sys.stderr.isatty())

    def start(count: int) -> None:
        bar.length = count

    try:
        with bar:
            yield start, bar.update
    except KeyboardInterrupt:
        click.echo(f"Interrupted; the same command goes on with {output}", err=True)
        raise click.exceptions.Exit(INTERRUPTED) from None


def _say(sentence: str) -> None:
    click.echo(harmless(sentence), err=True)
