"""The one path from a clip to its decision: samples, mel spectrograms, embeddings, scores.

Whatever looks at a clip takes an `Analysis`, which computes each stage when it is first asked for
and keeps it; no other module reads, transforms, embeds and scores a clip.

    analysis = Detector.load("fan.asd").analyse("clip.wav")
    analysis.decision                     # computes the stages before it
    analysis.mels[analysis.worst]         # the spectrogram that the highest score was made of
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from asd_edge.audio.files import Samples
from asd_edge.errors import AudioError, ParameterError
from asd_edge.frontend.windows import FrontEnd
from asd_edge.scoring.calibration import Calibration, Threshold
from asd_edge.scoring.scorer import ClipScore, Scorer

# Windows that go through the network at once: bounds the memory of an hour-long clip.
BATCH = 8


class Embedder(Protocol):
    """A model: EmbeddingModel on the device, the PyTorch one in a run's evaluation."""

    def embed(self, mel: NDArray[np.float32]) -> Mapping[str, NDArray[np.float32]]:
        """Embed mel spectrograms [shape=(batch, n_mels, n_frames)]: view -> [shape=(batch, d)]."""


class Decider(Protocol):
    """What scores embeddings and decides: a `Detector`."""

    scorer: Scorer
    calibration: Calibration

    def threshold(self, section: str) -> Threshold:
        """Threshold that decides for a section."""


