"""Enrolment: fit an existing model to the normal sound of a machine, on the device.

The model has not learned from the clips, so that all of them are references, and each
is scored against the references of the others (cross-fitting) for the threshold. A bundle
that was made so keeps every clip's embeddings; adding clips to it is enrolling all at once.
What is added to a bundle of another origin stands beside what it holds (`extend`).

    recordings  a sound file -> clips of the model's length, embedded
    collection  of a section at most so many clips, evenly spread
    screening   warn about clips that may not be normal
    duplicates  leave out clips that are in the set twice
    enrolment   clips -> bundle, and the warnings about them
"""

from __future__ import annotations

import dataclasses
import datetime
import platform
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from typing import Any

import numpy as np

from asd_edge.audio.clip_names import piece_of
from asd_edge.audio.recording import Channel, ClipWarning
from asd_edge.bundle.card import CARD, model_card
from asd_edge.bundle.format import Bundle
from asd_edge.checks import WORTHLESS, EnrolledRange
from asd_edge.detector import Detector
from asd_edge.enrolment.collection import thinned
from asd_edge.enrolment.duplicates import find_duplicates
from asd_edge.enrolment.extend import extend
from asd_edge.enrolment.influence import Strange, strangest
from asd_edge.enrolment.recordings import Clip
from asd_edge.enrolment.screening import odd_encodings, odd_levels, outliers
from asd_edge.errors import EnrollmentError
from asd_edge.scoring.calibration import (
    DEFAULT_FALSE_ALARM_RATE,
    Calibration,
    check_rate,
)
from asd_edge.scoring.fit import ViewRule, fit_scorer, score_unseen_by_folds
from asd_edge.scoring.normals import NormalEmbeddings
from asd_edge.scoring.scorer import Scorer
from asd_edge.scoring.standards import UnseenDistances, calibrate
from asd_edge.verify import record

# Of fewer no threshold is worth its name: for 1 in 100 it lies 4.1 deviations above the mean
# of five scores' roots, 5.1 of four, 8.0 of three.
MIN_CLIPS = 5

ENROLLED = "enrolled"  # in the provenance of bundles made here


@dataclass(frozen=True)
class Enrollment:
    """Result of an enrolment.

    Attributes:
        bundle: to be written.
        clips: number of clips in it.
        seconds: their length.
        warnings: about clips that are in the bundle or left out of it.
        left_out: names of the clips that are not in the bundle.
        strangest: the new and old clips that are least like the others, the strangest first.
        passed_over: number of clips that are not kept because there are others enough.
    """

    bundle: Bundle
    clips: int
    seconds: float
    warnings: list[ClipWarning]
    left_out: list[str]
    strangest: list[Strange]
    passed_over: int


def enroll(
    source: Bundle,
    embedded: Sequence[Clip | ClipWarning],
    *,
    machine: str,
    add: bool = False,
    false_alarm_rate: float | None = None,
    drop_suspects: bool = False,
    channel: Channel | None = None,
    advance: Callable[[], None] = lambda: None,
) -> Enrollment:
    """Make a bundle from an existing model and normal clips.

    Args:
        source: bundle whose front end, model and rules are taken. A view that is whitened
            gets the whitening of these clips.
        embedded: what `embed_recording` gave with a detector of that bundle.
        machine: what the bundle calls the machine.
        add: extend `source` instead of replacing its references.
        false_alarm_rate: that the bundle decides at; by default 0.01, or with `add`
            that of the source.
        drop_suspects: leave out clips that seem not to belong.
        channel: that the clips were read from, which the bundle will read; by default that of
            `source`.
        advance: called after each fold of each cross-fitting.

    Raises:
        EnrollmentError: too few clips.
        ParameterError: a rate outside (0, 1), or clips that are all alike.
    """
    if false_alarm_rate is None:
        false_alarm_rate = source.calibration.false_alarm_rate if add else DEFAULT_FALSE_ALARM_RATE
    check_rate(false_alarm_rate)
    channel = _channel(source.front_end.channel, channel, add)
    again = add and ENROLLED in source.provenance  # with all that it was made of
    old = enrolled_clips(source) if again else []
    noticed = [item for item in embedded if isinstance(item, ClipWarning)]
    clips = [item for item in embedded if isinstance(item, Clip)]
    duplicates, new = _new_clips(source, old, clips, add)
    old, new, passed_over = _thinned(old, new)
    twice = f" besides {len(duplicates)} of the same sound" if duplicates else ""
    _check_number([*old, *new], twice)
    fit = partial(
        _extend if add and not again else _fit,
        source,
        false_alarm_rate=false_alarm_rate,
        advance=advance,
    )
    scorer, calibration, unseen = fit([*old, *new])
    heard = EnrolledRange.of_provenance(source.provenance) if add else None
    flagged = _suspects(old, new, heard) + outliers(scorer, unseen, {clip.name for clip in new})
    left_out = [w.clip for w in (*noticed, *duplicates) if w.kind in {*WORTHLESS, "duplicate"}]
    named = {warning.clip for warning in flagged}
    if drop_suspects and named:
        left_out += sorted(named)
        new = [clip for clip in new if clip.name not in named]
        _check_number([*old, *new], f" besides the {len(named)} suspects")
        scorer, calibration, unseen = fit([*old, *new])
    every = [*old, *new]
    whole = again or not add
    provenance = _provenance(source, every, add, machine) if whole else _added(source, new)
    draft = dataclasses.replace(
        source,
        front_end=dataclasses.replace(source.front_end, channel=channel),
        machine=machine,
        views=scorer.views,
        calibration=calibration,
        provenance=provenance,
    )
    bundle = _with_golden(draft, [] if add else new)
    return Enrollment(
        bundle,
        clips=len(every),
        seconds=sum(clip.seconds for clip in every),
        warnings=[*noticed, *duplicates, *flagged],
        left_out=left_out,
        strangest=strangest(scorer, calibration, unseen),
        passed_over=passed_over,
    )


