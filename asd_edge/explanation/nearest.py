"""The nearest normal clip: its spectrum from the references, its spectrogram from its file."""

from __future__ import annotations

import glob
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from asd_edge.audio.clip_names import piece_of
from asd_edge.audio.recording import Channel
from asd_edge.bundle.format import Golden
from asd_edge.detector import Detector
from asd_edge.errors import AsdError, MissingFileError
from asd_edge.explanation.attribution import STATISTICS
from asd_edge.frontend.mel import MelConfig

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Normal:
    """The nearest reference.

    Attributes:
        clip: its name.
        spectrum: mean of each band over time, in the front end's units
            [shape=(n_mels,)], or None where neither statistics nor the clip tell it.
        mel: spectrogram of the window that is the reference, where the file was found
            [shape=(n_mels, n_frames)].
        problem: why the file could not be shown, if it was asked for.
    """

    clip: str
    spectrum: Array | None
    mel: NDArray[np.float32] | None
    problem: str | None = None


def nearest_normal(
    detector: Detector,
    view: str,
    row: int,
    path: Path | None,
    golden: Golden,
    section: str,
    channel: Channel | None = None,
) -> Normal:
    """Give the reference in a row of a view, with its spectrogram if its file is found.

    A file that is missing or damaged is a `problem` of the result, not an error: everything
    else can be explained without it.

    Args:
        detector: that has the reference.
        view: that the row is of.
        row: of the reference.
        path: the sound file to compare with, or the folder that it is looked for in.
        golden: the bundle's golden clip, for a spectrum if nothing else has one.
        section: that the clip was scored in.
        channel: as in `Detector.score`.
    """
    references = detector.scorer.views[view].references
    name = str(references.clips[row])
    n_mels = detector.front_end.mel.n_mels
    spectrum = mel = problem = None
    if view == STATISTICS:
        spectrum = references.embeddings[row, :n_mels].astype(np.float64)
    if path is not None:
        try:
            name, mel = _spectrogram(detector, view, row, path, name, channel)
        except AsdError as error:
            problem = str(error)
    if spectrum is None:
        if mel is not None:
            spectrum = mel.mean(axis=1, dtype=np.float64)
        elif golden.section == section:
            spectrum = golden.mel.mean(axis=1, dtype=np.float64)
    return Normal(name, spectrum, mel, problem)


def _spectrogram(
    detector: Detector, view: str, row: int, path: Path, name: str, channel: Channel | None
) -> tuple[str, NDArray[np.float32]]:
    """Give the reference's name and the spectrogram of its window.

    The reference may be a piece of a recording, which its name tells, or one of several windows of
    a clip; of a file that the user chose instead it is the window most like the reference.
    """
    recording, start_s = piece_of(name)
    file = find_normal(path, recording)
    with detector.analyse(file, channel=channel) as analysis:
        if file.name == Path(recording).name and recording != name:
            return name, analysis.mel_at(start_s)
        wanted = detector.scorer.views[view].references.embeddings[row]
        distance = np.linalg.norm(analysis.embeddings[view] - wanted, axis=1)
        mel = analysis.mel(int(distance.argmin()))
    return (name if path.is_dir() else file.name), mel


def find_normal(path: Path, name: str) -> Path:
    """Find a reference's sound file: `path` itself, or the file of that name in or below it.

    Raises:
        MissingFileError: `path`, or the clip in it, is not there.
    """
    if not path.is_dir():
        if not path.exists():
            raise MissingFileError(path)
        return path
    if (path / name).is_file():
        return path / name
    found = sorted(file for file in path.rglob(glob.escape(Path(name).name)) if file.is_file())
    if not found:
        raise MissingFileError(path / name, "file; --normal is the folder of the normal clips")
    return found[0]


def normal_sound(
    nearest: Normal, golden: Golden, mel: NDArray[np.float32], config: MelConfig, section: str
) -> NDArray[np.float32]:
    """Spectrogram to occlude with: the nearest clip's, else the golden's at the nearest's level."""
    if nearest.mel is not None:
        return nearest.mel
    # Of another section and without statistics: only what differs from the rest of the clip.
    level = (
        np.median(mel, axis=1).astype(np.float64) if nearest.spectrum is None else nearest.spectrum
    )
    mean = golden.mel.mean(axis=1, dtype=np.float64)
    sound: Array = golden.mel.astype(np.float64)
    if config.log == "db":
        sound += (level - mean)[:, np.newaxis]
    else:
        sound *= np.divide(level, mean, out=np.ones_like(mean), where=mean > 0)[:, np.newaxis]
    return sound.astype(np.float32)
