"""asd-edge score: score clips and print the decisions."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from asd_edge.cli.clips import find_clips
from asd_edge.cli.exit_status import AsdCommand
from asd_edge.cli.options import (
    NAMED_PATH,
    WHICH_BUNDLE,
    ChannelType,
    RawType,
    check_section,
    open_bundle,
    provider_option,
    say_provider,
    threads_option,
)
from asd_edge.cli.score_output import Csv, JsonLines, Output, Table
from asd_edge.cli.score_tally import Tally
from asd_edge.cli.startup import quick_start

if TYPE_CHECKING:
    from asd_edge.audio.recording import Channel
    from asd_edge.decision import Decision
    from asd_edge.detector import Detector

ANOMALY = 3  # exit status of --fail-on-anomaly


@click.command(cls=AsdCommand)
@click.argument("clips", nargs=-1, type=NAMED_PATH)
@click.option(
    "--example", is_flag=True, help="Score the two example clips that come with asd-edge."
)
@click.option("--bundle", type=NAMED_PATH, help=WHICH_BUNDLE)
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
@click.option("--csv", "as_csv", is_flag=True, help="Print comma-separated values.")
@click.option("--windows", is_flag=True, help="Print a row for each window too.")
@click.option(
    "--raw",
    type=RawType(),
    help="The clips are nothing but 16-bit little-endian samples, such as `arecord -t raw` gives.",
)
@click.option("--fail-on-anomaly", is_flag=True, help="Exit with 3 if a clip is anomalous.")
@click.option(
    "--jobs",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Clips that are scored at the same time.",
)
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
    as_csv: bool,
    windows: bool,
    raw: tuple[int, int] | None,
    fail_on_anomaly: bool,
    jobs: int,
    provider: str,
    threads: int,
) -> None:
    """Score CLIPS, which are sound files, folders of them, or - for stdin.

    Clips that cannot be scored are named on stderr, the others are scored, and
    the exit status is 1.
    """
    _check_excluded("--threshold", threshold is not None, "--false-alarm-rate", false_alarm_rate)
    _check_excluded("--json", as_json, "--csv", as_csv or None)
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
    output: Output = Table([str(path) for path in paths], windows)
    if as_json:
        output = JsonLines(_origin(bundle, contents.machine))
    elif as_csv:
        output = Csv(windows)
    tally = Tally(output, people=not (as_json or as_csv))

    def one(path: Path) -> Decision:
        return detector.score(str(path), section=section, channel=channel, raw=raw)

    with _progress(paths) as progress:
        for path, result in _in_order(one, progress, jobs):
            tally.add(path, result)
    tally.finish(detector, len(paths))
    if tally.failures.count or unread:
        sys.exit(1)
    if fail_on_anomaly and tally.anomalous:
        sys.exit(ANOMALY)


def _check_excluded(first: str, given: bool, second: str, value: object) -> None:
    if given and value is not None:
        raise click.UsageError(f"{first} and {second} exclude each other.")


def _origin(bundle: Path, machine: str) -> dict[str, str]:
    """What every object of JSON says of the bundle: the digest is that of bundle.json."""
    import hashlib

    digest = hashlib.sha256((bundle / "bundle.json").read_bytes()).hexdigest()
    return {"machine": machine, "bundle": str(bundle), "bundle_sha256": digest}


def _in_order(
    one: Callable[[Path], Decision], paths: Iterable[Path], jobs: int
) -> Iterator[tuple[Path, Decision | Exception]]:
    """Score clips, several at the same time if wanted; give the results in the clips' order."""

    def attempt(path: Path) -> Decision | Exception:
        try:
            return one(path)
        except Exception as error:  # of one clip, whatever it is: the rest is scored
            return error

    if jobs == 1:
        for path in paths:
            yield path, attempt(path)
        return
    from collections import deque
    from concurrent.futures import Future, ThreadPoolExecutor

    # Threads: the network and the spectrograms run without the interpreter's lock.
    waiting: deque[tuple[Path, Future[Decision | Exception]]] = deque()
    with ThreadPoolExecutor(jobs) as pool:
        try:
            for path in paths:
                waiting.append((path, pool.submit(attempt, path)))
                if len(waiting) > 2 * jobs:
                    path, future = waiting.popleft()
                    yield path, future.result()
            for path, future in waiting:
                yield path, future.result()
        finally:
            pool.shutdown(cancel_futures=True)


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
