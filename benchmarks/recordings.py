"""False alarms of recordings: normal clips of random splits, joined to 1, 6 and 60 minutes.

    python benchmarks/recordings.py --data machines2/slider --toycar toycar --clips 24

Of each section the normal clips of training and test are put together, and split at random: so many
are enrolled with the model that needs no training (default: half, at most 48), the others are
unseen. Each window of a recording is one of these, drawn with replacement, at 6 windows a minute;
where they do not overlap, the rule has fewer windows and the same rate. Of each split 200, 60
and 12 recordings: with 24 splits 80 hours of 1 minute, 144 of 6 minutes and 288 of an hour of each
section. Share called anomalous, with its standard error over the splits, for the rate asked. An
odd clip recurs in all recordings of its split, so that these differ by more than binomial chance.

Then how many recordings with one fault are found: at a random place so many windows are one faulty
clip of the test set, the others are unseen normal ones (5 recordings of each split).
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import click
import numpy as np
from numpy.typing import NDArray
from real import DataSet, find, read, read_toycar

from asd_edge.bundle.format import Bundle, read_bundle
from asd_edge.bundle.locate import BUILT_IN
from asd_edge.detector import Detector
from asd_edge.enrolment.enrolment import enroll
from asd_edge.enrolment.recordings import Clip
from asd_edge.scoring.recording_rule import decide_recording
from asd_edge.scoring.recording_tail import RecordingTail
from asd_edge.scoring.scorer import Scorer

MINUTES = {1: 200, 6: 60, 60: 12}  # length -> recordings of each split
FAULTS = ((1, 1), (6, 3), (10, 6), (60, 6), (60, 1))  # minutes, windows with the fault
OF_EACH_SPLIT = 5


class Split(NamedTuple):
    """What an enrolment of some clips gives: the tail, and scores of others [shape=(n,)]."""

    tail: RecordingTail
    normal: NDArray[np.float64]
    faulty: NDArray[np.float64]

    def alarm(self, scores: NDArray[np.float64], rate: float) -> bool:
        """Decide a recording."""
        return decide_recording(scores, self.tail, rate, 1.0).p_value <= rate


def split(
    source: Bundle, clips: list[Clip], faults: list[Clip], count: int, rate: float, seed: int
) -> Split:
    """Enrol some clips of a section, and score the others and the faults."""
    order = np.random.default_rng(seed).permutation(len(clips))
    bundle = enroll(
        source, [clips[i] for i in order[:count]], machine="split", false_alarm_rate=rate
    ).bundle
    scorer = Scorer(bundle.views)

    def scores(some: list[Clip]) -> NDArray[np.float64]:
        return np.array([scorer.score(clip.embeddings, clip.section).score for clip in some])

    tail = RecordingTail(bundle.calibration.tail(clips[0].section))
    return Split(tail, scores([clips[i] for i in order[count:]]), scores(faults))


def shares(one: Split, rate: float, rng: np.random.Generator) -> list[float]:
    """Share of normal recordings called anomalous at each length, in %."""
    return [
        100 * float(np.mean([one.alarm(rng.choice(one.normal, 6 * m), rate) for _ in range(n)]))
        for m, n in MINUTES.items()
    ]


def found(one: Split, rate: float, rng: np.random.Generator) -> list[float]:
    """Share of recordings with a fault called anomalous, in %."""
    if not len(one.faulty):
        return [float("nan")] * len(FAULTS)
    rows = []
    for minutes, windows in FAULTS:
        alarms = 0
        for _ in range(OF_EACH_SPLIT):
            scores = rng.choice(one.normal, 6 * minutes)
            start = rng.integers(0, len(scores) - windows + 1)
            scores[start : start + windows] = rng.choice(one.faulty)
            alarms += one.alarm(scores, rate)
        rows.append(100 * alarms / OF_EACH_SPLIT)
    return rows


def of_section(
    data: DataSet, section: str, source: Bundle, clips: int | None, splits: int, rate: float
) -> tuple[str, NDArray[np.float64]] | None:
    """Print the row of a section; give its false alarms and what was found."""
    every = data.train + [clip for clip, _, label in data.test if label == "normal"]
    own = [clip for clip in every if clip.section == section]
    faults = [c for c, _, label in data.test if label == "anomaly" and c.section == section]
    count = clips or min(len(own) // 2, 48)
    if count < 6 or len(own) - count < 6:
        return None
    done = [split(source, own, faults, count, rate, seed) for seed in range(splits)]
    single = [100 * np.mean(one.tail.single.probability(one.normal) <= rate) for one in done]
    rng = np.random.default_rng(0)
    alarms = np.array([shares(one, rate, rng) for one in done])
    error = alarms.std(axis=0) / np.sqrt(splits)
    caught = np.array([found(one, rate, rng) for one in done]).mean(axis=0)
    cells = [f"{m:.1f} ± {e:.1f}" for m, e in zip(alarms.mean(axis=0), error, strict=True)]
    cells += ["-" if np.isnan(share) else f"{share:.0f}" for share in caught]
    name = f"{data.name} {section}"
    print(f"| {name} | {count}, {len(own) - count} | {np.mean(single):.1f} | {' | '.join(cells)} |")
    return name, np.concatenate([alarms.mean(axis=0), caught])


@click.command()
@click.option("--data", multiple=True, type=click.Path(path_type=Path, exists=True))
@click.option("--toycar", type=click.Path(path_type=Path, exists=True))
@click.option("--clips", type=click.IntRange(min=6), help="Enrolled of each section.")
@click.option("--splits", type=click.IntRange(min=1), default=24, show_default=True)
@click.option("--false-alarm-rate", "rate", type=float, default=0.01, show_default=True)
def main(
    data: tuple[Path, ...], toycar: Path | None, clips: int | None, splits: int, rate: float
) -> None:
    """Print the share of normal recordings that are called anomalous, and of faulty ones."""
    source = read_bundle(BUILT_IN)
    detector = Detector.from_bundle(source)
    sets = [read(folder, detector, _there(folder)) for folder in find(data)]
    if toycar is not None:
        sets.append(read_toycar(toycar, detector))
    windows = [f"{10 * w} s in {m} min" for m, w in FAULTS]
    print(f"| data | enrolled, unseen | single | 1 min | 6 min | 60 min | {' | '.join(windows)} |")
    print("|---" * (6 + len(FAULTS)) + "|", flush=True)
    rows = []
    for one in sets:
        clips_of = one.train + [clip for clip, _, _ in one.test]
        for section in sorted({clip.section for clip in clips_of}):
            row = of_section(one, section, source, clips, splits, rate)
            if row is not None:
                rows.append(row[1])
    mean = np.mean(rows, axis=0)
    cells = [f"{x:.2f}" for x in mean[:3]]
    cells += ["-" if np.isnan(x) else f"{x:.0f}" for x in mean[3:]]
    print(f"| mean | | | {' | '.join(cells)} |")


def _there(folder: Path) -> tuple[str, ...]:
    """Parts of a data set that are there: one of normal clips alone has no test clips."""
    return tuple(part for part in ("train", "test") if (folder / part).is_dir())


if __name__ == "__main__":
    main()
