"""The CSV files of DCASE Challenge Task 2: anomaly scores, decisions and `result.csv`.

A score folder holds, without header, one `clip,score` a line in

    anomaly_score_<machine>_section_<NN>_<source|target>_test.csv   2021
    anomaly_score_<machine>_section_<NN>_test.csv                   2022 and later
    anomaly_score_<machine>_id_<NN>.csv                             2020

and beside each, except in 2020, `decision_result_...csv` with one `clip,0|1` a line. The
names of the organisers' baselines since 2023 (..._test_seed13711_id(0_)_Eval.csv) are read too. The
names and the layouts of `result.csv` are those that their baselines and evaluators
write and read: y-kawagu/dcase2020_task2_evaluator, y-kawagu/dcase2021_task2_evaluator,
Kota-Dohi/dcase2022_evaluator, nttcslab/dcase2023_task2_evaluator to dcase2025_task2_evaluator.

A clip goes by its file name. Where that does not tell its label and domain, or two clips of one
file share it, folders stand before it (abnormal/00000000.wav), as many as the data set has. A
character of a machine or section that a file name cannot carry is written as %NN.
"""

from __future__ import annotations

import csv
import json
import math
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote

import pandas as pd
from numpy.typing import ArrayLike

from asd_edge.atomic_files import atomic_path
from asd_edge.audio.clip_names import parse_clip_name
from asd_edge.errors import MissingFileError
from asd_training.data.clips import Clip, content_digest, describe
from asd_training.errors import DatasetError
from asd_training.evaluation.measures import arithmetic_mean, harmonic_mean
from asd_training.evaluation.metrics import JOINT_YEAR, METRICS, Results, groups

# What the baselines since 2023 write behind it: _seed13711_id(0_)_Eval, _seed13711_Eval, ...
_BASELINE = r"(?:_seed\d+)?(?:_id\([^)]*\))?(?:_(?:Eval|Dev))?"
_SCORE_FILE = re.compile(
    r"anomaly_score_(?P<machine>.+)_(?:section|id)_(?P<section>[^_]+?)"
    rf"(?:_(?P<domain>source|target))?(?:_test)?{_BASELINE}\.csv"
)
_RECORD = ".asd-evaluate.json"
_ID_CLIP = re.compile(r"(?:(?:normal|anomaly)_)?id_\d+_\d+\.\w+")
_HEADINGS = ("AUC", "pAUC", "precision", "recall", "F1 score")
_OVERALL = "{} mean over all machine types, sections, and domains"


def year_of_clips(clips: Iterable[Clip]) -> tuple[int, str]:
    """Tell whose year's rules a data set calls for, and what told it.

    Names `normal_id_00_00000000.wav` are those of 2020, folders `source_test` and
    `target_test` those of 2021; anything else goes by the rules of 2022 and later.
    """
    for clip in clips:
        if _ID_CLIP.fullmatch(clip.path.name):
            return 2020, f"file names like {clip.path.name}"
        if clip.path.parent.name.lower() in ("source_test", "target_test"):
            return 2021, f"the folder {clip.path.parent.name}"
    return JOINT_YEAR, "no sign of an earlier year"


def year_of_score_folder(folder: str | Path) -> tuple[int, str]:
    """Tell the same from the names of score files; see the module."""
    for path in sorted(Path(folder).glob("anomaly_score_*.csv")):
        name = _SCORE_FILE.fullmatch(path.name)
        if name and f"_id_{name['section']}" in path.name:
            return 2020, f"file names like {path.name}"
        if name and name["domain"]:
            return 2021, f"file names like {path.name}"
    return JOINT_YEAR, "no sign of an earlier year"


