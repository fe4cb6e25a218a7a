"""The evaluation as one HTML page: tables, plots and pictures in a single file, nothing fetched."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import pandas as pd
from scipy.stats import binomtest

from asd_edge.atomic_files import atomic_path
from asd_training.evaluation import comparison
from asd_training.evaluation.comparison import Model
from asd_training.evaluation.false_alarm_costs import total
from asd_training.evaluation.machines import Evaluation, MachineEvaluation
from asd_training.evaluation.measures import arithmetic_mean, harmonic_mean
from asd_training.evaluation.metrics import JOINT_YEAR, Results, mean_auc_error
from asd_training.evaluation.published import Baselines

if TYPE_CHECKING:
    from jinja2 import Environment
    from matplotlib.figure import Figure

# A mean AUC below the first is called by the first word, and so on.
_WORDS = (
    (0.6, "No better than guessing", "bad"),
    (0.75, "Weak", "bad"),
    (0.9, "Fair", "fair"),
    (0.97, "Good", "good"),
    (2.0, "Very good", "good"),
)
SOUNDS = "clips"  # folder of the sounds beside the report
_SIGNIFICANT = 0.01
_PHONE_INCHES = 5.0  # wider figures scroll there, with letters as on a desktop
# Share of the anomalies caught below which no ranking is called good.
_FEW_CAUGHT = 0.5
# Times the false-alarm rate that was asked for, from which on no ranking is called good.
_FAR_TOO_MANY = 3.0


@dataclass(frozen=True)
class About:
    """Where the evaluation comes from.

    Attributes:
        subject: what was evaluated, as the user named it.
        data: on what.
        rules: whose rules, and why, in words.
        evaluation: the scores of all machines.
    """

    subject: str
    data: str
    rules: str
    evaluation: Evaluation


def write(
    path: str | Path,
    results: Results,
    baselines: Baselines,
    about: About,
) -> None:
    """Write the report, whole or not at all, and beside it the sound of the clips it shows."""
    path = Path(path)
    sounds = _write_sounds(path.parent / SOUNDS, about.evaluation.machines)
    with atomic_path(path) as temporary:
        temporary.write_text(render(results, baselines, about, sounds), encoding="utf-8")


def _write_sounds(folder: Path, machines: Sequence[MachineEvaluation]) -> dict[int, str]:
    """Write the window of each example as FLAC; give its address by the example's `id`."""
    import soundfile

    sounds: dict[int, str] = {}
    for number, machine in enumerate(machines):
        for i, example in enumerate(machine.examples):
            assert machine.front_end is not None
            name = f"{number:02d}-{i:02d}.flac"
            with atomic_path(folder / name) as temporary:
                soundfile.write(temporary, example.samples, machine.front_end.mel.sr)
            sounds[id(example)] = f"{folder.name}/{name}"
    return sounds


def render(
    results: Results,
    baselines: Baselines,
    about: About,
    sounds: Mapping[int, str] = MappingProxyType({}),
) -> str:
    """Give the report as text.

    Args:
        results: of `asd_training.evaluation.metrics.evaluate` on the scores of all machines;
            machines that it does not know were scored, but have no labels.
        baselines: published figures.
        about: where the evaluation comes from.
        sounds: `id` of an example -> address of its sound, relative to the report.
    """
    environment = _environment()
    machines = about.evaluation.machines
    judged = set(results.rows["machine"][results.rows["auc"].notna()])
    sums = total([m.costs for m in machines if m.machine in judged and len(m.costs)])
    by_machine = [_machine_row(results, m, baselines) for m in machines if m.machine in judged]
    return environment.get_template("report.html.j2").render(
        about=about,
        results=results,
        year=results.year,
        joint=results.year >= JOINT_YEAR,
        verdict=_verdict(results, [m for m in machines if m.machine in judged]),
        by_machine=by_machine,
        compared=any(row["published"] for row in by_machine),
        unjudged=[m.machine for m in machines if m.machine not in judged],
        rows=[
            row
            for row in _records(results.rows.sort_values(["machine", "section", "domain"]))
            if row["machine"] in judged
        ],
        costs=_records(sums),
        baselines=_records(baselines.machines),
        overall=_records(baselines.overall),
        mismatches=baselines.mismatches,
        sources=sorted({*baselines.machines["source"], *baselines.overall["source"]}),
        machines=[_pictures(m, results.year, sounds) for m in machines],
        version=version("asd-edge"),
        date=datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %Z"),
    )


