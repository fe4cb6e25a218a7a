"""asd-edge score: score clips and print the decisions."""

from __future__ import annotations

import dataclasses
import json
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from asd_edge.cli.clips import failure, find_clips
from asd_edge.cli.display import harmless
from asd_edge.cli.exit_status import AsdCommand
from asd_edge.cli.options import (
    WHICH_BUNDLE,
    ChannelType,
    check_section,
    open_bundle,
    provider_option,
    say_provider,
    threads_option,
)
from asd_edge.cli.startup import quick_start

if TYPE_CHECKING:
    from asd_edge.audio.files import Channel
    from asd_edge.decision import Decision
    from asd_edge.detector import Detector


@click.command(cls=AsdCommand)
@click.argument("clips", nargs=-1, type=click.Path(path_type=Path))
@click.option(
    "--example", is_flag=True, help="Score the two example clips that come with asd-edge."
)
@click.option("--bundle", type=click.Path(path_type=Path), help=WHICH_BUNDLE)
@click.option(
    "--section",
    help="Section of the clips. Default: what DCASE file names say, else the nearest one.",
)
@click.option(
    "--channel",
    type=ChannelType(),
    help="Mean of all channels, or the number of one, from 0. Default: the bundle's.",
)
@click.option(
    "--false-alarm-rate",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    help="Share of normal clips that may be called anomalous. Default: the bundle's.",
)
@click.option("--threshold", type=float, help="Call scores from here on anomalous instead.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON Lines, one object a clip.")
@provider_option
@threads_option
def score(
    clips: tuple[Path, ...],
    example: bool,
    bundle: Path | None,
    section: str | None,
    channel: Channel | None,
    false_alarm_rate: float | None,
    threshold: float | None,
    as_json: bool,
    provider: str,
    threads: int,
) -> None:
    """Score CLIPS, which are sound files and folders of them.

    Clips that cannot be scored are named on stderr, the others are scored, and
    the exit status is 1.
    """
    if threshold is not None and false_alarm_rate is not None:
        raise click.UsageError("--threshold and --false-alarm-rate exclude each other.")
    if example and clips:
        raise click.UsageError("--example takes no CLIPS.")
    if not clips and not example:
        raise click.UsageError("Missing argument 'CLIPS...'.")
    with quick_start():
        from asd_edge.bundle.locate import EXAMPLES
        from asd_edge.detector import Detector

        bundle, contents = open_bundle(bundle)
        detector = Detector.from_bundle(
            contents,
            path=bundle,
            provider=provider,
            threads=threads,
            false_alarm_rate=false_alarm_rate,
            threshold=threshold,
        )
    check_section(detector, section, bundle)
    say_provider(detector, provider)
    if false_alarm_rate is not None:
        _say_how_sure_the_rate_is(detector, false_alarm_rate)
    paths, unread = find_clips([EXAMPLES] if example else clips)
    show = _print_json if as_json else _Table(paths)
    failed = 0
    with _progress(paths) as progress:
        for path in progress:
            try:
                decision = detector.score(path, section=section, channel=channel)
            except Exception as error:  # of one clip, whatever it is: the rest is scored
                failed += 1
                click.echo(failure(path, error), err=True)
            else:
                show(decision)
    if failed:
        click.echo(f"{failed} of {len(paths)} clips could not be scored.", err=True)
    if failed or unread:
        sys.exit(1)


def _say_how_sure_the_rate_is(detector: Detector, rate: float) -> None:
    thresholds = [detector.threshold(section) for section in detector.scorer.sections]
    least = min(thresholds, key=lambda threshold: threshold.n)
    if rate * (least.n + 1) < 1:
        click.echo(
            f"Warning: {least.n} normal clips are behind the threshold for {rate:g}; the true "
            f"rate lies between {least.lowest_rate:.2g} and {least.highest_rate:.2g} (90 %)",
            err=True,
        )


def _progress(paths: list[Path]) -> Any:
    """Progress bar on stderr; printed rows show progress themselves, so only beside a pipe."""
    if len(paths) < 2 or sys.stdout.isatty() or not sys.stderr.isatty():
        return nullcontext(paths)
    return click.progressbar(paths, label="Scoring", file=sys.stderr)


def _print_json(decision: Decision) -> None:
    click.echo(json.dumps(dataclasses.asdict(decision)))


class _Table:
    """Rows for people, each printed as soon as its clip is scored."""

    def __init__(self, paths: list[Path]) -> None:
        self._width = min(max((len(harmless(str(path))) for path in paths), default=4), 72)
        self._header_printed = False

    def __call__(self, decision: Decision) -> None:
        if not self._header_printed:
            columns = f"section  {'score':>9}  {'threshold':>9}  p-value  decision"
            click.echo(f"{'clip':{self._width}}  {columns}")
            self._header_printed = True
        clip = harmless(decision.clip)
        if len(clip) > self._width:
            clip = "…" + clip[1 - self._width :]
        section = harmless(decision.section if decision.section_known else f"~{decision.section}")
        verdict = "ANOMALOUS" if decision.anomalous else "normal"
        click.echo(
            f"{clip:{self._width}}  {section:7}  {decision.score:9.4g}  {decision.threshold:9.4g}  "
            f"{decision.p_value:7.3f}  "
            + click.style(verdict, fg="red" if decision.anomalous else "green")
        )
