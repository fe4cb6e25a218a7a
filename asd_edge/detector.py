"""Detector: a bundle ready to score clips."""

from __future__ import annotations

import math
from functools import cached_property, partial
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from asd_edge.analysis import Analysis, Embedder
from asd_edge.audio.clip_names import section_of
from asd_edge.audio.recording import Channel, open_recording
from asd_edge.bundle.format import Bundle, read_bundle
from asd_edge.checks import EnrolledRange
from asd_edge.decision import Decision
from asd_edge.errors import ParameterError
from asd_edge.frontend.windows import FrontEnd
from asd_edge.model import EmbeddingModel
from asd_edge.scoring.calibration import Calibration, Threshold, check_rate
from asd_edge.scoring.scorer import Scorer
from asd_edge.scoring.views import Bands, lowest_levels


class Detector:
    """Scores clips with a bundle; `Detector.load` makes one.

    One detector may be shared by threads. One that `load` made can be pickled, for
    multiprocessing: what travels is its path and options, and the other process loads it anew.

    Example:
        >>> from asd_edge import Detector
        >>> detector = Detector.load("fan.asd", false_alarm_rate=0.01)
        >>> detector.score("normal.wav").anomalous
        False
        >>> samples = np.random.default_rng(0).normal(0, 0.1, 480_000)  # 10 s of noise
        >>> detector.score(samples, sr=48000).anomalous
        True
    """

    def __init__(
        self,
        front_end: FrontEnd,
        model: Embedder,
        scorer: Scorer,
        calibration: Calibration,
        *,
        false_alarm_rate: float | None = None,
        threshold: float | None = None,
        enrolled: EnrolledRange | None = None,
    ) -> None:
        if false_alarm_rate is not None:
            check_rate(false_alarm_rate)
        if threshold is not None and not math.isfinite(threshold):
            raise ParameterError("threshold", threshold, "a finite score")
        self.front_end = front_end
        self.model = model
        self.scorer = scorer
        self.calibration = calibration
        self.enrolled = enrolled
        self._false_alarm_rate = false_alarm_rate
        self._threshold = threshold
        self._thresholds: dict[str, Threshold] = {}
        self._loaded_from: tuple[str, dict[str, Any]] | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        if self._loaded_from is None:
            raise TypeError("only a Detector that Detector.load made can be pickled")
        path, options = self._loaded_from
        return partial(type(self).load, **options), (path,)

    @classmethod
    def load(
        cls,
        path: str | Path,
        *,
        provider: str = "cpu",
        threads: int = 1,
        false_alarm_rate: float | None = None,
        threshold: float | None = None,
    ) -> Detector:
        """Load a bundle.

        Args:
            path: the folder `NAME.asd`.
            provider: "cpu", "cuda", ... or "auto"; see EmbeddingModel.
            threads: threads that the network may use.
            false_alarm_rate: share of normal clips that may be called anomalous,
                above 0 and below 1; default: the bundle's.
            threshold: decide by this score instead.

        Raises:
            MissingFileError: no such bundle.
            BundleError: the bundle is damaged.
            ProviderError: a provider that is not there.
            ParameterError: a rate or number of threads out of range.
        """
        options: dict[str, Any] = {
            "provider": provider,
            "threads": threads,
            "false_alarm_rate": false_alarm_rate,
            "threshold": threshold,
        }
        detector = cls.from_bundle(read_bundle(path), path=path, **options)
        detector._loaded_from = str(Path(path).absolute()), options
        return detector

    @classmethod
    def from_bundle(
        cls,
        contents: Bundle,
        *,
        path: str | Path = "bundle",
        provider: str = "cpu",
        threads: int = 1,
        false_alarm_rate: float | None = None,
        threshold: float | None = None,
    ) -> Detector:
        """Make a detector of a bundle in memory; `path` is what messages call it. See `load`."""
        model = EmbeddingModel(
            contents.model, contents.front_end, contents.views, provider, threads, path
        )
        for name, view in contents.views.items():
            model.expect(name, view.references.embeddings.shape[1])
        return cls(
            contents.front_end,
            model,
            Scorer(contents.views),
            contents.calibration,
            false_alarm_rate=false_alarm_rate,
            threshold=threshold,
            enrolled=EnrolledRange.of_provenance(contents.provenance),
        )

    @cached_property
    def lowest_bands(self) -> Bands:
        """Mean level of each band in dB, the lowest of all references; None if they do not tell."""
        return lowest_levels(self.scorer.views, self.front_end.mel)

    @property
    def false_alarm_rate(self) -> float:
        """Share of normal clips that may be called anomalous."""
        return self._false_alarm_rate or self.calibration.false_alarm_rate

    def threshold(self, section: str, rate: float | None = None) -> Threshold:
        """Threshold that decides for a section, by default at the detector's false-alarm rate."""
        if self._threshold is not None:
            return Threshold(self._threshold, "given", 0)
        if rate is not None:
            return self.calibration.threshold(section, rate)
        if section not in self._thresholds:  # a fit: as long as measuring the distances
            threshold = self.calibration.threshold(section, self._false_alarm_rate)
            self._thresholds[section] = threshold
        return self._thresholds[section]

    def analyse(
        self,
        clip: str | Path | BinaryIO | NDArray[Any],
        sr: int | None = None,
        *,
        section: str | None = None,
        channel: Channel | None = None,
        name: str | None = None,
        raw: tuple[int, int] | None = None,
    ) -> Analysis:
        """Read a clip; every further stage is computed when the analysis is asked for it.

        Args:
            clip: a sound file; "-" for stdin; a binary file object; or samples
                [shape=(n,) or (n, channels)] with full scale -1 to 1 (or that of their
                integer type).
            sr: rate of the samples in Hz; needed for an array.
            section: the clip's section; by default what a file name in the style
                of DCASE says. Unknown sections are scored against every one, and the
                nearest is named.
            channel: "mean" or the number of a channel; by default the bundle's.
            name: what the result and messages call the clip.
            raw: rate in Hz and number of channels of a source of 16-bit samples without header.

        Raises:
            MissingFileError, AudioError: see `audio.recording.open_recording` and `blocks`; also a
                clip shorter than one FFT window.
            ParameterError: an array without its rate, or with a wrong shape.
        """
        if channel is None:  # samples of one channel are that channel's already
            channel = 0 if getattr(clip, "ndim", 2) == 1 else self.front_end.channel
        model_sr = self.front_end.mel.sr
        if isinstance(clip, np.ndarray):
            if sr is None:
                raise ParameterError("sr", sr, "the rate of the samples in Hz")
            recording = open_recording(clip, model_sr, channel, rate=sr, name=name or "array")
        else:
            recording = open_recording(clip, model_sr, channel, raw=raw, name=name)
            if section is None and isinstance(clip, (str, Path)):
                section = section_of(clip)
        try:
            return Analysis(
                recording,
                self.front_end,
                self.model,
                clip=recording.name,
                section=section,
                detector=self,
            )
        except BaseException:
            recording.close()
            raise

    def score(
        self,
        clip: str | Path | BinaryIO | NDArray[Any],
        sr: int | None = None,
        *,
        section: str | None = None,
        channel: Channel | None = None,
        name: str | None = None,
        raw: tuple[int, int] | None = None,
    ) -> Decision:
        """Score a clip: `analyse(...).decision`, with the same arguments and errors.

        Raises:
            UnfitError: the clip can be read but not judged.
        """
        with self.analyse(
            clip, sr, section=section, channel=channel, name=name, raw=raw
        ) as analysis:
            return analysis.decision
