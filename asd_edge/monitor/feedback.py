"""A person says that an alarm was none: its windows are enrolled as normal ones."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from asd_edge.audio.recording import ClipWarning
from asd_edge.bundle.format import read_bundle
from asd_edge.detector import Detector
from asd_edge.enrolment.enrolment import enroll
from asd_edge.enrolment.recordings import Clip as Enrolled
from asd_edge.enrolment.recordings import embed_recording
from asd_edge.errors import CommandError
from asd_edge.monitor.config import MachineConfig
from asd_edge.monitor.history.schema import Clip

# Windows that did not come near the threshold teach nothing, and make enrolling slower.
_NEAR = 0.9


def _read(path: Path) -> tuple[NDArray[np.int16], int]:
    try:
        samples, rate = soundfile.read(path, dtype="int16", always_2d=True)
    except soundfile.LibsndfileError as error:
        raise CommandError(f"{path} cannot be read as sound ({error.error_string})") from error
    return samples, rate


def add_as_normal(config: MachineConfig, clips: Sequence[Clip]) -> str:
    """Enroll what an alarm was raised for, as `asd-edge enroll --add` does, and write the bundle.

    Args:
        config: of the machine.
        clips: recordings of the alarm.

    Returns:
        a sentence that says what was done.

    Raises:
        CommandError: no recording of the alarm is kept, or one is damaged.
        AsdError: the clips cannot be added, or the bundle cannot be written.
    """
    contents = read_bundle(config.bundle)
    detector = Detector.from_bundle(contents, path=config.bundle)
    embedded: list[Enrolled | ClipWarning] = []
    channel = contents.front_end.channel if config.channel is None else config.channel
    section = config.section or min(detector.scorer.sections)
    with tempfile.TemporaryDirectory() as folder:
        for clip in clips:
            if not clip.path.is_file():
                continue
            samples, rate = _read(clip.path)
            for start, n, score, threshold in clip.windows:
                if score < _NEAR * threshold:
                    continue
                name = f"alarm_{clip.episode}_{clip.id}_{start}.wav"
                path = Path(folder) / name
                soundfile.write(path, samples[start : start + n], rate, subtype="PCM_16")
                embedded += embed_recording(detector, path, section, channel=channel)
    if not embedded:
        raise CommandError("no recording of this alarm is kept: it cannot be enrolled")
    done = enroll(contents, embedded, machine=contents.machine, add=True)
    done.bundle.write(config.bundle)
    added = len([one for one in embedded if isinstance(one, Enrolled)]) - len(done.left_out)
    return f"{max(added, 0)} windows were enrolled as normal; the bundle has {done.clips} clips now"
