"""asd-edge bench: what scoring costs on this device."""

from __future__ import annotations

import dataclasses
import json
import sys
from contextlib import nullcontext
from pathlib import Path

import click

from asd_edge.cli.options import (
    bundle_argument,
    network,
    open_bundle,
    provider_option,
    say_provider,
    threads_option,
)


@click.command()
@bundle_argument
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
@provider_option
@threads_option
def bench(
    bundle: Path | None, clip: Path | None, as_json: bool, repeat: int, provider: str, threads: int
) -> None:
    """Measure what scoring a CLIP with a BUNDLE costs on this device.

    Times each stage apart and the whole, and a process of its own that scores the
    clip. Without a CLIP, the one that the export stored is taken, at 10 s.
    """
    from asd_edge.bench import hardware, stages
    from asd_edge.detector import Detector

    bundle, contents = open_bundle(bundle)
    detector = Detector.from_bundle(contents, path=bundle, provider=provider, threads=threads)
    say_provider(detector, provider)
    golden = stages.golden_clip(contents.golden, contents.front_end.mel.sr)
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
        before = hardware.state()
        timings = stages.measure(detector, path, repeat, section, lambda: bar.update(1))
        after = hardware.state()
        options = ["--provider", network(detector).provider, "--threads", str(threads)]
        process = stages.cold_start(bundle, path, options, cold_runs, lambda: bar.update(1))
        seconds = stages.seconds_of(path)
    rest = stages.summary(timings, process, seconds)
    rest |= {"clip": str(clip) if clip else "golden", "repeat": repeat, "cold_starts": cold_runs}
    rest |= stages.setting(network(detector), before, after)
    if as_json:
        for timing in timings:
            click.echo(json.dumps(dataclasses.asdict(timing)))
        click.echo(json.dumps(rest))
    else:
        for line in stages.lines(timings, rest):
            click.echo(line)
    if rest["throttling"]:
        reasons = ", ".join(rest["throttling"])
        supply = "under-voltage" in reasons
        advice = "use a stronger power supply" if supply else "cool it"
        click.echo(f"Warning: the processor was slowed ({reasons}); {advice} and repeat", err=True)
