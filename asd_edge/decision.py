"""Decide a clip or a recording from the scores of its windows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np

from asd_edge.audio.recording import ClipWarning
from asd_edge.checks import EnrolledRange, Levels, left_out
from asd_edge.scoring.calibration import Calibration, Threshold
from asd_edge.scoring.scorer import ClipScore, Scorer
from asd_edge.scoring.views import Bands

Places = tuple[Sequence[float], float, float]
"""Where each window begins in the clip, the length of a window and that of the clip, all in s."""


class Decider(Protocol):
    """What scores embeddings and decides: a `Detector`."""

    scorer: Scorer
    calibration: Calibration
    enrolled: EnrolledRange | None

    @property
    def lowest_bands(self) -> Bands:
        """Mean level of each band, the lowest of all references."""

    def threshold(self, section: str, rate: float | None = None) -> Threshold:
        """Threshold that decides for a section."""

    @property
    def false_alarm_rate(self) -> float:
        """Rate that decides for a recording."""


class Window(NamedTuple):
    """One window of a clip.

    Attributes:
        start_s: where it begins in the clip, in s.
        end_s: where it ends; with the clip, if the clip is shorter than the model's input.
        score: of this window alone.
        p_value: share of normal windows that score at least as high.
        anomalous: whether it is one of those that make the clip anomalous.
        valid: False if it holds no sound, or gaps; it is then left out of the decision.
        level_db: root mean square in dB of full scale, without the offset.
    """

    start_s: float
    end_s: float
    score: float
    p_value: float
    anomalous: bool
    valid: bool
    level_db: float


class Decision(NamedTuple):
    """Decision of the detector about one clip.

    A clip shorter than two windows is decided as one, by the mean over its windows. A longer
    one is a sequence of windows, decided by `scoring.recording_rule` at the false-alarm rate for
    the whole; its score is that of the worst window, and the threshold is what a window
    had to reach in a recording of this length.

    Attributes:
        clip: the file's path, or the name given to an array.
        score: distance to the nearest references, of several views their weighted sum;
            larger is more anomalous.
        threshold: scores at or above it are anomalous.
        anomalous: the decision.
        p_value: share of normal clips of this length that would look as anomalous.
        section: the clip's section, or the nearest one if that is unknown.
        section_known: whether the clip's section is one of the bundle's.
        windows: in order; one for a clip no longer than the model's input.
        nearest: name of the normal clip that is most like it, among the section's references.
        warnings: what may make the decision worthless.

    Example:
        >>> from asd_edge import Detector
        >>> decision = Detector.load("fan.asd").score("hour.wav")  # with a fault in it
        >>> decision.anomalous, decision.ratio > 1
        (True, True)
        >>> [(w.start_s, w.end_s) for w in decision.windows if w.anomalous][:2]
        [(20.0, 30.0), (25.0, 35.0)]
    """

    clip: str
    score: float
    threshold: float
    anomalous: bool
    p_value: float
    section: str
    section_known: bool
    windows: tuple[Window, ...]
    nearest: str
    warnings: tuple[ClipWarning, ...] = ()

    @property
    def ratio(self) -> float:
        """The score as a multiple of the threshold."""
        return self.score / self.threshold if self.threshold > 0 else float("inf")

    def ratio_of(self, window: Window) -> float:
        """Give a window's score as a multiple of the threshold."""
        return window.score / self.threshold if self.threshold > 0 else float("inf")

    @property
    def worst(self) -> Window:
        """The window that scores highest, among those with sound."""
        return max((w for w in self.windows if w.valid), key=lambda window: window.score)


def decide_clip(
    clip: str,
    scored: ClipScore,
    levels: Sequence[Levels],
    places: Places,
    warnings: tuple[ClipWarning, ...],
    detector: Decider,
) -> Decision:
    """Decide a clip shorter than two windows: as one, by the mean score of its windows.

    Args:
        clip: its name.
        scored: scores of its windows.
        levels: of each window.
        places: of the windows.
        warnings: about the clip.
        detector: whose calibration and thresholds are used.
    """
    section = scored.section
    threshold = detector.threshold(section)
    p = detector.calibration.p_value(section, scored.score)
    each = [p]
    if len(scored.windows) > 1:
        each = detector.calibration.tail_probability(section, scored.windows).tolist()
    anomalous = scored.score >= threshold.value
    rows = each, [anomalous] * len(each), left_out(levels)
    windows = _windows(scored, levels, places, *rows)
    return Decision(
        clip, scored.score, threshold.value, anomalous, p, section, scored.section_known, windows,
        scored.nearest, warnings,
    )  # fmt: skip


def decide_sequence(
    clip: str,
    scored: ClipScore,
    levels: Sequence[Levels],
    places: Places,
    warnings: tuple[ClipWarning, ...],
    detector: Decider,
) -> Decision:
    """Decide a recording of two windows or more by all windows with sound; as `decide_clip`."""
    # Clips of one window, of which most commands are given some, need none of it.
    from asd_edge.scoring.recording_rule import decide_recording
    from asd_edge.scoring.recording_tail import recording_tail

    section = scored.section
    scores = np.array(scored.windows)
    out = left_out(levels)
    valid = ~np.array(out)
    p = detector.calibration.tail_probability(section, scores)
    starts_s, length_s, _ = places
    hop = (starts_s[-1] - starts_s[0]) / (len(scores) - 1) / length_s
    tail = recording_tail(detector.calibration.tail(section))
    result = decide_recording(scores[valid], tail, detector.false_alarm_rate, hop)
    threshold, rule = detector.threshold(section)[:2]
    anomalous = np.zeros(len(scores), bool)
    if rule == "given":
        anomalous[valid] = scores[valid] >= threshold
    else:
        threshold = result.threshold
        anomalous[valid] = result.anomalous
    windows = _windows(scored, levels, places, p.tolist(), anomalous.tolist(), out)
    return Decision(
        clip, float(scores[valid].max()), threshold, bool(anomalous.any()), result.p_value,
        section, scored.section_known, windows, scored.nearest, warnings,
    )  # fmt: skip


def _windows(
    scored: ClipScore,
    levels: Sequence[Levels],
    places: Places,
    p: Sequence[float],
    anomalous: Sequence[bool],
    out: Sequence[bool],
) -> tuple[Window, ...]:
    starts_s, length_s, seconds = places
    rows = zip(starts_s, scored.windows, p, anomalous, out, levels, strict=True)
    return tuple([
        Window(
            start, min(start + length_s, seconds), score, q, odd, not is_out,
            level.level_db,
        )
        for start, score, q, odd, is_out, level in rows
    ])  # fmt: skip
