"""asd-edge: parse arguments, call the detector, print."""

from __future__ import annotations

import dataclasses
import json
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from asd_edge.cli_support import AsdGroup
from asd_edge.errors import AsdError
from asd_edge.startup import quick_start

if TYPE_CHECKING:
    from asd_edge.audio import Channel
    from asd_edge.bundle import Bundle
    from asd_edge.detector import Decision, Detector
    from asd_edge.model import EmbeddingModel


class _ChannelType(click.ParamType[Any]):
    name = "mean|N"

    def convert(self, value: Any, param: Any, ctx: Any) -> Channel:
        if value == "mean":
            return "mean"
        try:
            number = int(value)
        except ValueError:
            number = -1
        if number < 0:
            self.fail(f"{value!r} is neither 'mean' nor the number of a channel, from 0")
        return number


_provider = click.option(
    "--provider",
    default="cpu",
    show_default=True,
    help="Where the network runs: cpu, cuda, xnnpack, acl, ... or auto (CUDA where it starts, else "
    "CPU).",
)
_threads = click.option(
    "--threads",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Threads that the network may use.",
)
_as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
_WHICH = (
    "The bundle, a folder NAME.asd. Default: what the environment variable ASD_EDGE_BUNDLE names, "
    "default.asd in the user's data folder (~/.local/share/asd-edge), or the built-in one."
)
_bundle_argument = click.argument("bundle", required=False, type=click.Path(path_type=Path))


@click.group(cls=AsdGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="asd-edge")
def main() -> None:
    """Score machine sounds with a bundle: of asd-export, of enroll, or the built-in one."""


