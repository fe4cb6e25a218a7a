"""Finding the clips of a data set, and reading what names and folders say about each.

Layouts, told apart file by file:

    DCASE 2020       <machine>/{train,test}/normal_id_00_00000000.wav
    DCASE 2021       <machine>/{train,source_test,target_test}/section_00_..._0000[_attr].wav
    DCASE 2022-2025  <machine>/{train,test}/section_00_..._0000[_attr].wav
    MIMII            [6_dB_fan/]<machine>/id_00/{normal,abnormal}/00000000.wav
    plain            {normal,anomaly}/any name.wav, in one folder or in one folder per section

The folder given may also be one machine, or one part of it. Folders above the machine may have
any name, but all clips of a machine lie in one folder, or in one of each of the challenge's
parts (dev_data, eval_data). <machine>/test_rename, which the organisers' script makes of an
evaluation set, holds the labelled twins of the clips in <machine>/test and replaces them.
"""

from __future__ import annotations

import hashlib
import logging
import os
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path, PurePath, PurePosixPath
from typing import Any

from asd_edge.audio.clip_names import parse_clip_name, section_of_folder
from asd_edge.errors import MissingFileError
from asd_training.data.filesystems import is_url, open_filesystem, open_remote, printable, walk
from asd_training.errors import DatasetError

_log = logging.getLogger(__name__)

_SPLIT_FOLDERS = {
    "train": ("", "train"),
    "test": ("", "test"),
    "test_rename": ("", "test"),
    "source_train": ("source", "train"),
    "target_train": ("target", "train"),
    "source_test": ("source", "test"),
    "target_test": ("target", "test"),
}
_LABELLED_TWINS = "test_rename"
_LABEL_FOLDERS = {
    "normal": "normal",
    "anomaly": "anomaly",
    "anomalous": "anomaly",
    "abnormal": "anomaly",
}
_SUPPLEMENT_FOLDERS = {"supplement", "supplemental", "supplementary"}
# Parts of one challenge's data set that share their machines.
_PART_FOLDERS = {
    *("dev_data", "eval_data", "dev", "eval", "development", "evaluation", "additional"),
    *("additional_data", "additional_training", "additional_train", "eval_data_train"),
    *("eval_data_test", "raw"),
}

_EXPECTED = (
    "expected DCASE names (section_00_source_train_normal_0000.wav, normal_id_00_00000000.wav) "
    "or folders normal/ and anomaly/ (or abnormal/)"
)


@dataclass(frozen=True)
class Clip:
    """One recording of a data set.

    `name` is the posix path relative to the folder searched, unique there; bytes of a file
    name that are no UTF-8 are written as \\xNN in it. `section` is the number as written
    ("00") or the folder's name, `domain` is "source", "target" or "" where the data set
    knows none, `split` is "train" or "test", `label` is "normal", "anomaly" or "unknown",
    `attributes` is raw text. `url` is where the file is, if not on this computer. Of a piece that
    was cut out of a recording, `start_s` is where it begins there.
    """

    path: Path
    name: str
    machine: str
    section: str
    domain: str
    split: str
    label: str
    attributes: str = ""
    url: str = ""
    start_s: float | None = None

    @property
    def place(self) -> str:
        """What messages call the file: its path or URL."""
        return self.url or str(self.path)


@dataclass(frozen=True)
class Description:
    """What the name of a file and its folders say; "" where they say nothing."""

    section: str
    domain: str
    split: str
    label: str
    attributes: str


@dataclass(frozen=True)
class _Found:
    """A clip, and the folders that decide which machine it belongs to.

    Attributes:
        clip: the clip; its split is "" where nothing tells it.
        home: the machine's folder.
        group: the folder whose clips are shared out between training and test together.
        twin: whether the clip lies in a folder of labelled twins.
    """

    clip: Clip
    home: PurePath
    group: PurePath
    twin: bool


