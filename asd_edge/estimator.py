"""Enrolment as a scikit-learn estimator: fit, score_samples, predict. Needs the extra sklearn.

from asd_edge.estimator import EnrolledDetector

detector = EnrolledDetector(sr=16000).fit(normal_clips)
detector.predict(clips)  # 1 normal, -1 anomalous
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, OutlierMixin
from sklearn.utils.validation import check_is_fitted

from asd_edge.api import enroll
from asd_edge.decision import Decision
from asd_edge.detector import Detector
from asd_edge.errors import ParameterError

Clips = Iterable[str | Path | NDArray[Any]]


class EnrolledDetector(OutlierMixin, BaseEstimator):  # type: ignore[misc]  # untyped in scikit-learn
    """Detector of anomalous clips that learns from normal ones, by enrolment.

    X is a sequence of clips: paths of sound files, or arrays of samples at `sr`; the rows of one
    array [shape=(n_clips, n_samples)] are clips as well. Scores have scikit-learn's signs: larger
    is more normal, and negative decisions are anomalies.

    Args:
        source: bundle whose model is used; None: the built-in one, which needs no training.
        sr: rate of arrays in Hz; paths need none.
        false_alarm_rate: share of normal clips that may be called anomalous, 0 to 1, both excluded.
        section: of all clips, in `fit` and later.

    Attributes:
        bundle_: what was enrolled; `bundle_.write("fan.asd")` takes it to a device.
        warnings_: about the clips of `fit`.
        offset_: the threshold, as -score.

    Example:
        >>> EnrolledDetector().fit(["monday.wav"]).predict(["normal.wav", "hour.wav"])
        array([ 1, -1])
    """

    def __init__(
        self,
        source: str | Path | None = None,
        sr: int | None = None,
        false_alarm_rate: float = 0.01,
        section: str = "00",
    ) -> None:
        self.source = source
        self.sr = sr
        self.false_alarm_rate = false_alarm_rate
        self.section = section

    def fit(self, X: Clips, y: object = None) -> EnrolledDetector:
        """Enrol normal clips; a recording of two windows or more is cut into several.

        Args:
            X: normal clips.
            y: ignored; there are no labels.

        Raises:
            EnrollmentError: too few clips.
            AsdError: see `asd_edge.enroll`.
        """
        done = enroll(
            self._clips(X),
            sr=self.sr,
            source=self.source,
            section=self.section,
            false_alarm_rate=self.false_alarm_rate,
        )
        self.bundle_ = done.bundle
        self.warnings_ = done.warnings
        self.__dict__.pop("_detector", None)
        self.offset_ = -self._detector.threshold(self.section).value
        return self

    def decisions(self, X: Clips) -> list[Decision]:
        """Give the decision of each clip, with all that `Detector.score` says.

        Raises:
            AsdError: a clip that cannot be read or judged.
        """
        check_is_fitted(self)
        return [
            self._detector.score(
                clip,
                None if isinstance(clip, (str, Path)) else self.sr,
                section=self.section,
            )
            for clip in self._clips(X)
        ]

    def score_samples(self, X: Clips) -> NDArray[np.float64]:
        """Give -score of each clip [shape=(n_clips,)]: larger is more normal."""
        return -np.array([decision.score for decision in self.decisions(X)])

    def decision_function(self, X: Clips) -> NDArray[np.float64]:
        """Give threshold - score of each clip [shape=(n_clips,)]: negative is anomalous.

        The threshold is that of the clip: a recording of several windows has its own.
        """
        return np.array([d.threshold - d.score for d in self.decisions(X)])

    def predict(self, X: Clips) -> NDArray[np.int64]:
        """Give 1 for each normal clip, -1 for each anomalous one [shape=(n_clips,)]."""
        return np.array([-1 if d.anomalous else 1 for d in self.decisions(X)], dtype=np.int64)

    @cached_property
    def _detector(self) -> Detector:
        return Detector.from_bundle(self.bundle_)

    def __getstate__(self) -> dict[str, Any]:
        state: dict[str, Any] = super().__getstate__()
        # A session of onnxruntime cannot be pickled; it is made again when it is needed.
        return {name: value for name, value in state.items() if name != "_detector"}

    def _clips(self, X: Clips) -> list[str | Path | NDArray[Any]]:
        one = isinstance(X, np.ndarray) and X.ndim == 1 and X.dtype.kind in "fiu"
        if one or isinstance(X, (str, Path)):
            raise ParameterError("X", X, "a sequence of clips; put one clip into a list")
        clips = list(X)
        if not clips:
            raise ParameterError("X", "no clips", "at least one clip")
        arrays = any(not isinstance(clip, (str, Path)) for clip in clips)
        if arrays and self.sr is None:
            raise ParameterError("sr", self.sr, "the rate of the arrays in Hz")
        return clips

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        # Clips are sounds of any length, not rows of a table of features.
        tags.input_tags.two_d_array = False
        tags.input_tags.string = True
        tags.input_tags.three_d_array = False
        return tags