@main.command()
@click.argument("clips", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--bundle", type=click.Path(path_type=Path), help=_WHICH)
@click.option(
    "--section",
    help="Section of the clips. Default: what DCASE file names say, else the nearest one.",
)
@click.option(
    "--channel",
    type=_ChannelType(),
    help="Mean of all channels, or the number of one, from 0. Default: the bundle's.",
)
@click.option(
    "--false-alarm-rate",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    help="Share of normal clips that may be called anomalous. Default: the bundle's.",
)
@click.option("--threshold", type=float, help="Call scores from here on anomalous instead.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON Lines, one object a clip.")
@_provider
@_threads
def score(
    clips: tuple[Path, ...],
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
    with quick_start():
        from asd_edge import audio
        from asd_edge.detector import Detector

        bundle, contents = _open(bundle)
        detector = Detector.from_bundle(
            contents,
            path=bundle,
            provider=provider,
            threads=threads,
            false_alarm_rate=false_alarm_rate,
            threshold=threshold,
        )
    _check_section(detector, section, bundle)
    _say_provider(detector, provider)
    if false_alarm_rate is not None:
        _say_what_can_be_promised(detector, false_alarm_rate)
    paths = audio.find(list(clips))
    show = _print_json if as_json else _Table(paths)
    failed = 0
    with _progress(paths) as progress:
        for path in progress:
            try:
                decision = detector.score(path, section=section, channel=channel)
            except AsdError as error:
                failed += 1
                click.echo(f"Error: {error}", err=True)
            else:
                show(decision)
    if failed:
        click.echo(f"{failed} of {len(paths)} clips could not be scored.", err=True)
        sys.exit(1)


def _network(detector: Detector) -> EmbeddingModel:
    from asd_edge.model import EmbeddingModel

    assert isinstance(detector.model, EmbeddingModel)  # made from a bundle
    return detector.model


def _say_provider(detector: Detector, asked: str) -> None:
    """Say on stderr what "auto" has taken; every other provider is the one that was asked for."""
    if asked == "auto":
        click.echo(f"Provider: {_network(detector).provider}", err=True)


def _open(given: Path | None) -> tuple[Path, Bundle]:
    """Read the bundle that is meant, and say which one that is where none was named."""
    from asd_edge import default_bundle
    from asd_edge.bundle import read

    found = default_bundle.find(given)
    contents = read(found.path)
    if found.origin:
        click.echo(default_bundle.describe(found, contents), err=True)
    return found.path, contents


def _check_section(detector: Detector, section: str | None, bundle: Path) -> None:
    if section is not None and section not in detector.scorer.sections:
        known = ", ".join(detector.scorer.sections)
        raise click.BadParameter(f"{bundle} knows {known}, not {section!r}.", param_hint="section")


def _say_what_can_be_promised(detector: Detector, rate: float) -> None:
    thresholds = [detector.threshold(section) for section in detector.scorer.sections]
    n = min(threshold.n for threshold in thresholds)
    if any(threshold.rule == "gamma" for threshold in thresholds):
        click.echo(
            f"Warning: {n} normal clips can promise no false-alarm rate below 1 in {n + 1}; "
            f"the threshold for {rate:g} is extrapolated (gamma)",
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
        self._width = min(max((len(str(path)) for path in paths), default=4), 72)
        self._header_printed = False

    def __call__(self, decision: Decision) -> None:
        if not self._header_printed:
            columns = f"section  {'score':>9}  {'threshold':>9}  p-value  decision"
            click.echo(f"{'clip':{self._width}}  {columns}")
            self._header_printed = True
        clip = decision.clip
        if len(clip) > self._width:
            clip = "…" + clip[1 - self._width :]
        section = decision.section if decision.section_known else f"~{decision.section}"
        verdict = "ANOMALOUS" if decision.anomalous else "normal"
        click.echo(
            f"{clip:{self._width}}  {section:7}  {decision.score:9.4g}  {decision.threshold:9.4g}  "
            f"{decision.p_value:7.3f}  "
            + click.style(verdict, fg="red" if decision.anomalous else "green")
        )


@main.command()
@click.argument("clip", type=click.Path(path_type=Path))
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), help="The picture: .png, .svg or .pdf."
)
@click.option("--bundle", type=click.Path(path_type=Path), help=_WHICH)
@click.option("--section", help="Section of the clip. Default: as in score.")
@click.option("--channel", type=_ChannelType(), help="As in score.")
@click.option(
    "--normal",
    type=click.Path(path_type=Path),
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
@_as_json
@_provider
@_threads
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
    """Say in a sentence, and draw, which bands and times gave CLIP its score."""
    from asd_edge import explain_plot
    from asd_edge.detector import Detector
    from asd_edge.explain import explain

    if output is not None:
        if output.suffix.lower() not in explain_plot.FORMATS:
            wanted = ", ".join(explain_plot.FORMATS)
            raise click.BadParameter(f"a picture ends in {wanted}", param_hint="--output")
        explain_plot.check()
    bundle, contents = _open(bundle)
    detector = Detector.from_bundle(contents, path=bundle, provider=provider, threads=threads)
    _check_section(detector, section, bundle)
    steps = blocks[0] * blocks[1] + sum(blocks)
    hidden = not sys.stderr.isatty()
    with click.progressbar(
        length=steps, label="Explaining", file=sys.stderr, hidden=hidden
    ) as progress:
        why = explain(
            detector,
            contents.golden,
            clip,
            section=section,
            channel=channel,
            normal=normal,
            blocks=blocks,
            advance=progress.update,
        )
    click.echo(json.dumps(why.to_dict()) if as_json else why.sentence)
    if output is not None:
        explain_plot.draw(why, output)


@main.command()
@_bundle_argument
@_as_json
@_provider
def info(bundle: Path | None, as_json: bool, provider: str) -> None:
    """Say what a BUNDLE holds, and where its network would run."""
    from asd_edge.detector import Detector

    bundle, contents = _open(bundle)
    detector = Detector.from_bundle(contents, path=bundle, provider=provider)
    description = _describe(contents, detector)
    if as_json:
        click.echo(json.dumps(description))
        return
    for name, value in description.items():
        if isinstance(value, dict):
            click.echo(f"{name}:")
            for key, inner in value.items():
                click.echo(f"  {key:16}{_plain(inner)}")
        else:
            click.echo(f"{name:18}{', '.join(map(str, value)) if name == 'providers' else value}")


def _describe(contents: Bundle, detector: Detector) -> dict[str, Any]:
    from asd_edge.features import instruction_set
    from asd_edge.model import providers

    mel = dataclasses.asdict(contents.front_end.mel)
    sections = {}
    for section in detector.scorer.sections:
        threshold = detector.threshold(section)
        sections[section] = {
            "references": {
                name: int((view.references.sections == section).sum())
                for name, view in contents.views.items()
            },
            "threshold": threshold.value,
            "rule": threshold.rule,
            "held_out_clips": threshold.n,
            "promised_rate": threshold.promised,
        }
    return {
        "machine": contents.machine,
        "clip_seconds": contents.front_end.clip_seconds,
        "input": list(contents.front_end.shape),
        "model_bytes": len(contents.model),
        "instruction_set": instruction_set()[0],
        "provider": _network(detector).provider,
        "providers": providers(),
        "false_alarm_rate": contents.calibration.false_alarm_rate,
        "mel": mel,
        "views": {
            name: {
                "dimensions": int(view.references.embeddings.shape[1]),
                **dataclasses.asdict(view.config),
            }
            for name, view in contents.views.items()
        },
        "sections": sections,
        "provenance": contents.provenance,
    }


def _plain(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {_plain(inner)}" for key, inner in value.items())
    return f"{value:.6g}" if isinstance(value, float) else str(value)


@main.command()
@_bundle_argument
@_as_json
@_provider
@_threads
def verify(bundle: Path | None, as_json: bool, provider: str, threads: int) -> None:
    """Check a BUNDLE on this device.

    Checks every file's digest, then replays the clip that the export stored and
    compares mel, embedding and score. Exit status 1 if one differs.
    """
    from asd_edge.detector import Detector
    from asd_edge.verify import TOLERANCE
    from asd_edge.verify import verify as replay

    bundle, contents = _open(bundle)
    detector = Detector.from_bundle(contents, path=bundle, provider=provider, threads=threads)
    _say_provider(detector, provider)
    checks = replay(detector, contents.golden)
    for check in checks:
        if as_json:
            click.echo(json.dumps({**dataclasses.asdict(check), "passed": check.passed}))
        else:
            verdict = "ok" if check.passed else "DIFFERS"
            click.echo(f"{check.stage:10} relative error {check.error:.1e}  {verdict}")
    if not all(check.passed for check in checks):
        click.echo(
            f"Error: {bundle}: does not give on this device what the export saw "
            f"(tolerance {TOLERANCE:g})",
            err=True,
        )
        sys.exit(1)


@main.command()
@_bundle_argument
@click.argument("clip", required=False, type=click.Path(path_type=Path))
@click.option(
    "--json", "as_json", is_flag=True, help="Print JSON Lines: each stage, then the rest."
)
@click.option(
    "--repeat",
    type=click.IntRange(min=1),
    default=100,
    show_default=True,
    help="Times that the clip is scored.",
)
@_provider
@_threads
def bench(
    bundle: Path | None, clip: Path | None, as_json: bool, repeat: int, provider: str, threads: int
) -> None:
    """Measure what scoring a CLIP with a BUNDLE costs on this device.

    Times each stage apart and the whole, and a process of its own that scores the
    clip. Without a CLIP, the one that the export stored is taken, at 10 s.
    """
    from asd_edge import bench as stopwatch
    from asd_edge import device_info
    from asd_edge.detector import Detector

    bundle, contents = _open(bundle)
    detector = Detector.from_bundle(contents, path=bundle, provider=provider, threads=threads)
    _say_provider(detector, provider)
    golden = stopwatch.golden_clip(contents.golden, contents.front_end.mel.sr)
    section = contents.golden.section if clip is None else None
    cold_runs = 5
    with (
        golden if clip is None else nullcontext(clip) as path,
        click.progressbar(
            length=repeat + cold_runs,
            label="Measuring",
            file=sys.stderr,
            hidden=not sys.stderr.isatty(),
        ) as bar,
    ):
        before = device_info.state()
        timings = stopwatch.measure(detector, path, repeat, section, lambda: bar.update(1))
        after = device_info.state()
        options = ["--provider", _network(detector).provider, "--threads", str(threads)]
        process = stopwatch.cold_start(bundle, path, options, cold_runs, lambda: bar.update(1))
        seconds = stopwatch.seconds_of(path)
    rest = stopwatch.summary(timings, process, seconds)
    rest |= {"clip": str(clip) if clip else "golden", "repeat": repeat, "cold_starts": cold_runs}
    rest |= stopwatch.setting(_network(detector), before, after)
    if as_json:
        for timing in timings:
            click.echo(json.dumps(dataclasses.asdict(timing)))
        click.echo(json.dumps(rest))
    else:
        for line in stopwatch.lines(timings, rest):
            click.echo(line)
    if rest["throttling"]:
        reasons = ", ".join(rest["throttling"])
        click.echo(f"Warning: the processor was slowed ({reasons}); cool it and repeat", err=True)


@main.command()
@click.argument("clips", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    help="The bundle to write, a folder NAME.asd; one that is there is replaced.",
)
@click.option(
    "--from",
    "source",
    type=click.Path(path_type=Path),
    help="Bundle whose model is used. Default: the built-in one, which needs no training.",
)
@click.option(
    "--add",
    type=click.Path(path_type=Path),
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
    type=_ChannelType(),
    help="Mean of all channels, or the number of one, from 0. Default: the model's.",
)
def enroll(clips: tuple[Path, ...], **options: Any) -> None:
    """Teach the normal sound of a machine: make a bundle of normal CLIPS on this device.

    CLIPS are sound files and folders of them. Longer recordings are cut into clips; ten
    minutes are a good start. Clips that seem not to belong are named on stderr.
    """
    with quick_start():
        from asd_edge.cli_enroll import run

    run(clips, **options)
