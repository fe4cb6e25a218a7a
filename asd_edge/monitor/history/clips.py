"""Recordings of alarms: FLAC files under a quota and a floor of free space."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from asd_edge.atomic_files import atomic_path
from asd_edge.monitor.history.schema import CLIP_FOLDER


@dataclass(frozen=True, eq=False)
class Sound:
    """Samples that are to be kept; see `schema.Clip`.

    Attributes:
        id: of the clip.
        samples: what the device gave [shape=(n, channels)].
        windows: (first sample, number of samples, score, threshold).
    """

    id: int
    episode: int
    machine: str
    role: str
    start: float
    rate: int
    samples: NDArray[np.int16]
    windows: tuple[tuple[int, int, float, float], ...]

    @property
    def file(self) -> str:
        """Name of its file."""
        when = datetime.fromtimestamp(self.start, UTC).strftime("%Y%m%dT%H%M%SZ")
        return f"{self.id:06d}_{self.machine}_{when}_{self.role}.flac"

    @property
    def noted(self) -> Sound:
        """The same without its samples, once they are in its file: it may wait for the database."""
        zero: NDArray[np.int16] = np.broadcast_to(np.int16(0), self.samples.shape)
        return dataclasses.replace(self, samples=zero)


class ClipFolder:
    """The folder of the clips.

    Args:
        folder: of the history.
        quota: bytes that all clips may take.
        floor: bytes that must stay free on the disk.
    """

    def __init__(self, folder: Path, quota: int, floor: int) -> None:
        self.folder = folder / CLIP_FOLDER
        self.quota = quota
        self.floor = floor

    def write(self, sound: Sound) -> int | None:
        """Write a clip whole or not at all.

        Returns:
            its size in bytes, or None where the disk would be too full.

        Raises:
            OSError: it cannot be written.
        """
        import soundfile

        self.folder.mkdir(parents=True, exist_ok=True)
        # FLAC is smaller than the samples; beforehand nobody knows by how much.
        if shutil.disk_usage(self.folder).free - sound.samples.nbytes < self.floor:
            return None
        target = self.folder / sound.file
        try:
            with atomic_path(target) as path:
                soundfile.write(path, sound.samples, sound.rate, subtype="PCM_16", format="FLAC")
        except soundfile.LibsndfileError as error:
            raise OSError(f"{target}: {error.error_string}") from error
        return target.stat().st_size

    def too_many(self, sizes: Iterable[tuple[int, int]]) -> list[int]:
        """Give the ids of the oldest clips that exceed the quota, of (id, bytes) in order."""
        rows = list(sizes)
        excess = sum(size for _, size in rows) - self.quota
        gone = []
        for number, size in rows[:-1]:  # the newest stays, whatever the quota
            if excess <= 0:
                break
            gone.append(number)
            excess -= size
        return gone

    def remove(self, file: str) -> None:
        """Remove the file of a clip, and what the page has stored beside it."""
        path = self.folder / file
        path.unlink(missing_ok=True)
        path.with_suffix(".explanation.json").unlink(missing_ok=True)

    def tidy(self, known: set[str]) -> set[str]:
        """Remove files that no clip has: of a program that was killed before it noted them.

        Returns:
            those of `known` that are not there.
        """
        present = set()
        if self.folder.is_dir():
            for path in self.folder.iterdir():
                if path.name in known:
                    present.add(path.name)
                elif path.is_file() and path.suffix == ".flac":
                    self.remove(path.name)
        return known - present