def write_comparison(path: str | Path, models: Sequence[Model], data: str, rules: str) -> None:
    """Write the comparison of several models as a page, whole or not at all."""
    compared = comparison.table(models)
    rows = _records(compared)
    best, second = rows[0], rows[1] if len(rows) > 1 else None
    text = (
        _environment()
        .get_template("comparison.html.j2")
        .render(
            models=rows,
            recipes=_records(comparison.by_recipe(compared)),
            machines=_records(comparison.by_machine(models)),
            reports={model.name: model.report for model in models},
            best=best,
            second=second,
            tied=[r["model"] for r in rows if r["official_score"] == best["official_score"]],
            kind="good" if _is_within(best) else "bad",
            sentence=_compare(best, second) if second else "",
            data=data,
            rules=rules,
            version=version("asd-edge"),
            date=datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %Z"),
        )
    )
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _is_within(row: dict[str, Any]) -> bool:
    """Whether a model raises about as many false alarms as were asked for, or that is unknown."""
    return not row["false_alarms"] > _FAR_TOO_MANY * row["target_rate"]


def _compare(best: dict[str, Any], second: dict[str, Any]) -> str:
    """Say how sure the order of the two best models is, and what else decides."""
    gap = abs(best["auc"] - second["auc"])
    if gap == 0:
        text = "Their mean AUCs are equal."
    elif gap < max(best["auc_error"], second["auc_error"]):
        text = "Their mean AUCs differ by less than either interval: the order may be chance."
    else:
        text = "Their mean AUCs differ by more than either interval."
    if not _is_within(best):
        text += (
            f" Mind that {best['model']} raises {_percent(best['false_alarms'], 1)} false alarms "
            f"where {_percent(best['target_rate'], 1)} were asked for."
        )
    return text


def _environment() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("asd_training.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "number": _number,
        "percent": _percent,
        "signed": _signed,
        "count": _count,
    }
    return environment


def _verdict(results: Results, machines: Sequence[MachineEvaluation]) -> dict[str, Any]:
    """Say in words how good it is, what the decisions do, and where it is weakest."""
    mean = float(results.overall.loc[results.overall["mean"] == "arithmetic", "auc"].iloc[0])
    word, kind = next((word, kind) for limit, word, kind in _WORDS if mean < limit)
    ranked = results.rows.dropna(subset="auc").sort_values("auc")
    scores = pd.concat([m.scores for m in machines])
    said = _decisions(scores)
    rates = {m.target_rate for m in machines}
    target_rate = rates.pop() if len(rates) == 1 else None
    surprising = False
    if target_rate is not None and "normal" in said:
        test = binomtest(*said["normal"], target_rate, alternative="greater")
        surprising = bool(test.pvalue < _SIGNIFICANT)
    but = ""
    if "normal" not in said:
        but = f"The ranking is {word.lower()}; without decisions nobody knows the false alarms. "
        word, kind = "Only a ranking", "bad" if kind == "bad" else "fair"
    if surprising and target_rate is not None:
        alarms, normals = said["normal"]
        if alarms > _FAR_TOO_MANY * target_rate * normals:
            but = f"The ranking is {word.lower()}, the threshold is not to be trusted. "
            word, kind = "Too many false alarms", "bad"
    caught = said.get("anomaly")
    if kind == "good" and caught is not None and caught[0] < _FEW_CAUGHT * caught[1]:
        but = f"The ranking is {word.lower()}, but few anomalies reach the threshold. "
        word, kind = "Misses most anomalies", "bad"
    return {
        "mean": mean,
        "margin": 1.96 * mean_auc_error(scores, results.year),
        "word": word,
        "but": but,
        "kind": kind,
        "weakest": _records(ranked)[0],
        "strongest": _records(ranked)[-1],
        "caught": said.get("anomaly"),
        "alarms": said.get("normal"),
        "target_rate": target_rate,
        "surprising": surprising,
    }


