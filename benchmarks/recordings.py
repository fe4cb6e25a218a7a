"""False alarms of recordings: normal clips of random splits, joined to 1, 6 and 60 minutes.

    python benchmarks/recordings.py --data machines2/slider --toycar toycar --clips 24

Of each section the normal clips of training and test are put together, and split at random: so many
are enrolled with the model that needs no training (default: half, at most 48), the others are
unseen. Each window of a recording is one of these, drawn with replacement, at 6 windows a minute;
where they do not overlap, the rule has fewer windows and the same rate. Share called anomalous,
with its standard error over the splits, for the rate asked; by the rule (`now`), and with the
calibration's probabilities taken as they are (`exact`). An odd clip recurs in all recordings of
its split, so that these differ by more than binomial chance.
"""

from __future__ import annotations

from pathlib import Path

import click
import numpy as np
from numpy.typing import NDArray
from real import find, read, read_toycar

from asd_edge.bundle.format import Bundle, read_bundle
from asd_edge.bundle.locate import BUILT_IN
from asd_edge.detector import Detector
from asd_edge.enrolment.enrolment import enroll
from asd_edge.enrolment.recordings import Clip
from asd_edge.scoring.recording_rule import KNOWN, decide_recording
from asd_edge.scoring.scorer import Scorer

MINUTES = {1: 200, 6: 60, 60: 12}  # length -> recordings of each split
RULES = {"now": KNOWN, "exact": 0.0}


def probabilities(
    source: Bundle, clips: list[Clip], count: int, rate: float, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Enrol some clips of a section and give the tail probabilities of the others."""
    order = rng.permutation(len(clips))
    bundle = enroll(
        source, [clips[i] for i in order[:count]], machine="split", false_alarm_rate=rate
    ).bundle
    scorer = Scorer(bundle.views)
    scores = [scorer.score(clips[i].embeddings, clips[i].section).score for i in order[count:]]
    return bundle.calibration.tail_probability(clips[0].section, np.array(scores))


def shares(
    p: NDArray[np.float64], rate: float, known: float, rng: np.random.Generator
) -> list[float]:
    """Share of recordings called anomalous at each length."""
    return [
        float(
            np.mean(
                [
                    decide_recording(rng.choice(p, 6 * minutes), rate, 1.0, known).p_value <= rate
                    for _ in range(number)
                ]
            )
        )
        for minutes, number in MINUTES.items()
    ]


@click.command()
@click.option("--data", multiple=True, type=click.Path(path_type=Path, exists=True))
@click.option("--toycar", type=click.Path(path_type=Path, exists=True))
@click.option("--clips", type=click.IntRange(min=6), help="Enrolled of each section.")
@click.option("--splits", type=click.IntRange(min=1), default=8, show_default=True)
@click.option("--false-alarm-rate", "rate", type=float, default=0.01, show_default=True)
def main(
    data: tuple[Path, ...], toycar: Path | None, clips: int | None, splits: int, rate: float
) -> None:
    """Print the share of normal recordings that are called anomalous."""
    source = read_bundle(BUILT_IN)
    detector = Detector.from_bundle(source)
    sets = [read(folder, detector) for folder in find(data)]
    if toycar is not None:
        sets.append(read_toycar(toycar, detector))
    print("| data | enrolled, unseen | single windows | rule | 1 min | 6 min | 60 min |")
    print("|---|---|---|---|---|---|---|")
    for one in sets:
        normal = one.train + [clip for clip, _, label in one.test if label == "normal"]
        for section in sorted({clip.section for clip in normal}):
            own = [clip for clip in normal if clip.section == section]
            count = clips or min(len(own) // 2, 48)
            if count < 6 or len(own) - count < 6:
                continue
            every = [
                probabilities(source, own, count, rate, np.random.default_rng(split))
                for split in range(splits)
            ]
            single = 100 * np.mean([np.mean(p <= rate) for p in every])
            for rule, known in RULES.items():
                rng = np.random.default_rng(0)
                found = 100 * np.array([shares(p, rate, known, rng) for p in every])
                error = found.std(axis=0) / np.sqrt(splits)
                cells = [f"{m:.1f} ± {e:.1f}" for m, e in zip(found.mean(0), error, strict=True)]
                names = f"{one.name} {section} | {count}, {len(own) - count} | {single:.1f}"
                print(f"| {names} | {rule} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
