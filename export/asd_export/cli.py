"""asd-export: parse arguments, export, say what came of it."""

from __future__ import annotations

from pathlib import Path

import click

from asd_edge.cli_support import AsdCommand


@click.command(cls=AsdCommand, context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("run", type=click.Path(path_type=Path))
@click.option(
    "-o",
    "--output",
    required=True,
    type=click.Path(path_type=Path),
    help="The bundle, a folder NAME.asd; a bundle that is there is replaced.",
)
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    help="The run's data set, if it is not where it was trained from.",
)
@click.option(
    "--false-alarm-rate",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    help="Share of normal clips that the bundle may call anomalous. Default: 0.01.",
)
@click.version_option(package_name="asd-edge")
def main(run: Path, output: Path, data: Path | None, false_alarm_rate: float | None) -> None:
    """Write a bundle for RUN: ONNX model, references, threshold, golden clip.

    PyTorch, onnxruntime and the installed edge path are compared on training clips;
    if they differ by more than 1e-4, nothing is written and the exit status is 1.
    """
    from asd_export.export import export

    if output.suffix != ".asd":
        raise click.BadParameter("a bundle is named NAME.asd", param_hint="--output")
    done = export(run, output, data=data, false_alarm_rate=false_alarm_rate)
    bundle, parity = done.bundle, done.parity
    references = {name: view.references for name, view in bundle.views.items()}
    sections = sorted(set(next(iter(references.values())).sections.tolist()))
    click.echo(
        f"{output}: model {len(bundle.model) / 1e3:.0f} kB, {len(sections)} sections, references: "
        + ", ".join(f"{len(r.embeddings)} ({name})" for name, r in references.items()),
        err=True,
    )
    click.echo(
        f"PyTorch and the edge path agree on {parity.clips} training clips: "
        f"embedding {parity.embedding:.0e}, score {parity.score:.0e}",
        err=True,
    )
    calibration = bundle.calibration
    thresholds = {section: calibration.threshold(section) for section in sections}
    click.echo(
        f"threshold for a false-alarm rate of {calibration.false_alarm_rate:g}: "
        + ", ".join(f"{t.value:.4g} (section {name})" for name, t in thresholds.items()),
        err=True,
    )
    extrapolated = [t.n for t in thresholds.values() if t.rule == "gamma"]
    if extrapolated:
        click.echo(
            f"Warning: the threshold is extrapolated (gamma fit); {min(extrapolated)} held-out "
            f"clips can promise no false-alarm rate below 1 in {min(extrapolated) + 1}",
            err=True,
        )
