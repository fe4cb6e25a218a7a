"""Features of one machine's normal training clips, from whatever the user gives as data.

Clips that would spoil the training or the figures are left out and named: copies of another
training clip, whose thresholds would be those of clips seen before, and copies of test clips. What
may be wrong (rates, channels, level, clipping) is said.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from asd_edge.checks import Levels, check_clipping, check_length, check_levels
from asd_edge.enrolment.recordings import Clip as EnrolledClip
from asd_edge.enrolment.screening import odd_levels, outliers
from asd_edge.errors import ParameterError
from asd_edge.frequencies import check_rate
from asd_edge.frontend.windows import FrontEnd
from asd_edge.scoring.fit import ViewRule, fit_scorer, score_unseen_by_folds
from asd_edge.scoring.normals import NormalEmbeddings
from asd_edge.scoring.standards import calibrate
from asd_edge.scoring.views import ScoringConfig
from asd_training.data import feature_table
from asd_training.data.clips import Clip, equal_clips, find_clips
from asd_training.data.feature_table import Failure, FeatureTable
from asd_training.errors import DatasetError, SingleSectionError
from asd_training.presets import Preset
from asd_training.progress import bar

MOST_DAMAGED = 0.1
"""Share of the training clips that may be left out as damaged."""


def cache_folder() -> Path:
    """Where feature tables are kept unless the user names a place.

    Raises:
        ParameterError: the user has no home directory.
    """
    try:
        base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    except RuntimeError as error:
        expected = "a folder (--cache), because this user has no home directory"
        raise ParameterError("cache", None, expected) from error
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
        MissingFileError, DatasetError: see `load_training_table`; no machine has any.
    """
    if data.is_file():
        table = feature_table.load(data, None, "train")
        return [str(name) for name in np.unique(table.clips["machine"])]
    clips = find_clips(data, None)
    found = sorted({c.machine for c in clips if c.split == "train" and c.label != "anomaly"})
    if not found:
        raise DatasetError(data, "has no normal training clips")
    return found


def check_sections(table: FeatureTable, preset: Preset) -> None:
    """Raise SingleSectionError where drawn triplets have no other section to draw from."""
    sections = np.unique(table.clips["section"]).tolist()
    if preset.model is not None and preset.loss.drawn and len(sections) < 2:
        raise SingleSectionError("training clips", str(table.clips["machine"][0]), sections[0])


def load_training_table(
    data: Path,
    machine: str | None,
    front_end: FrontEnd,
    cache: Path | None = None,
    jobs: int | None = None,
    *,
    skip_damaged: bool = False,
    say: Callable[[str], None] = lambda sentence: None,
) -> FeatureTable:
    """Give the features of the machine's normal training clips, without copies.

    Args:
        data: a folder of clips, whose features are then kept in `cache` and brought up
            to date first, or a feature table that `asd-data features` made.
        machine: the machine type; may be None where there is only one.
        front_end: how clips become features.
        cache: folder of feature tables; default `cache_folder()`.
        jobs: threads that compute features; default: the number of cores.
        skip_damaged: leave out clips that cannot be read, if they are few.
        say: called with each warning.

    Raises:
        MissingFileError: no such data.
        DatasetError: not a data set, no training clips in it, unreadable clips, or a
            feature table of another front end.
    """
    if data.is_file():
        table = feature_table.load(data, machine, "train")
        if table.front_end != front_end:
            raise DatasetError(data, "was made with another front end than the preset's")
        there = np.unique(table.clips["machine"]).tolist()
        if len(there) > 1:
            raise DatasetError(
                data, f"has several machines, name one by --machine: {', '.join(there)}"
            )
        table = table.take(table.clips["label"] != "anomaly")
        if not len(table):
            raise DatasetError(data, f"has no normal training clips of machine {machine!r}")
        count = len(np.unique(table.clips["recording"])) + len(table.failures)
        _check_damaged(data, table.failures, count, skip_damaged, say)
        leaked = _leaked_rows(data, table, there[0])
    else:
        table, leaked = _from_files(data, machine, front_end, cache, jobs, skip_damaged, say)
    table = _without(table, "recording", leaked, "are copies of test clips", say)
    table = _without(table, "clip", _copies(table), "are copies of other training clips", say)
    if not len(table):
        raise DatasetError(data, "has no training clip that is not a test clip as well")
    for sentence in [*sound_warnings(table), *outlier_warnings(table)]:
        say(sentence)
    return table


