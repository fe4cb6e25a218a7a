"""Labels and domains that the organisers publish after a challenge, for clips that tell none.

Read are, from a file or from all files below a folder,

    ground_truth_<machine>_section_<NN>_test.csv    clip,0|1    1: anomaly; in a folder whose name
                                                                has "domain": 1: target
    ground_truth_<machine>_id_<NN>.csv              clip,0|1
    either                                          clip,name   a name that tells label and domain
    eval_data_list*.csv                             a line with a machine, then lines
                                                    clip,name[,0|1] of its clips

as in nttcslab/dcase2023_task2_evaluator and its like, and y-kawagu/dcase2020_task2_evaluator.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from asd_edge.audio.clip_names import is_audio_name, parse_clip_name
from asd_edge.errors import MissingFileError
from asd_training.data.clips import Clip
from asd_training.errors import DatasetError

_FILE = re.compile(r"ground_truth_(?P<machine>.+?)_(?:section|id)_\w+?(?:_test)?\.csv")
_LABELS = {"0": "normal", "1": "anomaly"}
_DOMAINS = {"0": "source", "1": "target"}


@dataclass(frozen=True)
class Truth:
    """What is published of one clip; "" for what is not."""

    label: str = ""
    domain: str = ""


class GroundTruth:
    """Published labels and domains by machine and file name.

    Args:
        path: a file, or a folder with files at any depth.

    Raises:
        MissingFileError: there is no such path.
        DatasetError: no file that is read, a line of another form, or two that contradict.
    """

    def __init__(self, path: Path) -> None:
        if not path.exists():
            raise MissingFileError(path, "ground truth")
        files = sorted(path.rglob("*.csv")) if path.is_dir() else [path]
        files = [file for file in files if is_ground_truth(file.name)]
        if not files:
            raise DatasetError(
                path,
                "holds no ground truth; expected files like ground_truth_fan_section_00_test.csv "
                "or eval_data_list.csv",
            )
        self.path = path
        self._known: dict[tuple[str, str], Truth] = {}
        for file in files:
            for machine, clip, truth in _read(file):
                self._add(file, machine, clip, truth)

    def of(self, machine: str, clip: str) -> Truth:
        """Give what is published of a clip; its folders do not count."""
        return self._known.get((machine, clip.rpartition("/")[2]), Truth())

    def label_clips(self, clips: Sequence[Clip]) -> list[Clip]:
        """Give the clips with the labels and domains that their names do not tell.

        Raises:
            DatasetError: none of them is in the ground truth.
        """
        labelled = []
        for clip in clips:
            truth = self.of(clip.machine, clip.name)
            label = truth.label if clip.label == "unknown" and truth.label else clip.label
            labelled.append(replace(clip, label=label, domain=clip.domain or truth.domain))
        self._check_used(clips, labelled)
        return labelled

    def label_scores(self, scores: pd.DataFrame) -> pd.DataFrame:
        """Give a table of scores with the labels and domains that its clips do not tell.

        Raises:
            DatasetError: none of them is in the ground truth.
        """
        truths = [self.of(m, c) for m, c in zip(scores["machine"], scores["clip"], strict=True)]
        labels = [
            truth.label if label == "unknown" and truth.label else label
            for truth, label in zip(truths, scores["label"], strict=True)
        ]
        domains = [
            domain or truth.domain for truth, domain in zip(truths, scores["domain"], strict=True)
        ]
        self._check_used(scores["label"].tolist(), labels)
        return scores.assign(label=labels, domain=domains)

    def _check_used(self, before: Sequence[object], after: Sequence[object]) -> None:
        if list(before) == list(after):
            raise DatasetError(self.path, "tells nothing new of any of these clips")

    def _add(self, file: Path, machine: str, clip: str, truth: Truth) -> None:
        known = self._known.get((machine, clip), Truth())
        for name in ("label", "domain"):
            old, new = getattr(known, name), getattr(truth, name)
            if old and new and old != new:
                raise DatasetError(file, f"{clip} is {new}, and {old} in another file")
        both = Truth(truth.label or known.label, truth.domain or known.domain)
        self._known[machine, clip] = both


def is_ground_truth(name: str) -> bool:
    """Say whether a file is ground truth by its name."""
    listed = name.startswith("eval_data_list") and name.endswith(".csv")
    return listed or _FILE.fullmatch(name) is not None


def _read(path: Path) -> Iterator[tuple[str, str, Truth]]:
    found = _FILE.fullmatch(path.name)
    machine = found["machine"] if found else ""
    values = _DOMAINS if "domain" in path.parent.name.lower() else _LABELS
    with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
        reader = csv.reader(file)
        for row in reader:
            fields = [field.strip() for field in row if field.strip()]
            if not fields:
                continue
            place = f"{path}:{reader.line_num}"
            if len(fields) == 1 and not is_audio_name(fields[0]) and found is None:
                machine = fields[0]
                continue
            if len(fields) < 2 or not is_audio_name(fields[0]):
                raise DatasetError(place, "expected clip,0|1 or clip,name")
            if not machine:
                raise DatasetError(place, "has a clip before the name of its machine")
            yield machine, fields[0].rpartition("/")[2], _truth(fields[1:], values, place)


def _truth(fields: list[str], values: dict[str, str], place: str) -> Truth:
    """Read "0" or "1", or a name; of several fields what they tell together."""
    label = domain = ""
    for field in fields:
        if field in values:
            if values is _LABELS:
                label = label or values[field]
            else:
                domain = values[field]
        elif named := parse_clip_name(field):
            label, domain = named.label or label, named.domain or domain
        else:
            raise DatasetError(place, f"{field!r} is neither 0, 1 nor the name of a clip")
    return Truth(label, domain)