def read_score_folder(folder: str | Path) -> pd.DataFrame:
    """Read a score folder into the table `scores` of `asd_training.evaluation.metrics`.

    Machine and section come from the names of the files; label, and domain where the
    file's name has none, from the names of the clips. A clip whose name says neither normal
    nor anomaly is "unknown". `anomalous` is nullable, NA where there is no decision file.

    Args:
        folder: Other files in it are ignored.

    Returns:
        Columns clip, machine, section, domain, label, score, anomalous; groups in the official
        order, the clips of one in the order of its file.

    Raises:
        MissingFileError: There is no such folder.
        DatasetError: No score file, a malformed line (named), a clip twice, a clip whose name
            contradicts its file's, or decisions for other clips than were scored.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise MissingFileError(folder, "folder")
    records: list[dict[str, object]] = []
    origin: dict[tuple[str, str, str], Path] = {}
    for path in sorted(folder.glob("anomaly_score_*.csv")):
        name = _SCORE_FILE.fullmatch(path.name)
        if name is None:
            raise DatasetError(
                path, "expected a name like anomaly_score_fan_section_00_source_test.csv"
            )
        for record in _read_group(path, name):
            key = (str(record["machine"]), str(record["section"]), str(record["clip"]))
            if origin.setdefault(key, path) != path:
                raise DatasetError(path, f"{key[2]} also has a score in {origin[key].name}")
            records.append(record)
    if not records:
        raise DatasetError(
            folder,
            "no scores; expected files like anomaly_score_fan_section_00_source_test.csv",
        )
    table = pd.DataFrame(records).astype({"score": "float64", "anomalous": "boolean"})
    return pd.concat([part for _, part in groups(table)], ignore_index=True)


def _read_group(path: Path, name: re.Match[str]) -> Iterator[dict[str, object]]:
    machine, section = unquote(name["machine"]), unquote(name["section"])
    decision_path = path.with_name(path.name.replace("anomaly_score_", "decision_result_", 1))
    scored = _read_pairs(path)
    decided = _read_pairs(decision_path) if decision_path.is_file() else None
    if decided is not None and (differing := scored.keys() ^ decided.keys()):
        clip = min(differing)
        lacking = decision_path if clip in scored else path
        raise DatasetError(lacking, f"has no line for {clip}, which its partner file has")
    for clip, (line, score) in scored.items():
        if not math.isfinite(score):
            raise DatasetError(f"{path}:{line}", f"the score of {clip} is {score}, not finite")
        parsed = parse_clip_name(clip)
        # Any other data set may name its clips as it likes; its labels are then unknown.
        told = describe(PurePosixPath(clip))
        domain, label = told.domain, told.label
        if parsed and parsed.section and parsed.section != section:
            raise DatasetError(f"{path}:{line}", f"{clip} is of section {parsed.section}")
        if name["domain"] and domain and domain != name["domain"]:
            raise DatasetError(f"{path}:{line}", f"{clip} is of domain {domain}")
        anomalous = None
        if decided is not None:
            decision_line, decision = decided[clip]
            if decision not in (0.0, 1.0):
                raise DatasetError(
                    f"{decision_path}:{decision_line}", f"decision {decision:g}; expected 0 or 1"
                )
            anomalous = bool(decision)
        yield {
            "clip": clip,
            "machine": machine,
            "section": section,
            "domain": name["domain"] or domain,
            "label": label or "unknown",
            "score": score,
            "anomalous": anomalous,
        }


def _read_pairs(path: Path) -> dict[str, tuple[int, float]]:
    """`name,number` lines of one file: name -> (line number, number)."""
    pairs: dict[str, tuple[int, float]] = {}
    with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
        reader = csv.reader(file)
        try:
            for row in reader:
                if not row:
                    continue
                if len(row) != 2:
                    raise DatasetError(
                        f"{path}:{reader.line_num}", f"{len(row)} fields; expected clip,number"
                    )
                clip, text = row
                try:
                    number = float(text)
                except ValueError:
                    raise DatasetError(
                        f"{path}:{reader.line_num}", f"{text!r} is no number; expected clip,number"
                    ) from None
                if clip in pairs:
                    raise DatasetError(f"{path}:{reader.line_num}", f"{clip} a second time")
                pairs[clip] = (reader.line_num, number)
        except csv.Error as error:
            raise DatasetError(f"{path}:{reader.line_num}", str(error)) from None
    return pairs


def write_score_folder(scores: pd.DataFrame, folder: str | Path, year: int = 2021) -> None:
    """Write `anomaly_score_*` and, except in 2020, `decision_result_*` files, named as that year.

    In 2021 one pair a machine, section and domain, in other years one a machine and section;
    groups without a domain always get the names of 2022. Scores are printed with as many
    digits as reading them back exactly takes. Each file is replaced whole; a group without all
    its decisions gets no decision file. Files that this function wrote there before, for
    another year or another model, are removed; files of others stay.

    Args:
        scores: See `asd_training.evaluation.metrics`.
        folder: Made if absent.
        year: Of the challenge.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    files: dict[str, list[pd.DataFrame]] = {}
    for (machine, domain, section), group in groups(scores):
        parts = [_quoted(machine, keep="_"), "section", _quoted(section)]
        if year == 2020:
            parts[1] = "id"
        else:
            parts += [domain, "test"] if year == 2021 and domain else ["test"]
        name = "_".join(parts) + ".csv"
        files.setdefault(name, []).append(group)
    written: dict[str, str] = {}
    for name, found in files.items():
        table = pd.concat(found)
        clips = _names_of_clips(table)
        values = [float(score) for score in table["score"]]
        columns = {f"anomaly_score_{name}": values}
        decided = "anomalous" in table.columns and not table["anomalous"].isna().any()
        if year != 2020 and decided:
            columns[f"decision_result_{name}"] = [int(a) for a in table["anomalous"]]
        else:  # decisions of the scores that are replaced
            (folder / f"decision_result_{name}").unlink(missing_ok=True)
        for file, column in columns.items():
            _write(folder / file, zip(clips, column, strict=True))
            written[file] = content_digest(folder / file)
    _remove_stale(folder, written)
    with atomic_path(folder / _RECORD) as temporary:
        temporary.write_text(json.dumps(written, indent=2), encoding="utf-8")


def _quoted(name: str, keep: str = "") -> str:
    """Write characters that would be misread in a file name as %NN."""
    return "".join(
        c if c.isalnum() or c in " -+.,()[]" + keep else "".join(f"%{b:02X}" for b in c.encode())
        for c in name
    )