def _from_files(
    data: Path,
    machine: str | None,
    front_end: FrontEnd,
    cache: Path | None,
    jobs: int | None,
    skip_damaged: bool,
    say: Callable[[str], None],
) -> tuple[FeatureTable, dict[str, str]]:
    """Bring the cached table of a data set's clips up to date; give it and `_copies` of tests."""
    found = find_clips(data, machine)
    machine = choose_machine(data, found, machine)
    clips = training_clips(data, found, machine)
    wrong = [c for c in found if (c.machine, c.split, c.label) == (machine, "train", "anomaly")]
    if wrong:
        say(f"left out {len(wrong)} anomalous clips among the training clips: {wrong[0].name}")
    test = [clip for clip in found if clip.machine == machine and clip.split == "test"]
    leaked = {clip.name: twin.name for clip, twin in equal_clips(clips, test)}
    key = json.dumps([str(data.resolve()), front_end.to_dict()], sort_keys=True)
    digest = hashlib.sha256(key.encode()).hexdigest()[:16]
    path = (cache or cache_folder()) / f"{machine}-{digest}.parquet"
    with bar() as progress:
        task = progress.add_task("Features", total=len(clips), note="")
        advance = partial(progress.advance, task)
        done = feature_table.update(path, clips, front_end, jobs, advance)
    _check_damaged(data, done.failures, len(clips), skip_damaged, say)
    return feature_table.load(path), leaked


def _check_damaged(
    data: Path,
    failures: Sequence[Failure],
    count: int,
    skip: bool,
    say: Callable[[str], None],
) -> None:
    """Say that some of `count` training clips are left out, or raise DatasetError."""
    if not failures:
        return
    others = len(failures) - 1
    if not skip or len(failures) > MOST_DAMAGED * count:
        more = f" (and {others} more like it)" if others else ""
        advice = "--skip-damaged leaves such clips out"
        if skip:
            advice = f"more than {MOST_DAMAGED:.0%} of {count} clips are left out by no option"
        raise DatasetError(
            data, f"has a clip that cannot be learned from: {failures[0]}{more}; {advice}"
        )
    more = f" and {others} more" if others else ""
    say(f"left out {len(failures)} of {count} training clips: {failures[0]}{more}")


def _leaked_rows(path: Path, table: FeatureTable, machine: str) -> dict[str, str]:
    """Name the training clips of a table file that are its test clips too -> the test clip."""
    columns = ["clip", "digest", "machine", "split"]
    with pq.ParquetFile(path) as file:
        rows = file.read(columns).to_pylist()
    by_digest = {
        row["digest"]: row["clip"]
        for row in rows
        if row["machine"] == machine and row["split"] == "test"
    }
    pairs = zip(table.clips["recording"].tolist(), table.clips["digest"].tolist(), strict=True)
    return {clip: by_digest[digest] for clip, digest in pairs if digest in by_digest}


def _copies(table: FeatureTable) -> dict[str, str]:
    """Name the clips whose features are those of a clip before them -> that clip."""
    first: dict[bytes, str] = {}
    copies = {}
    for i, name in enumerate(table.clips["clip"].tolist()):
        key = hashlib.blake2b(table.windows(i).tobytes(), digest_size=16).digest()
        if first.setdefault(key, name) != name:
            copies[name] = first[key]
    return copies


def _without(
    table: FeatureTable,
    column: str,
    copies: dict[str, str],
    what: str,
    say: Callable[[str], None],
) -> FeatureTable:
    if not copies:
        return table
    clip, twin = next(iter(copies.items()))
    count = len(np.unique(table.clips[column]))
    say(f"left out {len(copies)} of {count} training clips, which {what}: {clip} is {twin}")
    return table.take(~np.isin(table.clips[column], list(copies)))