def _decisions(scores: pd.DataFrame) -> dict[str, tuple[int, int]]:
    """How many were called anomalous, of how many, of the decided "anomaly" and "normal" clips."""
    if "anomalous" not in scores:
        return {}
    decided = scores[scores["anomalous"].notna()]
    return {
        label: (int(part["anomalous"].sum()), len(part))
        for label in ("anomaly", "normal")
        if len(part := decided[decided["label"] == label])
    }


def _machine_row(
    results: Results, machine: MachineEvaluation, baselines: Baselines
) -> dict[str, Any]:
    """Means of a machine, and beside them those of the published systems."""
    rows = results.rows[results.rows["machine"] == machine.machine]
    mean = arithmetic_mean if results.year == 2020 else harmonic_mean

    def ours(domain: str) -> tuple[float, float]:
        part = rows[rows["domain"] == domain] if domain else rows
        auc, pauc = mean(part[["auc", "pauc"]].to_numpy())
        return float(auc), float(pauc)

    published = []
    for row in _records(baselines.machines[baselines.machines["machine"] == machine.machine]):
        published.append({**row, "difference": ours(row["domain"])[0] - row["auc"]})
    auc, pauc = ours("")
    domains = [
        {"domain": domain, "auc": ours(domain)[0], "pauc": ours(domain)[1]}
        for domain in ("source", "target")
        if (rows["domain"] == domain).any()
    ]
    said = _decisions(machine.scores)
    return {
        "machine": machine.machine,
        "caught": said.get("anomaly"),
        "alarms": said.get("normal"),
        "auc": auc,
        "pauc": pauc,
        "domains": domains,
        "published": published,
    }


def _pictures(machine: MachineEvaluation, year: int, sounds: Mapping[int, str]) -> dict[str, Any]:
    from asd_training.report import clip_plots
    from asd_training.report.plots import histogram_figure, roc_figure, to_svg

    roc = roc_figure(machine.scores, year)
    groups: dict[str, list[dict[str, Any]]] = {}
    for example in machine.examples:
        assert machine.front_end is not None
        picture = clip_plots.spectrogram(
            example.spectrogram, machine.front_end, example.start_seconds
        )
        groups.setdefault(example.why, []).append(
            {
                **example.row,
                "threshold": example.threshold,
                "picture": to_svg(picture),
                "sound": sounds.get(id(example), ""),
            }
        )
    return {
        "machine": machine.machine,
        "roc": _chart(roc),
        "histograms": _chart(histogram_figure(machine.scores, machine.thresholds, year, 4)),
        "map": _chart(clip_plots.embedding_map(machine.sample) if machine.sample else None),
        "examples": groups,
        "costs": _records(machine.costs),
    }


def _chart(figure: Figure | None) -> dict[str, Any] | None:
    """Draw a figure, and say whether it can be read on a phone without scrolling."""
    from asd_training.report.plots import to_svg

    if figure is None:
        return None
    return {"svg": to_svg(figure), "fits": figure.get_figwidth() < _PHONE_INCHES}


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(name): value for name, value in row.items()} for row in table.to_dict("records")]


def _number(value: float, digits: int = 3) -> str:
    return f"{value:.{digits}f}" if value == value else "–"


def _signed(value: float) -> str:
    if abs(value) < 0.0005:
        return "0.000"
    return f"{value:+.3f}".replace("-", "−") if value == value else "–"


def _count(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _percent(part: float, whole: float) -> str:
    return f"{100 * part / whole:.3g} %" if whole else "–"