def _names_of_clips(table: pd.DataFrame) -> list[str]:
    """Name the clips of one file: by file name, if that is unique and tells label and domain."""
    names = [PurePosixPath(clip).name for clip in table["clip"]]
    told = [describe(PurePosixPath(name)) for name in names]
    enough = len(set(names)) == len(names) and all(
        (d.label or "unknown") == label and d.domain in ("", domain)
        for d, label, domain in zip(told, table["label"], table["domain"], strict=True)
    )
    if enough:
        return names
    return [
        clip if describe(PurePosixPath(clip)).label or label == "unknown" else f"{label}/{clip}"
        for clip, label in zip(table["clip"], table["label"], strict=True)
    ]


def _remove_stale(folder: Path, written: dict[str, str]) -> None:
    """Remove the files of the last evaluation into this folder, if nobody has changed them."""
    try:
        before = json.loads((folder / _RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return
    for name, digest in before.items() if isinstance(before, dict) else ():
        path = folder / name
        ours = _SCORE_FILE.fullmatch(name.replace("decision_result_", "anomaly_score_", 1))
        if ours and name not in written and path.is_file() and content_digest(path) == digest:
            path.unlink()


def write_result_csv(results: Results, path: str | Path) -> None:
    """Write `results` in the layout of `result.csv` of the official evaluator of `results.year`.

    Missing metrics are empty fields. The confidence interval that the evaluators of
    2022 and later print is left out: their jackknife takes the square of the number of clips.
    """
    if results.year == 2020:
        lines = _lines_2020(results)
    elif results.year < JOINT_YEAR:
        lines = _lines_2021(results)
    else:
        lines = _lines_2022(results)
    _write(Path(path), lines)


def _lines_2020(results: Results) -> list[Sequence[object]]:
    lines: list[Sequence[object]] = []
    for machine, rows in results.rows.groupby("machine", sort=False):
        lines += [[machine], ["id", "AUC", "pAUC"]]
        lines += [[row["section"], *_fields(row)[:2]] for _, row in rows.iterrows()]
        average = arithmetic_mean(rows[["auc", "pauc"]].to_numpy())
        lines += [["Average", *_numbers(average)], []]
    return lines


def _lines_2021(results: Results) -> list[Sequence[object]]:
    lines: list[Sequence[object]] = []
    for machine, rows in results.rows.groupby("machine", sort=False):
        lines += [[machine], ["section", "domain", *_HEADINGS]]
        lines += [[row["section"], row["domain"], *_fields(row)] for _, row in rows.iterrows()]
        means = results.machine_means
        for _, row in means[means["machine"] == machine].iterrows():
            lines.append([f"{row['mean']} mean", "", *_fields(row)])
        lines.append([])
    lines.append(["", "", *_HEADINGS])
    for _, row in results.overall.iterrows():
        lines.append([_OVERALL.format(row["mean"]), "", *_fields(row)])
    lines.append([])
    return lines


def _lines_2022(results: Results) -> list[Sequence[object]]:
    domains = ("source", "target")
    by_domain = [f"{name} ({d})" for name in _HEADINGS[2:] for d in domains]
    columns = ["section", "AUC (all)", "AUC (source)", "AUC (target)", "pAUC", *by_domain]
    lines: list[Sequence[object]] = []
    for machine, rows in results.rows.groupby("machine", sort=False):
        lines += [[machine], columns]
        for section, parts in rows.groupby("section"):
            wide = parts.set_index("domain").reindex(list(domains))
            # A domain without normals has no AUC, and then knows nothing of the section's.
            joint = parts[["auc_all", "pauc"]].max()
            fields = [joint["auc_all"], *wide["auc"], joint["pauc"]]
            fields += [wide.loc[d, metric] for metric in METRICS[2:] for d in domains]
            lines.append([section, *_numbers(fields)])
        lines += [["", "", *_HEADINGS], *_means_2022(rows, "{} mean"), []]
    lines += [["", "", *_HEADINGS], *_means_2022(results.rows, _OVERALL), []]
    lines += [["official score", "", *_numbers([results.official_score])], []]
    return lines


def _means_2022(rows: pd.DataFrame, title: str) -> list[Sequence[object]]:
    def line(name: str, mean: Callable[[ArrayLike], Any], part: pd.DataFrame) -> Sequence[object]:
        return [title.format(name), "", *_numbers(mean(part[list(METRICS)].to_numpy()))]

    return [
        line("arithmetic", arithmetic_mean, rows),
        line("harmonic", harmonic_mean, rows),
        *(
            line(f"{domain} harmonic", harmonic_mean, rows[rows["domain"] == domain])
            for domain in ("source", "target")
        ),
    ]


def _fields(row: pd.Series) -> list[float | str]:
    return _numbers(row[metric] for metric in METRICS)


def _numbers(values: Iterable[float]) -> list[float | str]:
    return ["" if math.isnan(value) else float(value) for value in values]


def _write(path: Path, lines: Iterable[Iterable[object]]) -> None:
    with (
        atomic_path(path) as temporary,
        temporary.open("w", encoding="utf-8", newline="") as file,
    ):
        csv.writer(file, lineterminator="\n").writerows(lines)
