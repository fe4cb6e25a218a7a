"""Why a clip got its score: bands, times, the nearest normal clip, and one sentence.

Bands. The distance of the view "statistics" is shared out over its features without
remainder, and every share is 0 or more (`shares`); a band has the sum of its own,
mean and changes. What the network learned cannot be taken apart so; its part of the
score is spread over bands as occlusion finds it.

Times, and bands of the learned view. Occlusion (Zeiler and Fergus 2014): a stretch of
bands and times is replaced by normal sound, and the score falls by what that stretch
gave to it.
"""

from __future__ import annotations

import glob
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asd_edge.audio import files as audio
from asd_edge.bundle.format import Golden
from asd_edge.decision import Decision
from asd_edge.detector import Detector
from asd_edge.errors import MissingFileError
from asd_edge.frontend.mel import MelConfig, mel_frequencies
from asd_edge.model import VIEWS
from asd_edge.scoring.scorer import View
from asd_edge.scoring.whitening import as_matrix

LEARNED, STATISTICS = VIEWS
# Copies that go through the network at once; of the report's each takes 100 MB on its way.
_BATCH = 8

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Stretch:
    """A range of bands (Hz) or of time (s), and its share of the score, 0 to 1."""

    low: float
    high: float
    share: float


@dataclass(frozen=True)
class Comparison:
    """The first stretch of bands beside the nearest normal clip.

    Attributes:
        level_db: by how much it is louder there.
        overall_db: the same of the clip as a whole, median over all bands.
        fluctuation: factor by which it changes more over time; None where the
            statistics hold no changes, or the reference has none.
    """

    level_db: float
    overall_db: float
    fluctuation: float | None


