"""The one path from a clip to its decision: samples, mel spectrograms, embeddings, scores.

Whatever looks at a clip takes an `Analysis`, which computes each stage when it is first asked for
and keeps it; no other module reads, transforms, embeds and scores a clip.

A long recording is never held as a whole: a few windows at a time are, and their scores are kept.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Mapping
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from asd_edge import checks
from asd_edge.audio.recording import ClipWarning, Recording, Samples, open_recording
from asd_edge.checks import Levels
from asd_edge.decision import Decider, Decision, Window, decide_clip, decide_sequence
from asd_edge.errors import AudioError, ParameterError, UnfitError
from asd_edge.frontend.windows import FrontEnd
from asd_edge.scoring.scorer import ClipScore, join_scores
from asd_edge.scoring.views import Bands, band_levels, highest
from asd_edge.stage import Stage

# Windows that go through the network at once: bounds the memory of a long recording.
BATCH = 8
# A clip of at most so many seconds, or windows, of sound is held in memory.
_HELD_S, _HELD_WINDOWS = 60, 6


class Embedder(Protocol):
    """A model: EmbeddingModel on the device, the PyTorch one in a run's evaluation."""

    def embed(self, mel: NDArray[np.float32]) -> Mapping[str, NDArray[np.float32]]:
        """Embed mel spectrograms [shape=(batch, n_mels, n_frames)]: view -> [shape=(batch, d)]."""


