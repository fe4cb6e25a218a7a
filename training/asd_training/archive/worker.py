"""What a worker does: score the clips of one part by `Detector.analyse`, the one path."""

from __future__ import annotations

import io
import math
import tempfile
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

from asd_edge.audio.clip_names import section_of
from asd_edge.decision import Decision
from asd_edge.detector import Detector
from asd_edge.errors import AsdError, UnfitError
from asd_training.archive.listing import is_local, open_filesystem
from asd_training.errors import ClusterError

# Larger files of a URL are read as they are needed, not held in memory.
_HELD_BYTES = 64 << 20


@dataclass(frozen=True)
class Job:
    """What is the same for all parts.

    Attributes:
        archive: folder or URL.
        digest: of the bundle, by which a worker keeps it loaded.
        section: of all clips; None: what their names say.
        false_alarm_rate: that decides; None: the bundle's.
        version: of asd-edge that the workers must have.
    """

    archive: str
    digest: str
    section: str | None
    false_alarm_rate: float | None
    version: str = field(default_factory=lambda: version("asd-edge"))


_lock = threading.Lock()
_bundles: dict[str, Mapping[str, bytes]] = {}
_loaded: dict[tuple[str, float | None], Detector] = {}


def receive(digest: str, files: Mapping[str, bytes]) -> None:
    """Keep the files of a bundle for the tasks of this process; sent to each worker once."""
    _bundles.clear()
    _bundles[digest] = files


def load(job: Job) -> Detector:
    """Give the detector of the bundle, loaded once in each process."""
    key = job.digest, job.false_alarm_rate
    with _lock:
        if key not in _loaded:
            files = _bundles[job.digest]
            with tempfile.TemporaryDirectory(prefix="asd-edge-") as folder:
                path = Path(folder) / "bundle.asd"
                path.mkdir()
                for name, content in files.items():
                    (path / name).write_bytes(content)
                _loaded.clear()
                _loaded[key] = Detector.load(path, false_alarm_rate=job.false_alarm_rate)
        return _loaded[key]


def score_clips(job: Job, clips: Sequence[tuple[str, int]]) -> list[dict[str, Any]]:
    """Score clips of the archive.

    Args:
        job: the settings; the bundle was received before.
        clips: name and size of each.

    Returns:
        a row for each clip, in order; one that cannot be scored has its reason.

    Raises:
        ClusterError: this worker has another version of asd-edge.
    """
    if version("asd-edge") != job.version:
        raise ClusterError(
            f"a worker has asd-edge {version('asd-edge')}, this computer {job.version}"
        )
    detector = load(job)
    fs, root = open_filesystem(job.archive)
    return [_row(detector, fs, root, name, size, job.section) for name, size in clips]


def failed_row(name: str, kind: str, reason: str, outcome: str = "failed") -> dict[str, Any]:
    """Make the row of a clip without a score."""
    row: dict[str, Any] = dict.fromkeys(
        ("anomalous", "score", "threshold", "ratio", "p_value", "windows", "worst_start_s")
    )
    row |= {"clip": name, "outcome": outcome, "kind": kind, "reason": reason}
    return row | {"section": "", "section_known": None, "nearest": "", "warnings": ""}


def _row(
    detector: Detector, fs: Any, root: str, name: str, size: int, section: str | None
) -> dict[str, Any]:
    path = f"{root.rstrip('/')}/{name}"
    try:
        if is_local(fs):
            decision = detector.score(path, section=section)
        else:
            section = section or section_of(name)
            held = 0 <= size <= _HELD_BYTES
            with io.BytesIO(fs.cat_file(path)) if held else fs.open(path, "rb") as file:
                decision = detector.score(file, section=section, name=path)
    except UnfitError as error:
        return failed_row(name, error.kind, error.reason, "cannot judge")
    except AsdError as error:
        return failed_row(name, error.kind, _without(str(error), path), "unreadable")
    except Exception as error:  # of one clip, whatever it is: the rest is scored
        kind = "input_output" if isinstance(error, OSError) else type(error).__name__
        outcome = "failed" if isinstance(error, OSError) else "unreadable"
        return failed_row(name, kind, " ".join(str(error).split())[:500], outcome)
    return _decided(name, decision)


def _without(message: str, path: str) -> str:
    return message.removeprefix(f"{path}: ")


def _decided(name: str, decision: Decision) -> dict[str, Any]:
    return {
        "clip": name,
        "section": decision.section,
        "section_known": decision.section_known,
        "outcome": "anomalous" if decision.anomalous else "normal",
        "anomalous": decision.anomalous,
        "score": decision.score,
        "threshold": decision.threshold,
        "ratio": decision.ratio if math.isfinite(decision.ratio) else None,
        "p_value": decision.p_value,
        "windows": len(decision.windows),
        "worst_start_s": decision.worst.start_s,
        "nearest": decision.nearest,
        "warnings": " ".join(warning.kind for warning in decision.warnings),
        "kind": "",
        "reason": "",
    }
