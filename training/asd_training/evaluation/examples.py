"""Examples for a report: embeddings for a map, and spectrograms of the extreme clips.

The number of clips looked at does not grow with the data set, nor does the memory they take.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from asd_edge.detector import Detector
from asd_edge.errors import AsdError
from asd_edge.frontend.bands import to_db
from asd_training.data.clips import Clip

MAP_TEST, MAP_TRAIN = 240, 120
"""Most test and training clips of a machine that are embedded for its map."""
EXAMPLES = 3
"""Clips shown of each kind of extreme."""


@dataclass(frozen=True)
class EmbeddingSample:
    """Embeddings of some clips, a row a clip (the mean over its windows).

    Attributes:
        views: name of the view to [shape=(n, d)].
        kinds: "training", "normal", "anomaly" or "unknown" [shape=(n,)].
        sections: [shape=(n,)].
    """

    views: Mapping[str, NDArray[np.float64]]
    kinds: NDArray[np.str_]
    sections: NDArray[np.str_]


@dataclass(frozen=True)
class Example:
    """A clip to look at.

    Attributes:
        why: "most anomalous", "highest normals" or "lowest anomalies".
        row: of the table of scores.
        threshold: of its section.
        spectrogram: of the window that scored highest, in dB [shape=(n_mels, n_frames)].
        start_seconds: where that window begins in the clip.
        samples: of that window at the model's rate [shape=(n,)], int16.
    """

    why: str
    row: Mapping[str, Any]
    threshold: float
    spectrogram: NDArray[np.float64]
    start_seconds: float
    samples: NDArray[np.int16]


def sample_embeddings(
    detector: Detector,
    scores: pd.DataFrame,
    training: Sequence[Clip],
    advance: Callable[[], None] = lambda: None,
) -> EmbeddingSample | None:
    """Embed a random sample of training and scored test clips, spread over their groups.

    Args:
        detector: what embeds.
        scores: as `asd_training.evaluation.score.score_clips` gives, of one machine.
        training: normal clips; those that cannot be read are passed over.
        advance: called after each clip.

    Returns:
        at most MAP_TRAIN + MAP_TEST clips, or None if there are fewer than three.
    """
    train = pd.DataFrame(
        [(str(c.path), c.section, c.domain, "training") for c in training],
        columns=["path", "section", "domain", "label"],
    )
    chosen = pd.concat([_spread(train, MAP_TRAIN), _spread(scores, MAP_TEST)])
    vectors: dict[str, list[NDArray[np.float64]]] = {}
    kept = []
    for path, section, kind in zip(chosen["path"], chosen["section"], chosen["label"], strict=True):
        try:
            views = detector.analyse(path).embeddings
        except AsdError:
            continue
        finally:
            advance()
        kept.append((kind, section))
        for name, windows in views.items():
            vectors.setdefault(name, []).append(windows.mean(axis=0, dtype=np.float64))
    if len(kept) < 3:
        return None
    kinds, sections = zip(*kept, strict=True)
    return EmbeddingSample(
        {name: np.stack(rows) for name, rows in vectors.items()},
        np.array(kinds),
        np.array(sections),
    )


def _spread(clips: pd.DataFrame, most: int) -> pd.DataFrame:
    """Draw at most `most` clips, evenly from each section, domain and label; seeded."""
    columns = ["path", "section", "domain", "label"]
    if len(clips) <= most:
        return clips[columns]
    shuffled = clips[columns].sample(frac=1, random_state=0)
    # The first of every group, then the second of every group, ...
    turn = shuffled.groupby(["section", "domain", "label"]).cumcount()
    return shuffled.loc[turn.sort_values(kind="stable").index[:most]]


def choose_extremes(scores: pd.DataFrame, thresholds: Mapping[str, float]) -> list[tuple[str, Any]]:
    """Choose the most anomalous and the most wrongly scored clips of one machine.

    Clips of different sections are compared by score minus their section's threshold.

    Args:
        scores: as `asd_training.evaluation.score.score_clips` gives.
        thresholds: by section.

    Returns:
        (why, index in `scores`), EXAMPLES of each kind at most.
    """
    margin = scores["score"] - scores["section"].map(thresholds)
    kinds = {
        "most anomalous": margin.nlargest(EXAMPLES),
        "highest normals": margin[scores["label"] == "normal"].nlargest(EXAMPLES),
        "lowest anomalies": margin[scores["label"] == "anomaly"].nsmallest(EXAMPLES),
    }
    return [(why, index) for why, found in kinds.items() for index in found.index]


def look_at(
    detector: Detector, scores: pd.DataFrame, thresholds: Mapping[str, float]
) -> list[Example]:
    """Compute the spectrograms of `choose_extremes`."""
    examples = []
    for why, index in choose_extremes(scores, thresholds):
        row = {str(name): value for name, value in scores.loc[index].items()}
        analysis = detector.analyse(row["path"], section=row["section"])
        window = analysis.worst
        examples.append(
            Example(
                why,
                row,
                float(thresholds[row["section"]]),
                to_db(analysis.mel(window), detector.front_end.mel),
                analysis.windows[window].start_s,
                _as_int16(analysis.window_samples(window)),
            )
        )
    return examples


def _as_int16(samples: NDArray[Any]) -> NDArray[np.int16]:
    """Give samples as they are kept: a third of the memory, and enough to listen to."""
    if samples.dtype == np.int16:
        return samples.astype(np.int16)
    return np.clip(np.round(samples * 32768), -32768, 32767).astype(np.int16)