def find_clips(root: str | Path, machine: str | None = None) -> list[Clip]:
    """Find the clips under `root`, of one machine or of all, sorted by name.

    `root` is a folder, or a URL that fsspec opens, as s3://bucket/data.

    What the name of a file says wins over what its folders say. The machine is the nearest
    folder that is neither split, label nor section, else `root` itself. With plain folders,
    <X>/normal/ makes X a section of the machine above it, and section "00" if there is no X:
    normal/ in `root`.

    Where nothing tells the split (MIMII, plain folders), the first normal clips
    of a section in name order become test clips, as many as it has anomalies
    but at most half of them; the rest is for training. This is the split of the
    MIMII baseline (Purohit et al., "MIMII Dataset", DCASE Workshop 2019).

    Hidden files are passed over. A warning names what else is passed over: supplements (DCASE
    2025), audio files without a label, folders inside a machine that are no part of any
    layout, folders that cannot be read, and second copies of a clip under the same name.

    Raises:
        MissingFileError: `root` is no folder.
        DatasetError: no clip that can be told, none of `machine`, a machine that lies in two
            places, or one name for two different clips of a machine.
    """
    names, above, top = _search(root)
    found: list[_Found] = []
    unlabelled: list[str] = []
    supplements: list[str] = []
    for name in names:
        folders = (*above, *name.parts[:-1])
        parsed = parse_clip_name(name.name)
        supplement = parsed is not None and parsed.supplement
        if supplement or any(folder.lower() in _SUPPLEMENT_FOLDERS for folder in folders):
            supplements.append(printable(name.as_posix()))
            continue
        told = _find(root, name, folders, printable(top) or "machine")
        if told is None:
            unlabelled.append(printable(name.as_posix()))
        else:
            found.append(told)
    if not found:
        reason = "holds no audio files"
        if unlabelled:
            reason = f"{unlabelled[0]} tells neither section nor label"
        elif supplements:
            reason = f"holds supplements alone, such as {supplements[0]}"
        raise DatasetError(root, f"{reason}; {_EXPECTED}")
    total = len(found) + len(unlabelled) + len(supplements)
    _warn_passed_over(root, unlabelled, total, f"which tell no label; {_EXPECTED}")
    _warn_passed_over(
        root, supplements, total, "supplements of clean machines or noise, which are not used"
    )
    found = _without_unlabelled_twins(found)
    found = _without_unknown_folders(root, found, total)
    if machine is not None:
        found = _of_machine(root, found, machine)
    _check_homes(root, found)
    found = _without_second_copies(root, found)

    clips = [f.clip for f in found if f.clip.split]
    unsplit: dict[tuple[str, str, PurePath], list[Clip]] = defaultdict(list)
    for f in found:
        if not f.clip.split:
            unsplit[f.clip.machine, f.clip.section, f.group].append(f.clip)
    for group in unsplit.values():
        clips.extend(_split(group))
    return sorted(clips, key=lambda clip: clip.name)


def _of_machine(root: str | Path, found: list[_Found], machine: str) -> list[_Found]:
    own = [f for f in found if f.clip.machine == machine]
    if not own:
        machines = ", ".join(sorted({f.clip.machine for f in found}))
        hint = ""
        if any(f.clip.section == machine for f in found):
            hint = f" ({machine!r} is a section of it; {root}/{machine} is that one alone)"
        raise DatasetError(root, f"has no machine {machine!r}; it has: {machines}{hint}")
    return own


def describe(name: PurePath, folders: Iterable[str] | None = None) -> Description:
    """Read what the name of a clip and the folders above it say.

    Args:
        name: the file, with its folders.
        folders: instead of those in `name`.
    """
    domain = split = label = section = ""
    for folder in name.parts[:-1] if folders is None else folders:
        lower = folder.lower()
        if lower in _SPLIT_FOLDERS:
            domain, split = _SPLIT_FOLDERS[lower]
        elif lower in _LABEL_FOLDERS:
            label = _LABEL_FOLDERS[lower]
        elif number := section_of_folder(folder):
            section = number
    parsed = parse_clip_name(name.name)
    if parsed is None:
        return Description(section, domain, split, label, "")
    return Description(
        parsed.section,
        parsed.domain or domain,
        parsed.split or split,
        parsed.label or label,
        printable(parsed.attributes),
    )


def content_digest(path: Path) -> str:
    """Digest of a file's content.

    Raises:
        MissingFileError: the file is gone.
    """
    # Content rather than size and time, which a restored backup or a copy can leave the same.
    try:
        with path.open("rb") as file:
            return digest_of(file)
    except FileNotFoundError as error:
        raise MissingFileError(path) from error


