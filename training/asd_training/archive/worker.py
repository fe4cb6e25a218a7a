"""What a worker does: score the clips of one part by `Detector.analyse`, the one path."""

from __future__ import annotations

import math
import tempfile
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from asd_edge.audio.clip_names import section_of
from asd_edge.decision import Decision
from asd_edge.detector import Detector
from asd_edge.errors import AsdError, UnfitError
from asd_training.archive.listing import Item
from asd_training.data.filesystems import is_local, open_filesystem, open_remote, printable, why

# A row a clip.
SCHEMA = pa.schema(
    [
        ("clip", pa.string()),
        ("machine", pa.string()),
        ("day", pa.string()),
        ("section", pa.string()),
        ("section_known", pa.bool_()),
        ("outcome", pa.string()),
        ("anomalous", pa.bool_()),
        ("score", pa.float64()),
        ("threshold", pa.float64()),
        ("ratio", pa.float64()),
        ("p_value", pa.float64()),
        ("windows", pa.int32()),
        ("worst_start_s", pa.float64()),
        ("nearest", pa.string()),
        ("warnings", pa.string()),
        ("kind", pa.string()),
        ("reason", pa.string()),
    ]
)


@dataclass(frozen=True)
class Job:
    """What is the same for all parts.

    Attributes:
        archive: folder or URL.
        digest: of the bundle, by which a worker keeps it loaded.
        section: of all clips; None: what their names say.
        false_alarm_rate: that decides; None: the bundle's.
    """

    archive: str
    digest: str
    section: str | None
    false_alarm_rate: float | None


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


def score_clips(job: Job, clips: Sequence[Item]) -> pa.Table:
    """Score clips of the archive; the bundle was received before.

    Returns:
        a row for each clip, in order; one that cannot be scored has its reason.
    """
    detector = load(job)
    fs, root = open_filesystem(job.archive)
    rows = [_row(detector, fs, root, clip, job.section) for clip in clips]
    return pa.Table.from_pylist(rows, SCHEMA)


def dead_row(clip: Item) -> pa.Table:
    """Make the row of a clip that no worker survived."""
    reason = "the worker died each time that this clip was scored"
    return pa.Table.from_pylist([_failed(clip, "worker_died", reason)], SCHEMA)


def _failed(clip: Item, kind: str, reason: str, outcome: str = "failed") -> dict[str, Any]:
    row = {"clip": printable(clip.name), "machine": clip.machine, "day": clip.day}
    return (
        row
        | {"section": "", "nearest": "", "warnings": ""}
        | {
            "outcome": outcome,
            "kind": kind,
            "reason": reason,
        }
    )


def _row(detector: Detector, fs: Any, root: str, clip: Item, section: str | None) -> dict[str, Any]:
    path = f"{root.rstrip('/')}/{clip.name}"
    try:
        if is_local(fs):
            return _decided(clip, detector.score(path, section=section))
        section = section or section_of(clip.name)
        with open_remote(fs, path, clip.size) as file:
            return _decided(clip, detector.score(file, section=section, name=path))
    except UnfitError as error:
        return _failed(clip, error.kind, error.reason, "cannot judge")
    except AsdError as error:
        return _failed(clip, error.kind, _without(str(error), path), "unreadable")
    except Exception as error:  # of one clip, whatever it is: the rest is scored
        kind = "input_output" if isinstance(error, OSError) else type(error).__name__
        outcome = "failed" if isinstance(error, OSError) else "unreadable"
        return _failed(clip, kind, why(error), outcome)


def _without(message: str, path: str) -> str:
    return message.removeprefix(f"{path}: ")


def _decided(clip: Item, decision: Decision) -> dict[str, Any]:
    return {
        "clip": printable(clip.name),
        "machine": clip.machine,
        "day": clip.day,
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
