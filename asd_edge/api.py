"""The documented Python API of the device beside `Detector`: enrol and explain in one call each."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from asd_edge.audio.clip_names import relative_name, section_of
from asd_edge.audio.recording import Channel, ClipWarning
from asd_edge.audio.search import find
from asd_edge.bundle import locate
from asd_edge.bundle.format import read_bundle
from asd_edge.detector import Detector
from asd_edge.enrolment import enrolment
from asd_edge.enrolment.collection import Collection
from asd_edge.enrolment.enrolment import Enrollment
from asd_edge.enrolment.recordings import embed_recording
from asd_edge.errors import AsdError, ParameterError
from asd_edge.explanation import explanation
from asd_edge.explanation.explanation import Explanation


def enroll(
    clips: str | Path | Iterable[str | Path | NDArray[Any]],
    output: str | Path | None = None,
    *,
    sr: int | None = None,
    source: str | Path | None = None,
    section: str | None = None,
    machine: str | None = None,
    false_alarm_rate: float | None = None,
    drop_suspects: bool = False,
    channel: Channel | None = None,
) -> Enrollment:
    """Teach the normal sound of a machine: make a bundle of normal clips, without training.

    Args:
        clips: sound files and folders of them, or arrays of samples [shape=(n,) or (n, channels)].
        output: where the bundle is written, a folder NAME.asd; None: it is only returned.
        sr: rate of arrays in Hz.
        source: bundle whose model is used; default: the built-in one.
        section: of all clips; default: what their names say, else "00".
        machine: what the bundle calls the machine; default: the name of `output`, else "machine".
        false_alarm_rate: share of normal clips that the bundle may call anomalous, 0 to 1, both
            excluded; default: 0.01.
        drop_suspects: leave out the clips that are warned of.
        channel: "mean" of all channels, or the number of one, from 0; default: the model's.

    Returns:
        the bundle, the warnings about clips, and the names of those left out. A file that cannot
        be read is among the warnings and left out.

    Raises:
        MissingFileError, BundleError: there is no `source`, or it is damaged.
        EnrollmentError: too few clips.
        ParameterError: a rate outside (0, 1); arrays without `sr`.

    Example:
        >>> from asd_edge import enroll
        >>> enroll("monday.wav", "my-fan.asd").clips  # five minutes
        30
    """
    contents = read_bundle(source or locate.BUILT_IN)
    detector = Detector.from_bundle(contents, path=source or locate.BUILT_IN)
    collected = Collection()
    unread: list[ClipWarning] = []
    paths: list[Path] = []
    for item in [clips] if isinstance(clips, (str, Path)) else clips:
        if isinstance(item, (str, Path)):
            paths.append(Path(item))
            continue
        if sr is None:
            raise ParameterError("sr", sr, "the rate of the arrays in Hz")
        name = f"array_{len(collected.clips):04d}"
        found = embed_recording(detector, item, section or "00", name=name, channel=channel, sr=sr)
        collected.add(found)
    searched = find(paths)
    unread += [ClipWarning(str(error), error.kind, "left out") for error in searched.unread]
    for path in searched.paths:
        clip_section = section or section_of(path) or "00"
        name = relative_name(path) if len(searched.paths) > 1 else path.name
        try:
            collected.add(embed_recording(detector, path, clip_section, name=name, channel=channel))
        except AsdError as error:
            kind = error.kind
            unread.append(ClipWarning(name, kind, f"cannot be read and is left out: {error}"))
    done = enrolment.enroll(
        contents,
        [*unread, *collected.warnings, *collected.clips],
        machine=machine or (Path(output).stem if output is not None else "machine"),
        false_alarm_rate=false_alarm_rate,
        drop_suspects=drop_suspects,
        channel=channel,
    )
    if output is not None:
        done.bundle.write(output)
    return done


def explain(
    clip: str | Path,
    bundle: str | Path | None = None,
    *,
    section: str | None = None,
    channel: Channel | None = None,
    normal: str | Path | None = None,
) -> Explanation:
    """Explain the score of a clip: bands, times, the nearest normal clip, and one sentence.

    Args:
        clip: a sound file.
        bundle: the bundle; default: the one that `asd-edge score` would take.
        section: the clip's; default: what its name says, else the nearest.
        channel: "mean" of all channels, or the number of one, from 0; default: the bundle's.
        normal: a sound file to compare with, or the folder that the nearest normal clip lies in.

    Raises:
        MissingFileError, AudioError: the clip cannot be read.
        BundleError: the bundle is damaged.

    Example:
        >>> from asd_edge import explain
        >>> explain("hour.wav", "fan.asd").sentence  # a recording with a fault in it
        'anomalous: score ...
    """
    place = locate.find(None if bundle is None else Path(bundle)).path
    contents = read_bundle(place)
    return explanation.explain(
        Detector.from_bundle(contents, path=place),
        contents.golden,
        clip,
        section=section,
        channel=channel,
        normal=None if normal is None else Path(normal),
    )