def _content(clip: Clip) -> str:
    if not clip.url:
        return content_digest(clip.path)
    fs, path = open_filesystem(clip.url, folder=False)
    with open_remote(fs, path) as file:
        return digest_of(file)


def digest_of(file: Any) -> str:
    """Digest of a file's content, as `content_digest`."""
    return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()


def equal_clips(clips: Iterable[Clip], others: Iterable[Clip]) -> list[tuple[Clip, Clip]]:
    """Find the clips whose file has the same content as one of `others`, and that one.

    A file is read whole only if its size and a page in its middle equal another's.
    """
    candidates: dict[tuple[int, bytes], list[Clip]] = defaultdict(list)
    for clip in others:
        if glance := _glance(clip.path):
            candidates[glance].append(clip)
    equal = []
    for clip in clips:
        glance = _glance(clip.path)
        twins = candidates.get(glance, []) if glance else []
        if twins:
            digest = content_digest(clip.path)
            equal += [(clip, twin) for twin in twins if content_digest(twin.path) == digest][:1]
    return equal


def copies(clips: Iterable[Clip]) -> list[tuple[Clip, Clip]]:
    """Find the clips whose file has the same content as one before it, and that one."""
    alike: dict[tuple[int, bytes], list[Clip]] = defaultdict(list)
    for clip in clips:
        if glance := _glance(clip.path):
            alike[glance].append(clip)
    found = []
    for group in alike.values():
        first: dict[str, Clip] = {}
        for clip in group if len(group) > 1 else ():  # no others are read whole
            twin = first.setdefault(content_digest(clip.path), clip)
            if twin is not clip:
                found.append((clip, twin))
    return found