@dataclass(frozen=True)
class Normal:
    """The nearest reference.

    Attributes:
        clip: its name.
        spectrum: mean of each band over time, in the front end's units
            [shape=(n_mels,)], or None where neither statistics nor the clip tell it.
        mel: spectrogram of its first window, where the file was found
            [shape=(n_mels, n_frames)].
    """

    clip: str
    spectrum: Array | None
    mel: NDArray[np.float32] | None


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

    @property
    def sentence(self) -> str:
        """The explanation in one sentence."""
        d = self.decision
        text = f"{'anomalous' if d.anomalous else 'normal'}: score {d.score:.3g} "
        text += f"(threshold {d.threshold:.3g}, p {d.p_value:.2g})"
        if len(d.windows) > 1:
            end = self.start + self.seconds
            text += f", at worst {self.score:.3g}, from {self.start:.1f} to {end:.1f} s"
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
            text += f", {where} {_compare(self.comparison, bool(self.stretches))}"
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
    clip: str | Path,
    *,
    section: str | None = None,
    channel: audio.Channel | None = None,
    normal: Path | None = None,
    blocks: tuple[int, int] = (16, 20),
    advance: Callable[[int], None] = lambda count: None,
) -> Explanation:
    """Explain the score of a clip; of a clip of several windows, that of the worst.

    Args:
        detector: the bundle's.
        golden: the bundle's; normal sound to occlude with, if the nearest clip is not there.
        clip: a sound file.
        section: as in `Detector.score`.
        channel: as in `Detector.score`.
        normal: a sound file to compare with, or the folder that the nearest
            normal clip lies in.
        blocks: rows and columns that the spectrogram is occluded by.
        advance: called with the number of copies that have been scored; there are
            rows * columns + rows + columns.

    Raises:
        MissingFileError, AudioError: see `audio.read`; also for the normal clip.
    """
    front_end, scorer = detector.front_end, detector.scorer
    analysis = detector.analyse(clip, section=section, channel=channel)
    decision, window = analysis.decision, analysis.worst
    start, mel = analysis.windows[window].start_s, analysis.mel(window)
    only = analysis.with_mels(mel[np.newaxis])
    embeddings, scored = only.embeddings, only.scores
    view = STATISTICS if STATISTICS in embeddings else LEARNED
    row = scorer.nearest(embeddings, view, decision.section)
    nearest = _nearest(detector, view, row, normal, golden, decision.section)
    seconds = min(analysis.seconds, front_end.clip_seconds)

    frame_s = np.arange(mel.shape[1]) * front_end.mel.hop_length / front_end.mel.sr
    if seconds < front_end.clip_seconds:
        # A clip shorter than the window is repeated in it, so its columns come several times.
        frame_s %= seconds
    rows, columns = min(blocks[0], mel.shape[0]), min(blocks[1], mel.shape[1])
    row_of_band = np.arange(mel.shape[0]) * rows // mel.shape[0]
    column_of_frame = np.minimum((frame_s / seconds * columns).astype(int), columns - 1)
    masks = [
        (row_of_band == i)[:, np.newaxis] & (column_of_frame == j)
        for i in range(rows)
        for j in range(columns)
    ]
    masks += [np.broadcast_to((row_of_band == i)[:, np.newaxis], mel.shape) for i in range(rows)]
    masks += [np.broadcast_to(column_of_frame == j, mel.shape) for j in range(columns)]
    fill = _normal_sound(nearest, golden, mel, front_end.mel, decision.section)
    parts: dict[str, list[float]] = {name: [] for name in embeddings}
    for i in range(0, len(masks), _BATCH):
        batch = np.stack([np.where(mask, fill, mel) for mask in masks[i : i + _BATCH]])
        occluded = analysis.with_mels(batch).embeddings
        for j in range(len(batch)):
            own = {name: x[j : j + 1] for name, x in occluded.items()}
            for name, value in scorer.score(own, decision.section).views.items():
                parts[name].append(value)
        advance(len(batch))
    drop = {name: scored.views[name] - np.array(values) for name, values in parts.items()}
    total: Array = np.sum(list(drop.values()), axis=0)

    bands: dict[str, Array] = {}
    for name, x in embeddings.items():
        if name == STATISTICS:
            features = scorer.views[name].weights.get(decision.section, 1.0) * shares(
                x[0], scorer.views[name], decision.section
            )
            bands[name] = features.reshape(-1, mel.shape[0]).sum(axis=0)
        else:
            # A row at once or block by block, whichever finds more: a peak hides in the other
            # blocks of its row, and a row of another machine's sound is no normal one.
            by_block = drop[name][: rows * columns].reshape(rows, columns).sum(axis=1)
            found = np.maximum(np.maximum(drop[name][rows * columns : -columns], by_block), 0)
            bands[name] = _spread(found, row_of_band, scored.views[name])
    stretches, inside = _stretches(np.sum(list(bands.values()), axis=0), front_end.mel)
    comparison = None
    if STATISTICS in embeddings:
        reference = scorer.views[STATISTICS].references.embeddings[row]
        comparison = _comparison(
            embeddings[STATISTICS][0], reference, features, inside, front_end.mel
        )
    return Explanation(
        decision=decision,
        window=window,
        start=start,
        seconds=seconds,
        score=scored.score,
        views=dict(scored.views),
        mel_config=front_end.mel,
        mel=mel,
        bands=bands,
        drops=total[: rows * columns].reshape(rows, columns),
        time_drops=total[-columns:],
        row_of_band=row_of_band,
        stretches=stretches,
        comparison=comparison,
        time=_time(total[-columns:], start, seconds, scored.score),
        normal=nearest,
    )


def shares(x: NDArray[Any], view: View, section: str) -> Array:
    """Share out the distance of an embedding to its nearest references over its features.

    For the Mahalanobis distance it is the partition of Garthwaite and Koch (2016), Australian
    & New Zealand J. Statistics 58: with the covariance S = D R D (D deviations, R
    correlations), d^2 is the sum of squares of R^(-1/2) D^-1 (x - r), whose components each
    stay as close to one feature as uncorrelated ones can.

    Args:
        x: [shape=(d,)].
        view: references and rule; its weight is not applied.
        section: the clip's.

    Returns:
        [shape=(d,)], 0 or more; they sum to the distance that `Scorer` finds.
    """
    references, config = view.references, view.config
    own = np.ones(len(references.sections), bool)
    if not config.pool_sections:
        own = references.sections == section
    a, b = x.astype(np.float64), references.embeddings[own].astype(np.float64)
    if config.metric == "cosine":
        # 1 - cos = |a - b|^2 / 2 for vectors of length 1.
        tiny = np.finfo(np.float32).tiny
        a /= max(float(np.linalg.norm(a)), float(tiny))
        b /= np.maximum(np.linalg.norm(b, axis=1, keepdims=True), tiny)
    difference = a - b
    if config.metric == "whitened":
        difference = difference @ _partition(references.whitening)
    squares = np.square(difference)
    squared = squares.sum(axis=1)
    d = squared / 2 if config.metric == "cosine" else np.sqrt(squared)
    scale = d / np.maximum(squared, np.finfo(np.float64).tiny)
    if references.density.size:
        scale = scale / references.density[own]
    nearest = np.argsort(scale * squared)[: config.k]
    mean: Array = (scale[nearest, np.newaxis] * squares[nearest]).mean(axis=0)
    return mean


