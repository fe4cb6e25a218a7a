"""Explain the score of a clip: bands, times, the nearest normal clip, and one sentence.

`occlusion` finds where and when, `attribution` what each band contributes, `nearest` what normal
sounds like; here they become an explanation.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asd_edge.analysis import Analysis
from asd_edge.audio.recording import Channel
from asd_edge.bundle.format import Golden
from asd_edge.decision import Decision
from asd_edge.detector import Detector
from asd_edge.explanation.attribution import LEARNED, LEVEL, STATISTICS, Comparison, attribute
from asd_edge.explanation.nearest import Normal, nearest_normal, normal_sound
from asd_edge.explanation.occlusion import Stretch, occlude, stretch_of_time
from asd_edge.frontend.bands import mel_frequencies
from asd_edge.frontend.mel import MelConfig
from asd_edge.scoring.scorer import Scorer

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Explanation:
    """What moved the score of a clip, or of the worst window of a long one.

    Attributes:
        decision: of the clip.
        window: its number, from 0.
        start, seconds: of the window; `seconds` is the clip's length if that is shorter.
        score: of the window.
        views: view -> its part; they sum to `score`.
        mel_config: what the spectrogram is computed with.
        mel: the window's spectrogram [shape=(n_mels, n_frames)].
        bands: view -> contribution of each band, 0 or more [shape=(n_mels,)]; all
            of them sum to `score`.
        drops: by how much the score falls when a block is made normal [shape=(rows, columns)].
        time_drops: the same for all bands of a column at once [shape=(columns,)].
        row_of_band: row of `drops` [shape=(n_mels,)].
        stretches: of bands that stand out, up to 3, the one that contributes most first;
            none if the contributions are spread over all bands.
        comparison: of the first stretch, or of all bands, with the nearest reference;
            None without statistics.
        time: stretch of time that stands out, if one does; its share is of what
            occlusion finds in all.
        normal: the nearest reference.
        louder_db: by how much the window is louder than the normal ones in the mean, if that alone
            made the score; else None.
    """

    decision: Decision
    window: int
    start: float
    seconds: float
    score: float
    views: dict[str, float]
    mel_config: MelConfig
    mel: NDArray[np.float32]
    bands: dict[str, Array]
    drops: Array
    time_drops: Array
    row_of_band: NDArray[np.intp]
    stretches: tuple[Stretch, ...]
    comparison: Comparison | None
    time: Stretch | None
    normal: Normal
    louder_db: float | None = None

    @property
    def sentence(self) -> str:
        """The explanation in one sentence."""
        d = self.decision
        text = f"{'anomalous' if d.anomalous else 'normal'}: score {d.score:.3g} "
        text += f"(threshold {d.threshold:.3g}, p {d.p_value:.2g})"
        if len(d.windows) > 1:
            end = self.start + self.seconds
            text += f", at worst {self.score:.3g}, from {self.start:.1f} to {end:.1f} s"
        if self.louder_db is not None:
            than = "louder" if self.louder_db > 0 else "quieter"
            by = f"{abs(self.louder_db):.1f} dB {than} than normal"
            text += f"; the score comes from its level alone, {by}"
        if self.stretches:
            share = sum(stretch.share for stretch in self.stretches)
            part = "most of it" if share > 0.5 else "the largest part"
            places = [_hertz(stretch) for stretch in self.stretches]
            text += f"; {part} ({share:.0%}) from {_listed(places)}"
            where = "which" if len(places) == 1 else f"of which {places[0]}"
        else:
            text += "; it comes from all bands alike"
            where = "the clip"
        if self.comparison is not None:
            with_whole = bool(self.stretches) and self.louder_db is None
            text += f", {where} {_compare(self.comparison, with_whole)}"
        if self.time is not None:
            text += f"; it stands out most at {self.time.low:.1f}-{self.time.high:.1f} s"
        else:
            text += "; no moment stands out"
        return text

    def to_dict(self) -> dict[str, Any]:
        """Give the explanation as plain values, for JSON."""
        d = self.decision
        edges = mel_frequencies(self.mel_config)
        columns = len(self.time_drops)
        comparison = None if self.comparison is None else vars(self.comparison)
        return {
            "clip": d.clip,
            "sentence": self.sentence,
            "score": d.score,
            "threshold": d.threshold,
            "anomalous": d.anomalous,
            "p_value": d.p_value,
            "section": d.section,
            "section_known": d.section_known,
            "window": {
                "number": self.window,
                "start_s": self.start,
                "end_s": self.start + self.seconds,
                "score": self.score,
                "views": self.views,
            },
            "stretches": [
                {"low_hz": x.low, "high_hz": x.high, "share": x.share} for x in self.stretches
            ],
            "louder_db": self.louder_db,
            "compared_with_nearest": comparison,
            "time": self.time
            and {"start_s": self.time.low, "end_s": self.time.high, "share": self.time.share},
            "nearest_normal": self.normal.clip,
            "bands": [
                {
                    "low_hz": float(edges[i]),
                    "high_hz": float(edges[i + 2]),
                    **{view: float(x[i]) for view, x in self.bands.items()},
                }
                for i in range(len(edges) - 2)
            ],
            "times": [
                {
                    "start_s": self.start + self.seconds * i / columns,
                    "end_s": self.start + self.seconds * (i + 1) / columns,
                    "drop": float(drop),
                }
                for i, drop in enumerate(self.time_drops)
            ],
        }


def explain(
    detector: Detector,
    golden: Golden,
    clip: str | Path | Analysis,
    *,
    section: str | None = None,
    channel: Channel | None = None,
    normal: Path | None = None,
    blocks: tuple[int, int] = (16, 20),
    advance: Callable[[int], None] = lambda count: None,
) -> Explanation:
    """Explain the score of a clip; of a clip of several windows, that of the worst.

    Args:
        detector: the bundle's.
        golden: the bundle's; normal sound to occlude with, if the nearest clip is not there.
        clip: a sound file, or its analysis, which is then not read again.
        section: as in `Detector.score`.
        channel: as in `Detector.score`.
        normal: a sound file to compare with, or the folder that the nearest
            normal clip lies in. If it is not found, `Explanation.normal.problem` says so.
        blocks: rows and columns that the spectrogram is occluded by.
        advance: called with the number of copies that have been scored; there are
            rows * columns + rows + columns.

    Raises:
        MissingFileError, AudioError: see `Detector.analyse`.
    """
    if not isinstance(clip, Analysis):
        with detector.analyse(clip, section=section, channel=channel) as analysis:
            return explain(
                detector, golden, analysis, channel=channel, normal=normal, blocks=blocks,
                advance=advance,
            )  # fmt: skip
    analysis, scorer, config = clip, detector.scorer, detector.front_end.mel
    decision, window = analysis.decision, analysis.worst
    start = analysis.windows[window].start_s
    mel = analysis.mel(window)
    only = analysis.with_mels(mel[np.newaxis])
    view = STATISTICS if STATISTICS in only.embeddings else LEARNED
    row = scorer.nearest(only.embeddings, view, decision.section)
    nearest = nearest_normal(detector, view, row, normal, golden, decision.section, channel)
    fill = normal_sound(nearest, golden, mel, config, decision.section)
    drops = occlude(analysis, window, fill, blocks, advance)
    found = attribute(scorer, decision.section, only.embeddings, drops, row, config)
    seconds = min(analysis.seconds, detector.front_end.clip_seconds)
    return Explanation(
        decision=decision,
        window=window,
        start=start,
        seconds=seconds,
        score=only.scores.score,
        views=dict(only.scores.views),
        mel_config=config,
        mel=mel,
        bands=found.bands,
        drops=drops.all_blocks,
        time_drops=drops.all_columns,
        row_of_band=drops.row_of_band,
        stretches=found.stretches,
        comparison=found.comparison,
        time=stretch_of_time(drops.all_columns, start, seconds, only.scores.score),
        normal=nearest,
        louder_db=_louder(scorer, only, decision.section),
    )


def _louder(scorer: Scorer, window: Analysis, section: str) -> float | None:
    """Level of a window above the mean of the normal ones, in dB, if it made the score alone."""
    if not window.scores.views.get(LEVEL):
        return None
    references = scorer.views[LEVEL].references
    normal = references.embeddings[references.sections == section].mean(dtype=np.float64)
    return float(window.embeddings[LEVEL].item() - normal)


def _hertz(stretch: Stretch) -> str:
    low, high = (float(f"{hz:.2g}") for hz in (stretch.low, stretch.high))
    if high < 1000:
        return f"{low:.0f}-{high:.0f} Hz"
    return f"{low / 1000:.2g}-{high / 1000:.2g} kHz"


def _listed(words: list[str]) -> str:
    return " and ".join(filter(None, (", ".join(words[:-1]), words[-1])))


def _level(db: float) -> str:
    return f"{abs(db):.0f} dB {'above' if db > 0 else 'below'}"


def _compare(comparison: Comparison, with_whole: bool) -> str:
    level, overall = comparison.level_db, comparison.overall_db
    text = f"is {_level(level)}" if abs(level) >= 1 else "is as loud as"
    text += " the nearest normal clip"
    if with_whole and abs(overall) >= 1:
        text += f" (the whole clip {_level(overall)})"
    ratio = comparison.fluctuation
    if ratio is not None and not 0.87 < ratio < 1.15:
        text += f" and fluctuates {ratio:.2g} times as much"
    return text
