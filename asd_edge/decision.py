"""What a detector says of a clip."""

from __future__ import annotations

from dataclasses import dataclass

from asd_edge.audio.recording import ClipWarning


@dataclass(frozen=True)
class Window:
    """One window of a clip.

    Attributes:
        start_s: where it begins in the clip, in s.
        end_s: where it ends; with the clip, if the clip is shorter than the model's input.
        score: of this window alone.
        p_value: share of normal windows that score at least as high.
        anomalous: whether it is one of those that make the clip anomalous.
        valid: False if it holds no sound; it is then left out of the decision.
        level_db: root mean square in dB of full scale, without the offset.
    """

    start_s: float
    end_s: float
    score: float
    p_value: float
    anomalous: bool
    valid: bool
    level_db: float


@dataclass(frozen=True)
class Decision:
    """What the detector says of one clip.

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
