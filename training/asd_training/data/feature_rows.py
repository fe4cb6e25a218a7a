"""Rows of a feature table: what is computed of sound files, in this process or on a cluster.

A recording of the training split that has two windows or more is cut into clips of one window
each, end to end, as enrolment on the device cuts it; what is left at its end is not used. Test
recordings stay whole, for a decision is about a whole recording.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from asd_edge import checks
from asd_edge.analysis import Analysis
from asd_edge.audio.clip_names import piece_name
from asd_edge.audio.recording import open_recording
from asd_edge.errors import AsdError, AudioError
from asd_edge.frontend.windows import FrontEnd
from asd_training.data.clips import Clip, content_digest, digest_of
from asd_training.data.filesystems import open_filesystem, why

SCHEMA = pa.schema(
    [
        ("clip", pa.string()),
        # The file that the clip is, or is a piece of, and where it begins there.
        ("recording", pa.string()),
        ("start_s", pa.float64()),
        ("machine", pa.string()),
        ("section", pa.string()),
        ("domain", pa.string()),
        ("split", pa.string()),
        ("label", pa.string()),
        ("attributes", pa.string()),
        ("digest", pa.string()),
        ("rate", pa.int32()),
        ("channels", pa.int32()),
        ("seconds", pa.float64()),
        ("level_db", pa.float64()),
        ("clipped", pa.float64()),
        # Why there are no features, if so.
        ("kind", pa.string()),
        ("reason", pa.string()),
        ("n_windows", pa.int32()),
        # Windows one after the other, each in C order [shape=(n_windows, n_mels, n_frames)].
        ("features", pa.list_(pa.float32())),
    ]
)
# What names and folders say: filled anew when a file moves to another split.
DESCRIBED = ("machine", "section", "domain", "split", "label", "attributes")
# Failures that another try may not have.
PASSING = ("input_output", "worker_died")


@dataclass(frozen=True)
class Sound:
    """Properties of a clip.

    Attributes:
        rate: of the file in Hz.
        channels: number of channels of the file.
        seconds: length.
        level_db: root mean square in dB of full scale, without the offset.
        clipped: share of samples at full scale.
    """

    rate: int
    channels: int
    seconds: float
    level_db: float
    clipped: float


class Known(NamedTuple):
    """What a table has of a recording.

    Attributes:
        digest: of the file's content.
        cut: whether it was cut into clips; None if it is too short for that to matter.
        kind, reason: why it has no features; "" if it has.
    """

    digest: str
    cut: bool | None
    kind: str = ""
    reason: str = ""


class Wanted(NamedTuple):
    """A recording whose rows are wanted, and what the table has of it."""

    clip: Clip
    known: Known | None = None


class Computed(NamedTuple):
    """Result of a batch: its new rows, and the recordings whose rows the table has already."""

    rows: pa.Table
    kept: tuple[str, ...] = ()


def compute(front_end: FrontEnd, batch: Sequence[Wanted]) -> Computed:
    """Compute the rows of recordings that are new or have changed.

    A recording that cannot be used has one row, with the reason.
    """
    rows: list[dict[str, Any]] = []
    kept = []
    for clip, known in batch:
        made: list[dict[str, Any]] = []
        digest = ""
        try:
            source, digest = _open(clip)
            if _is_same(known, digest, clip):
                kept.append(clip.name)
                continue
            made += _rows_of(clip, source, digest, front_end)
        except AsdError as error:
            kind = error.kind if isinstance(error, AudioError) else "unreadable"
            reason = str(error).removeprefix(f"{clip.place}: ")
            made = [_failed(clip, digest, kind, reason)]
        except Exception as error:  # of one recording, whatever it is: the rest is computed
            kind = "input_output" if isinstance(error, OSError) else type(error).__name__
            made = [_failed(clip, digest, kind, why(error))]
        rows += made
    # Making arrays imports pandas, which takes long where there are none to make.
    table = pa.Table.from_pylist(rows, SCHEMA) if rows else pa.Table.from_batches([], SCHEMA)
    return Computed(table, tuple(kept))


def dead(wanted: Wanted) -> Computed:
    """Make the row of a recording that no worker survived."""
    reason = "the worker died each time that its features were computed"
    row = _failed(wanted.clip, "", "worker_died", reason)
    return Computed(pa.Table.from_pylist([row], SCHEMA))


def is_cut(split: str, seconds: float, front_end: FrontEnd) -> bool | None:
    """Whether a recording of a split is cut; None if it is too short for any."""
    if round(seconds * front_end.mel.sr) < 2 * front_end.n_samples:
        return None
    return split == "train"


def _is_same(known: Known | None, digest: str, clip: Clip) -> bool:
    """Whether a table's rows of a recording are those that it would get now."""
    if known is None or known.digest != digest or known.kind in PASSING:
        return False
    return known.cut is None or known.cut == (clip.split == "train")


def _open(clip: Clip) -> tuple[Any, str]:
    """Give what a clip's samples are read from, and the digest of its content."""
    if not clip.url:
        return clip.path, content_digest(clip.path)
    fs, path = open_filesystem(clip.url, folder=False)
    content = io.BytesIO(fs.cat_file(path))
    digest = digest_of(content)
    content.seek(0)
    return content, digest


def _rows_of(clip: Clip, source: Any, digest: str, front_end: FrontEnd) -> Iterator[dict[str, Any]]:
    recording = open_recording(source, front_end.mel.sr, front_end.channel, name=clip.place)
    with Analysis(recording, front_end, _NO_MODEL, clip=clip.place) as whole:
        if clip.split != "train" or not whole.is_sequence:
            mels = whole.mels
            frames = max(whole.seconds * recording.rate, 1)
            used = recording.channels if front_end.channel == "mean" else 1
            clipped = min(recording.clipped / (frames * used), 1.0)
            yield _row(clip, digest, _sound(whole, recording.channels, clipped), mels)
            return
        for piece in whole.pieces():
            sound = _sound(piece, recording.channels, checks.clipped_share(piece.samples))
            yield _row(clip, digest, sound, piece.mels, piece.start_s)


def _sound(analysis: Analysis, channels: int, clipped: float) -> Sound:
    level_db = max(checks.together(analysis.levels).level_db, -200.0)
    return Sound(round(analysis.rate), channels, analysis.seconds, level_db, clipped)


def _row(
    clip: Clip,
    digest: str,
    sound: Sound,
    features: NDArray[np.float32],
    start_s: float | None = None,
) -> dict[str, Any]:
    return {
        "clip": clip.name if start_s is None else piece_name(clip.name, start_s),
        "recording": clip.name,
        "start_s": start_s or 0.0,
        **description(clip),
        "digest": digest,
        **asdict(sound),
        "kind": "",
        "reason": "",
        "n_windows": len(features),
        "features": features.ravel(),
    }


def _failed(clip: Clip, digest: str, kind: str, reason: str) -> dict[str, Any]:
    return {
        "clip": clip.name,
        "recording": clip.name,
        **description(clip),
        "digest": digest,
        "kind": kind,
        "reason": reason,
        "n_windows": 0,
        "features": [],
    }


def description(clip: Clip) -> dict[str, str]:
    """Give what names and folders say, by column."""
    return {name: getattr(clip, name) for name in DESCRIBED}


class _NoModel:
    """In the place of a network: features are what is before it."""

    def embed(self, mel: NDArray[np.float32]) -> Mapping[str, NDArray[np.float32]]:
        raise NotImplementedError


_NO_MODEL = _NoModel()
