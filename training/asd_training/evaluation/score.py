"""Scoring the test clips of a data set with runs or bundles, one machine after the other."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from asd_edge.analysis import Analysis
from asd_edge.bundle.format import MANIFEST, read_bundle
from asd_edge.detector import Detector
from asd_edge.errors import AsdError, MissingFileError
from asd_training import reference_selection, run_folder
from asd_training.data.clips import Clip
from asd_training.errors import RunError


@dataclass(frozen=True)
class Subject:
    """A model to evaluate.

    Attributes:
        machine: that it was made for.
        detector: scores clips.
        recipe: `Preset.label` of what it was trained with; "" if it is not known.
        seed: of its training; None if it is not known.
    """

    machine: str
    detector: Detector
    recipe: str = ""
    seed: int | None = None


def find_subjects(path: Path, machine: str | None = None) -> list[Path]:
    """Find what to evaluate: `path` itself, or the runs and bundles right below it, by name.

    Args:
        path: a run, a bundle, or a folder of them.
        machine: the only machine that is meant.

    Raises:
        MissingFileError: no such folder.
        RunError: neither a run nor a bundle, and none in it; or two of one machine.
    """
    if not path.exists():
        raise MissingFileError(path, "run or bundle")
    if _is_subject(path):
        return [path]
    found = sorted(child for child in path.iterdir() if _is_subject(child)) if path.is_dir() else []
    if not found:
        raise RunError(
            path,
            f"is neither a run ({run_folder.CONFIG}) nor a bundle ({MANIFEST}), and holds none",
        )
    first: dict[str, Path] = {}
    for child in found:
        name = _machine_of(child)
        if name in ("", machine or name) and first.setdefault(name, child) != child and name:
            raise RunError(
                child,
                f"is of machine {name!r}, and so is {first[name]}; name one of them, or give both "
                "as MODEL MODEL DATA to compare them",
            )
    return found


def _machine_of(path: Path) -> str:
    """Machine of a run or bundle; "" for a damaged one, which loading reports."""
    file = path / MANIFEST if (path / MANIFEST).is_file() else path / run_folder.CONFIG
    try:
        return str(json.loads(file.read_bytes())["machine"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def _is_subject(path: Path) -> bool:
    return (path / MANIFEST).is_file() or (path / run_folder.CONFIG).is_file()


def load_subject(path: Path, device: str = "cpu") -> Subject:
    """Load a bundle (with onnxruntime on the CPU) or a run (with PyTorch on `device`).

    Raises:
        MissingFileError: no such folder.
        RunError: neither, or a run that is damaged or not finished.
        BundleError: a damaged bundle.
    """
    if not path.exists():
        raise MissingFileError(path, "run or bundle")
    if (path / MANIFEST).is_file():
        contents = read_bundle(path)
        recipe = contents.provenance.get("recipe") or contents.provenance.get("preset")
        seed = contents.provenance.get("seed")
        return Subject(
            contents.machine,
            Detector.from_bundle(contents, path=path),
            recipe if isinstance(recipe, str) else "",
            seed if isinstance(seed, int) else None,
        )
    if not (path / run_folder.CONFIG).is_file():
        raise RunError(path, f"is neither a run ({run_folder.CONFIG}) nor a bundle ({MANIFEST})")
    config = run_folder.read_config(path)
    embeddings = run_folder.read_embeddings(path)
    model = run_folder.load_model(path, config).to(device)
    scorer, calibration = reference_selection.scorer_and_calibration(config, embeddings)
    detector = Detector(config.preset.front_end, model, scorer, calibration)
    return Subject(config.machine, detector, config.preset.label, config.seed)


def analyse_clip(detector: Detector, clip: Clip) -> Analysis:
    """Analyse a clip of a data set, or the piece of a recording that it is."""
    analysis = detector.analyse(clip.path, section=clip.section)
    return analysis if clip.start_s is None else analysis.piece(clip.start_s)


def score_clips(
    detector: Detector, clips: Sequence[Clip], advance: Callable[[], None] = lambda: None
) -> tuple[pd.DataFrame, list[AsdError]]:
    """Score clips, each against its own section; one clip in memory at a time.

    Returns:
        the table of `evaluate.metrics`, a row a clip, with the columns `path` and `nearest`
        (name of the nearest reference), and what could not be scored.
    """
    errors: list[AsdError] = []

    def rows() -> Iterator[dict[str, Any]]:
        for clip in clips:
            try:
                decision = detector.score(clip.path, section=clip.section)
            except AsdError as error:
                errors.append(error)
            else:
                yield {
                    "clip": clip.name,
                    "machine": clip.machine,
                    "section": clip.section,
                    "domain": clip.domain,
                    "label": clip.label,
                    "score": decision.score,
                    "anomalous": decision.anomalous,
                    "path": str(clip.path),
                    "nearest": decision.nearest,
                }
            advance()

    return pd.DataFrame(list(rows())), errors
