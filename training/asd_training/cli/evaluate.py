"""asd-evaluate: score test clips, print metrics, write the report, official files and plots."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from asd_edge.cli.exit_status import AsdCommand
from asd_edge.errors import AsdError

if TYPE_CHECKING:
    import pandas as pd

    from asd_training.evaluation.machines import Evaluation
    from asd_training.evaluation.metrics import Results
    from asd_training.report.html import About

REPORT, COMPARISON = "report.html", "comparison.html"
_YEARS = ("2020", "2021", "2022", "2023", "2024", "2025")


@click.command(cls=AsdCommand, context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("paths", metavar="MODEL... DATA", nargs=-1, type=click.Path(path_type=Path))
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
@click.option(
    "--ground-truth",
    type=click.Path(path_type=Path),
    help="The organisers' labels for clips whose names tell none: a folder of ground_truth_*.csv, "
    "or eval_data_list.csv.",
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
    help="Seconds between two judged clips; scales the false alarms a day. Default: the length of "
    "the model's input; 10 with --scores.",
)
@click.option("--device", default="auto", show_default=True, help="For a run: cpu, cuda or auto.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON Lines instead of a table.")
@click.version_option(package_name="asd-edge")
def main(
    paths: tuple[Path, ...],
    score_folder: Path | None,
    output: Path,
    ground_truth: Path | None,
    machine: str | None,
    rules: str | None,
    every: float | None,
    device: str,
    as_json: bool,
) -> None:
    """Measure how well MODEL tells the test clips of DATA apart.

    MODEL is a run, a bundle, or a folder that holds one of a machine each. Several of them are
    evaluated each into a folder of its own below --output, and compared in one table and in
    comparison.html. Prints AUC,
    pAUC (up to a false-positive rate of 0.1), precision, recall and F1 as DCASE Task 2 defines
    them, the official score, and the student report's best AUC of thresholded decisions.
    Writes report.html, the official score and decision files, result.csv, and plots.
    """
    settings = _Settings(machine, rules, every, device, as_json, ground_truth)
    if score_folder is not None:
        if paths:
            raise click.UsageError("--scores takes neither MODEL nor DATA.")
        failed = settings.evaluate_scores(score_folder, output)
    elif len(paths) < 2:
        raise click.UsageError("Give MODEL and DATA, or --scores FOLDER.")
    elif len(paths) == 2:
        failed = bool(settings.evaluate_model(*paths, output)[0].failures)
    else:
        failed = settings.compare(paths[:-1], paths[-1], output)
    if failed:
        sys.exit(1)


@dataclass(frozen=True)
class _Settings:
    """Options that are the same for all models."""

    machine: str | None
    rules: str | None
    every: float | None
    device: str
    as_json: bool
    ground_truth: Path | None

    def evaluate_scores(self, folder: Path, output: Path) -> bool:
        """Evaluate score files; give whether something failed."""
        from asd_training.evaluation import dcase_files
        from asd_training.evaluation.machines import (
            DEFAULT_EVERY_SECONDS,
            Evaluation,
            machines_of_scores,
        )

        scores = _of_machine(dcase_files.read_score_folder(folder), self.machine, folder)
        if self.ground_truth is not None:
            from asd_training.evaluation.ground_truth import GroundTruth

            scores = GroundTruth(self.ground_truth).label_scores(scores)
        every = self.every or DEFAULT_EVERY_SECONDS
        told = dcase_files.year_of_score_folder(folder)
        evaluation = Evaluation(machines_of_scores(scores, every), every, told)
        self._report(evaluation, folder.name, folder, output, self._say_rules(told))
        return False

    def evaluate_model(
        self, model: Path, data: Path, output: Path
    ) -> tuple[Evaluation, Results | None]:
        """Evaluate one model; without labels there are scores, but no metrics."""
        from asd_training.evaluation import dcase_files
        from asd_training.evaluation.machines import evaluate_model
        from asd_training.evaluation.score import find_subjects
        from asd_training.learn.devices import choose_device

        evaluation = evaluate_model(
            model,
            data,
            self.machine,
            device=choose_device(self.device),
            every_seconds=self.every,
            ground_truth=self.ground_truth,
            say=lambda sentence: click.echo(sentence, err=True),
        )
        in_words = self._say_rules(evaluation.year)
        scores = evaluation.scores
        year = self._year(evaluation)
        dcase_files.write_score_folder(scores, output, year)
        _draw_trainings(find_subjects(model, self.machine), output)
        if (scores["label"] == "unknown").all():
            # An evaluation set of a challenge: its scores are all that can be had.
            _draw_scores(evaluation, output, year)
            click.echo(
                f"{output}: the scores of {len(scores)} clips and scores.png; none of the clips is "
                "labelled, so there are no metrics",
                err=True,
            )
            return evaluation, None
        return evaluation, self._report(evaluation, model.name, data, output, in_words)

    def compare(self, paths: Sequence[Path], data: Path, output: Path) -> bool:
        """Evaluate several models and compare them; give whether something failed."""
        from asd_training.evaluation import comparison
        from asd_training.report import html

        models, failed, in_words = [], False, ""
        for name, path in _unique_names(paths).items():
            click.echo(f"{path}:", err=True)
            try:
                evaluation, results = self.evaluate_model(path, data, output / name)
            except AsdError as error:
                click.echo(f"Error: {error}", err=True)
                failed = True
                continue
            failed = failed or bool(evaluation.failures)
            in_words = _rules_in_words(self.rules, evaluation.year)
            if results is not None:
                training = evaluation.recipe, evaluation.seed
                models.append(
                    comparison.Model(name, *training, evaluation, results, f"{name}/{REPORT}")
                )
        if not models:
            return True
        compared = comparison.table(models)
        _print_comparison(compared, comparison.by_recipe(compared), self.as_json)
        html.write_comparison(output / COMPARISON, models, str(data), in_words)
        click.echo(f"{output}: {COMPARISON}", err=True)
        return failed

    def _year(self, evaluation: Evaluation) -> int:
        return int(self.rules) if self.rules else evaluation.year[0]

    def _say_rules(self, told: tuple[int, str]) -> str:
        in_words = _rules_in_words(self.rules, told)
        click.echo(in_words, err=True)
        return in_words

    def _report(
        self, evaluation: Evaluation, subject: str, source: Path, output: Path, in_words: str
    ) -> Results:
        from asd_training.report.html import About

        about = About(subject, str(source), in_words, evaluation)
        results = _write(about, output, self._year(evaluation), self.rules is not None)
        (_print_json if self.as_json else _print_table)(results, evaluation.scores)
        if results.year >= 2021 and not results.rows["domain"].astype(bool).all():
            click.echo(
                f"The rules of {results.year} compare domains, and clips here name none: this is "
                "not the challenge's score. Labels of the organisers: --ground-truth needs the "
                "folder that holds ground_truth_domain/ too.",
                err=True,
            )
        click.echo(f"{output}: {REPORT}, result.csv, scores.parquet, roc.png, scores.png", err=True)
        return results


def _unique_names(paths: Sequence[Path]) -> dict[str, Path]:
    """Name models by the last part of their paths, or by more where that is the same."""
    names: dict[str, Path] = {}
    for path in paths:
        name, parts = path.name, list(path.parts[:-1])
        while name in names and parts:
            name = f"{parts.pop()}-{name}".replace("/", "")
        if name in names:
            raise click.UsageError(f"{path} is given twice.")
        names[name] = path
    return names


def _print_comparison(compared: pd.DataFrame, recipes: pd.DataFrame, as_json: bool) -> None:
    if as_json:
        _print_rows(compared)
        _print_rows(recipes)
        return
    headings = {
        "official_score": "official score",
        "auc": "AUC",
        "auc_error": "± 95 %",
        "pauc": "pAUC",
        "caught": "caught",
        "false_alarms": "false alarms",
    }
    _print_plain(compared, {"model": "model", "recipe": "recipe", **headings})
    if len(recipes):
        _print_plain(recipes, {"recipe": "recipe", "n": "seeds", **headings})


def _print_plain(rows: pd.DataFrame, headings: dict[str, str]) -> None:
    """Print a table; a figure with a deviation is followed by it."""
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None)
    shown = {name: heading for name, heading in headings.items() if name in rows}
    for heading in shown.values():
        table.add_column(heading, justify="left" if heading in ("model", "recipe") else "right")
    for row in rows.to_dict(orient="records"):
        cells = []
        for name in shown:
            cell = _number(row[name]) if isinstance(row[name], float) else str(row[name])
            if f"{name}_std" in row:
                cell += f" ± {_number(row[f'{name}_std'])}"
            cells.append(cell)
        table.add_row(*cells)
    Console(width=None if sys.stdout.isatty() else 140, markup=False).print(table)


def _rules_in_words(rules: str | None, told: tuple[int, str]) -> str:
    if rules:
        return f"rules of DCASE {rules}"
    year, why = told
    return f"rules of DCASE {year}{' and later' if year == 2022 else ''} ({why})"


def _of_machine(scores: pd.DataFrame, machine: str | None, source: Path) -> pd.DataFrame:
    from asd_training.errors import DatasetError

    if machine is None:
        return scores
    chosen = scores[scores["machine"] == machine]
    if chosen.empty:
        there = ", ".join(sorted(scores["machine"].unique()))
        raise DatasetError(source, f"has no machine {machine!r}; it has: {there}")
    return chosen.reset_index(drop=True)


def _draw_scores(evaluation: Evaluation, output: Path, year: int) -> None:
    from asd_training.report import plots

    thresholds = {
        (m.machine, section): value
        for m in evaluation.machines
        for section, value in m.thresholds.items()
    }
    plots.histogram_plot(evaluation.scores, output / "scores.png", thresholds, year)


def _draw_trainings(models: Sequence[Path], output: Path) -> None:
    """Draw the losses of each run among the models by epoch; a bundle has none."""
    import pandas as pd

    from asd_training import run_folder
    from asd_training.report import plots

    for model in models:
        if history := run_folder.read_metrics(model):
            name = "curves.png" if len(models) == 1 else f"curves_{model.name}.png"
            plots.training_curves(pd.DataFrame(history), output / name)


def _write(about: About, output: Path, year: int, year_given: bool) -> Results:
    """Write result.csv, the plots and the report; give the metrics."""
    from asd_training.evaluation import dcase_files, metrics, published, summary
    from asd_training.report import html, plots

    scores = about.evaluation.scores
    results = metrics.evaluate(scores, about.data, year)
    summary.write(output / summary.FILE, results, scores, about.data)
    summary.write_scores(scores, output)
    dcase_files.write_result_csv(results, output / "result.csv")
    plots.roc_plot(scores, output / "roc.png", year)
    _draw_scores(about.evaluation, output, year)
    baselines = published.find(results, year_given=year_given)
    html.write(output / REPORT, results, baselines, about)
    return results


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
    from asd_training.evaluation.measures import threshold_sweep
    from asd_training.evaluation.metrics import comparisons

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
    Console(width=None if sys.stdout.isatty() else 120, markup=False).print(table)
    name = "Mean of AUC and pAUC" if results.year == 2020 else "Official score"
    click.echo(f"{name}: {results.official_score:.4f}")


def _number(value: object) -> str:
    return f"{value:.4f}" if isinstance(value, float) and value == value else "-"
