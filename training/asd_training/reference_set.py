"""From a run's embeddings to what scores clips: references and calibration."""

from __future__ import annotations

import numpy as np

from asd_edge.calibration import Calibration
from asd_edge.scoring import References, Scorer
from asd_training.dataset import sample_rows
from asd_training.errors import RunError
from asd_training.run import Embeddings, RunConfig


def references(config: RunConfig, embeddings: Embeddings) -> References:
    """Choose the references among the clips that were trained on, as the preset says."""
    clips, first = np.unique(embeddings.clips, return_index=True)
    trained = ~embeddings.held_out[first]
    clips, first = clips[trained], first[trained]
    if config.preset.references is not None:
        drawn = sample_rows(embeddings.sections[first], config.preset.references, config.seed)
        clips = clips[np.concatenate(list(drawn.values()))]
    rows = np.isin(embeddings.clips, clips)
    return References(
        embeddings=embeddings.embeddings[rows],
        sections=embeddings.sections[rows],
        domains=embeddings.domains[rows],
        clips=embeddings.clips[rows],
    )


def calibrate(scorer: Scorer, embeddings: Embeddings) -> Calibration:
    """Score the held-out clips, each against its own section.

    Raises:
        RunError: fewer than two held-out clips, too few for a threshold.
    """
    scores: dict[str, list[float]] = {}
    held = embeddings.held_out
    for clip in np.unique(embeddings.clips[held]):
        rows = embeddings.clips == clip
        section = str(embeddings.sections[rows][0])
        score = scorer.score(embeddings.embeddings[rows], section).score
        scores.setdefault(section, []).append(score)
    if sum(map(len, scores.values())) < 2:
        raise RunError(
            "run", "has fewer than 2 held-out normal clips for a threshold; record more clips"
        )
    return Calibration({section: tuple(values) for section, values in scores.items()})
