"""Finding the clips of a data set and what is known of each, from names and folders alone.

Layouts, told apart file by file:

    DCASE 2020       <machine>/{train,test}/normal_id_00_00000000.wav
    DCASE 2021       <machine>/{train,source_test,target_test}/section_00_..._0000[_attr].wav
    DCASE 2022-2025  <machine>/{train,test}/section_00_..._0000[_attr].wav
    MIMII            [6_dB_fan/]<machine>/id_00/{normal,abnormal}/00000000.wav
    plain            {normal,anomaly}/any name.wav, in one folder or in one folder per section

Further folders above the machine (dev_data, eval_data, raw, ...) are passed through;
the folder given may also be one machine, or one part of it.
"""

from __future__ import annotations

import logging
import os
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path, PurePath

from asd_edge.audio.clip_names import is_audio_name, parse_clip_name, section_of_folder
from asd_edge.errors import MissingFileError
from asd_training.errors import DatasetError

_log = logging.getLogger(__name__)

_SPLIT_FOLDERS = {
    "train": ("", "train"),
    "test": ("", "test"),
    "source_train": ("source", "train"),
    "target_train": ("target", "train"),
    "source_test": ("source", "test"),
    "target_test": ("target", "test"),
}
_LABEL_FOLDERS = {
    "normal": "normal",
    "anomaly": "anomaly",
    "anomalous": "anomaly",
    "abnormal": "anomaly",
}
_SUPPLEMENT_FOLDERS = {"supplement", "supplemental", "supplementary"}

_EXPECTED = (
    "expected DCASE names (section_00_source_train_normal_0000.wav, normal_id_00_00000000.wav) "
    "or folders normal/ and anomaly/ (or abnormal/)"
)


@dataclass(frozen=True)
class Clip:
    """One recording of a data set.

    `name` is the posix path relative to the folder searched, unique there.
    `section` is the number as written ("00") or the folder's name, `domain` is
    "source", "target" or "" where the data set knows none, `split` is "train" or
    "test", `label` is "normal", "anomaly" or "unknown", `attributes` is raw text.
    """

    path: Path
    name: str
    machine: str
    section: str
    domain: str
    split: str
    label: str
    attributes: str = ""


def find_clips(root: str | Path, machine: str | None = None) -> list[Clip]:
    """Find the clips under `root`, of one machine or of all, sorted by name.

    The name of a file tells more than its folders and wins over them. The
    machine is the nearest folder that is neither split, label nor section, else
    `root` itself. With plain folders, <X>/normal/ makes X a section of the
    machine above it, and section "00" if there is no X: normal/ in `root`.

    Where nothing tells the split (MIMII, plain folders), the first normal clips
    of a section in name order become test clips, as many as it has anomalies
    but at most half of them; the rest is for training. This is the split of the
    MIMII baseline (Purohit et al., "MIMII Dataset", DCASE Workshop 2019).

    Hidden files and supplements (DCASE 2025) are passed over, and so are audio
    files that tell no label, with a warning that counts them and names one.

    Raises MissingFileError if `root` is no folder, and DatasetError if it
    has no clip that can be told, or none of `machine`.
    """
    root = Path(root)
    if not root.is_dir():
        raise MissingFileError(root, "folder")
    # A folder like fan/train or fan/id_00 is part of a machine: its own name counts too.
    # Not resolved: the name of a link is what the user calls the machine.
    full = Path(os.path.abspath(root))  # noqa: PTH100 - Path.absolute keeps ".."
    top = full
    while top.name and _is_structure(top.name):
        top = top.parent
    above = full.relative_to(top).parts

    clips: list[Clip] = []
    unsplit: dict[tuple[str, str, PurePath], list[Clip]] = defaultdict(list)
    unknown: list[str] = []
    for name in _audio_names(root):
        folders = (*above, *name.parts[:-1])
        if any(folder.lower() in _SUPPLEMENT_FOLDERS for folder in folders):
            continue
        told = parse_clip_name(name.name)
        if told is not None and told.supplement:
            continue
        clip = _describe(root, name, folders, top.name or "machine")
        if clip is None:
            unknown.append(name.as_posix())
        elif clip.split:
            clips.append(clip)
        else:
            place = PurePath(*(f for f in folders if f.lower() not in _LABEL_FOLDERS))
            unsplit[clip.machine, clip.section, place].append(clip)
    for group in unsplit.values():
        clips.extend(_split(group))

    if unknown and not clips:
        raise DatasetError(root, f"{unknown[0]} tells neither section nor label; {_EXPECTED}")
    if not clips:
        raise DatasetError(root, f"holds no audio files; {_EXPECTED}")
    if unknown:
        _log.warning(
            "%s: passed over %d of %d audio files, which tell no label (%s); %s",
            *(root, len(unknown), len(unknown) + len(clips), unknown[0], _EXPECTED),
        )
    if machine is not None:
        there = sorted({clip.machine for clip in clips})
        if machine not in there:
            hint = ""
            if any(clip.section == machine for clip in clips):
                hint = f" ({machine!r} is a section of it; {root / machine} is that one alone)"
            raise DatasetError(
                root, f"has no machine {machine!r}; it has: {', '.join(there)}{hint}"
            )
        clips = [clip for clip in clips if clip.machine == machine]
    return sorted(clips, key=lambda clip: clip.name)


