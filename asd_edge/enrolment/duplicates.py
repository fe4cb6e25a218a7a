"""Find clips that are in the set twice, as equal samples or as the same sound in another file.

A clip's distance to its duplicate is nearly 0. Among the scores of normal clips such distances pull
the threshold down until everything alarms, so all but the first are left out.

The same sound as WAV and MP3 has different embeddings, but its bands rise and fall together: the
correlation over time of the lower three quarters of the bands was above 0.90 for MP3 at the usual
quality, and below 0.66 for different recordings of one machine, also of periodic ones (real fans,
slide rails and motors, synthetic valves and slide rails).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from asd_edge.audio.recording import ClipWarning
from asd_edge.enrolment.extend import is_reference
from asd_edge.enrolment.recordings import Clip
from asd_edge.scoring.scorer import Scorer

_SAME_SOUND = 0.8  # correlation of two fingerprints
_LOSSY = (".mp3", ".ogg", ".oga", ".opus")  # of two files the other one is the better
_BLOCK = 128  # clips that are compared at once: some MB
_LAG = 4  # frames by which the decoders of two formats may be apart, either way


def find_duplicates(
    old: Sequence[Clip], clips: Sequence[Clip], scorer: Scorer | None
) -> tuple[list[ClipWarning], list[Clip]]:
    """Find clips that are in the bundle already, or twice among the new ones.

    Args:
        old: clips of the bundle; they are compared by their embeddings alone.
        clips: new ones.
        scorer: of the bundle, if its clips are not at hand.

    Returns:
        a warning for each duplicate, and the clips that are none, in their order.
    """
    seen = {_content(clip): clip for clip in old}
    duplicates, new = [], []
    for clip in clips:
        other = seen.setdefault(_content(clip), clip)
        if scorer is not None and is_reference(scorer, clip.embeddings):
            duplicates.append(
                ClipWarning(clip.name, "duplicate", "is in the bundle already; left out")
            )
        elif other is clip:
            new.append(clip)
        else:
            reason = f"is the same sound as {other.name}; left out"
            duplicates.append(ClipWarning(clip.name, "duplicate", reason, other.name))
    same = _same_sound(new)
    for i, first in same.items():
        reason = f"is the same sound as {new[first].name} in another file; left out"
        duplicates.append(ClipWarning(new[i].name, "duplicate", reason, new[first].name))
    return duplicates, [clip for i, clip in enumerate(new) if i not in same]


def _content(clip: Clip) -> bytes:
    digest = hashlib.blake2b()  # in the place of some kB a clip
    for x in clip.embeddings.values():
        digest.update(x.tobytes())
    return digest.digest()


def _same_sound(clips: Sequence[Clip]) -> dict[int, int]:
    """Number of a clip -> that of one that stays, of another recording, with its fingerprint."""
    shapes = {clip.fingerprint.shape for clip in clips}
    found: dict[int, int] = {}
    for shape in shapes:
        rows = [i for i, clip in enumerate(clips) if clip.fingerprint.shape == shape]
        rows.sort(key=lambda i: clips[i].recording.lower().endswith(_LOSSY))
        recordings = np.array([clips[i].recording for i in rows])
        n = shape[1] - 2 * _LAG
        if n < 2 * _LAG or len(np.unique(recordings)) < 2:
            continue
        every = np.stack([clips[i].fingerprint for i in rows])
        for begin in range(0, len(rows), _BLOCK):
            block = slice(begin, begin + _BLOCK)
            correlation = _correlations(every[: begin + _BLOCK], every[block], n)
            others = recordings[: begin + _BLOCK, np.newaxis] != recordings[block]
            before = np.arange(len(others))[:, np.newaxis] < begin + np.arange(others.shape[1])
            correlation[~(others & before)] = 0
            for j in np.flatnonzero(correlation.max(axis=0) > _SAME_SOUND):
                first = rows[int(correlation[:, j].argmax())]
                found[rows[begin + j]] = found.get(first, first)
    return found


def _correlations(a: NDArray[np.int8], b: NDArray[np.int8], n: int) -> NDArray[np.float32]:
    """Highest correlation, at any lag, of n frames of fingerprints [shape=(len(a), len(b))]."""
    here = _unit(b[:, :, _LAG : _LAG + n])
    best = np.full((len(a), len(b)), -1, np.float32)
    for begin in range(0, len(a), _BLOCK):
        part = best[begin : begin + _BLOCK]
        for lag in range(2 * _LAG + 1):
            shifted = _unit(a[begin : begin + _BLOCK, :, lag : lag + n])
            np.maximum(part, shifted @ here.T, out=part)
    return best


def _unit(x: NDArray[np.int8]) -> NDArray[np.float32]:
    flat = x.reshape(len(x), -1).astype(np.float32)
    flat /= np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-9)
    return flat
