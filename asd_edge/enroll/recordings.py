"""Hearing normal clips: sound files to clips of the model's length, embedded."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from asd_edge.audio import files as audio
from asd_edge.audio.clip_names import piece_name
from asd_edge.detector import Detector

_FULL_SCALE = 0.999  # of a clipped sample, whatever the converter makes of the last steps


@dataclass(frozen=True)
class Clip:
    """One normal clip, embedded.

    Attributes:
        name: file name; of a piece of a recording with the second it begins at.
        section: what the clip is a recording of; score it by the same name.
        embeddings: view -> [shape=(n_windows, d)].
        seconds: length.
        rate: of the file in Hz; 0 if the clip comes from a bundle.
        clipped: share of samples at full scale.
        level_db: root mean square in dB of full scale.
        excerpt: up to a second of it for the golden clip [shape=(n,)], int16; empty if the
            clip comes from a bundle.
    """

    name: str
    section: str
    embeddings: dict[str, NDArray[np.float32]]
    seconds: float
    rate: int
    clipped: float
    level_db: float
    excerpt: NDArray[np.int16]


@dataclass(frozen=True)
class Suspect:
    """A clip that may not belong, and why."""

    clip: str
    kind: str
    reason: str


def hear(
    detector: Detector,
    path: Path,
    section: str,
    *,
    name: str | None = None,
    channel: audio.Channel | None = None,
) -> Iterator[Clip | Suspect]:
    """Read a sound file and embed it.

    A recording of two windows or more is cut into pieces of one window each, which are
    clips of their own; what is left at its end is not used.

    Args:
        detector: of the bundle whose model is used.
        path: the file.
        section: the clips'.
        name: what the clips are called; by default the file's name.
        channel: "mean" or the number of a channel; by default the bundle's.

    Yields:
        the clips. Of a piece without any sound (one value throughout), which cannot be
        scored either, a suspect.

    Raises:
        MissingFileError, AudioError: see `audio.read`; or too short.
    """
    front_end = detector.front_end
    channel = front_end.channel if channel is None else channel
    name = path.name if name is None else name
    samples, rate = audio.decode(path)
    if samples.dtype == np.int16:
        samples = samples * np.float32(2**-15)
    used = samples if channel == "mean" else samples[:, channel : channel + 1]
    recording = detector.analyse(samples, rate, section=section, channel=channel, name=str(path))
    for analysis in recording.pieces():
        piece, start_s = analysis.samples, analysis.start_s
        title = name if analysis is recording else piece_name(name, start_s)
        if (piece == piece[0]).all():
            yield Suspect(title, "silence", "is silent; left out")
            continue
        span = slice(round(start_s * rate), round((start_s + analysis.seconds) * rate))
        # A second is repeated to fill the window, so it is not a reference, even of itself.
        n = max(front_end.mel.n_fft, min(front_end.mel.sr, len(piece) // 2))
        yield Clip(
            name=title,
            section=section,
            embeddings=analysis.embeddings,
            seconds=analysis.seconds,
            rate=rate,
            clipped=float(np.any(np.abs(used[span]) >= _FULL_SCALE, axis=1).mean()),
            level_db=10 * float(np.log10(np.square(piece, dtype=np.float64).mean())),
            excerpt=np.clip(np.round(piece[:n] * 32768), -32768, 32767).astype(np.int16),
        )
