"""Clips that may not belong among the normal ones, and why."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from asd_edge.enroll.recordings import Clip, Suspect
from asd_edge.frontend.windows import FrontEnd
from asd_edge.scoring import student_t
from asd_edge.scoring.calibration import MIN_SECTION_CLIPS
from asd_edge.scoring.fit import UnseenDistances, unseen_scores
from asd_edge.scoring.scorer import Scorer

# A recorder that is not driven too far reaches full scale in single samples at most.
_CLIPPED_SHARE = 1e-4
# Another place of the microphone or another gain, not another load of the machine.
_LEVEL_DB = 10.0
# Below the noise of any microphone and converter: cable off, input muted.
_SILENCE_DBFS = -85.0
# Chance that a set in which every clip belongs has one that is called an outlier, if the scores'
# logarithms are normal. Their tails are longer: it was 3 of 54 sets drawn from real recordings,
# and at 0.01 it was 13.
_OUTLIER_RATE = 0.001
# Scores of a few clips can lie so close together that the next one stands out by nothing.
_OUTLIER_TIMES = 1.25
_ROBUST = 1.4826  # deviation of a normal distribution / its median absolute deviation


def by_sound(front_end: FrontEnd, old: Sequence[Clip], new: Sequence[Clip]) -> list[Suspect]:
    """Find clips with clipping, silence, an odd level, too little sound or too few octaves."""
    levels = np.array([clip.level_db for clip in (*old, *new)])
    median = float(np.median(levels))
    # Machines that run at several loads differ more; 5 robust deviations are 1 in a million.
    allowed = max(_LEVEL_DB, 5 * _ROBUST * float(np.median(np.abs(levels - median))))
    found = []
    for clip in new:
        away = clip.level_db - median
        if clip.level_db < _SILENCE_DBFS:
            found.append(Suspect(clip.name, "silence", f"is silent ({clip.level_db:.0f} dBFS)"))
        elif abs(away) > allowed:
            word = "louder" if away > 0 else "quieter"
            reason = f"is {abs(away):.0f} dB {word} than the median of the clips"
            found.append(Suspect(clip.name, "level", f"{reason} ({median:.0f} dBFS)"))
        if clip.clipped > _CLIPPED_SHARE:
            reason = f"is clipped: {100 * clip.clipped:.2g} % of its samples are at full scale"
            found.append(Suspect(clip.name, "clipping", reason))
        if clip.seconds < front_end.clip_seconds / 2:
            reason = (
                f"is {clip.seconds:.2g} s long, and the model hears {front_end.clip_seconds:g} s"
            )
            found.append(Suspect(clip.name, "length", reason))
        highest = front_end.mel.fmax or front_end.mel.sr / 2
        if clip.rate / 2 < 0.9 * highest:
            reason = (
                f"was recorded at {clip.rate} Hz: the model hears up to {highest:g} Hz, "
                f"and there is nothing above {clip.rate // 2} Hz"
            )
            found.append(Suspect(clip.name, "rate", reason))
    return found


def outliers(scorer: Scorer, unseen: UnseenDistances, new: set[str]) -> list[Suspect]:
    """Find clips that are far from all others, by the cross-fitted scores."""
    scores = unseen_scores(scorer, unseen)
    found = []
    for rows in _judged_together(scorer, unseen):
        typical = float(np.median(scores[rows]))
        for i in extreme(scores[rows]):
            name = str(unseen.clips[rows][i])
            times = scores[rows][i] / typical
            if name in new and times >= _OUTLIER_TIMES:
                reason = f"is an outlier: {times:.1f} times as far from the others as is usual"
                found.append(Suspect(name, "outlier", reason))
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


def extreme(scores: NDArray[np.float64], rate: float = _OUTLIER_RATE) -> list[int]:
    """Positions of scores that are too high to be of the others' kind.

    The generalised extreme Studentized deviate of Rosner (1983), Technometrics 25,
    165-172, upwards only, on the scores' logarithms: it finds several that would hide each other in
    one deviation of all, up to a quarter of the scores.

    Args:
        scores: [shape=(n,)], 0 or more.
        rate: chance of finding any where there is none.
    """
    x = np.log(np.maximum(scores, 1e-30))
    left = list(range(len(x)))
    taken: list[int] = []
    found = 0
    for _ in range(len(x) // 4):
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
