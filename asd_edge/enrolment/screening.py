"""Screening: warn about clips that may not be normal.

What a clip tells by itself (clipping, rate, length) is in `checks`; here is what only shows beside
the other clips.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from asd_edge.audio.recording import ClipWarning
from asd_edge.checks import EnrolledRange
from asd_edge.enrolment.recordings import Clip
from asd_edge.scoring import student_t
from asd_edge.scoring.calibration import MIN_SECTION_CLIPS
from asd_edge.scoring.scorer import Scorer
from asd_edge.scoring.standards import UnseenDistances, unseen_scores

# Another place of the microphone or another gain, not another load of the machine.
_LEVEL_DB = 10.0
# Chance that a set in which every clip belongs has one that is called an outlier, if the scores'
# logarithms are normal. Their tails are longer: it was 3 of 54 sets drawn from real recordings,
# and at 0.01 it was 13.
_OUTLIER_RATE = 0.001
# Scores of a few clips can lie so close together that the next one stands out by nothing.
_OUTLIER_TIMES = 1.25
_ROBUST = 1.4826  # deviation of a normal distribution / its median absolute deviation


def odd_levels(old: Sequence[Clip], new: Sequence[Clip]) -> list[ClipWarning]:
    """Find new clips that are far louder or quieter than the median of all."""
    levels = np.array([clip.level_db for clip in (*old, *new)])
    median = float(np.median(levels))
    # Machines that run at several loads differ more; 5 robust deviations are 1 in a million.
    allowed = max(_LEVEL_DB, 5 * _ROBUST * float(np.median(np.abs(levels - median))))
    found = []
    for clip in new:
        away = clip.level_db - median
        if abs(away) > allowed:
            word = "louder" if away > 0 else "quieter"
            reason = f"is {abs(away):.0f} dB {word} than the median of the clips"
            found.append(ClipWarning(clip.name, "level", f"{reason} ({median:.0f} dBFS)"))
    return found


def odd_encodings(new: Sequence[Clip], enrolled: EnrolledRange | None) -> list[ClipWarning]:
    """Find new clips that are not encoded as those of the bundle or, without, as most of them."""
    if enrolled is not None:
        usual = set(enrolled.encodings)
    else:
        usual = {name for name, _ in Counter(clip.encoding for clip in new).most_common(1)}
    return [
        ClipWarning(
            clip.name,
            "encoding",
            f"is {clip.encoding}, the others are {', '.join(sorted(usual))}: a lossy format leaves "
            "out part of the sound; enrol clips of one format",
        )
        for clip in new
        if clip.encoding not in usual
    ]


def outliers(scorer: Scorer, unseen: UnseenDistances, new: set[str]) -> list[ClipWarning]:
    """Find clips that are far from all others, by the cross-fitted scores."""
    scores = unseen_scores(scorer, unseen)
    found = []
    for rows in _judged_together(scorer, unseen):
        typical = float(np.median(scores[rows]))
        for i in upper_outliers(scores[rows]):
            name = str(unseen.clips[rows][i])
            times = scores[rows][i] / typical
            if name in new and times >= _OUTLIER_TIMES:
                reason = f"is an outlier: {times:.1f} times as far from the others as is usual"
                found.append(ClipWarning(name, "outlier", reason))
    return found


def _judged_together(scorer: Scorer, unseen: UnseenDistances) -> list[NDArray[np.intp]]:
    """Rows of sections with clips enough to be judged apart, and of all others together."""
    groups, rest = [], np.zeros(len(unseen.clips), dtype=bool)
    for section in scorer.sections:
        own = unseen.sections == section
        if own.sum() >= MIN_SECTION_CLIPS:
            groups.append(np.flatnonzero(own))
        else:
            rest |= own
    return [*groups, np.flatnonzero(rest)] if rest.any() else groups


def upper_outliers(scores: NDArray[np.float64], rate: float = _OUTLIER_RATE) -> list[int]:
    """Positions of scores that are too high to be of the others' kind.

    The generalised extreme Studentized deviate of Rosner (1983), Technometrics 25,
    165-172, upwards only, on the scores' logarithms: it finds several that would hide each other in
    one deviation of all, up to a third of the scores.

    Args:
        scores: [shape=(n,)], 0 or more.
        rate: chance of finding any where there is none.
    """
    x = np.log(np.maximum(scores, 1e-30))
    left = list(range(len(x)))
    taken: list[int] = []
    found = 0
    for _ in range(len(x) // 3):
        rest = x[left]
        n, deviation = len(rest), float(rest.std(ddof=1))
        if n < 4 or deviation == 0:
            break
        at = int(np.argmax(rest))
        t = student_t.quantile(1 - rate / n, n - 2)
        limit = (n - 1) * t / np.sqrt((n - 2 + t * t) * n)
        taken.append(left.pop(at))
        if (rest[at] - rest.mean()) / deviation > limit:
            found = len(taken)
    return taken[:found]
