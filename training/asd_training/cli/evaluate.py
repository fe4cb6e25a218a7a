"""asd-evaluate: score test clips, print metrics, write the report, official files and plots."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from asd_edge.cli.exit_status import AsdCommand
from asd_edge.errors import AsdError

if TYPE_CHECKING:
    import pandas as pd

    from asd_edge.detector import Detector
    from asd_training.data.clips import Clip
    from asd_training.evaluate.metrics import Results
    from asd_training.report.html import MachineReport

REPORT = "report.html"
_YEARS = ("2020", "2021", "2022", "2023", "2024", "2025")


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
    help="Folder for the report, CSV files and plots.",
)
@click.option("--machine", help="Machine of DATA. Default: those that MODEL knows.")
@click.option(
    "--rules",
    type=click.Choice(_YEARS),
    help="Year of DCASE Task 2 whose metrics and file names to use. Default: as the layout of "
    "DATA tells, else 2022 and later.",
)
@click.option(
    "--every",
    type=click.FloatRange(min=0, min_open=True),
    metavar="SECONDS",
    help="One clip is judged every so often, for the false alarms a day. Default: the length "
    "of the model's input; 10 with --scores.",
)
@click.option("--device", default="auto", show_default=True, help="For a run: cpu, cuda or auto.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON Lines instead of a table.")
@click.version_option(package_name="asd-edge")
def main(
    model: Path | None,
    data: Path | None,
    score_folder: Path | None,
    output: Path,
    machine: str | None,
    rules: str | None,
    every: float | None,
    device: str,
    as_json: bool,
) -> None:
    """Measure how well MODEL tells the test clips of DATA apart.

    MODEL is a run, a bundle, or a folder that holds one of a machine each. Prints AUC,
    pAUC (up to a false-positive rate of 0.1), precision, recall and F1 as DCASE Task 2 defines
    them, the official score, and the student report's best AUC of thresholded decisions.
    Writes report.html, the official score and decision files, result.csv, and plots.
    """
    import pandas as pd

    from asd_training.evaluate import dcase_files as official
    from asd_training.evaluate import metrics
    from asd_training.evaluate import published as baselines
    from asd_training.report import html as report
    from asd_training.report import plots

    failures: list[str] = []
    if score_folder is not None:
        if model is not None:
            raise click.UsageError("--scores takes neither MODEL nor DATA.")
        source, subject = score_folder, score_folder.name
        scores = official.read_score_folder(score_folder)
        if machine is not None:
            scores = _of_machine(scores, machine, score_folder)
        told = official.year_of_score_folder(score_folder)
        machines, every = _machines_of_scores(scores, every or 10.0), every or 10.0
    elif model is None or data is None:
        raise click.UsageError("Give MODEL and DATA, or --scores FOLDER.")
    else:
        source, subject = data, model.name
        machines, every, told = _score(model, data, machine, device, every, failures)
        scores = pd.concat([m.scores for m in machines], ignore_index=True)
    year = int(rules) if rules else told[0]
    in_words = _rules_in_words(rules, told)
    click.echo(in_words, err=True)
    thresholds = {
        (m.machine, name): value for m in machines for name, value in m.thresholds.items()
    }
    if score_folder is None:
        official.write_score_folder(scores, output, year)
        plots.histogram_plot(scores, output / "scores.png", thresholds, year)
    try:
        results = metrics.evaluate(scores, source, year)
    except AsdError as error:
        if score_folder is None:
            click.echo(f"{output}: the scores of {len(scores)} clips", err=True)
        raise error
    official.write_result_csv(results, output / "result.csv")
    plots.roc_plot(scores, output / "roc.png", year)
    if score_folder is not None:
        plots.histogram_plot(scores, output / "scores.png", thresholds, year)
    report.write(
        output / REPORT,
        results,
        machines,
        baselines.find(results, year_given=rules is not None),
        report.About(subject, str(source), in_words, every, failures),
    )
    (_print_json if as_json else _print_table)(results, scores)
    click.echo(f"{output}: {REPORT}, result.csv, roc.png, scores.png", err=True)
    if failures:
        sys.exit(1)


def _rules_in_words(rules: str | None, told: tuple[int, str]) -> str:
    if rules:
        return f"rules of DCASE {rules}"
    year, why = told
    return f"rules of DCASE {year}{' and later' if year == 2022 else ''} ({why})"


def _of_machine(scores: pd.DataFrame, machine: str, source: Path) -> pd.DataFrame:
    from asd_training.errors import DatasetError

    chosen = scores[scores["machine"] == machine]
    if chosen.empty:
        there = ", ".join(sorted(scores["machine"].unique()))
        raise DatasetError(source, f"has no machine {machine!r}; it has: {there}")
    return chosen.reset_index(drop=True)


def _machines_of_scores(scores: pd.DataFrame, every: float) -> list[MachineReport]:
    """What is known of each machine from score files alone."""
    from asd_training.evaluate.false_alarm_costs import costs, thresholds_of_normals
    from asd_training.report.html import MachineReport

    found = []
    for name, part in scores.groupby("machine", sort=True):
        table = costs(part, thresholds_of_normals(part), every)
        found.append(MachineReport(str(name), part, costs=table))
    return found


def _score(
    model: Path,
    data: Path,
    machine: str | None,
    device: str,
    every: float | None,
    failures: list[str],
) -> tuple[list[MachineReport], float, tuple[int, str]]:
    """Score and look at machine after machine; appends to `failures`, and says, what failed."""
    from asd_training.data.clips import find_clips
    from asd_training.errors import DatasetError
    from asd_training.evaluate.dcase_files import year_of_clips
    from asd_training.evaluate.score import find_subjects, load_subject
    from asd_training.learn.devices import choose_device

    place = choose_device(device)
    paths = find_subjects(model)
    one = len(paths) == 1
    clips = find_clips(data, machine)
    by_machine: dict[str, list[Clip]] = {}
    for clip in clips:
        by_machine.setdefault(clip.machine, []).append(clip)

    def failed(reason: str) -> None:
        failures.append(reason)
        click.echo(f"Error: {reason}", err=True)

    reports: list[MachineReport] = []
    origin: dict[str, Path] = {}
    for path in paths:
        try:
            subject = load_subject(path, place)
            name = machine if machine and one else subject.machine
            if machine not in (None, name):
                continue
            if name in origin:
                raise DatasetError(path, f"is of machine {name!r}, and so is {origin[name]}")
            if name not in by_machine:
                there = ", ".join(sorted(by_machine))
                raise DatasetError(data, f"has no machine {name!r}; it has: {there}")
            every = every or subject.detector.front_end.clip_seconds
            reports.append(
                _evaluate_machine(subject.detector, name, by_machine[name], every, data, failed)
            )
            origin[name] = path
        except AsdError as error:
            if one:
                raise
            failed(str(error))
    if not reports:
        of = f" of machine {machine!r}" if machine else ""
        raise DatasetError(model, f"holds no run or bundle{of} that can be evaluated on {data}")
    if without := sorted(set(by_machine) - set(origin)) if not one and machine is None else []:
        click.echo(f"No run or bundle for {', '.join(without)} of {data}", err=True)
    return reports, every or 10.0, year_of_clips(clips)


def _evaluate_machine(
    detector: Detector,
    machine: str,
    clips: Sequence[Clip],
    every: float,
    data: Path,
    failed: Callable[[str], None],
) -> MachineReport:
    """Score the test clips of a machine and look closer at some of them."""
    from asd_training.errors import DatasetError
    from asd_training.evaluate import examples as inspection
    from asd_training.evaluate import false_alarm_costs as costs
    from asd_training.evaluate.score import score_clips
    from asd_training.progress import bar
    from asd_training.report.html import MachineReport

    test = [clip for clip in clips if clip.split == "test"]
    training = [clip for clip in clips if clip.split == "train" and clip.label == "normal"]
    if not test:
        raise DatasetError(data, f"has no test clips of machine {machine!r}")
    with bar() as progress:
        task = progress.add_task(f"Scoring {machine}", total=len(test), note="")
        scores, errors = score_clips(detector, test, lambda: progress.advance(task))
        for error in errors:
            failed(str(error))
        if len(scores) == 0:
            raise DatasetError(data, f"has no test clip of machine {machine!r} that can be scored")
        most = min(len(training), inspection.MAP_TRAIN) + min(len(scores), inspection.MAP_TEST)
        task = progress.add_task(f"Looking at {machine}", total=most, note="")
        sample = inspection.sample_embeddings(
            detector, scores, training, lambda: progress.advance(task)
        )
        sections = scores["section"].unique()
        thresholds = {name: detector.threshold(name).value for name in sections}
        examples = inspection.look_at(detector, scores, thresholds)
    return MachineReport(
        machine,
        scores,
        thresholds,
        costs.costs(scores, costs.device_thresholds(detector, scores), every),
        detector.calibration.false_alarm_rate,
        sample,
        examples,
        detector.front_end,
    )


def _print_json(results: Results, scores: pd.DataFrame) -> None:
    _print_rows(_rows_with_sweep(results, scores))
    _print_rows(results.machine_means)
    _print_rows(results.overall, machine="all")
    score = {"machine": "all", "rules": results.year, "official_score": results.official_score}
    click.echo(json.dumps(score))


def _print_rows(rows: pd.DataFrame, **more: str) -> None:
    """Print JSON Lines; JSON has no NaN, so a metric that is missing is null."""
    for row in rows.to_dict(orient="records"):
        known = {str(name): None if value != value else value for name, value in row.items()}
        click.echo(json.dumps({**more, **known}))


def _rows_with_sweep(results: Results, scores: pd.DataFrame) -> pd.DataFrame:
    from asd_training.evaluate.metrics import comparisons, threshold_sweep

    best = {}
    for key, _, judged, _ in comparisons(scores, results.year):
        if judged["label"].nunique() == 2:
            best[key] = threshold_sweep(judged["label"] == "anomaly", judged["score"])
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
    name = "Mean of AUC and pAUC" if results.year == 2020 else "Official score"
    click.echo(f"{name}: {results.official_score:.4f}")


def _number(value: object) -> str:
    return f"{value:.4f}" if isinstance(value, float) and value == value else "-"