class Analysis:
    """All stages from the samples of one clip to its decision, each computed once, on demand.

    Made by `Detector.analyse`; to be closed, as by `with`. Without a detector it only embeds.
    Beside its arguments it has the attribute `n_samples`, the length at the front end's rate.

    Example:
        >>> from asd_edge import Detector
        >>> with Detector.load("fan.asd").analyse("normal.wav") as analysis:
        ...     print(analysis.n_samples, analysis.mels.shape, analysis.decision.anomalous)
        ...     print({view: x.shape[1] for view, x in analysis.embeddings.items()})
        160000 (1, 128, 313) False
        {'statistics': 768, 'bands': 16, 'band_changes': 80, 'level': 1}

    Args:
        recording: an open recording at the front end's rate, or samples [shape=(n,)] at it.
        front_end: makes windows and spectrograms.
        model: makes embeddings.
        clip: the clip's name.
        section: the clip's section, if it is known.
        detector: scores and decides.
        start_s: where the clip begins in its recording, in s.
        rate, encoding: in Hz, and as of `Recording`, where the samples were read from it before.

    Raises:
        AudioError: see `audio.recording.Recording.blocks`; or fewer samples than one FFT window.
    """

    def __init__(
        self,
        recording: Recording | Samples,
        front_end: FrontEnd,
        model: Embedder,
        *,
        clip: str = "array",
        section: str | None = None,
        detector: Decider | None = None,
        start_s: float = 0.0,
        rate: int | None = None,
        encoding: str | None = None,
    ) -> None:
        self._noticed: tuple[list[ClipWarning], float] = [], 0.0
        if isinstance(recording, np.ndarray):  # from where they were checked
            self.__dict__["samples"] = samples = recording
            self._noticed = [], checks.clipped_share(samples)
            recording = open_recording(samples, front_end.mel.sr, rate=front_end.mel.sr, name=clip)
        self.recording, self.front_end = recording, front_end
        self.clip, self.start_s = clip, start_s
        self.rate, self.encoding = rate or recording.rate, encoding or recording.encoding
        self._model, self._section, self._detector = model, section, detector
        if recording.n_samples is None:  # a stream that does not say how long it is
            for _ in recording.blocks():
                pass
        assert recording.n_samples is not None
        held = max(_HELD_S * front_end.mel.sr, _HELD_WINDOWS * front_end.n_samples)
        short = recording.n_samples <= held
        self.n_samples = len(self.samples) if short else recording.n_samples
        front_end.check_length(self.n_samples, clip)

    def close(self) -> None:
        """Close the recording; what was computed stays."""
        self.recording.close()

    def __enter__(self) -> Analysis:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    @property
    def seconds(self) -> float:
        """Length of the clip in s."""
        return self.n_samples / self.front_end.mel.sr

    @property
    def noticed(self) -> list[ClipWarning]:
        """What was noticed about the file while it was read; complete once it was read through."""
        return self._noticed[0]

    @property
    def is_sequence(self) -> bool:
        """Whether the clip has two windows or more of sound, and is decided window by window."""
        return self.n_samples >= 2 * self.front_end.n_samples

    @Stage
    def samples(self) -> Samples:
        """All samples [shape=(n,)]: float32, or int16 as recorded."""
        samples = self.recording.samples()
        self._note_reading()
        self.recording.close()  # many analyses may be kept; each would hold a descriptor
        return samples

    @Stage
    def starts(self) -> list[int]:
        """First sample of each window [length n_windows]."""
        return self.front_end.starts(self.n_samples)

    def window_samples(self, window: int) -> Samples:
        """Samples of one window [shape=(n,)]; of a clip shorter than a window, all."""
        return self._cut(self.starts[window])

    def _cut(self, start: int) -> Samples:
        """Samples of the window that begins at a sample, from memory or from the file."""
        n = self.front_end.n_samples
        if "samples" in self.__dict__:
            return self.samples[start : start + n]
        return self.recording.read(start, n)

    def mel(self, window: int) -> NDArray[np.float32]:
        """Mel spectrogram of one window [shape=(n_mels, n_frames)], without those of the others."""
        if "mels" in self.__dict__:
            return np.asarray(self.mels[window])
        samples = self.window_samples(window)
        return self.front_end.features(checks.centred(samples, checks.measure(samples)))

    def mel_at(self, start_s: float) -> NDArray[np.float32]:
        """Mel spectrogram of the window that begins at a time in s [shape=(n_mels, n_frames)]."""
        samples = self._cut(round(start_s * self.front_end.mel.sr))
        self.front_end.check_length(len(samples), self.clip)
        return self.front_end.features(checks.centred(samples, checks.measure(samples)))

    def each_window(self) -> list[ClipScore]:
        """Score each window as a clip of its own: with what each view gives to it."""
        scorer, section = self._needed_detector.scorer, self._section
        rows = range(len(next(iter(self.embeddings.values()))))
        return [
            scorer.score({view: x[i : i + 1] for view, x in self.embeddings.items()}, section)
            for i in rows
        ]

    @Stage
    def mels(self) -> NDArray[np.float32]:
        """Mel spectrograms [shape=(n_windows, n_mels, n_frames)]; of long clips, many."""
        if len(self.starts) == 1:  # without the copy that stacking makes
            samples = checks.centred(self.samples, self.levels[0])
            return self.front_end.features(samples)[np.newaxis]
        return np.stack([self.mel(i) for i in range(len(self.starts))])

    @Stage
    def embeddings(self) -> Mapping[str, NDArray[np.float32]]:
        """Embeddings of every window: view -> [shape=(n_windows, d)]."""
        if "mels" in self.__dict__ or len(self.starts) <= BATCH:
            x = self.mels
            batches = [self._model.embed(x[i : i + BATCH]) for i in range(0, len(x), BATCH)]
        else:
            batches = [embeddings for embeddings, _ in self._batches()]
        if len(batches) == 1:
            return batches[0]
        return {view: np.concatenate([batch[view] for batch in batches]) for view in batches[0]}

    def _batches(self) -> Iterator[tuple[Mapping[str, NDArray[np.float32]], list[Levels]]]:
        """Embed and measure BATCH windows at a time, without keeping their samples and mels."""
        for i in range(0, len(self.starts), BATCH):
            some = [self.window_samples(j) for j in range(i, min(i + BATCH, len(self.starts)))]
            levels = [checks.measure(samples) for samples in some]
            mels = np.stack([self.front_end.features(x) for x in map(checks.centred, some, levels)])
            yield self._model.embed(mels), levels

    @Stage
    def levels(self) -> list[Levels]:
        """Levels of every window."""
        if "samples" not in self.__dict__ and self._detector is not None:
            return self._streamed[1]
        return [checks.measure(self.window_samples(i)) for i in range(len(self.starts))]

    @Stage
    def scores(self) -> ClipScore:
        """Scores of every window, what each view gives to them, and the nearest reference."""
        if "samples" in self.__dict__ or "mels" in self.__dict__ or "embeddings" in self.__dict__:
            return self._needed_detector.scorer.score(self.embeddings, self._section)
        return self._streamed[0]

    @Stage
    def _streamed(self) -> tuple[ClipScore, list[Levels], Bands]:
        """Scores, levels and bands of a long recording, from one pass through it."""
        scorer = self._needed_detector.scorer
        known = self._section in scorer.sections
        candidates = (str(self._section),) if known else scorer.sections
        parts: dict[str, list[ClipScore]] = {section: [] for section in candidates}
        levels: list[Levels] = []
        bands: list[Bands] = []
        for embeddings, some in self._batches():
            levels += some
            bands.append(band_levels(embeddings, self.front_end.mel))
            for section in candidates:
                parts[section].append(scorer.score(embeddings, section))
        self._note_reading()
        joined = [join_scores(scores, known) for scores in parts.values()]
        return min(joined, key=lambda scored: scored.score), levels, highest(bands)

    def _note_reading(self) -> None:
        """Keep what was noticed while all was read; reading a part again would begin anew."""
        self._noticed = self.recording.warnings, self.recording.clipped_share

    @Stage
    def worst(self) -> int:
        """Number of the judged window that scores highest, from 0."""
        out = checks.left_out(self.levels)
        return int(np.argmax(np.where(out, -np.inf, self.scores.windows)))

    @Stage
    def warnings(self) -> tuple[ClipWarning, ...]:
        """What may make the decision worthless; those of `checks.WORTHLESS` do."""
        noticed, clipped = self._noticed
        enrolled = None if self._detector is None else self._detector.enrolled
        found = checks.check_clip(
            self.clip, self.levels, self.start_times, self.seconds, self.front_end, enrolled
        )
        found += checks.check_clipping(self.clip, clipped)
        lowest = None if self._detector is None else self._detector.lowest_bands
        recorded = self.rate, self.encoding, self._bands, lowest, self.front_end, enrolled
        if self.recording.channels > 1 or not checks.is_usual(*recorded):
            from asd_edge import frequencies  # here, because most clips are as those enrolled

            found += frequencies.check(self.recording, *recorded)
        return (*noticed, *found)

    @property
    def _bands(self) -> Bands:
        if "_streamed" in self.__dict__:
            return self._streamed[2]
        return (
            band_levels(self.embeddings, self.front_end.mel) if "scores" in self.__dict__ else None
        )

    @Stage
    def start_times(self) -> list[float]:
        """Where each window begins in the clip, in s [length n_windows]."""
        return [start / self.front_end.mel.sr for start in self.starts]

    @property
    def windows(self) -> tuple[Window, ...]:
        """Every window with its place in the clip, its score, and what it says by itself."""
        return self.decision.windows

    @Stage
    def decision(self) -> Decision:
        """What the detector says of the clip.

        Raises:
            UnfitError: the clip cannot be judged: see `checks.WORTHLESS`.
            AudioError: the score is not finite.
        """
        scored, warnings = self.scores, self.warnings
        for warning in warnings:
            if warning.kind in checks.WORTHLESS:
                raise UnfitError(self.clip, warning.reason, warning.kind)
        if not math.isfinite(scored.score):
            # NaN compares as "not above the threshold": a broken clip would pass as normal.
            raise AudioError(
                self.clip,
                f"has the score {scored.score}; are its samples within -1 to 1?",
                kind="not_finite",
            )
        places = self.start_times, self.front_end.clip_seconds, self.seconds
        decide_ = decide_sequence if self.is_sequence else decide_clip
        return decide_(self.clip, scored, self.levels, places, warnings, self._needed_detector)

    def with_mels(self, mels: NDArray[np.float32]) -> Analysis:
        """Give an analysis of other spectrograms in the place of this clip's windows.

        Args:
            mels: [shape=(n, n_mels, n_frames)]; n need not be the number of windows.

        Returns:
            an analysis whose embeddings and scores are those of `mels`, in the section that
            this one is scored in.
        """
        other = copy.copy(self)
        # Without a section, the clip is in the one that it was found to be nearest to.
        if "scores" in self.__dict__:
            other._section = self.scores.section
        for name in _STAGES & other.__dict__.keys():
            del other.__dict__[name]
        other.__dict__["mels"] = mels  # where a Stage keeps what was computed
        return other

    def pieces(self) -> Iterator[Analysis]:
        """Cut a recording into clips of one window each, end to end; a rest is left out.

        A clip shorter than two windows is its own only piece.
        """
        if not self.is_sequence:
            yield self
            return
        for number in range(self.n_samples // self.front_end.n_samples):
            yield self.piece(number * self.front_end.n_samples / self.front_end.mel.sr)
        if "samples" not in self.__dict__:
            self.recording.read(self.n_samples, 1)  # the end tells whether it is cut off
            self._note_reading()

    def piece(self, start_s: float) -> Analysis:
        """Give the clip of one window that begins at a time in s, as one of `pieces`."""
        return Analysis(
            self._cut(round(start_s * self.front_end.mel.sr)), self.front_end, self._model,
            clip=self.clip, section=self._section, detector=self._detector,
            start_s=self.start_s + start_s, rate=self.rate, encoding=self.encoding,
        )  # fmt: skip

    @property
    def _needed_detector(self) -> Decider:
        if self._detector is None:
            raise ParameterError("detector", None, "one that scores; this analysis only embeds")
        return self._detector


_OF_SAMPLES = {"samples", "starts", "start_times", "levels"}
_STAGES = {name for name, x in vars(Analysis).items() if isinstance(x, Stage)} - _OF_SAMPLES