def sound_warnings(table: FeatureTable) -> list[str]:
    """Say what is odd about the sound of training clips, in sentences.

    Different rates and numbers of channels, averaged channels, and what enrolment on the
    device warns of: clipping, an odd level, short clips, rates too low for the front end.
    """
    clips = table.clips
    if "rate" not in clips:  # a table of an earlier version
        return []
    found = []
    _, files = np.unique(clips["recording"], return_index=True)
    for column, unit in (("rate", "Hz"), ("channels", "channels")):
        counts = Counter(clips[column][files].tolist()).most_common()
        if len(counts) > 1:
            odd = clips["recording"][files][clips[column][files] == counts[-1][0]][0]
            kinds = ", ".join(f"{n} of {value} {unit}" for value, n in counts)
            found.append(f"training clips differ: {kinds}, such as {odd}")
    if table.front_end.channel == "mean" and (clips["channels"] > 1).any():
        most = int(clips["channels"].max())
        found.append(
            f"{most} channels are averaged; if they are microphones at different places, "
            f"choose one with --channel 0 to {most - 1}"
        )
    rows = [_enrolled(clips, i) for i in range(len(table))]
    warnings = odd_levels([], rows)
    for clip, share in zip(rows, clips["clipped"].tolist(), strict=True):
        warnings += check_levels(
            clip.name, Levels(clip.level_db, offset=0.0, leading=0), table.front_end
        )
        warnings += check_clipping(clip.name, share)
        warnings += check_length(clip.name, clip.seconds, table.front_end)
        warnings += check_rate(clip.name, clip.rate, table.front_end)
    by_kind: dict[str, list[str]] = {}
    for warning in warnings:
        by_kind.setdefault(warning.kind, []).append(f"{warning.clip} {warning.reason}")
    for sentences in by_kind.values():
        more = f" (and {len(sentences) - 1} more like it)" if len(sentences) > 1 else ""
        found.append(sentences[0] + more)
    return found


def outlier_warnings(table: FeatureTable) -> list[str]:
    """Name the training clips that are far from all others, as enrolment on the device does.

    By mean and fluctuation of each band (see `network.time_statistics`), whatever the preset
    learns: clips are judged before a network is trained on them.
    """
    rows = table.clips["n_windows"]
    statistics = []
    for i in range(len(rows)):
        windows = table.windows(i)
        parts = windows.mean(axis=2), np.abs(np.diff(windows, axis=2)).mean(axis=2)
        statistics.append(np.concatenate(parts, axis=1).astype(np.float32))
    normals = NormalEmbeddings(
        views={"statistics": np.concatenate(statistics)},
        **{
            f"{name}s": np.repeat(table.clips[name], rows) for name in ("clip", "section", "domain")
        },
    )
    rules = {"statistics": ViewRule(ScoringConfig("whitened"))}
    try:
        unseen = score_unseen_by_folds(partial(fit_scorer, rules), normals)
        scorer, _ = calibrate(rules, fit_scorer(rules, normals), unseen, len(normals.clips))
    except ParameterError:  # too few clips to tell
        return []
    found = outliers(scorer, unseen, set(table.clips["clip"].tolist()))
    if not found:
        return []
    names = ", ".join(warning.clip for warning in found[1:4])
    more = f" (and {len(found) - 1} more: {names}{', ...' if len(found) > 4 else ''})"
    return [f"{found[0].clip} {found[0].reason}{more if len(found) > 1 else ''}; listen to it"]


def _enrolled(clips: Mapping[str, NDArray[Any]], i: int) -> EnrolledClip:
    """Describe clip i as enrolment's checks want it."""
    row = {name: values[i].item() for name, values in clips.items()}
    return EnrolledClip(
        recording=row["recording"],
        start_s=row["start_s"],
        whole=row["clip"] == row["recording"],
        section=row["section"],
        embeddings={},
        seconds=row["seconds"],
        rate=row["rate"],
        level_db=row["level_db"],
        excerpt=np.empty(0, np.int16),
    )