def _channel(own: Channel, asked: Channel | None, add: bool) -> Channel:
    """Channel that the bundle will read."""
    if add and asked not in (None, own):
        raise EnrollmentError(
            f"the bundle is about channel {own}; clips of channel {asked} cannot be added to it"
        )
    return own if asked is None else asked


def _new_clips(
    source: Bundle, old: Sequence[Clip], clips: Sequence[Clip], add: bool
) -> tuple[list[ClipWarning], list[Clip]]:
    """Give warnings about duplicates, and the other clips under names that are not in use."""
    by_references = Scorer(source.views) if add and not old else None
    duplicates, new = find_duplicates(old, clips, by_references)
    known = {clip.name for clip in old}
    if add:
        known.update(*(view.references.clips.tolist() for view in source.views.values()))
    return duplicates, [_with_free_name(clip, known) for clip in new]


def _suspects(
    old: Sequence[Clip], new: Sequence[Clip], heard: EnrolledRange | None
) -> list[ClipWarning]:
    """Give what is odd about the new clips before anything is fitted to them."""
    noticed = [warning for clip in new for warning in clip.warnings]
    return noticed + odd_levels(old, new) + odd_encodings(new, heard)


def _thinned(old: list[Clip], new: list[Clip]) -> tuple[list[Clip], list[Clip], int]:
    kept = {id(clip) for clip in thinned([*old, *new])}
    return (
        [clip for clip in old if id(clip) in kept],
        [clip for clip in new if id(clip) in kept],
        len(old) + len(new) - len(kept),
    )


def _with_golden(draft: Bundle, clips: Sequence[Clip]) -> Bundle:
    """Record the golden clip of a bundle: of one of the clips, else of the one that it has."""
    samples, section = draft.golden.samples, draft.golden.section
    first = next((clip for clip in clips if clip.excerpt.size), None)
    if first is not None:
        samples, section = first.excerpt, first.section
    return dataclasses.replace(draft, golden=record(Detector.from_bundle(draft), samples, section))


def enrolled_clips(bundle: Bundle) -> list[Clip]:
    """Give the clips that a bundle was enrolled from, each with the median level of all."""
    facts = bundle.provenance[ENROLLED]
    first = next(iter(bundle.views.values())).references
    clips = []
    for name in dict.fromkeys(first.clips.tolist()):
        rows = first.clips == name
        recording, start_s = piece_of(name)  # a bundle holds the names alone
        clips.append(
            Clip(
                recording=recording,
                start_s=start_s,
                whole=recording == name,
                section=str(first.sections[rows][0]),
                embeddings={
                    view: v.references.embeddings[v.references.clips == name]
                    for view, v in bundle.views.items()
                },
                seconds=facts["seconds"] / facts["clips"],
                rate=0,
                level_db=facts["median_level_db"],
                excerpt=np.empty(0, np.int16),
            )
        )
    return clips


