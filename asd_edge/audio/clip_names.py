"""Parse clip names: the file names of DCASE Task 2, 2020 to 2025, and of MIMII.

2020         normal_id_00_00000000.wav, anomaly_id_00_00000000.wav, id_05_00000000.wav
2021 - 2025  section_00_source_train_normal_0000[_attributes].wav
             section_03_source_test_0000.wav   (unlabelled, 2021)
             section_03_0000.wav               (unlabelled, 2022 and later)
2025         section_00_supplement_noise_0000.wav: clean or noise-only supplements
MIMII        <machine>/id_00/{normal,abnormal}/00000000.wav: the folders tell all
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import NamedTuple

AUDIO_SUFFIXES = frozenset(
    {
        *(".wav", ".wave", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff", ".aifc"),
        *(".au", ".snd", ".caf", ".w64", ".rf64", ".voc"),
        *(".m4a", ".mp4", ".aac", ".wma", ".webm", ".mka", ".amr", ".3gp", ".spx", ".wv", ".tta"),
    }
)
"""Lower-case suffixes of self-describing audio formats; those of the last row need ffmpeg."""


class ClipName(NamedTuple):
    """What one file name says; an empty text where it says nothing.

    `section` is the number as written ("00"), `domain` is "source" or "target",
    `split` is "train" or "test", `label` is "normal" or "anomaly". `attributes`
    is the raw text behind the number: published names misspell and reorder
    them, so it is compared and shown, never parsed. A name without label and
    split is an unlabelled evaluation clip, or a supplement if `supplement` is set.
    """

    section: str
    domain: str = ""
    split: str = ""
    label: str = ""
    attributes: str = ""
    supplement: bool = False


# Texts, compiled by `re` when first used: most clips need one of them, and compiling is slow.
_ID_NAME = r"(?:(?P<label>normal|anomaly)_)?id_(?P<section>\d+)_\d+"
_SECTION_NAME = (
    r"section_(?P<section>\d+)_(?:(?P<domain>source|target)_)?(?:(?P<split>train|test)_)?"
    r"(?:(?P<label>normal|anomaly)_)?\d+(?:_(?P<attributes>.*))?"
)
# The words and their order differ between the supplements of one year, so all are allowed.
_SUPPLEMENT_NAME = (
    r"section_(?P<section>\d+)_(?P<words>(?:(?:source|target|normal|supplement|supplemental|"
    r"supplementary|noise|machine|clean)_)+)\d+(?:_(?P<attributes>.*))?"
)
_SECTION_FOLDER = r"(?:id|section)_(\d+)"


def is_audio_name(name: str) -> bool:
    """Say whether a file name has an audio suffix and is not hidden."""
    stem, dot, suffix = name.rpartition(".")  # a Path of each file of an archive takes long
    return stem[:1] not in ("", ".") and f"{dot}{suffix.lower()}" in AUDIO_SUFFIXES


def parse_clip_name(name: str) -> ClipName | None:
    """Read a DCASE Task 2 file name, with or without folders and suffix; None for any other."""
    name = os.path.split(name)[1]
    # Only a known suffix is cut: attributes may hold a dot of their own.
    stem, _, suffix = name.rpartition(".")
    if f".{suffix.lower()}" not in AUDIO_SUFFIXES:
        stem = name
    if match := re.fullmatch(_ID_NAME, stem):
        return ClipName(section=match["section"], label=match["label"] or "")
    if match := re.fullmatch(_SECTION_NAME, stem):
        section, domain, split, label, attributes = (text or "" for text in match.groups())
        return ClipName(section, domain, split, label, attributes)
    if match := re.fullmatch(_SUPPLEMENT_NAME, stem):
        words = match["words"].split("_")
        domain = next((word for word in words if word in ("source", "target")), "")
        return ClipName(match["section"], domain, "", "", match["attributes"] or "", True)
    return None


def relative_name(path: Path) -> str:
    """Give the path of a clip as a bundle may store it: not absolute, and not leading upwards.

    >>> relative_name(Path("/data/../monday/rec.wav"))
    'data/monday/rec.wav'
    """
    return "/".join(part for part in path.parts if part not in (path.anchor, "..", "."))


def section_of_folder(name: str) -> str | None:
    """Give "00" for a folder `id_00` (MIMII) or `section_00`; None for any other name."""
    match = re.fullmatch(_SECTION_FOLDER, name, re.IGNORECASE)
    return match[1] if match else None


def section_of(path: str | Path) -> str | None:
    """Give the section of a clip: from its file name, else from the nearest folder `id_NN`."""
    # This is part of every score: a Path or the patterns would take longer than the test of words.
    lower = os.fspath(path).lower()
    if "id_" not in lower and "section_" not in lower:
        return None
    folder, last = os.path.split(os.path.normpath(path))
    if name := parse_clip_name(last):
        return name.section
    while last:
        folder, last = os.path.split(folder)
        if section := section_of_folder(last):
            return section
    return None


_PIECE = r"(?P<recording>.*)@(?P<seconds>\d+(?:\.\d+)?)s"


def piece_name(recording: str, seconds: float) -> str:
    """Name the piece of a long recording that begins at `seconds`: "rec.wav@120s"."""
    return f"{recording}@{seconds:.10g}s"


def piece_of(clip: str) -> tuple[str, float]:
    """Give the recording that a clip is a piece of, and where it begins in seconds."""
    if match := re.fullmatch(_PIECE, clip):
        return match["recording"], float(match["seconds"])
    return clip, 0.0
