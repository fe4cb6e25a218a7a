"""Enrolment: teach the normal sound of a machine to a model that is there, on the device.

The model has not learned from the clips, so that all of them are references, and each
is scored against the references of the others (cross-fitting) for the threshold. A bundle
that was made so keeps every clip's embeddings; adding clips to it is enrolling all at once.

    hear      a sound file -> clips of the model's length, embedded, with what was noticed
    enroll    clips -> bundle, and the suspects among them
"""

from __future__ import annotations

import dataclasses
import datetime
import platform
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asd_edge import audio, student_t
from asd_edge.bundle import Bundle
from asd_edge.calibration import (
    DEFAULT_FALSE_ALARM_RATE,
    MIN_SECTION_CLIPS,
    Calibration,
    check_rate,
)
from asd_edge.detector import Detector
from asd_edge.errors import EnrollmentError
from asd_edge.naming import piece_name, piece_of
from asd_edge.reference_set import (
    Normals,
    UnseenDistances,
    ViewRule,
    build,
    cross_measure,
    finish,
    unseen_scores,
)
from asd_edge.scoring import Scorer
from asd_edge.verify import record

# Of fewer no threshold is worth its name: for 1 in 100 it lies 4.1 deviations above the mean
# of five scores' roots, 5.1 of four, 8.0 of three (`calibration.predicted`).
MIN_CLIPS = 5
# Folds of the cross-fitting: each clip by itself up to ten, because of ten clips a fifth less
# already moves the scores; more would only cost time.
FOLDS = 10

# A recorder that is not driven too far reaches full scale in single samples at most.
_FULL_SCALE = 0.999
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

ENROLLED = "enrolled"  # in the provenance of bundles made here


@dataclass(frozen=True)
class Clip:
    """One normal clip, embedded.

    Attributes:
        name: file name; of a piece of a recording with the second it begins at.
        section: what the clip is a recording of; score it by the same name.
        embeddings: view -> [shape=(n_windows, d)].
        seconds: length.
        rate: of the file in Hz; 0 if the clip comes from a bundle.
        clipped: share of samples at full scale.
        level_db: root mean square in dB of full scale.
        excerpt: up to a second of it for the golden clip [shape=(n,)], int16; empty if the
            clip comes from a bundle.
    """

    name: str
    section: str
    embeddings: dict[str, NDArray[np.float32]]
    seconds: float
    rate: int
    clipped: float
    level_db: float
    excerpt: NDArray[np.int16]


@dataclass(frozen=True)
class Suspect:
    """A clip that may not belong, and why."""

    clip: str
    kind: str
    reason: str


@dataclass(frozen=True)
class Enrollment:
    """What came of it.

    Attributes:
        bundle: to be written.
        clips: number of clips in it.
        seconds: their length.
        suspects: clips that were noticed, in or left out.
        left_out: names of the clips that are not in the bundle.
    """

    bundle: Bundle
    clips: int
    seconds: float
    suspects: list[Suspect]
    left_out: list[str]