def _partition(whitening: NDArray[np.float16]) -> Array:
    """Matrix M = D^-1 R^(-1/2) of a whitening L: |x M| = |x L| for every x."""
    factor = as_matrix(whitening)
    covariance = np.linalg.inv(factor @ factor.T)
    deviation = np.sqrt(np.diag(covariance))
    values, vectors = np.linalg.eigh(covariance / np.outer(deviation, deviation))
    root: Array = (vectors / np.sqrt(values)) @ vectors.T / deviation[:, np.newaxis]
    return root


def _nearest(
    detector: Detector, view: str, row: int, path: Path | None, golden: Golden, section: str
) -> Normal:
    references = detector.scorer.views[view].references
    name = str(references.clips[row])
    n_mels = detector.front_end.mel.n_mels
    spectrum = None
    if view == STATISTICS:
        spectrum = references.embeddings[row, :n_mels].astype(np.float64)
    mel = None
    if path is not None:
        file = find_normal(path, name)
        name = name if path.is_dir() else file.name
        mel = detector.analyse(file).mel(0)
    if spectrum is None:
        if mel is not None:
            spectrum = mel.mean(axis=1, dtype=np.float64)
        elif golden.section == section:
            spectrum = golden.mel.mean(axis=1, dtype=np.float64)
    return Normal(name, spectrum, mel)


def find_normal(path: Path, name: str) -> Path:
    """Find a reference's sound file: `path` itself, or the file of that name in or below it.

    Raises:
        MissingFileError: `path`, or the clip in it, is not there.
    """
    if not path.is_dir():
        if not path.exists():
            raise MissingFileError(path)
        return path
    if (path / name).is_file():
        return path / name
    found = sorted(file for file in path.rglob(glob.escape(Path(name).name)) if file.is_file())
    if not found:
        raise MissingFileError(path / name, "file; --normal is the folder of the normal clips")
    return found[0]


def _normal_sound(
    nearest: Normal, golden: Golden, mel: NDArray[np.float32], config: MelConfig, section: str
) -> NDArray[np.float32]:
    """Spectrogram to occlude with: the nearest clip's, else the golden's at the nearest's level."""
    if nearest.mel is not None:
        return nearest.mel
    # Of another section and without statistics: only what differs from the rest of the clip.
    level = (
        np.median(mel, axis=1).astype(np.float64) if nearest.spectrum is None else nearest.spectrum
    )
    mean = golden.mel.mean(axis=1, dtype=np.float64)
    sound: Array = golden.mel.astype(np.float64)
    if config.log == "db":
        sound += (level - mean)[:, np.newaxis]
    else:
        sound *= np.divide(level, mean, out=np.ones_like(mean), where=mean > 0)[:, np.newaxis]
    return sound.astype(np.float32)


def _spread(found: Array, row_of_band: NDArray[np.intp], part: float) -> Array:
    """Spread a part of the score over bands in proportion to what each row was found to give."""
    per_band = (found / np.bincount(row_of_band))[row_of_band]
    if not per_band.any():
        per_band = np.ones_like(per_band)
    spread: Array = per_band / per_band.sum() * part
    return spread


