"""From what the user names as data to the features of one machine's training clips."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

from asd_edge.frontend.windows import FrontEnd
from asd_training.data import feature_table
from asd_training.data.clips import Clip, find_clips
from asd_training.data.feature_table import FeatureTable
from asd_training.errors import DatasetError, SingleSectionError
from asd_training.presets import Preset
from asd_training.progress import bar


def cache_folder() -> Path:
    """Where feature tables are kept unless the user names a place."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "asd-edge" / "features"


def choose_machine(data: Path, clips: list[Clip], machine: str | None) -> str:
    """Give the machine to work with; it must be named where there are several.

    Raises:
        DatasetError: several machines and none named.
    """
    if machine is not None:
        return machine
    there = sorted({clip.machine for clip in clips})
    if len(there) > 1:
        raise DatasetError(data, f"has several machines, name one by --machine: {', '.join(there)}")
    return there[0]


def training_clips(data: Path, clips: list[Clip], machine: str) -> list[Clip]:
    """Pick the normal training clips of a machine.

    Raises:
        DatasetError: there are none.
    """
    chosen = [
        clip
        for clip in clips
        if clip.machine == machine and clip.split == "train" and clip.label != "anomaly"
    ]
    if not chosen:
        raise DatasetError(data, f"has no normal training clips of machine {machine!r}")
    return chosen


def machines(data: Path) -> list[str]:
    """Name the machines of a data set that have normal training clips.

    Raises:
        MissingFileError, DatasetError: see `load_training_table`.
    """
    if data.is_file():
        table = feature_table.load(data, None, "train")
        return sorted(table.clips["machine"].unique())
    clips = find_clips(data, None)
    return sorted({c.machine for c in clips if c.split == "train" and c.label != "anomaly"})


def check_sections(table: FeatureTable, preset: Preset) -> None:
    """Raise SingleSectionError where drawn triplets have no other section to draw from."""
    sections = table.clips["section"].unique()
    if preset.model is not None and preset.loss.drawn and len(sections) < 2:
        raise SingleSectionError("training clips", table.clips["machine"].iloc[0], sections[0])


def load_training_table(
    data: Path,
    machine: str | None,
    front_end: FrontEnd,
    cache: Path | None = None,
    jobs: int | None = None,
) -> FeatureTable:
    """Give the features of the machine's normal training clips.

    Args:
        data: a folder of clips, whose features are then kept in `cache` and brought up
            to date first, or a feature table that `asd-data features` made.
        machine: the machine type; may be None where there is only one.
        front_end: how clips become features.
        cache: folder of feature tables; default `cache_folder()`.
        jobs: threads that compute features; default: the number of cores.

    Raises:
        MissingFileError: no such data.
        DatasetError: not a data set, no training clips in it, unreadable clips, or a
            feature table of another front end.
    """
    if data.is_file():
        table = feature_table.load(data, machine, "train")
        if table.front_end != front_end:
            raise DatasetError(data, "was made with another front end than the preset's")
        there = sorted(table.clips["machine"].unique())
        if len(there) > 1:
            raise DatasetError(
                data, f"has several machines, name one by --machine: {', '.join(there)}"
            )
        return table.take((table.clips["label"] != "anomaly").to_numpy())
    found = find_clips(data, machine)
    machine = choose_machine(data, found, machine)
    clips = training_clips(data, found, machine)
    key = json.dumps([str(data.resolve()), front_end.to_dict()], sort_keys=True)
    digest = hashlib.sha256(key.encode()).hexdigest()[:16]
    path = (cache or cache_folder()) / f"{machine}-{digest}.parquet"
    with bar() as progress:
        task = progress.add_task("Features", total=len(clips), note="")
        done = feature_table.update(path, clips, front_end, jobs, lambda: progress.advance(task))
    if done.errors:
        more = f" (and {len(done.errors) - 1} more like it)" if len(done.errors) > 1 else ""
        raise DatasetError(data, f"has a clip that cannot be learned from: {done.errors[0]}{more}")
    return feature_table.load(path)