@dataclass(frozen=True)
class Decision:
    """What the detector says of one clip.

    Attributes:
        clip: the file's path, or the name given to an array.
        score: mean distance to the nearest references, of several views their weighted sum;
            larger is more anomalous.
        threshold: scores at or above it are anomalous.
        anomalous: the decision.
        p_value: share of normal clips that score at least as high, by the distribution of the
            held-out clips' scores; that of the threshold is the false-alarm rate.
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


@dataclass(frozen=True)
class Window:
    """One window of a clip.

    Attributes:
        start_s: where it begins in the clip, in s.
        end_s: where it ends; with the clip, if the clip is shorter than the model's input.
        score: of this window alone.
    """

    start_s: float
    end_s: float
    score: float


class Analysis:
    """All stages from the samples of one clip to its decision, each computed once, on demand.

    Made by `Detector.analyse`. Without a detector it goes as far as the embeddings.

    Args:
        samples: mono, at the front end's rate [shape=(n,)]; float32, or int16 as recorded.
        front_end: makes windows and spectrograms.
        model: makes embeddings.
        clip: the clip's name.
        section: the clip's section, if it is known.
        detector: scores and decides.
        start_s: where the samples begin in their recording, in s.

    Raises:
        AudioError: fewer samples than one FFT window.
    """

    def __init__(
        self,
        samples: Samples,
        front_end: FrontEnd,
        model: Embedder,
        *,
        clip: str = "array",
        section: str | None = None,
        detector: Decider | None = None,
        start_s: float = 0.0,
    ) -> None:
        front_end.check_length(len(samples), clip)
        self.samples = samples
        self.front_end = front_end
        self.clip = clip
        self.start_s = start_s
        self._model = model
        self._section = section
        self._detector = detector

    @property
    def seconds(self) -> float:
        """Length of the clip in s."""
        return len(self.samples) / self.front_end.mel.sr

    @cached_property
    def starts(self) -> list[int]:
        """First sample of each window [length n_windows]."""
        return self.front_end.starts(len(self.samples))

    def mel(self, window: int) -> NDArray[np.float32]:
        """Mel spectrogram of one window [shape=(n_mels, n_frames)], without those of the others."""
        if "mels" in self.__dict__:
            mel: NDArray[np.float32] = self.mels[window]
            return mel
        return self.front_end.features(self.samples, self.starts[window])

    @cached_property
    def mels(self) -> NDArray[np.float32]:
        """Mel spectrograms [shape=(n_windows, n_mels, n_frames)]."""
        if len(self.starts) == 1:  # without the copy that stacking makes
            return self.front_end.features(self.samples)[np.newaxis]
        return np.stack([self.front_end.features(self.samples, start) for start in self.starts])

    @cached_property
    def embeddings(self) -> dict[str, NDArray[np.float32]]:
        """Embeddings of every window: view -> [shape=(n_windows, d)]."""
        batches = [self._model.embed(batch) for batch in self._batches()]
        if len(batches) == 1:
            return dict(batches[0])
        return {view: np.concatenate([batch[view] for batch in batches]) for view in batches[0]}

    def _batches(self) -> Iterator[NDArray[np.float32]]:
        """Give the spectrograms of BATCH windows at a time, without keeping those of long clips."""
        if "mels" in self.__dict__ or len(self.starts) <= BATCH:
            for i in range(0, len(self.mels), BATCH):
                yield self.mels[i : i + BATCH]
            return
        for i in range(0, len(self.starts), BATCH):
            batch = self.starts[i : i + BATCH]
            yield np.stack([self.front_end.features(self.samples, start) for start in batch])

    @cached_property
    def scores(self) -> ClipScore:
        """Scores of every window, what each view gives to them, and the nearest reference."""
        return self._needed_detector.scorer.score(self.embeddings, self._section)

    @cached_property
    def windows(self) -> tuple[Window, ...]:
        """Every window with its place in the clip and its score."""
        sr, n = self.front_end.mel.sr, len(self.samples)
        return tuple(
            Window(start / sr, min(start + self.front_end.n_samples, n) / sr, score)
            for start, score in zip(self.starts, self.scores.windows, strict=True)
        )

    @property
    def worst(self) -> int:
        """Number of the window that scores highest, from 0."""
        return int(np.argmax(self.scores.windows))

    @cached_property
    def decision(self) -> Decision:
        """What the detector says of the clip.

        Raises:
            AudioError: the score is not finite.
        """
        detector, scored = self._needed_detector, self.scores
        if not math.isfinite(scored.score):
            # NaN compares as "not above the threshold": a broken clip would pass as normal.
            raise AudioError(
                self.clip,
                f"has the score {scored.score}; are its samples within -1 to 1?",
                kind="not_finite",
            )
        threshold = detector.threshold(scored.section)
        return Decision(
            clip=self.clip,
            score=scored.score,
            threshold=threshold.value,
            anomalous=scored.score >= threshold.value,
            p_value=float(detector.calibration.tail_probability(scored.section, scored.score)[0]),
            section=scored.section,
            section_known=scored.section_known,
            windows=scored.windows,
            nearest=scored.nearest,
        )

    def with_mels(self, mels: NDArray[np.float32]) -> Analysis:
        """Give an analysis of other spectrograms in the place of this clip's windows.

        Args:
            mels: [shape=(n, n_mels, n_frames)]; n need not be the number of windows.

        Returns:
            an analysis whose embeddings and scores are those of `mels`, in the section that
            this one is scored in.
        """
        # Without a section, the clip is in the one that it was found to be nearest to.
        section = self.scores.section if "scores" in self.__dict__ else self._section
        other = Analysis(
            self.samples,
            self.front_end,
            self._model,
            clip=self.clip,
            section=section,
            detector=self._detector,
            start_s=self.start_s,
        )
        other.__dict__["mels"] = mels  # where cached_property looks for what was computed
        return other

    def pieces(self) -> Iterator[Analysis]:
        """Cut a recording into clips of one window each, end to end; a rest is left out.

        A clip shorter than two windows is its own only piece.
        """
        length, sr = self.front_end.n_samples, self.front_end.mel.sr
        count = len(self.samples) // length
        if count < 2:
            yield self
            return
        for start in range(0, count * length, length):
            yield Analysis(
                self.samples[start : start + length],
                self.front_end,
                self._model,
                clip=self.clip,
                section=self._section,
                detector=self._detector,
                start_s=self.start_s + start / sr,
            )

    @property
    def _needed_detector(self) -> Decider:
        if self._detector is None:
            raise ParameterError("detector", None, "one that scores; this analysis only embeds")
        return self._detector
