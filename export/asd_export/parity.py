"""Refuse to export if PyTorch, onnxruntime and the installed edge path disagree."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from asd_edge.bundle.format import Bundle
from asd_edge.detector import Detector
from asd_edge.verify import TOLERANCE, relative_error
from asd_export.errors import ParityError
from asd_training.data.clips import Clip
from asd_training.evaluation.score import analyse_clip


@dataclass(frozen=True)
class Parity:
    """Largest relative differences over the clips compared."""

    clips: int
    embedding: float
    score: float


def check(
    contents: Bundle,
    reference: Detector,
    clips: Sequence[Clip],
    run: Path,
    provider: str = "cpu",
) -> Parity:
    """Compare a bundle with the detector it was made of, from sound files on.

    The bundle is written to a temporary folder and read back by the installed
    `asd_edge`, so files, front end, onnxruntime and scoring are those of a device.

    Args:
        contents: the bundle.
        reference: the detector with the PyTorch network, or with that of lower precision
            in this process.
        clips: real clips of the data set.
        run: what messages call the run.
        provider: where the bundle's network runs.

    Raises:
        ParityError: a relative difference above 1e-4, or one that is no number.
    """
    worst = {"the embedding": 0.0, "the score": 0.0}
    # A clip that is its own reference has the score 0 but for rounding; what counts
    # is how a difference compares with the scores of clips that are not.
    scale = median(contents.calibration.pooled)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "parity.asd"
        contents.write(path)
        device = Detector.load(path, provider=provider)
        for clip in clips:
            expected = analyse_clip(reference, clip)
            got = analyse_clip(device, clip)
            difference = abs(got.decision.score - expected.decision.score)
            errors = {
                "the embedding": max(
                    relative_error(x, expected.embeddings[view])
                    for view, x in got.embeddings.items()
                ),
                "the score": difference / max(expected.decision.score, scale),
            }
            for stage, error in errors.items():
                if not error <= TOLERANCE:
                    raise ParityError(run, stage, clip.name, error, TOLERANCE)
                worst[stage] = max(worst[stage], error)
    return Parity(len(clips), worst["the embedding"], worst["the score"])
