"""Normal recordings as embedded clips of the model's length."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asd_edge import checks
from asd_edge.analysis import Analysis
from asd_edge.audio.clip_names import piece_name
from asd_edge.audio.recording import Channel, ClipWarning, Samples
from asd_edge.detector import Detector
from asd_edge.enrolment.fingerprint import fingerprint

# Pieces of a recording that keep an excerpt: one becomes the golden clip, and a day has thousands.
_EXCERPTS = 20
# Warnings that compare a clip with those that the bundle was taught with before.
_OF_OTHERS = ("level", "encoding", "channel", "bandwidth", "longer", "too_long")


@dataclass(frozen=True)
class Clip:
    """One normal clip, embedded.

    Attributes:
        recording: name of the file that it is, or is a piece of.
        start_s: where it begins in the recording, in s.
        whole: whether it is the whole recording.
        section: what the clip is a recording of; score it by the same name.
        embeddings: view -> [shape=(n_windows, d)].
        seconds: length.
        rate: of the file in Hz; 0 if the clip comes from a bundle.
        level_db: root mean square in dB of full scale, without the offset.
        encoding: of the file, such as "PCM" or "MP3"; empty if the clip comes from a bundle.
        excerpt: up to a second of it for the golden clip [shape=(n,)], int16; empty if the
            clip comes from a bundle, or from far inside a recording.
        warnings: what was noticed about the clip by itself.
        fingerprint: of the clip's beginning (see `fingerprint`); empty if the clip comes from a
            bundle.
    """

    recording: str
    start_s: float
    whole: bool
    section: str
    embeddings: Mapping[str, NDArray[np.float32]]
    seconds: float
    rate: int
    level_db: float
    excerpt: NDArray[np.int16]
    warnings: tuple[ClipWarning, ...] = ()
    fingerprint: NDArray[np.int8] = field(default_factory=lambda: np.empty((0, 0), np.int8))
    encoding: str = ""

    @property
    def name(self) -> str:
        """What people read; a piece has the second that it begins at in its name."""
        return self.recording if self.whole else piece_name(self.recording, self.start_s)


def embed_recording(
    detector: Detector,
    path: Path | NDArray[Any],
    section: str,
    *,
    name: str | None = None,
    channel: Channel | None = None,
    sr: int | None = None,
) -> Iterator[Clip | ClipWarning]:
    """Read a sound file and embed it.

    A recording of two windows or more is cut into pieces of one window each, which are
    clips of their own; what is left at its end is not used. However long it is, one piece
    is in memory at a time.

    Args:
        detector: of the bundle whose model is used.
        path: the file, or samples [shape=(n,) or (n, channels)].
        section: the clips'.
        name: what the clips are called; by default the file's name.
        channel: "mean" or the number of a channel; by default the bundle's.
        sr: rate of samples in Hz.

    Yields:
        the clips. Instead of a clip that cannot be judged (silent, overdriven), the
        reason.

    Raises:
        MissingFileError, AudioError: see `audio.recording.open_recording` and `blocks`; what only
            shows at the end of the file, such as channels that cancel, after the last clip.
    """
    if name is None:
        name = path.name if isinstance(path, Path) else "array"
    with detector.analyse(path, sr, section=section, channel=channel) as recording:
        for number, piece in enumerate(recording.pieces()):
            clip = _clip(piece, name, section, piece is recording)
            if isinstance(clip, Clip) and number >= _EXCERPTS:
                clip = dataclasses.replace(clip, excerpt=np.empty(0, np.int16))
            yield clip
        for warning in recording.noticed:
            if recording.is_sequence:
                yield ClipWarning(name, warning.kind, warning.reason)


def _clip(analysis: Analysis, recording: str, section: str, whole: bool) -> Clip | ClipWarning:
    clip = Clip(
        recording=recording,
        start_s=analysis.start_s,
        whole=whole,
        section=section,
        embeddings={},
        seconds=analysis.seconds,
        rate=analysis.rate,
        level_db=checks.together(analysis.levels).level_db,
        encoding=analysis.encoding,
        excerpt=_excerpt(analysis.samples, analysis.front_end.mel.n_fft, analysis.front_end.mel.sr),
    )
    warnings = [
        ClipWarning(clip.name, warning.kind, warning.reason)
        for warning in analysis.warnings
        # The new clips are what later ones are compared with.
        if warning.kind not in _OF_OTHERS
    ]
    for warning in warnings:
        # Clips that are all short are alike, and later ones are compared with them.
        if warning.kind in checks.WORTHLESS - {"too_short"}:
            return ClipWarning(clip.name, warning.kind, f"{warning.reason}; left out")
    return dataclasses.replace(
        clip,
        embeddings=analysis.embeddings,
        warnings=tuple(warnings),
        fingerprint=fingerprint(analysis.mel(0), analysis.front_end.mel),
    )


def _excerpt(samples: Samples, n_fft: int, sr: int) -> NDArray[np.int16]:
    """Give up to a second as int16; less than the clip, so that it is no reference, even of itself.

    It is repeated to fill the window.
    """
    part = samples[: max(n_fft, min(sr, len(samples) // 2))]
    if part.dtype == np.int16:
        return part.astype(np.int16)
    return np.clip(np.round(part * 32768), -32768, 32767).astype(np.int16)
