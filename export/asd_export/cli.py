"""asd-export: parse arguments, export, report the result."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from asd_edge.cli.exit_status import AsdCommand

if TYPE_CHECKING:
    from asd_export.run_to_bundle import Export


@click.command(cls=AsdCommand, context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("run", type=click.Path(path_type=Path))
@click.option(
    "-o",
    "--output",
    required=True,
    type=click.Path(path_type=Path),
    help="The bundle, a folder NAME.asd; an existing bundle is replaced.",
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
@click.option("--int8", is_flag=True, help="Quantise the network, if that pays.")
@click.option("--fp16", is_flag=True, help="Convert it to half precision instead.")
@click.option(
    "--max-auc-drop",
    type=click.FloatRange(0, 1),
    default=0.01,
    show_default=True,
    help="What int8 or fp16 may cost, if the data set has labelled test clips.",
)
@click.option(
    "--min-rank-correlation",
    type=click.FloatRange(-1, 1),
    default=0.99,
    show_default=True,
    help="Of the scores with those of the float network, if it has none.",
)
@click.option(
    "--min-speedup",
    type=click.FloatRange(0),
    default=1.1,
    show_default=True,
    help="Time of the float network over that of int8 or fp16, on this device.",
)
@click.option(
    "--provider",
    default="cpu",
    show_default=True,
    help="Where the int8 or fp16 network is to run, and is measured: cpu, cuda, ...",
)
@click.option(
    "--card",
    type=click.Path(path_type=Path),
    help="TOML file with texts of the model card: data, evaluation, intended_use, licence, "
    "contact. What it leaves out is written from what is known.",
)
@click.option(
    "--evaluation",
    type=click.Path(path_type=Path),
    help="Folder that asd-evaluate wrote for the run; its figures go into the model card.",
)
@click.version_option(package_name="asd-edge")
def main(
    run: Path,
    output: Path,
    data: Path | None,
    false_alarm_rate: float | None,
    int8: bool,
    fp16: bool,
    max_auc_drop: float,
    min_rank_correlation: float,
    min_speedup: float,
    provider: str,
    card: Path | None,
    evaluation: Path | None,
) -> None:
    """Write a bundle for RUN: ONNX model, references, threshold, golden clip.

    PyTorch, onnxruntime and the installed edge path are compared on training clips;
    if they differ by more than 1e-4, nothing is written and the exit status is 1.
    The same goes for --int8 and --fp16 if they cost more accuracy or save less time
    than they may.
    """
    from asd_export.card_file import read_card
    from asd_export.quantize import Lower
    from asd_export.run_to_bundle import export

    if output.suffix != ".asd":
        raise click.BadParameter("a bundle is named NAME.asd", param_hint="--output")
    if int8 and fp16:
        raise click.UsageError("--int8 and --fp16 exclude each other.")
    kind = "int8" if int8 else "fp16" if fp16 else None
    lower = None
    if kind is not None:
        lower = Lower(kind, provider, max_auc_drop, min_rank_correlation, min_speedup)
    done = export(
        run,
        output,
        data=data,
        false_alarm_rate=false_alarm_rate,
        lower=lower,
        card=read_card(card, evaluation),
    )
    _report(done, output, kind)


def _report(done: Export, output: Path, kind: str | None) -> None:
    bundle, parity = done.bundle, done.parity
    references = {name: view.references for name, view in bundle.views.items()}
    sections = sorted(set(next(iter(references.values())).sections.tolist()))
    click.echo(
        f"{output}: model {len(bundle.model) / 1e3:.0f} kB, {len(sections)} sections, references: "
        + ", ".join(f"{len(r.embeddings)} ({name})" for name, r in references.items()),
        err=True,
    )
    click.echo(
        f"{'PyTorch' if kind is None else kind} and the edge path agree on {parity.clips} "
        f"training clips: "
        f"embedding {parity.embedding:.0e}, score {parity.score:.0e}",
        err=True,
    )
    if kind is not None:
        figures = bundle.provenance["precision"]
        click.echo(
            ", ".join(
                f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}"
                for name, value in figures.items()
            ),
            err=True,
        )
    calibration = bundle.calibration
    thresholds = {section: calibration.threshold(section) for section in sections}
    click.echo(
        f"threshold for a false-alarm rate of {calibration.false_alarm_rate:g}: "
        + ", ".join(f"{t.value:.4g} (section {name})" for name, t in thresholds.items()),
        err=True,
    )
    least = min(thresholds.values(), key=lambda t: t.n)
    click.echo(
        f"with {least.n} calibration clips behind a threshold the true rate lies between "
        f"{least.lowest_rate:.2g} and {least.highest_rate:.2g} (90 %)",
        err=True,
    )
