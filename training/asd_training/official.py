"""The CSV files of DCASE Challenge Task 2: anomaly scores, decisions and `result.csv`.

A score folder holds, without header, one `clip,score` a line in

    anomaly_score_<machine>_section_<NN>_<source|target>_test.csv   2021
    anomaly_score_<machine>_section_<NN>_test.csv                   2022 and later
    anomaly_score_<machine>_id_<NN>.csv                             2020

and beside each, except in 2020, `decision_result_...csv` with one `clip,0|1` a line.
"""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import pandas as pd

from asd_edge.errors import MissingFileError
from asd_edge.files import atomic_path
from asd_edge.naming import parse_clip_name
from asd_training.errors import DatasetError
from asd_training.metrics import METRICS, Results, groups

_SCORE_FILE = re.compile(
    r"anomaly_score_(?P<machine>.+)_(?:section|id)_(?P<section>\d+)"
    r"(?:_(?P<domain>source|target))?(?:_test)?\.csv"
)
_HEADINGS = ("AUC", "pAUC", "precision", "recall", "F1 score")
_OVERALL = "{} mean over all machine types, sections, and domains"


def read_score_folder(folder: str | Path) -> pd.DataFrame:
    """Read a score folder into the table `scores` of `asd_training.metrics`.

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
            key = (name["machine"], name["section"], str(record["clip"]))
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
        domain, label = (parsed.domain, parsed.label) if parsed else ("", "")
        if parsed and parsed.section and parsed.section != name["section"]:
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
            "machine": name["machine"],
            "section": name["section"],
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


def write_score_folder(scores: pd.DataFrame, folder: str | Path) -> None:
    """Write `anomaly_score_*` and `decision_result_*` files, one pair a group.

    Names are those of 2021; groups without a domain get those of 2022 and later. Scores
    are printed with as many digits as reading them back exactly takes. Each file is
    replaced whole; a group without all its decisions gets no decision file, and one that
    was there is removed.

    Args:
        scores: See `asd_training.metrics`.
        folder: Made if absent.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for (machine, domain, section), group in groups(scores):
        ending = "_".join(filter(None, (machine, "section", section, domain, "test"))) + ".csv"
        values = [float(score) for score in group["score"]]
        _write(folder / f"anomaly_score_{ending}", zip(group["clip"], values, strict=True))
        decision_path = folder / f"decision_result_{ending}"
        if "anomalous" in group.columns and not group["anomalous"].isna().any():
            decisions = [int(anomalous) for anomalous in group["anomalous"]]
            _write(decision_path, zip(group["clip"], decisions, strict=True))
        else:
            decision_path.unlink(missing_ok=True)


def write_result_csv(results: Results, path: str | Path) -> None:
    """Write `results` in the layout of the official evaluator's `result.csv`.

    Missing metrics are empty fields.
    """
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
    _write(Path(path), lines)


def _fields(row: pd.Series) -> list[float | str]:
    return ["" if math.isnan(row[metric]) else float(row[metric]) for metric in METRICS]


def _write(path: Path, lines: Iterable[Iterable[object]]) -> None:
    with (
        atomic_path(path) as temporary,
        temporary.open("w", encoding="utf-8", newline="") as file,
    ):
        csv.writer(file, lineterminator="\n").writerows(lines)
