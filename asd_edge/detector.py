"""Detector: a bundle ready to score clips."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from asd_edge.audio import files as audio
from asd_edge.audio.clip_names import section_of
from asd_edge.bundle import format as bundle
from asd_edge.errors import AudioError, ParameterError
from asd_edge.frontend.windows import FrontEnd
from asd_edge.model import EmbeddingModel
from asd_edge.scoring.calibration import Calibration, Threshold, check_rate
from asd_edge.scoring.scorer import ClipScore, Scorer

# Windows that go through the network at once: bounds the memory of an hour-long clip.
BATCH = 8


@dataclass(frozen=True)
class Decision:
    """What the detector says of one clip.

    Attributes:
        clip: the file's path, or the name given to an array.
        score: mean distance to the nearest references, of several views their weighted sum;
            larger is more anomalous.
        threshold: scores at or above it are anomalous.
        anomalous: the decision.
        p_value: share of normal clips that score at least as high, by the
            held-out clips (conformal), from 1 / (n + 1) to 1.
        section: the clip's section, or the nearest one if that is unknown.
        section_known: whether the clip's section is one of the bundle's.
        windows: score of each window; one for a clip no longer than the model's input.
        nearest: name of the normal clip that is most like it, among the section's references.
    """

    clip: str
    score: float
    threshold: float
    anomalous: bool
    p_value: float
    section: str
    section_known: bool
    windows: tuple[float, ...]
    nearest: str


class Embedder(Protocol):
    """A model: EmbeddingModel on the device, the PyTorch one in a run's evaluation."""

    def embed(self, mel: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
        """Embed mel spectrograms [shape=(batch, n_mels, n_frames)]: view -> [shape=(batch, d)]."""


class Detector:
    """Scores clips with a bundle; `Detector.load` makes one.

    One detector may be shared by threads. One that `load` made can be pickled, for
    multiprocessing: what travels is its path and options, and the other process loads it anew.
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
    ) -> None:
        if false_alarm_rate is not None:
            check_rate(false_alarm_rate)
        if threshold is not None and not math.isfinite(threshold):
            raise ParameterError("threshold", threshold, "a finite score")
        self.front_end = front_end
        self.model = model
        self.scorer = scorer
        self.calibration = calibration
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
        detector = cls.from_bundle(bundle.read(path), path=path, **options)
        detector._loaded_from = str(Path(path).absolute()), options
        return detector

    @classmethod
    def from_bundle(
        cls,
        contents: bundle.Bundle,
        *,
        path: str | Path = "bundle",
        provider: str = "cpu",
        threads: int = 1,
        false_alarm_rate: float | None = None,
        threshold: float | None = None,
    ) -> Detector:
        """Make a detector of a bundle in memory; `path` is what messages call it. See `load`."""
        return cls(
            contents.front_end,
            EmbeddingModel(
                contents.model, contents.front_end, contents.views, provider, threads, path
            ),
            Scorer(contents.views),
            contents.calibration,
            false_alarm_rate=false_alarm_rate,
            threshold=threshold,
        )

    def threshold(self, section: str) -> Threshold:
        """Threshold that decides for a section."""
        if self._threshold is not None:
            return Threshold(self._threshold, "given", 0)
        if section not in self._thresholds:  # a fit: as long as measuring the distances
            found = self.calibration.threshold(section, self._false_alarm_rate)
            self._thresholds[section] = found
        return self._thresholds[section]

    def score(
        self,
        clip: str | Path | NDArray[Any],
        sr: int | None = None,
        *,
        section: str | None = None,
        channel: audio.Channel | None = None,
        name: str = "array",
    ) -> Decision:
        """Score a clip.

        Args:
            clip: a sound file, or samples [shape=(n,) or (n, channels)] with full
                scale -1 to 1 (or that of their integer type).
            sr: rate of the samples in Hz; needed for an array.
            section: the clip's section; by default what a file name in the style
                of DCASE says. Unknown sections are scored against every one, and the
                nearest is named.
            channel: "mean" or the number of a channel; by default the bundle's.
            name: what the result and messages call an array.

        Raises:
            MissingFileError, AudioError: see `audio.read`.
            ParameterError: an array without its rate, or with a wrong shape.
        """
        channel = self.front_end.channel if channel is None else channel
        y: audio.Samples
        if isinstance(clip, (str, Path)):
            name = str(clip)
            y = audio.read_pcm(clip, self.front_end.mel.sr, channel)
            section = section or section_of(clip)
        else:
            if sr is None:
                raise ParameterError("sr", sr, "the rate of the samples in Hz")
            y = audio.from_array(clip, sr, self.front_end.mel.sr, channel, name)
        return self._decide(name, self.scorer.score(self.embed(y, name), section))

    def read(self, path: str | Path, channel: audio.Channel | None = None) -> NDArray[np.float32]:
        """Read a sound file as the front end wants it; see `audio.read`."""
        channel = self.front_end.channel if channel is None else channel
        return audio.read(path, self.front_end.mel.sr, channel)

    def embed(self, y: audio.Samples, name: str | Path = "array") -> dict[str, NDArray[np.float32]]:
        """Embed every window of a clip.

        Args:
            y: samples [shape=(n,)] at the front end's rate.
            name: what messages call the clip.

        Returns:
            view -> [shape=(n_windows, d)]
        """
        front_end = self.front_end
        if len(y) < front_end.mel.n_fft:
            raise AudioError(
                name,
                f"is {len(y) / front_end.mel.sr:.3f} s long; "
                f"at least {front_end.mel.n_fft / front_end.mel.sr:.3f} s are needed",
            )
        starts = front_end.starts(len(y))
        if len(starts) == 1:  # without the copies that joining makes
            return self.model.embed(front_end.features(y)[np.newaxis])
        batches = [
            self.model.embed(
                np.stack([front_end.features(y, start) for start in starts[i : i + BATCH]])
            )
            for i in range(0, len(starts), BATCH)
        ]
        return {view: np.concatenate([batch[view] for batch in batches]) for view in batches[0]}

    def _decide(self, name: str, clip: ClipScore) -> Decision:
        if not math.isfinite(clip.score):
            # NaN compares as "not above the threshold": a broken clip would pass as normal.
            raise AudioError(name, f"has the score {clip.score}; are its samples within -1 to 1?")
        threshold = self.threshold(clip.section)
        return Decision(
            clip=name,
            score=clip.score,
            threshold=threshold.value,
            anomalous=clip.score >= threshold.value,
            p_value=self.calibration.p_value(clip.section, clip.score),
            section=clip.section,
            section_known=clip.section_known,
            windows=clip.windows,
            nearest=clip.nearest,
        )
