"""asd-edge explain: why a clip has its score."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from asd_edge.cli.display import harmless
from asd_edge.cli.options import (
    NAMED_PATH,
    WHICH_BUNDLE,
    ChannelType,
    check_section,
    json_option,
    open_bundle,
    provider_option,
    threads_option,
)

if TYPE_CHECKING:
    from asd_edge.audio.recording import Channel


@click.command()
@click.argument("clip", type=NAMED_PATH)
@click.option("-o", "--output", type=NAMED_PATH, help="The picture: .png, .svg or .pdf.")
@click.option("--bundle", type=NAMED_PATH, help=WHICH_BUNDLE)
@click.option("--section", help="Section of the clip. Default: as in score.")
@click.option("--channel", type=ChannelType(), help="As in score.")
@click.option(
    "--normal",
    type=NAMED_PATH,
    help="Folder with the normal clips, of which the nearest is shown; or the file to show.",
)
@click.option(
    "--blocks",
    type=(click.IntRange(min=1), click.IntRange(min=1)),
    default=(16, 20),
    show_default=True,
    metavar="ROWS COLUMNS",
    help="Blocks of bands and of time that are made normal in turn to see what moves the score.",
)
@json_option
@provider_option
@threads_option
def explain(
    clip: Path,
    output: Path | None,
    bundle: Path | None,
    section: str | None,
    channel: Channel | None,
    normal: Path | None,
    blocks: tuple[int, int],
    as_json: bool,
    provider: str,
    threads: int,
) -> None:
    """Say in a sentence, and draw, which bands and times gave CLIP its score.

    CLIP is a sound file, or - for stdin.
    """
    from asd_edge.detector import Detector
    from asd_edge.explanation import plot
    from asd_edge.explanation.explanation import explain

    if output is not None:
        if output.suffix.lower() not in plot.FORMATS:
            wanted = ", ".join(plot.FORMATS)
            raise click.BadParameter(f"a picture ends in {wanted}", param_hint="--output")
        plot.check()
    bundle, contents = open_bundle(bundle)
    detector = Detector.from_bundle(contents, path=bundle, provider=provider, threads=threads)
    check_section(detector, section, bundle)
    steps = blocks[0] * blocks[1] + sum(blocks)
    hidden = not sys.stderr.isatty()
    with click.progressbar(
        length=steps, label="Explaining", file=sys.stderr, hidden=hidden
    ) as progress:
        why = explain(
            detector,
            contents.golden,
            str(clip),
            section=section,
            channel=channel,
            normal=normal,
            blocks=blocks,
            advance=progress.update,
        )
    click.echo(json.dumps(why.to_dict()) if as_json else harmless(why.sentence))
    for warning in why.decision.warnings:
        click.echo(f"Warning: {harmless(f'{warning.clip} {warning.reason}')}", err=True)
    if why.normal.problem is not None:
        click.echo(f"Error: {harmless(why.normal.problem)}", err=True)
    if output is not None:
        plot.draw(why, output)
    if why.normal.problem is not None:
        sys.exit(1)
