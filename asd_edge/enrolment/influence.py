"""Find the clips that are least like the others, and the threshold without each.

Scores are those of the cross-fitting: of each clip against references of the others, in units of
the threshold. What a clip does to the threshold is told without fitting references anew: its own
score is left out of those that the threshold is fitted to.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from asd_edge.scoring.calibration import MIN_SECTION_CLIPS, Calibration, Tail
from asd_edge.scoring.scorer import Scorer
from asd_edge.scoring.standards import UnseenDistances, unseen_scores

SHOWN = 5


@dataclass(frozen=True)
class Strange:
    """One of the clips that are least like the others.

    Attributes:
        clip: its name; of a piece of a recording with the second that it begins at.
        section: the clip's.
        score: against references of the other clips, in units of the threshold.
        threshold_without: what the threshold would be without this clip's score, in the same
            units: 0.9 if the clip raises it by a tenth.
    """

    clip: str
    section: str
    score: float
    threshold_without: float


def strangest(
    scorer: Scorer, calibration: Calibration, unseen: UnseenDistances, count: int = SHOWN
) -> list[Strange]:
    """Give the clips with the highest cross-fitted scores, the strangest first."""
    scores = unseen_scores(scorer, unseen)
    found = []
    for i in np.argsort(-scores)[:count]:
        section = str(unseen.sections[i])
        own = unseen.sections == section
        if own.sum() < MIN_SECTION_CLIPS:  # it shares the threshold of all
            own = np.ones(len(scores), dtype=bool)
        before = _threshold(scores[own], calibration.false_alarm_rate)
        own[i] = False
        after = _threshold(scores[own], calibration.false_alarm_rate)
        ratio = after / before if before > 0 else 1.0
        found.append(Strange(str(unseen.clips[i]), section, float(scores[i]), ratio))
    return found


def _threshold(scores: NDArray[np.float64], rate: float) -> float:
    if len(scores) < 2 or np.ptp(scores) == 0:
        return float(scores.max(initial=0.0))
    return Tail.fit(scores).threshold(rate).value
