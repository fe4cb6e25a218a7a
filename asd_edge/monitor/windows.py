"""Which windows are due, and how one is judged."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from asd_edge.audio.ring import Ring
from asd_edge.bundle.format import read_bundle
from asd_edge.checks import SILENCE_DBFS, EnrolledRange
from asd_edge.detector import Detector
from asd_edge.errors import AsdError, BundleError, ParameterError
from asd_edge.frontend.bands import to_db
from asd_edge.frontend.windows import FrontEnd
from asd_edge.monitor.config import MachineConfig
from asd_edge.monitor.history.schema import ratio
from asd_edge.monitor.spectra import Baseline
from asd_edge.monitor.state import Validity
from asd_edge.verify import verify

# The mean of channels that cancel each other is so much below the quietest of them.
_CANCELLED_DB = 20.0
# At so many samples of full scale what is heard is the limit, not the machine.
_CLIPPED_SHARE = 0.05
# Quieter than every enrolled clip by so much is another gain or place of the microphone, and a
# fault could hide in it. Louder windows are scored, because a fault may be that loud.
_QUIETER_DB = 12.0


@dataclass(frozen=True)
class Cut:
    """A stretch of samples: a whole window, or one that is cut short by a break."""

    start: int
    n: int
    whole: bool


class Cutter:
    """Cuts the stream of a ring into windows, in their order.

    Args:
        ring: the samples.
        next_break: gives the first break above a sample's number.
        length: samples in a window.
        hop: samples from one window to the next.

    Attributes:
        skipped: windows that were overwritten before they could be judged.
        start: number of the first sample of the next window.
    """

    def __init__(
        self, ring: Ring, next_break: Callable[[int], int | None], length: int, hop: int
    ) -> None:
        self.ring, self.length, self.hop = ring, length, hop
        self._next_break = next_break
        self.start = ring.total
        self.skipped = 0

    def due(self) -> Cut | None:
        """Give the next window that is complete, or None."""
        behind = self.ring.oldest - self.start
        if behind > 0:
            count = -(-behind // self.hop)
            self.skipped += count
            self.start += count * self.hop
        broken = self._next_break(self.start)
        if broken is not None and broken < self.start + self.length:
            cut = Cut(self.start, broken - self.start, whole=False)
            self.start = broken
            return cut
        if self.ring.total < self.start + self.length:
            return None
        cut = Cut(self.start, self.length, whole=True)
        self.start += self.hop
        return cut

    def missing(self) -> int:
        """Give the number of samples that the next window waits for."""
        return max(0, self.start + self.length - self.ring.total)


@dataclass(frozen=True, eq=False)
class Judged:
    """What was found in a window.

    Attributes:
        validity: "valid", or why it does not count.
        score, threshold: None unless it was scored.
        level_dbfs: without the mean; None for a constant window.
        sentence: how it differs from what is normal.
        section: that it was scored in.
    """

    validity: Validity
    level_dbfs: float | None
    score: float | None = None
    threshold: float | None = None
    sentence: str = ""
    section: str = ""

    @property
    def ratio(self) -> float | None:
        """Score / threshold."""
        return ratio(self.score, self.threshold)


class Judge:
    """Judges windows of one machine with one bundle.

    Args:
        config: the machine's.

    Attributes:
        trouble: why the bundle does not suit the microphone, although it can be used; else "".

    Raises:
        MissingFileError, BundleError: the bundle cannot be used, or its golden clip gives
            another score here than where it was made.
        ParameterError: a section that the bundle does not know, or a hop above the ring.
    """

    def __init__(self, config: MachineConfig) -> None:
        contents = read_bundle(config.bundle)
        self.config = config
        self.machine = contents.machine
        self.detector = Detector.from_bundle(
            contents, path=config.bundle, false_alarm_rate=config.false_alarm_rate
        )
        for check in verify(self.detector, contents.golden):
            if not check.passed:
                raise BundleError(
                    config.bundle, "golden.npz", f"gives another {check.stage} on this device"
                )
        sections = self.detector.scorer.sections
        if config.section is not None and config.section not in sections:
            raise ParameterError("section", config.section, " or ".join(sections))
        front_end = self.detector.front_end
        self.length = round(front_end.clip_seconds * config.rate)
        self.hop = round((config.hop_s or front_end.clip_seconds) * config.rate)
        self.channel = front_end.channel if config.channel is None else config.channel
        if self.channel != "mean" and self.channel >= config.channels:
            raise ParameterError("channels", config.channels, f"more than channel {self.channel}")
        enrolled = EnrolledRange.of_provenance(contents.provenance)
        self.trouble = (
            rate_trouble(config.rate, enrolled.rate, front_end) if enrolled is not None else ""
        )
        self.quietest = enrolled.lowest_db if enrolled is not None else None
        self.baseline = Baseline(to_db(contents.golden.mel, front_end.mel), front_end.mel)

    @property
    def n_mels(self) -> int:
        """Bands in a column of the live spectrogram."""
        return self.detector.front_end.mel.n_mels

    def thresholds(self, section: str) -> Callable[[float], float]:
        """Give what gives the threshold of a section for a false-alarm rate."""
        calibration = self.detector.calibration
        return lambda rate: calibration.threshold(section, rate).value

    def judge(self, samples: NDArray[np.int16]) -> Judged:
        """Judge a window [shape=(n, channels)] as the device gave it."""
        validity, level = self._check(samples)
        if validity != "valid":
            return Judged(validity, level)
        try:
            analysis = self.detector.analyse(
                samples,
                self.config.rate,
                section=self.config.section,
                channel=self.channel,
                name="window",
            )
            decision = analysis.decision
        except AsdError:  # nothing that can be scored: as where all samples are alike
            return Judged("dead", level)
        mel = to_db(analysis.mel(0), self.detector.front_end.mel)
        found = ratio(decision.score, decision.threshold)
        sentence = self.baseline.sentence(mel)
        if found is not None and found < 1:
            self.baseline.learn(mel)
        return Judged(
            "valid",
            level,
            decision.score,
            decision.threshold,
            sentence,
            decision.section,
        )

    def _check(self, samples: NDArray[np.int16]) -> tuple[Validity, float | None]:
        used = samples if self.channel == "mean" else samples[:, self.channel : self.channel + 1]
        level = level_dbfs(used.mean(axis=1, dtype=np.float32) if used.shape[1] > 1 else used)
        if level is None or level < SILENCE_DBFS:
            return "dead", level
        if used.shape[1] > 1:
            each = [level_dbfs(used[:, i]) for i in range(used.shape[1])]
            if all(other is not None and level < other - _CANCELLED_DB for other in each):
                return "dead", level
        if self.config.running_dbfs is not None and level < self.config.running_dbfs:
            return "off", level
        full = np.count_nonzero((used >= 32735) | (used <= -32735))
        if full > _CLIPPED_SHARE * used.size:
            return "clipped", level
        if self.quietest is not None and level < self.quietest - _QUIETER_DB:
            return "level", level
        return "valid", level


def rate_trouble(rate: int, enrolled: int, front_end: FrontEnd) -> str:
    """Describe how the frequencies of a microphone differ from those of the enrolled recordings.

    Args:
        rate: of the microphone, in Hz.
        enrolled: lowest rate of the recordings, in Hz.
        front_end: the bundle's.

    Returns:
        "" if both hold what the model looks at, or the same part of it.
    """
    highest = front_end.mel.fmax or front_end.mel.sr / 2
    heard, known = min(rate / 2, highest), min(enrolled / 2, highest)
    if min(heard, known) >= 0.9 * max(heard, known):
        return ""
    return (
        f"it was enrolled from recordings at {enrolled} Hz, and this microphone gives {rate} Hz: "
        "enroll recordings of this microphone"
    )


def level_dbfs(samples: NDArray[np.int16] | NDArray[np.float32]) -> float | None:
    """Give the root mean square of int16 samples without their mean, in dB of full scale.

    Returns:
        None where all samples are equal.
    """
    x = samples.astype(np.float32).ravel()
    x -= np.float32(x.mean(dtype=np.float64))
    power = float(np.dot(x, x)) / len(x)
    # Rounding leaves up to 1e-3 of a step where all samples are equal.
    return 10 * math.log10(power / 32768**2) if power > 1e-4 else None


def digest(path: Path) -> tuple[float, int] | None:
    """Give what changes when a bundle is replaced; None while none is there."""
    try:
        status = (path / "bundle.json").stat()
    except OSError:
        return None
    return status.st_mtime, status.st_ino
