"""Evaluation of runs and bundles on a data set, one machine after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from asd_edge.detector import Detector
from asd_edge.errors import AsdError
from asd_edge.frontend.windows import FrontEnd
from asd_training.data.clips import Clip, copies, equal_clips, find_clips
from asd_training.errors import DatasetError
from asd_training.evaluation import examples, false_alarm_costs
from asd_training.evaluation.dcase_files import year_of_clips
from asd_training.evaluation.examples import EmbeddingSample, Example
from asd_training.evaluation.ground_truth import GroundTruth, is_ground_truth
from asd_training.evaluation.score import find_subjects, load_subject, score_clips
from asd_training.progress import bar

DEFAULT_EVERY_SECONDS = 10.0


@dataclass(frozen=True)
class MachineEvaluation:
    """Scores of one machine's test clips, and what a report shows beside them.

    Attributes:
        machine: its name.
        scores: see `asd_training.evaluation.metrics`.
        thresholds: by section, those that decided; empty where only scores are known.
        costs: of `asd_training.evaluation.false_alarm_costs.costs`; may be empty.
        target_rate: false-alarm rate behind the decisions, where it is known.
        sample: for the map of embeddings.
        examples: clips to look at.
        front_end: that of the spectrograms; needed where there are examples.
    """

    machine: str
    scores: pd.DataFrame
    thresholds: dict[str, float] = field(default_factory=dict)
    costs: pd.DataFrame = field(default_factory=pd.DataFrame)
    target_rate: float | None = None
    sample: EmbeddingSample | None = None
    examples: Sequence[Example] = ()
    front_end: FrontEnd | None = None


@dataclass(frozen=True)
class Evaluation:
    """Evaluation of one model: a run, a bundle, or a folder of one of a machine each.

    Attributes:
        machines: of the machines that could be scored.
        every_seconds: one clip is judged every so many seconds.
        year: year of DCASE Task 2 whose rules the data set calls for, and the reason.
        failures: what could not be evaluated, in sentences.
        warnings: what to know about the figures, in sentences.
        recipe, seed: of the training of all machines; "" and None where they differ or are not
            known.
    """

    machines: Sequence[MachineEvaluation]
    every_seconds: float
    year: tuple[int, str]
    failures: Sequence[str] = ()
    warnings: Sequence[str] = ()
    recipe: str = ""
    seed: int | None = None

    @property
    def scores(self) -> pd.DataFrame:
        """Scores of all machines; see `asd_training.evaluation.metrics`."""
        return pd.concat([m.scores for m in self.machines], ignore_index=True)


def machines_of_scores(scores: pd.DataFrame, every_seconds: float) -> list[MachineEvaluation]:
    """Give what is known of each machine from score files alone."""
    found = []
    for name, part in scores.groupby("machine", sort=True):
        thresholds = false_alarm_costs.thresholds_of_normals(part)
        table = false_alarm_costs.costs(part, thresholds, every_seconds)
        found.append(MachineEvaluation(str(name), part, costs=table))
    return found


def evaluate_model(
    model: Path,
    data: Path,
    machine: str | None = None,
    *,
    device: str = "cpu",
    every_seconds: float | None = None,
    ground_truth: Path | None = None,
    say: Callable[[str], None] = lambda sentence: None,
) -> Evaluation:
    """Score the test clips of every machine that `model` and `data` share.

    Args:
        model: a run, a bundle, or a folder that holds one of a machine each.
        data: the data set.
        machine: the only machine to evaluate; a single model is then used for it, whatever
            machine it was made for.
        device: where runs compute: a PyTorch device.
        every_seconds: one clip is judged every so often; default: length of the model's input.
        ground_truth: published labels, for clips whose names tell none.
        say: called with each failure and warning when it happens.

    Raises:
        MissingFileError, RunError, BundleError: a single model that cannot be loaded.
        DatasetError: no machine can be evaluated.
    """
    paths = find_subjects(model, machine)
    single = len(paths) == 1
    clips = _labelled_clips(data, machine, ground_truth)
    by_machine = _by_machine(clips)
    failures: list[str] = []
    warnings: list[str] = []

    def fail(reason: str) -> None:
        failures.append(reason)
        say(f"Error: {reason}")

    def warn(sentence: str) -> None:
        warnings.append(sentence)
        say(f"Warning: {sentence}")

    _warn_of_labels(data, clips, warn)
    evaluated: list[MachineEvaluation] = []
    origin: dict[str, Path] = {}
    trainings: set[tuple[str, int | None]] = set()
    for path in paths:
        try:
            subject = load_subject(path, device)
            name = machine if machine and single else subject.machine
            if machine not in (None, name):
                continue
            own = _clips_of(by_machine, name, data)
            every_seconds = every_seconds or subject.detector.front_end.clip_seconds
            evaluated.append(
                evaluate_machine(subject.detector, name, own, every_seconds, data, fail, warn)
            )
            origin[name] = path
            trainings.add((subject.recipe, subject.seed))
        except AsdError as error:
            if single:
                raise
            fail(str(error))
    if not evaluated:
        of = f" of machine {machine!r}" if machine else ""
        raise DatasetError(model, f"holds no run or bundle{of} that can be evaluated on {data}")
    without = sorted(set(by_machine) - set(origin)) if not single and machine is None else []
    if without:
        warn(f"no run or bundle for machine {', '.join(without)} of {data}")
    every_seconds = every_seconds or DEFAULT_EVERY_SECONDS
    recipe, seed = trainings.pop() if len(trainings) == 1 else ("", None)
    year = year_of_clips(clips)
    return Evaluation(evaluated, every_seconds, year, failures, warnings, recipe, seed)


def _clips_of(by_machine: dict[str, list[Clip]], name: str, data: Path) -> list[Clip]:
    if name not in by_machine:
        machines = ", ".join(sorted(by_machine))
        raise DatasetError(data, f"has no machine {name!r}; it has: {machines}")
    return by_machine[name]


def _labelled_clips(data: Path, machine: str | None, ground_truth: Path | None) -> list[Clip]:
    clips = find_clips(data, machine)
    return clips if ground_truth is None else GroundTruth(ground_truth).label_clips(clips)


def _warn_of_labels(data: Path, clips: Iterable[Clip], warn: Callable[[str], None]) -> None:
    """Warn if no clip has a label and the data set holds published ones."""
    unlabelled = all(clip.label == "unknown" for clip in clips if clip.split == "test")
    if unlabelled and (files := [p for p in data.rglob("*.csv") if is_ground_truth(p.name)]):
        warn(f"{files[0]} tells labels; --ground-truth {files[0].parent} uses them")


def _by_machine(clips: Iterable[Clip]) -> dict[str, list[Clip]]:
    by_machine: dict[str, list[Clip]] = {}
    for clip in clips:
        by_machine.setdefault(clip.machine, []).append(clip)
    return by_machine


def evaluate_machine(
    detector: Detector,
    machine: str,
    clips: Sequence[Clip],
    every_seconds: float,
    data: Path,
    fail: Callable[[str], None],
    warn: Callable[[str], None],
) -> MachineEvaluation:
    """Score the test clips of a machine and look closer at some of them.

    Args:
        detector: that is evaluated.
        machine: name of the machine.
        clips: its clips, of both splits.
        every_seconds: one clip is judged every so many seconds.
        data: the data set, for messages.
        fail: called with a sentence for each clip that cannot be scored.
        warn: called with what to know about the figures.

    Raises:
        DatasetError: no test clip, or none that can be scored.
    """
    test = [clip for clip in clips if clip.split == "test"]
    training = [clip for clip in clips if clip.split == "train" and clip.label == "normal"]
    if not test:
        raise DatasetError(data, f"has no test clips of machine {machine!r}")
    unknown = sorted({clip.section for clip in test} - set(detector.scorer.sections))
    if unknown:
        warn(
            f"{machine}: the model has no references of section {', '.join(unknown)}; its clips "
            "are scored against every section and decided by the nearest one's threshold"
        )
    if leaked := equal_clips(test, training):
        clip, twin = leaked[0]
        warn(
            f"{machine}: {len(leaked)} of {len(test)} test clips are training clips as well "
            f"({clip.name} is {twin.name}), which makes the figures too good unless they were left "
            "out of the training"
        )
    _warn_of_copies(machine, test, warn)
    with bar() as progress:
        task = progress.add_task(f"Scoring {machine}", total=len(test), note="")
        scores, errors = score_clips(detector, test, lambda: progress.advance(task))
        for error in errors:
            fail(str(error))
        if len(scores) == 0:
            raise DatasetError(data, f"has no test clip of machine {machine!r} that can be scored")
        most = min(len(training), examples.MAP_TRAIN) + min(len(scores), examples.MAP_TEST)
        task = progress.add_task(f"Looking at {machine}", total=most, note="")
        sample = examples.sample_embeddings(
            detector, scores, training, lambda: progress.advance(task)
        )
        thresholds = {name: detector.threshold(name).value for name in scores["section"].unique()}
        shown = examples.look_at(detector, scores, thresholds)
    device_thresholds = false_alarm_costs.device_thresholds(detector, scores)
    return MachineEvaluation(
        machine,
        scores,
        thresholds,
        false_alarm_costs.costs(scores, device_thresholds, every_seconds),
        detector.calibration.false_alarm_rate,
        sample,
        shown,
        detector.front_end,
    )


def _warn_of_copies(machine: str, test: Sequence[Clip], warn: Callable[[str], None]) -> None:
    """Say that a recording is several test clips, and if it is called normal and anomalous."""
    found = copies(test)
    wrong = {"normal", "anomaly"}
    both = [(clip, twin) for clip, twin in found if {clip.label, twin.label} == wrong]
    for some, effect in (
        (both, "but is labelled otherwise: one of the labels is wrong, and with it the figures"),
        ([pair for pair in found if pair not in both], "and counts again in the figures"),
    ):
        if some:
            warn(
                f"{machine}: {len(some)} of {len(test)} test clips are copies of others: "
                f"{some[0][0].name} is {some[0][1].name} {effect}"
            )