def _run(values: Array) -> tuple[int, int]:
    """Give first and last + 1 of the run that stands out most above the mean (Kadane)."""
    best, best_run, total, first = -np.inf, (0, len(values)), 0.0, 0
    for i, value in enumerate(values - values.mean()):
        if total <= 0:
            total, first = 0.0, i
        total += value
        if total > best:
            best, best_run = total, (first, i + 1)
    return best_run


def _stretches(contributions: Array, config: MelConfig) -> tuple[tuple[Stretch, ...], slice]:
    """Find up to 3 runs of bands that give twice their due, and the slice of the first.

    Of an ordinary clip every band gives about as much, since the distance is whitened.
    Gaps of up to 2 bands are bridged; runs of less than a quarter of the first are left out.
    """
    total = max(float(contributions.sum()), 1e-30)
    high = np.flatnonzero(contributions > 2 * total / len(contributions))
    if not len(high):
        return (), slice(None)
    runs = np.split(high, np.flatnonzero(np.diff(high) > 3) + 1)
    spans = [(int(run[0]), int(run[-1]) + 1) for run in runs]
    shares_ = {span: float(contributions[slice(*span)].sum()) / total for span in spans}
    spans = sorted(spans, key=lambda span: -shares_[span])[:3]
    edges = mel_frequencies(config)
    # Filter i reaches from edge i to edge i + 2.
    stretches = tuple(
        Stretch(float(edges[first]), float(edges[last + 1]), shares_[first, last])
        for first, last in spans
        if shares_[first, last] >= shares_[spans[0]] / 4
    )
    return stretches, slice(*spans[0])


def _time(drops: Array, start: float, seconds: float, score: float) -> Stretch | None:
    """Find the stretch of time, if it has twice its due and at least a tenth of the score."""
    found = np.maximum(drops, 0)
    if not found.any():
        return None
    first, last = _run(found)
    share = float(found[first:last].sum() / found.sum())
    length = (last - first) / len(found)
    if share < 2 * length or found[first:last].sum() < 0.1 * score:
        return None
    step = seconds / len(found)
    return Stretch(start + first * step, start + last * step, share)


def _comparison(
    x: NDArray[Any], reference: NDArray[Any], features: Array, inside: slice, config: MelConfig
) -> Comparison:
    """Compare statistics in a stretch of bands, each feature by what it contributes."""
    here, there, weight = (
        np.asarray(v, np.float64).reshape(-1, config.n_mels) for v in (x, reference, features)
    )
    difference = to_db(here[0], config) - to_db(there[0], config)
    here, there, weight = here[:, inside], there[:, inside], weight[:, inside] + 1e-30
    level = float(np.average(difference[inside], weights=weight[0]))
    changes = float((there[1:] * weight[1:]).sum())
    ratio = float((here[1:] * weight[1:]).sum()) / changes if changes > 0 else None
    return Comparison(level, float(np.median(difference)), ratio)


def to_db(mel: NDArray[Any], config: MelConfig) -> Array:
    """Give mel values in dB, whatever the front end's units."""
    values = np.asarray(mel, np.float64)
    if config.log == "db":
        return values
    amin = config.amin or (1e-5 if config.power == 1 else 1e-10)
    return 20 / config.power * np.log10(np.maximum(values, amin))


def _hertz(stretch: Stretch) -> str:
    low, high = (float(f"{hz:.2g}") for hz in (stretch.low, stretch.high))
    if high < 1000:
        return f"{low:.0f}-{high:.0f} Hz"
    return f"{low / 1000:.2g}-{high / 1000:.2g} kHz"


def _listed(words: list[str]) -> str:
    return " and ".join(filter(None, (", ".join(words[:-1]), words[-1])))


def _level(db: float) -> str:
    return f"{abs(db):.0f} dB {'above' if db > 0 else 'below'}"


def _compare(comparison: Comparison, in_bands: bool) -> str:
    level, overall = comparison.level_db, comparison.overall_db
    text = f"is {_level(level)}" if abs(level) >= 1 else "is as loud as"
    text += " the nearest normal clip"
    if in_bands and abs(overall) >= 1:
        text += f" (the whole clip {_level(overall)})"
    ratio = comparison.fluctuation
    if ratio is not None and not 0.87 < ratio < 1.15:
        text += f" and fluctuates {ratio:.2g} times as much"
    return text