def hear(
    detector: Detector,
    path: Path,
    section: str,
    *,
    name: str | None = None,
    channel: audio.Channel | None = None,
) -> Iterator[Clip | Suspect]:
    """Read a sound file and embed it.

    A recording of two windows or more is cut into pieces of one window each, which are
    clips of their own; what is left at its end is not used.

    Args:
        detector: of the bundle whose model is used.
        path: the file.
        section: the clips'.
        name: what the clips are called; by default the file's name.
        channel: "mean" or the number of a channel; by default the bundle's.

    Yields:
        the clips. Of a piece without any sound (one value throughout), which cannot be
        scored either, a suspect.

    Raises:
        MissingFileError, AudioError: see `audio.read`; or too short.
    """
    front_end = detector.front_end
    channel = front_end.channel if channel is None else channel
    name = path.name if name is None else name
    samples, rate = audio.decode(path)
    heard = samples if channel == "mean" else samples[:, channel : channel + 1]
    y = audio.from_array(samples, rate, front_end.mel.sr, channel, path)
    length = front_end.n_samples
    count = len(y) // length
    starts = [i * length for i in range(count)] if count >= 2 else [0]
    for start in starts:
        piece = y[start : start + length] if count >= 2 else y
        seconds = start / front_end.mel.sr
        title = piece_name(name, seconds) if count >= 2 else name
        if (piece == piece[0]).all():
            yield Suspect(title, "silence", "is silent; left out")
            continue
        span = slice(round(seconds * rate), round((start + len(piece)) / front_end.mel.sr * rate))
        # A second is repeated to fill the window, so it is not a reference, even of itself.
        n = max(front_end.mel.n_fft, min(front_end.mel.sr, len(piece) // 2))
        yield Clip(
            name=title,
            section=section,
            embeddings=detector.embed(piece, path),
            seconds=len(piece) / front_end.mel.sr,
            rate=rate,
            clipped=float(np.any(np.abs(heard[span]) >= _FULL_SCALE, axis=1).mean()),
            level_db=10 * float(np.log10(np.square(piece, dtype=np.float64).mean())),
            excerpt=np.clip(np.round(piece[:n] * 32768), -32768, 32767).astype(np.int16),
        )


def enroll(
    source: Bundle,
    heard: Sequence[Clip | Suspect],
    *,
    machine: str,
    add: bool = False,
    false_alarm_rate: float | None = None,
    drop_suspects: bool = False,
    advance: Callable[[], None] = lambda: None,
) -> Enrollment:
    """Make a bundle of a model that is there and normal clips.

    Args:
        source: bundle whose front end, model and rules are taken. A view that is whitened
            gets the whitening of these clips.
        heard: what `hear` gave with a detector of that bundle.
        machine: what the bundle calls the machine.
        add: keep the clips of `source`, which must have been made by enrolment.
        false_alarm_rate: that the bundle decides at; by default 0.01, or with `add`
            that of the source.
        drop_suspects: leave out clips that seem not to belong.
        advance: called after each fold of each cross-fitting.

    Raises:
        EnrollmentError: too few clips, or `source` cannot be added to.
        ParameterError: a rate outside (0, 1), or clips that are all alike.
    """
    if false_alarm_rate is None:
        false_alarm_rate = source.calibration.false_alarm_rate if add else DEFAULT_FALSE_ALARM_RATE
    check_rate(false_alarm_rate)
    old = enrolled_clips(source) if add else []
    silent = [clip for clip in heard if isinstance(clip, Suspect)]
    doubles, new = _doubles(old, [clip for clip in heard if isinstance(clip, Clip)])
    known = {clip.name for clip in old}
    new = [dataclasses.replace(c, name=_free(c.name, known)) for c in new]
    rules = {name: ViewRule(v.config, weight=v.weight) for name, v in source.views.items()}
    _check_number([*old, *new])
    fit = partial(_fit, rules, false_alarm_rate=false_alarm_rate, advance=advance)
    scorer, calibration, unseen = fit([*old, *new])
    doubtful = _by_sound(source, old, new)
    doubtful += _outliers(scorer, unseen, {clip.name for clip in new})
    left_out = [suspect.clip for suspect in (*silent, *doubles)]
    named = {suspect.clip for suspect in doubtful}
    if drop_suspects and named:
        left_out += sorted(named)
        new = [clip for clip in new if clip.name not in named]
        _check_number([*old, *new], f" besides the {len(named)} suspects")
        scorer, calibration, _ = fit([*old, *new])
    every = [*old, *new]
    draft = dataclasses.replace(
        source,
        machine=machine,
        views=scorer.views,
        calibration=calibration,
        provenance=_provenance(source, every, add),
    )
    golden = source.golden if add else None
    samples = golden.samples if golden else new[0].excerpt
    section = golden.section if golden else new[0].section
    bundle = dataclasses.replace(
        draft, golden=record(Detector.from_bundle(draft), samples, section)
    )
    return Enrollment(
        bundle,
        clips=len(every),
        seconds=sum(clip.seconds for clip in every),
        suspects=[*silent, *doubles, *doubtful],
        left_out=left_out,
    )


def enrolled_clips(bundle: Bundle) -> list[Clip]:
    """Give the clips that a bundle was enrolled from, each with the median level of all.

    Raises:
        EnrollmentError: it was not made by enrolment: its references are not all its clips.
    """
    facts = bundle.provenance.get(ENROLLED)
    if facts is None:
        raise EnrollmentError(
            f"the bundle of {bundle.machine} was not made by enroll: the clips behind its "
            "threshold are not in it. --from makes a bundle of your own with its model"
        )
    first = next(iter(bundle.views.values())).references
    clips = []
    for name in dict.fromkeys(first.clips.tolist()):
        rows = first.clips == name
        clips.append(
            Clip(
                name=name,
                section=str(first.sections[rows][0]),
                embeddings={
                    view: v.references.embeddings[v.references.clips == name]
                    for view, v in bundle.views.items()
                },
                seconds=facts["seconds"] / facts["clips"],
                rate=0,
                clipped=0.0,
                level_db=facts["median_level_db"],
                excerpt=np.empty(0, np.int16),
            )
        )
    return clips


def _normals(clips: Sequence[Clip]) -> Normals:
    windows = [len(next(iter(clip.embeddings.values()))) for clip in clips]
    views = clips[0].embeddings
    return Normals(
        views={view: np.concatenate([clip.embeddings[view] for clip in clips]) for view in views},
        clips=np.repeat([clip.name for clip in clips], windows),
        sections=np.repeat([clip.section for clip in clips], windows),
        domains=np.repeat([""] * len(clips), windows),
    )


def _fit(
    rules: dict[str, ViewRule],
    clips: Sequence[Clip],
    false_alarm_rate: float,
    advance: Callable[[], None],
) -> tuple[Scorer, Calibration, UnseenDistances]:
    normals = _normals(clips)
    unseen = cross_measure(rules, normals, count=FOLDS, advance=advance)
    return *finish(rules, build(rules, normals), unseen, false_alarm_rate), unseen


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


def _doubles(old: Sequence[Clip], clips: Sequence[Clip]) -> tuple[list[Suspect], list[Clip]]:
    """Leave out clips that are there already: their distance would be 0."""
    seen = {_content(clip): clip.name for clip in old}
    doubles, new = [], []
    for clip in clips:
        other = seen.setdefault(_content(clip), clip.name)
        if other is clip.name:
            new.append(clip)
        else:
            doubles.append(Suspect(clip.name, "double", f"is the same sound as {other}; left out"))
    return doubles, new


def _content(clip: Clip) -> bytes:
    return b"".join(x.tobytes() for x in clip.embeddings.values())


def _free(name: str, taken: set[str]) -> str:
    """Number a clip whose name another one has: "rec.wav" becomes "rec.wav (2)"."""
    recording, start = piece_of(name)
    free, number = name, 1
    while free in taken:
        number += 1
        numbered = f"{recording} ({number})"
        free = numbered if recording == name else piece_name(numbered, start)
    taken.add(free)
    return free


def _by_sound(source: Bundle, old: Sequence[Clip], new: Sequence[Clip]) -> list[Suspect]:
    """Find clips with clipping, silence, an odd level, too little sound or too few octaves."""
    front_end = source.front_end
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


_ROBUST = 1.4826  # deviation of a normal distribution / its median absolute deviation


def _outliers(scorer: Scorer, unseen: UnseenDistances, new: set[str]) -> list[Suspect]:
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
    outliers = 0
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
            outliers = len(taken)
    return taken[:outliers]


def _provenance(source: Bundle, clips: Sequence[Clip], add: bool) -> dict[str, Any]:
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    created = source.provenance.get("created", now) if add else now
    model = source.provenance.get("model_of") if ENROLLED in source.provenance else None
    return {
        "created": created,
        "changed": now,
        "model_of": model or source.machine,
        "enrolled_on": platform.machine(),
        "versions": {name: version(name) for name in ("asd-edge", "numpy", "onnxruntime")},
        ENROLLED: {
            "clips": len(clips),
            "seconds": round(sum(clip.seconds for clip in clips), 3),
            "median_level_db": round(float(np.median([clip.level_db for clip in clips])), 2),
        },
    }