def machines(root: str | Path) -> list[str]:
    """Name the machines of a data set, sorted; raises what `find_clips` raises."""
    return sorted({clip.machine for clip in find_clips(root)})


def _audio_names(root: Path) -> Iterator[PurePath]:
    """Yield the audio files under `root`, relative to it, in order; follows links, once each."""
    seen: set[str] = set()
    for folder, subfolders, files in os.walk(root, followlinks=True):
        real = os.path.realpath(folder)
        if real in seen:
            subfolders.clear()
            continue
        seen.add(real)
        subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
        for name in sorted(files):
            if is_audio_name(name):
                yield (Path(folder) / name).relative_to(root)


def _is_structure(folder: str) -> bool:
    folder = folder.lower()
    return (
        folder in _SPLIT_FOLDERS
        or folder in _LABEL_FOLDERS
        or folder in _SUPPLEMENT_FOLDERS
        or section_of_folder(folder) is not None
    )


def _describe(root: Path, name: PurePath, folders: tuple[str, ...], above: str) -> Clip | None:
    """Tell what name and folders say; `split` is "" where they do not tell it."""
    domain = split = label = section = ""
    places = []
    for folder in folders:
        lower = folder.lower()
        if lower in _SPLIT_FOLDERS:
            domain, split = _SPLIT_FOLDERS[lower]
        elif lower in _LABEL_FOLDERS:
            label = _LABEL_FOLDERS[lower]
        elif number := section_of_folder(folder):
            section = number
        else:
            places.append(folder)
    told = parse_clip_name(name.name)
    if told is None and not label:
        return None
    if told is not None:
        section, label = told.section, told.label or label
        domain, split = told.domain or domain, told.split or split
    elif not section:
        section = places.pop() if places else "00"
    return Clip(
        path=root / name,
        name=name.as_posix(),
        machine=places[-1] if places else above,
        section=section,
        domain=domain,
        # Without a label there is nothing to learn from: an evaluation clip.
        split=split or ("" if label else "test"),
        label=label or "unknown",
        attributes=told.attributes if told else "",
    )


def _split(group: list[Clip]) -> list[Clip]:
    """Share the clips of one section out between training and test."""
    normal = sorted((clip for clip in group if clip.label == "normal"), key=lambda c: c.name)
    anomalies = [clip for clip in group if clip.label == "anomaly"]
    held_out = min(len(anomalies), len(normal) // 2)
    return [
        *(replace(clip, split="test") for clip in [*normal[:held_out], *anomalies]),
        *(replace(clip, split="train") for clip in normal[held_out:]),
    ]
