"""asd-edge info and verify: what a bundle holds, and whether it is sound."""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from asd_edge.cli.display import harmless
from asd_edge.cli.options import (
    bundle_argument,
    json_option,
    network,
    open_bundle,
    provider_option,
    say_provider,
    threads_option,
)

if TYPE_CHECKING:
    from asd_edge.bundle.format import Bundle
    from asd_edge.detector import Detector


@click.command()
@bundle_argument
@json_option
@provider_option
@click.option(
    "--support",
    is_flag=True,
    help="Print what a bug report needs instead: versions, device, providers, bundle.",
)
@click.option(
    "--config",
    type=click.Path(path_type=Path),
    help="With --support: a configuration of the monitor, shown without its secrets.",
)
def info(
    bundle: Path | None, as_json: bool, provider: str, support: bool, config: Path | None
) -> None:
    """Say what a BUNDLE holds, and where its network would run."""
    if config is not None and not support:
        raise click.UsageError("--config needs --support.")
    if support:
        from asd_edge.support import report

        _print(report(bundle, config), as_json)
        return
    from asd_edge.detector import Detector

    bundle, contents = open_bundle(bundle)
    detector = Detector.from_bundle(contents, path=bundle, provider=provider)
    _print(_describe(contents, detector), as_json)


def _print(description: dict[str, Any], as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(description))
        return
    for name, value in description.items():
        if isinstance(value, dict):
            click.echo(f"{name}:")
            width = max(16, *(len(key) + 1 for key in value)) if value else 0
            for key, inner in value.items():
                click.echo(f"  {key:{width}}{harmless(_plain(inner))}")
        else:
            text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
            click.echo(f"{name:18}{harmless(text) or 'none'}")


def _describe(contents: Bundle, detector: Detector) -> dict[str, Any]:
    from asd_edge.bundle.card import CARD
    from asd_edge.frontend.mel import instruction_set
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
            "calibration_clips": threshold.n,
            "lowest_rate": threshold.lowest_rate,
            "highest_rate": threshold.highest_rate,
        }
    return {
        "machine": contents.machine,
        "clip_seconds": contents.front_end.clip_seconds,
        "input": list(contents.front_end.shape),
        "model_bytes": len(contents.model),
        "instruction_set": instruction_set(),
        "provider": network(detector).provider,
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
        "card": contents.provenance.get(CARD, {}),
        "provenance": {k: v for k, v in contents.provenance.items() if k != CARD},
    }


def _plain(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {_plain(inner)}" for key, inner in value.items())
    return f"{value:.6g}" if isinstance(value, float) else str(value)


@click.command()
@bundle_argument
@json_option
@provider_option
@threads_option
def verify(bundle: Path | None, as_json: bool, provider: str, threads: int) -> None:
    """Check a BUNDLE on this device.

    Checks every file's digest, then replays the clip that the export stored and
    compares mel, embedding and score. Exit status 1 if one differs.
    """
    from asd_edge.detector import Detector
    from asd_edge.verify import verify as replay

    bundle, contents = open_bundle(bundle)
    detector = Detector.from_bundle(contents, path=bundle, provider=provider, threads=threads)
    say_provider(detector, provider)
    checks = replay(detector, contents.golden)
    for check in checks:
        if as_json:
            click.echo(json.dumps({**dataclasses.asdict(check), "passed": check.passed}))
        else:
            verdict = "ok" if check.passed else "DIFFERS"
            click.echo(f"{check.stage:12} relative error {check.error:.1e}  {verdict}")
    if not all(check.passed for check in checks):
        click.echo(
            f"Error: {bundle}: does not give on this device what the export saw "
            f"(tolerance {checks[-1].tolerance:g})",
            err=True,
        )
        sys.exit(1)
