"""asd-edge enroll: normal clips to a bundle, on the device."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from asd_edge.audio.clip_names import relative_name, section_of
from asd_edge.cli.clips import Failures, find_clips, listed
from asd_edge.cli.display import harmless
from asd_edge.cli.options import NAMED_PATH, ChannelType
from asd_edge.cli.startup import quick_start

if TYPE_CHECKING:
    from asd_edge.audio.recording import Channel, ClipWarning
    from asd_edge.bundle.format import Bundle
    from asd_edge.detector import Detector
    from asd_edge.enrolment.collection import Collection
    from asd_edge.enrolment.enrolment import Enrollment

# Less than this share of the threshold would be left without a clip that is named for it.
_MOVED = 0.95
# A person who recorded in two formats must be able to see which files were taken for the same.
_PAIRS = 50


@click.command()
@click.argument("clips", nargs=-1, required=True, type=NAMED_PATH)
@click.option(
    "-o",
    "--output",
    type=NAMED_PATH,
    help="The bundle to write, a folder NAME.asd; an existing one is replaced.",
)
@click.option(
    "--from",
    "source",
    type=NAMED_PATH,
    help="Bundle whose model is used. Default: the built-in one, which needs no training.",
)
@click.option(
    "--add",
    type=NAMED_PATH,
    help="Add the clips to this bundle; with -o, in a copy.",
)
@click.option(
    "--section",
    help="Section of the clips: one machine, or one way it runs. "
    "Default: what DCASE file names say, else 00.",
)
@click.option("--machine", help="What the bundle calls the machine. Default: its file name.")
@click.option(
    "--false-alarm-rate",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    help="Share of normal clips that the bundle may call anomalous. Default: 0.01.",
)
@click.option("--drop-suspects", is_flag=True, help="Leave out the clips that are warned of.")
@click.option(
    "--channel",
    type=ChannelType(),
    help="Mean of all channels, or the number of one, from 0. Default: the model's.",
)
def enroll(
    clips: tuple[Path, ...],
    output: Path | None,
    source: Path | None,
    add: Path | None,
    section: str | None,
    machine: str | None,
    false_alarm_rate: float | None,
    drop_suspects: bool,
    channel: Channel | None,
) -> None:
    """Teach the normal sound of a machine: make a bundle of normal CLIPS on this device.

    CLIPS are sound files and folders of them. Longer recordings are cut into clips; ten
    minutes are a good start. Clips that seem not to belong are named on stderr.
    """
    with quick_start():
        from asd_edge.atomic_files import check_writable
        from asd_edge.bundle.contents import check_machine, check_place
        from asd_edge.bundle.format import read_bundle
        from asd_edge.bundle.locate import BUILT_IN
        from asd_edge.detector import Detector
        from asd_edge.enrolment import enrolment
        from asd_edge.scoring.folds import fold_count

    if add is not None and source is not None:
        raise click.UsageError("--add and --from exclude each other: --add keeps its own model.")
    output = output or add
    if output is None:
        raise click.UsageError("name the bundle to write with -o NAME.asd.")
    if output.suffix != ".asd":
        raise click.BadParameter("a bundle is named NAME.asd.", param_hint="--output")
    contents = read_bundle(add or source or BUILT_IN)
    check_machine(machine := machine or (contents.machine if add else output.stem))
    check_place(output)
    check_writable(output)
    detector = Detector.from_bundle(contents, path=add or source or BUILT_IN)
    found, unread = find_clips(clips)
    sections = [section] * len(found) if section else _sections(found, contents if add else None)
    collected, failures = _embed(detector, found, sections, channel)
    noticed = collected.warnings
    for line in _warnings(noticed):  # before anything can end the command
        click.echo(harmless(line), err=True)
    folds = fold_count([clip.section for clip in collected.clips]) * (2 if drop_suspects else 1)
    with click.progressbar(
        length=folds, label="Calibrating", file=sys.stderr, hidden=_quiet(found)
    ) as bar:
        done = enrolment.enroll(
            contents,
            [*noticed, *collected.clips],
            machine=machine,
            add=add is not None,
            false_alarm_rate=false_alarm_rate,
            drop_suspects=drop_suspects,
            channel=channel,
            advance=lambda: bar.update(1),
        )
    done.bundle.write(output, replaces=contents.checksum if output == add else None)
    later = [warning for warning in done.warnings if warning not in noticed]
    for line in (*_warnings(later), *_summary(output, done, collected.passed_over)):
        click.echo(harmless(line), err=True)
    if failures.count:
        click.echo(f"{failures.count} of {len(found)} files could not be enrolled.", err=True)
    if failures.count or unread:
        sys.exit(1)


def _embed(
    detector: Detector, found: list[Path], sections: list[str], channel: Channel | None
) -> tuple[Collection, Failures]:
    """Embed every file; one that cannot be read is named, and the rest goes on."""
    from asd_edge.enrolment.collection import Collection
    from asd_edge.enrolment.recordings import embed_recording

    names = Counter(path.name for path in found)
    collected = Collection()
    failures = Failures()
    with click.progressbar(
        list(zip(found, sections, strict=True)),
        label="Embedding",
        file=sys.stderr,
        hidden=_quiet(found),
    ) as progress:
        for path, section in progress:
            name = path.name if names[path.name] == 1 else relative_name(path)
            try:
                collected.add(embed_recording(detector, path, section, name=name, channel=channel))
            except Exception as error:  # of one file, whatever it is: the rest is enrolled
                failures.add(path, error)
    failures.finish()
    return collected, failures


def _quiet(found: list[Path]) -> bool:
    """Whether progress is not worth showing, or nobody is there to see it."""
    return not found or not sys.stderr.isatty()


def _sections(found: list[Path], contents: Bundle | None) -> list[str]:
    """Section of each file: what its name says; else the only one of the bundle added to, or 00."""
    known = sorted(contents.calibration.scores) if contents else ["00"]
    named = [section_of(path) for path in found]
    if None in named and len(known) > 1:
        raise click.UsageError(
            f"the bundle has the sections {', '.join(known)}; name one of them, or a new one, "
            "with --section."
        )
    return [section or known[0] for section in named]


def _warnings(found: Iterable[ClipWarning]) -> Iterable[str]:
    """One line for each kind; clips beyond the first are named behind it, duplicates in pairs."""
    kinds: dict[str, list[ClipWarning]] = {}
    for warning in found:
        kinds.setdefault(warning.kind, []).append(warning)
    for first, *rest in kinds.values():
        more = ""
        if rest:
            if first.kind == "duplicate":
                names = listed([_pair(warning) for warning in rest], _PAIRS)
            else:
                names = listed([warning.clip for warning in rest])
            more = f"; so {'is' if len(rest) == 1 else 'are'} {len(rest)} more: {names}"
        yield f"Warning: {first.clip} {first.reason}{more}"


def _pair(warning: ClipWarning) -> str:
    """Name a duplicate and the clip that stays."""
    return f"{warning.clip} ({warning.other})" if warning.other else warning.clip


def _summary(output: Path, done: Enrollment, passed_over: int) -> Iterable[str]:
    calibration = done.bundle.calibration
    sections = sorted(calibration.scores)
    left_out = f", {len(done.left_out)} left out" if done.left_out else ""
    yield (
        f"{output}: {done.clips} clips{left_out}, {done.seconds:.0f} s, "
        f"{len(sections)} section{'s' if len(sections) > 1 else ''}"
    )
    if passed_over + done.passed_over:
        yield (
            f"{passed_over + done.passed_over} more clips are not kept: these are evenly spread "
            "over all of them, and enough"
        )
    thresholds = {section: calibration.threshold(section) for section in sections}
    yield f"threshold for a false-alarm rate of {calibration.false_alarm_rate:g}: " + ", ".join(
        f"{t.value:.4g} (section {name})" for name, t in thresholds.items()
    )
    least = min(thresholds.values(), key=lambda t: t.n)
    yield (
        f"with {least.n} clips behind a threshold the true rate lies between "
        f"{least.lowest_rate:.2g} and {least.highest_rate:.2g} (90 %), if what comes is like them"
    )
    yield "strangest clips, in multiples of the threshold; listen to them: " + ", ".join(
        f"{one.clip} {one.score:.2f}" for one in done.strangest
    )
    for one in done.strangest:
        if one.threshold_without < _MOVED:
            yield f"without {one.clip} the threshold would be {one.threshold_without:.2f}"
    windows_a_day = 86400 / done.bundle.front_end.clip_seconds
    yield (
        f"a machine that is listened to without pause has {windows_a_day:.0f} windows a day; about "
        f"{windows_a_day * calibration.false_alarm_rate:.0f} normal ones of them would be called "
        "anomalous one by one"
    )
    flagged = {warning.clip for warning in done.warnings} - set(done.left_out)
    if flagged:
        word = "clip is" if len(flagged) == 1 else "clips are"
        yield (
            f"Note: {len(flagged)} {word} warned of above and in the bundle; listen, and leave "
            "out what does not belong (--drop-suspects leaves out all)"
        )
