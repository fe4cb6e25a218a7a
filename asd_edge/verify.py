"""Golden clip of a bundle: record its results on one device, compare them on another."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asd_edge.analysis import Analysis
from asd_edge.bundle.format import Golden
from asd_edge.detector import Detector
from asd_edge.model import TF32

# float32 arithmetic in another order (other CPU, other onnxruntime) differs by
# about 1e-6; this is the contract between training, export and device.
TOLERANCE = 1e-4
# TF32 rounds each factor by up to 2**-11 = 4.9e-4. An embedding of the preset `edge` was 4.4e-4
# off on an H100; four roundings are allowed.
TOLERANCE_TF32 = 2e-3


def tolerance(provider: str) -> float:
    """Give the largest relative error with which a provider passes."""
    return TOLERANCE_TF32 if provider == TF32 else TOLERANCE


@dataclass(frozen=True)
class Check:
    """Agreement of one stage with the export; `error` is relative."""

    stage: str
    error: float
    tolerance: float = TOLERANCE

    @property
    def passed(self) -> bool:
        """Whether the stage agrees; an error that is NaN does not."""
        return self.error <= self.tolerance


def relative_error(value: NDArray[Any] | float, expected: NDArray[Any] | float) -> float:
    """Largest difference, relative to the largest expected magnitude."""
    a, b = np.asarray(value, np.float64), np.asarray(expected, np.float64)
    if a.shape != b.shape:
        return float("inf")
    return float(np.abs(a - b).max() / max(np.abs(b).max(), np.finfo(np.float32).tiny))


def record(detector: Detector, samples: NDArray[np.int16], section: str) -> Golden:
    """Make the golden clip of a bundle: a window, and what this device makes of it.

    Args:
        detector: of the bundle.
        samples: at the front end's rate [shape=(n,)], up to one window. Not of a reference:
            its distance to itself is rounding, which no other device repeats.
        section: the clip's.
    """
    analysis = _analyse(detector, samples, section)
    return Golden(
        samples=samples,
        mel=analysis.mels[0],
        embeddings={name: x[0] for name, x in analysis.embeddings.items()},
        score=analysis.scores.score,
        section=section,
    )


def verify(detector: Detector, golden: Golden) -> list[Check]:
    """Compare mel, embedding and score of a bundle's golden clip with what the export saw."""
    analysis = _analyse(detector, golden.samples, golden.section)
    allowed = tolerance(getattr(detector.model, "provider", "cpu"))
    return [
        Check("mel", relative_error(analysis.mels[0], golden.mel)),
        *(
            Check(name, relative_error(x[0], golden.embeddings[name]), allowed)
            for name, x in analysis.embeddings.items()
        ),
        Check("score", relative_error(analysis.scores.score, golden.score), allowed),
    ]


def _analyse(detector: Detector, samples: NDArray[np.int16], section: str) -> Analysis:
    sr = detector.front_end.mel.sr
    return detector.analyse(samples, sr, section=section, name="golden clip")