def _glance(path: Path) -> tuple[int, bytes] | None:
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(size // 2)
            return size, file.read(4096)
    except OSError:  # reported where the clip is read
        return None


def _warn_passed_over(root: str | Path, names: list[str], total: int, reason: str) -> None:
    if names:
        _log.warning(
            "%s: passed over %d of %d audio files (%s), %s",
            *(root, len(names), total, names[0], reason),
        )


def _search(root: str | Path) -> tuple[list[PurePath], tuple[str, ...], str]:
    """Find the sound files below a folder or URL.

    Returns:
        their names relative to it, in order; its own last folders as far as they are part of a
        machine, as in fan/train; and the name of the folder above those.
    """
    if is_url(root):
        fs, path = open_filesystem(str(root))
        full: PurePath = PurePosixPath("/", path.split("://")[-1].strip("/"))
    else:
        if not Path(root).is_dir():
            raise MissingFileError(root, "folder")
        # Not resolved: the name of a link is what the user calls the machine.
        fs, path = None, str(root)
        full = Path(os.path.abspath(root))  # noqa: PTH100 - Path.absolute keeps ".."
    unread: list[str] = []
    names = sorted(PurePath(found.name) for found in walk(fs, path, unread))
    for folder in unread:
        _log.warning("%s", folder)
    # A folder like fan/train or fan/id_00 is part of a machine: its own name counts too.
    top = full
    while top.name and is_structure(top.name):
        top = top.parent
    return names, full.relative_to(top).parts, top.name


def is_structure(folder: str) -> bool:
    """Whether the name of a folder says split, label or section, and so names no machine."""
    folder = folder.lower()
    return (
        folder in _SPLIT_FOLDERS
        or folder in _LABEL_FOLDERS
        or folder in _SUPPLEMENT_FOLDERS
        or section_of_folder(folder) is not None
    )


def _find(root: str | Path, name: PurePath, folders: tuple[str, ...], above: str) -> _Found | None:
    """Describe one audio file; None if it tells no label and no section."""
    described = describe(name, folders)
    if not described.section and not described.label:
        return None
    named = parse_clip_name(name.name) is not None
    if not named and not described.label:
        return None
    places = [i for i, folder in enumerate(folders) if not is_structure(folder)]
    section = described.section
    if not section:
        section = printable(folders[places.pop()]) if places else "00"
    home = PurePath(*folders[: places[-1] + 1]) if places else PurePath()
    clip = Clip(
        path=Path(root, name),
        url=f"{str(root).rstrip('/')}/{name.as_posix()}" if is_url(root) else "",
        name=printable(name.as_posix()),
        machine=printable(folders[places[-1]]) if places else above,
        section=section,
        domain=described.domain,
        # Without a label there is nothing to learn from: an evaluation clip.
        split=described.split or ("" if described.label else "test"),
        label=described.label or "unknown",
        attributes=described.attributes,
    )
    group = PurePath(*(f for f in folders if f.lower() not in _LABEL_FOLDERS))
    splits = [folder.lower() for folder in folders if folder.lower() in _SPLIT_FOLDERS]
    twin = splits[-1:] == [_LABELLED_TWINS]
    return _Found(clip, home, group, twin)


def _without_unlabelled_twins(found: list[_Found]) -> list[_Found]:
    """Drop the unlabelled test clips of machines that have labelled twins of them."""
    labelled = {f.home for f in found if f.twin and f.clip.label != "unknown"}
    return [
        f
        for f in found
        if f.twin or f.home not in labelled or (f.clip.split, f.clip.label) != ("test", "unknown")
    ]


def _without_unknown_folders(root: str | Path, found: list[_Found], total: int) -> list[_Found]:
    """Drop, and name, what lies in a folder inside a machine that no layout knows."""
    homes = {f.home for f in found}
    inside = {home for home in homes if any(parent in homes for parent in home.parents)}
    for home in sorted(inside):
        names = [f.clip.name for f in found if f.home == home]
        machine = home.parent.name or PurePath(root).name
        reason = f"in a folder of no known meaning inside the machine {machine!r}"
        _warn_passed_over(root, names, total, reason)
    return [f for f in found if f.home not in inside]


def _check_homes(root: str | Path, found: list[_Found]) -> None:
    """Raise DatasetError for a machine whose clips lie in two places."""
    places: dict[str, dict[PurePath, PurePath]] = defaultdict(dict)
    for f in found:
        parts = (part for part in f.home.parts if part.lower() not in _PART_FOLDERS)
        place = PurePath(*(part for part in parts if not is_structure(part)))
        places[f.clip.machine].setdefault(place, f.home)
    for machine, homes in places.items():
        if len(homes) > 1:
            first, second = list(homes.values())[:2]
            raise DatasetError(
                root,
                f"has the machine {machine!r} in {len(homes)} places, {printable(str(first))} and "
                f"{printable(str(second))}; give the folder of one of them, or rename one",
            )


def _without_second_copies(root: str | Path, found: list[_Found]) -> list[_Found]:
    """Drop the second of two clips of one machine and one DCASE name, if they are equal.

    The tree of 2021 has some clips in source_test or target_test and in test as well.

    Raises:
        DatasetError: they are not equal.
    """
    by_name: dict[tuple[str, str], list[_Found]] = defaultdict(list)
    for f in found:
        if parse_clip_name(f.clip.path.name) is not None:
            by_name[f.clip.machine, f.clip.path.name].append(f)
    dropped: set[str] = set()
    for same in by_name.values():
        if len(same) == 1:
            continue
        same.sort(key=lambda f: f.clip.domain == "")  # what a folder says of the domain is kept
        first = same[0].clip
        for f in same[1:]:
            if _content(f.clip) != _content(first):
                raise DatasetError(
                    root,
                    f"has two different clips of one name, {first.name} and {f.clip.name}; "
                    "rename one",
                )
            dropped.add(f.clip.name)
    _warn_passed_over(root, sorted(dropped), len(found), "second copies of clips of the same name")
    return [f for f in found if f.clip.name not in dropped]


def _split(group: list[Clip]) -> list[Clip]:
    """Share out the clips of one section between training and test."""
    normal = sorted((clip for clip in group if clip.label == "normal"), key=lambda c: c.name)
    anomalies = [clip for clip in group if clip.label == "anomaly"]
    held_out = min(len(anomalies), len(normal) // 2)
    return [
        *(replace(clip, split="test") for clip in [*normal[:held_out], *anomalies]),
        *(replace(clip, split="train") for clip in normal[held_out:]),
    ]
