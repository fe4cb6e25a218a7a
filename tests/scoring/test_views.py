"""Standards: what a distance contributes to a score."""

from __future__ import annotations

import numpy as np

from asd_edge.scoring.views import ScoringConfig, Standard


def test_rounding_at_a_reference_does_not_show_in_the_score() -> None:
    """PyTorch and onnxruntime differ there by 1e-3 of a whitened distance of 30."""
    standard = Standard((3.0, 2.0), (0.1, 0.1), 30.0, 0.03)
    config = ScoringConfig(parts={"left": (0, 2)}, emphasis=0.25)
    near = np.array([[0.0, 1e-3, 0.3], [0.0, 2e-3, 0.1]])
    found = standard.contribution(near, config)
    assert (found == found[0]).all()
    far = standard.contribution(np.array([[20.0, 27.0], [1.0, 1.0]]), config)
    assert found[0] < far[0] < far[1]
