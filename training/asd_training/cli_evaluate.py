"""asd-evaluate: score test clips, print metrics, write the official files and plots."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from asd_edge.cli_support import AsdCommand

if TYPE_CHECKING:
    import pandas as pd

    from asd_training.metrics import Results


@click.command(cls=AsdCommand, context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("model", required=False, type=click.Path(path_type=Path))
@click.argument("data", required=False, type=click.Path(path_type=Path))
@click.option(
    "--scores",
    "score_folder",
    type=click.Path(path_type=Path),
    help="Evaluate the anomaly_score_*.csv and decision_result_*.csv of this folder instead.",
)
@click.option(
    "-o",
    "--output",
    default=Path("evaluation"),
    show_default=True,
    type=click.Path(path_type=Path),
    help="Folder for CSV files and plots.",
)
@click.option("--machine", help="Machine of DATA. Default: the one that MODEL knows.")
@click.option("--device", default="auto", show_default=True, help="For a run: cpu, cuda or auto.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON Lines instead of a table.")
@click.version_option(package_name="asd-edge")
def main(
    model: Path | None,
    data: Path | None,
    score_folder: Path | None,
    output: Path,
    machine: str | None,
    device: str,
    as_json: bool,
) -> None:
    """Measure how well MODEL, a run or a bundle, tells the test clips of DATA apart.

    Prints AUC, pAUC (up to a false-positive rate of 0.1), precision, recall and F1
    as DCASE Task 2 defines them, and the report's best AUC of thresholded decisions.
    Writes the official score and decision files, result.csv, and plots.
    """
    from asd_training import metrics, official, plots
    from asd_training.errors import DatasetError

    thresholds: dict[str, float] = {}
    failed = 0
    if score_folder is not None:
        if model is not None:
            raise click.UsageError("--scores takes neither MODEL nor DATA.")
        source = score_folder
        scores = official.read_score_folder(score_folder)
    elif model is None or data is None:
        raise click.UsageError("Give MODEL and DATA, or --scores FOLDER.")
    else:
        source = data
        scores, thresholds, failed = _score(model, data, machine, device)
        official.write_score_folder(scores, output)
        plots.histogram_plot(scores, output / "scores.png", thresholds)
    try:
        results = metrics.evaluate(scores, source)
    except DatasetError as error:
        if score_folder is None:
            click.echo(f"{output}: the scores of {len(scores)} clips", err=True)
        raise error
    official.write_result_csv(results, output / "result.csv")
    plots.roc_plot(scores, output / "roc.png")
    if score_folder is not None:
        plots.histogram_plot(scores, output / "scores.png", thresholds)
    (_print_json if as_json else _print_table)(results, scores)
    click.echo(f"{output}: result.csv, roc.png, scores.png", err=True)
    if failed:
        click.echo(f"{failed} clips could not be scored.", err=True)
        sys.exit(1)


def _score(
    model: Path, data: Path, machine: str | None, device: str
) -> tuple[pd.DataFrame, dict[str, float], int]:
    """Score the test clips; gives the table, thresholds by section, number of failures."""
    from asd_training.clips import find_clips
    from asd_training.devices import choose_device
    from asd_training.errors import DatasetError
    from asd_training.evaluation import load_subject, score_clips
    from asd_training.progress import bar

    subject = load_subject(model, choose_device(device))
    machine = machine or subject.machine
    clips = [clip for clip in find_clips(data, machine) if clip.split == "test"]
    if not clips:
        raise DatasetError(data, f"has no test clips of machine {machine!r}")
    with bar() as progress:
        task = progress.add_task("Scoring", total=len(clips), note="")
        scores, errors = score_clips(subject.detector, clips, lambda: progress.advance(task))
    for error in errors:
        click.echo(f"Error: {error}", err=True)
    if len(scores) == 0:
        raise DatasetError(data, f"has no test clip of machine {machine!r} that can be scored")
    sections = scores["section"].unique()
    thresholds = {name: subject.detector.threshold(name).value for name in sections}
    return scores, thresholds, len(errors)


def _print_json(results: Results, scores: pd.DataFrame) -> None:
    _print_rows(_rows_with_sweep(results, scores))
    _print_rows(results.machine_means)
    _print_rows(results.overall, machine="all")


def _print_rows(rows: pd.DataFrame, **more: str) -> None:
    """Print JSON Lines; JSON has no NaN, so a metric that is missing is null."""
    for row in rows.to_dict(orient="records"):
        known = {str(name): None if value != value else value for name, value in row.items()}
        click.echo(json.dumps({**more, **known}))


def _rows_with_sweep(results: Results, scores: pd.DataFrame) -> pd.DataFrame:
    from asd_training.metrics import groups, threshold_sweep

    best = {}
    for key, group in groups(scores):
        known = group[group["label"] != "unknown"]
        if known["label"].nunique() == 2:
            best[key] = threshold_sweep(known["label"] == "anomaly", known["score"])
    rows = results.rows.copy()
    keys = list(zip(rows["machine"], rows["domain"], rows["section"], strict=True))
    rows["sweep_auc"] = [best[key].auc if key in best else float("nan") for key in keys]
    rows["sweep_threshold"] = [best[key].threshold if key in best else float("nan") for key in keys]
    return rows


def _print_table(results: Results, scores: pd.DataFrame) -> None:
    import pandas as pd
    from rich.console import Console
    from rich.table import Table

    names = {
        "auc": "AUC",
        "pauc": "pAUC",
        "precision": "precision",
        "recall": "recall",
        "f1": "F1",
        "sweep_auc": "sweep AUC",
    }
    table = Table(box=None)
    for heading in ("machine", "section", "domain"):
        table.add_column(heading)
    for heading in ("normal", "anomalous", *names.values()):
        table.add_column(heading, justify="right")
    for row in _rows_with_sweep(results, scores).to_dict(orient="records"):
        table.add_row(
            *(row["machine"], row["section"], row["domain"]),
            *(str(row["n_normal"]), str(row["n_anomaly"])),
            *(_number(row[name]) for name in names),
        )
    means = [results.machine_means]
    if len(results.machine_means) > 2:
        means.append(results.overall.assign(machine="all"))
    for row in pd.concat(means).to_dict(orient="records"):
        table.add_row(
            row["machine"],
            f"{row['mean']} mean",
            *("", "", ""),
            *(_number(row.get(name)) for name in names),
        )
    # A pipe has no width; the table's own is then right.
    Console(width=None if sys.stdout.isatty() else 120).print(table)


def _number(value: object) -> str:
    return f"{value:.4f}" if isinstance(value, float) and value == value else "-"