def _normals(clips: Sequence[Clip]) -> NormalEmbeddings:
    windows = [len(next(iter(clip.embeddings.values()))) for clip in clips]
    views = clips[0].embeddings
    return NormalEmbeddings(
        views={view: np.concatenate([clip.embeddings[view] for clip in clips]) for view in views},
        clips=np.repeat([clip.name for clip in clips], windows),
        sections=np.repeat([clip.section for clip in clips], windows),
        domains=np.repeat([""] * len(clips), windows),
        recordings=np.repeat([clip.recording for clip in clips], windows),
        start_s=np.repeat([clip.start_s for clip in clips], windows),
    )


def _rules(source: Bundle) -> dict[str, ViewRule]:
    return {name: ViewRule(v.config, weight=v.weight) for name, v in source.views.items()}


def _fit(
    source: Bundle,
    clips: Sequence[Clip],
    false_alarm_rate: float,
    advance: Callable[[], None],
) -> tuple[Scorer, Calibration, UnseenDistances]:
    rules, normals = _rules(source), _normals(clips)
    make = partial(fit_scorer, rules)
    unseen = score_unseen_by_folds(make, normals, advance=advance)
    windows = len(normals.clips)
    return *calibrate(rules, make(normals), unseen, windows, false_alarm_rate), unseen


def _extend(
    source: Bundle,
    clips: Sequence[Clip],
    false_alarm_rate: float,
    advance: Callable[[], None],
) -> tuple[Scorer, Calibration, UnseenDistances]:
    calibration = dataclasses.replace(source.calibration, false_alarm_rate=false_alarm_rate)
    scorer, normals = Scorer(source.views), _normals(clips)
    return extend(_rules(source), scorer, calibration, normals, advance=advance)


def _check_number(clips: Sequence[Clip], besides: str = "") -> None:
    sections = [clip.section for clip in clips]
    if len(clips) < MIN_CLIPS:
        raise EnrollmentError(
            f"{len(clips)} normal clips{besides}; at least {MIN_CLIPS} are needed for a threshold, "
            "and ten minutes of recording for a good one"
        )
    for section in sorted(set(sections)):
        if sections.count(section) < 2:
            raise EnrollmentError(
                f"section {section} has one clip{besides}; at least 2 are needed. "
                "--section gives all clips the same"
            )


def _with_free_name(clip: Clip, taken: set[str]) -> Clip:
    """Number a clip's recording if another clip has the name: "rec.wav" becomes "rec.wav (2)"."""
    free, number = clip, 1
    while free.name in taken:
        number += 1
        free = dataclasses.replace(clip, recording=f"{clip.recording} ({number})")
    taken.add(free.name)
    return free


def _added(source: Bundle, new: Sequence[Clip]) -> dict[str, Any]:
    return {
        **source.provenance,
        "changed": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "added_clips": source.provenance.get("added_clips", 0) + len(new),
    }


def _provenance(source: Bundle, clips: Sequence[Clip], add: bool, machine: str) -> dict[str, Any]:
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    created = source.provenance.get("created", now) if add else now
    levels = [clip.level_db for clip in clips]
    low, high = min(levels), max(levels)
    rate = min([clip.rate for clip in clips if clip.rate] or [source.front_end.mel.sr])
    encodings = {clip.encoding for clip in clips} - {""}
    before = EnrolledRange.of_provenance(source.provenance) if add else None
    if before is not None:
        encodings |= set(before.encodings)
        low, high = min(low, before.lowest_db), max(high, before.highest_db)
        rate = min(rate, before.rate)
    model = source.provenance.get("model_of") if ENROLLED in source.provenance else None
    seconds = sum(clip.seconds for clip in clips)
    return {
        CARD: model_card(machine, f"{len(clips)} normal clips, {seconds:.0f} s, enrolled"),
        "created": created,
        "changed": now,
        "model_of": model or source.machine,
        "enrolled_on": platform.machine(),
        "versions": {name: version(name) for name in ("asd-edge", "numpy", "onnxruntime")},
        ENROLLED: {
            "clips": len(clips),
            "seconds": round(sum(clip.seconds for clip in clips), 3),
            "median_level_db": round(float(np.median(levels)), 2),
            "level_range_db": [round(low, 2), round(high, 2)],
            "lowest_rate": rate,
            "encodings": sorted(encodings),
        },
    }
