"""Checks of a clip: what can make its decision worthless, wherever a clip is read.

Enrolment, scoring, explaining and the monitor ask the same questions: is there any sound, is it
whole, loud enough, not overdriven, long enough, at the rate and level that the bundle was taught
with? What makes a decision worthless (`WORTHLESS`) is an error, the rest is a warning.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from asd_edge._core import measure_levels
from asd_edge.audio.recording import FULL_SCALE, ClipWarning, Samples
from asd_edge.frontend.windows import FrontEnd
from asd_edge.scoring.views import Bands

WORTHLESS = frozenset(
    ["silent", "int16_scale", "overdriven", "too_short", "too_long", "mostly_silent", "lower_rate"]
)
"""Kinds of warning that leave nothing to judge."""

# Mean in units of the root mean square, from which it is removed.
_OFFSET = 0.1
# Below the noise of any microphone and converter: cable off, input muted.
SILENCE_DBFS = -85.0
# A recorder that is not driven too far reaches full scale in single samples at most.
_CLIPPED_SHARE = 1e-4
# So much is no longer the sound of a machine but that of the limit.
_OVERDRIVEN_SHARE = 0.05
# A sine at full scale has -3 dBFS; floats that were meant as int16 have 30 to 90.
_HIGHEST_DBFS = 20.0
# Beyond the levels of the clips enrolled: another place of the microphone or another gain.
_LEVEL_DB = 6.0
# Share of the usual length: a shorter clip is repeated so often that its chances decide.
_TOO_SHORT = 0.1
# Clips of 0.5 s are repeated to fill 10 s, and ten different seconds of the same normal sound
# scored 5 to 8 times the threshold (a motor), and 1 to 2 (bearings); with clips of 2 s, half of it.
_OTHER_LENGTH = "it varies more than one of these; enrol longer recordings, or score shorter clips"
# Share of a window without sound in one stretch: its statistics are those of the zeros.
_MOSTLY_SILENT = 0.1
# Zeros before or behind the sound, in seconds: a recorder that starts late or stops early.
_LEADING_S = 0.1
# Softer machines may have pauses in which nothing but the last of 16 bits moves.
_SOFT_DBFS = -60.0

# A band this much softer than that of any clip enrolled is empty. The steps of 16 bits are 30 to
# 50 dB below what machines have at 4 kHz.
EMPTY_DB = 20.0
# Share of a window without sound: half a second of zeros in 10 s made a normal clip score 4 times
# the threshold, 0.1 s hardly moved it. Of 1073 real recordings none has 128 such samples in a row.
_GAPS = 0.01
_NO_SOUND = "one value or the last bit's noise, as if muted or lost: check the plug and the driver"


class Levels(NamedTuple):
    """Levels of some samples.

    Attributes:
        level_db: root mean square in dB of full scale, without the offset; -inf if constant.
        offset: mean, in units of full scale.
        leading: samples at the beginning that all have the first one's value, less one.
        trailing: the same at the end.
        held: share of pieces of 128 samples with one value or, unless soft, the last bit's noise.
        faint_leading, faint_trailing: samples at the ends, less one, that move by no more than two
            steps of 16 bits: the noise of the last bit.
        gap, longest: first sample of the pieces that are `held`; share of their longest stretch.
    """

    level_db: float
    offset: float
    leading: int
    trailing: int = 0
    held: float = 0.0
    faint_leading: int = 0
    faint_trailing: int = 0
    gap: int = 0
    longest: float = 0.0

    @property
    def is_silent(self) -> bool:
        """Whether there is less sound than any microphone's noise."""
        return self.level_db < SILENCE_DBFS


class EnrolledRange(NamedTuple):
    """What the clips that a bundle was enrolled from had.

    Attributes:
        lowest_db, highest_db: levels of the clips in dB of full scale.
        rate: lowest rate of the files in Hz.
        seconds: mean length of a clip.
        encodings: of the files: "PCM", and lossy ones such as "MP3".
    """

    lowest_db: float
    highest_db: float
    rate: int
    seconds: float
    encodings: tuple[str, ...] = ("PCM",)

    @classmethod
    def of_provenance(cls, provenance: Mapping[str, Any]) -> EnrolledRange | None:
        """Read it from a bundle's provenance; None if the bundle does not tell."""
        facts = provenance.get("enrolled")
        if not isinstance(facts, dict) or "level_range_db" not in facts:
            return None
        low, high = facts["level_range_db"]
        seconds = facts["seconds"] / max(facts["clips"], 1)
        encodings = tuple(facts.get("encodings", ["PCM"]))
        return cls(float(low), float(high), int(facts["lowest_rate"]), float(seconds), encodings)


def measure(samples: Samples) -> Levels:
    """Measure levels of samples [shape=(n,)], n > 0: floats with full scale 1, or int16.

    Of more than two seconds at 16 kHz, a sixteenth of the samples is measured, spread evenly.
    """
    found = measure_levels(np.ascontiguousarray(samples))
    mean, power, held, *ends, faint, most, gap, faint_gap = found
    level_db = 10 * math.log10(power) if power > 0 else -math.inf
    if level_db > _SOFT_DBFS and faint > held:
        held, gap = faint, faint_gap
    return Levels(level_db, mean, ends[0], ends[1], held, ends[2], ends[3], gap, min(most, held))


def centred(samples: Samples, levels: Levels) -> Samples:
    """Remove the mean where it is more than a tenth of the sound [shape=(n,)].

    A converter's offset leaks into the lowest bands: 0.05 of full scale moved normal fan clips
    beyond the threshold, and without it they score what they did. Clips without one, which
    are nearly all, stay as they are, bit for bit.
    """
    if abs(levels.offset) <= _OFFSET * 10 ** (levels.level_db / 20) or levels.is_silent:
        return samples
    scale = np.float32(2**-15 if samples.dtype == np.int16 else 1)
    y = samples * scale
    return np.asarray(y - y.mean(dtype=np.float64), np.float32)


def together(levels: Sequence[Levels]) -> Levels:
    """Put the levels of a recording's windows together: mean power, mean offset."""
    if len(levels) == 1:
        return levels[0]
    power = sum(10 ** (x.level_db / 10) for x in levels) / len(levels)
    offset = sum(x.offset for x in levels) / len(levels)
    level_db = 10 * math.log10(power) if power > 0 else -math.inf
    held = sum(x.held for x in levels) / len(levels)
    return _with_ends(Levels(level_db, offset, 0, held=held), levels[0], levels[-1])


def _with_ends(levels: Levels, first: Levels, last: Levels) -> Levels:
    """Give levels with what the first window has at its beginning, and the last at its end."""
    faint = first.faint_leading, last.faint_trailing
    return Levels(*levels[:2], first.leading, last.trailing, levels.held, *faint)


def check_windows(
    clip: str, levels: Sequence[Levels], starts_s: Sequence[float]
) -> list[ClipWarning]:
    """Say how many windows of a recording, one at least, hold no sound and are left out."""
    silent = [start for x, start in zip(levels, starts_s, strict=True) if x.is_silent]
    many = f"has {len(silent)} of {len(levels)} windows without sound, the first at {silent[0]:g} s"
    return [ClipWarning(clip, "silent_windows", many)]


def left_out(levels: Sequence[Levels]) -> list[bool]:
    """Say which windows of a recording are not judged: without sound, or with gaps.

    Gaps in more than half of the windows with sound are how the machine is recorded, as by a noise
    gate, and the clips enrolled were alike.
    """
    silent = [x.is_silent for x in levels]
    gaps = [x.held > _GAPS and not x.is_silent for x in levels]
    if 2 * sum(gaps) > len(levels) - sum(silent):
        return silent
    return [a or b for a, b in zip(silent, gaps, strict=True)]


def check_gaps(clip: str, levels: Sequence[Levels], starts_s: Sequence[float]) -> list[ClipWarning]:
    """Say which windows of a recording have sound in part of their time only."""
    out = left_out(levels)
    rows = zip(levels, starts_s, out, strict=True)
    gaps = [(start, is_out) for x, start, is_out in rows if x.held > _GAPS and not x.is_silent]
    if not gaps:
        return []
    many = f"has gaps in {len(gaps)} of {len(levels)} windows, the first at {gaps[0][0]:g} s"
    what = f"{_NO_SOUND}; left out" if gaps[0][1] else _NO_SOUND
    return [ClipWarning(clip, "gaps", f"{many}: {what}")]


def check_levels(clip: str, levels: Levels, front_end: FrontEnd) -> list[ClipWarning]:
    """Check what the samples of a clip tell by themselves."""
    level, offset = levels.level_db, levels.offset
    if level < SILENCE_DBFS:
        what = "no sound at all" if level == -math.inf else f"{level:.0f} dBFS"
        if abs(offset) > 1e-3:
            what += f", with an offset of {offset:.2g}"
        return [ClipWarning(clip, "silent", f"is silent ({what})")]
    found = []
    if level > _HIGHEST_DBFS:
        reason = (
            f"has a level of {level:+.0f} dBFS: floats have full scale 1, "
            "these seem to have another (32768?)"
        )
        found.append(ClipWarning(clip, "int16_scale", reason))
    elif abs(offset) > 10 ** (level / 20):
        reason = f"has an offset of {offset:.2g} of full scale, more than its sound"
        found.append(ClipWarning(clip, "offset", reason))
    if levels.faint_leading or levels.faint_trailing:
        found += _check_ends(clip, levels, front_end)
    if not found and levels.held > _GAPS:
        first = f"the first at {levels.gap / front_end.mel.sr:.1f} s"
        reason = f"has gaps in {100 * levels.held:.0f} % of it, {first}: {_NO_SOUND}"
        kind = "mostly_silent" if levels.longest > _MOSTLY_SILENT else "gaps"
        found.append(ClipWarning(clip, kind, reason))
    return found


def _check_ends(clip: str, levels: Levels, front_end: FrontEnd) -> list[ClipWarning]:
    """Check for silence before and behind the sound."""
    found = []
    _, _, leading, trailing, _, *faint = levels
    for word, kind, n, n_faint in (
        ("begins", "leading_silence", leading, faint[0]),
        ("ends", "trailing_silence", trailing, faint[1]),
    ):
        seconds, faint_s = n / front_end.mel.sr, n_faint / front_end.mel.sr
        if seconds > _MOSTLY_SILENT * front_end.clip_seconds:
            reason = f"{word} with {seconds:.1f} s without any sound"
            found.append(ClipWarning(clip, "mostly_silent", reason))
        elif seconds > _LEADING_S:
            reason = f"{word} with {seconds:.2g} s without any sound"
            found.append(ClipWarning(clip, kind, reason))
        elif faint_s > _LEADING_S and levels.level_db > _SOFT_DBFS:
            reason = f"{word} with {faint_s:.2g} s of no more than the noise of the last bit"
            found.append(ClipWarning(clip, kind, reason))
    return found


def clipped_share(samples: Samples) -> float:
    """Share of samples at full scale."""
    limit = FULL_SCALE * (32768 if samples.dtype == np.int16 else 1)
    if samples.max() < limit and samples.min() > -limit:
        return 0.0
    return float(np.mean(np.abs(samples.astype(np.float32)) >= limit))


def check_length(
    clip: str, seconds: float, front_end: FrontEnd, enrolled: EnrolledRange | None = None
) -> list[ClipWarning]:
    """Check a clip's length beside that of the model's window, or of the clips enrolled."""
    usual, what = front_end.clip_seconds, "a window is"
    if enrolled is not None and enrolled.seconds < usual:
        judged = min(seconds, usual)  # at once
        usual, what = enrolled.seconds, "the clips enrolled are"
        if judged > 2 * usual:
            kind = "too_long" if judged * _TOO_SHORT > usual else "longer"
            reason = f"is judged by {judged:.3g} s at once, and {what} {usual:.2g} s"
            return [ClipWarning(clip, kind, f"{reason}: {_OTHER_LENGTH}")]
    if seconds >= usual / 2:
        return []
    kind = "too_short" if seconds < _TOO_SHORT * usual else "length"
    return [ClipWarning(clip, kind, f"is {seconds:.2g} s long, and {what} {usual:.3g} s")]


def check_clipping(clip: str, share: float) -> list[ClipWarning]:
    """Check the share of samples at full scale."""
    if share <= _CLIPPED_SHARE:
        return []
    kind = "overdriven" if share > _OVERDRIVEN_SHARE else "clipping"
    percent = f"{100 * share:.2g}" if share < 0.1 else f"{100 * share:.0f}"
    reason = f"is clipped: {percent} % of its samples are at full scale"
    return [ClipWarning(clip, kind, reason)]


def is_usual(
    rate: int,
    encoding: str,
    bands: Bands,
    lowest: Bands,
    front_end: FrontEnd,
    enrolled: EnrolledRange | None,
) -> bool:
    """Whether a clip has the rate, encoding and top band of those enrolled; see `frequencies`."""
    sr = front_end.mel.sr
    if rate != sr or encoding not in (("PCM",) if enrolled is None else enrolled.encodings):
        return False
    if enrolled is not None and enrolled.rate < sr:
        return False
    return bands is None or lowest is None or bool(lowest[-1] - bands[-1] <= EMPTY_DB)


def check_enrolled_level(
    clip: str, level_db: float, enrolled: EnrolledRange | None
) -> list[ClipWarning]:
    """Compare a clip's level with those of the clips that were enrolled."""
    if enrolled is None:
        return []
    low, high = enrolled.lowest_db, enrolled.highest_db
    away = level_db - high if level_db > high else level_db - low
    if low <= level_db <= high or abs(away) <= _LEVEL_DB:
        return []
    word = "louder than the loudest" if away > 0 else "quieter than the quietest"
    return [ClipWarning(clip, "level", f"is {abs(away):.0f} dB {word} clip enrolled")]


def check_clip(
    clip: str,
    levels: Sequence[Levels],
    starts_s: Sequence[float],
    seconds: float,
    front_end: FrontEnd,
    enrolled: EnrolledRange | None,
) -> list[ClipWarning]:
    """Check what the samples of a clip tell.

    Args:
        clip: its name.
        levels: of each window.
        starts_s: where each window begins, in s.
        seconds: length of the clip.
        front_end: of the bundle.
        enrolled: what the bundle was taught with, if it tells.
    """
    alive = [window for window in levels if not window.is_silent]
    all_together = together(alive or levels)
    if seconds >= 2 * front_end.clip_seconds:  # what one window lacks, the others have
        all_together = Levels(*all_together[:2], leading=0)
    elif len(levels) > 1:
        all_together = _with_ends(all_together, levels[0], levels[-1])
        if all_together.held > 0:
            rows = zip(levels, starts_s, strict=True)
            gap = next(x.gap + round(at * front_end.mel.sr) for x, at in rows if x.held > 0)
            all_together = all_together._replace(gap=gap, longest=max(x.longest for x in levels))
    found = check_levels(clip, all_together, front_end)
    found += check_length(clip, seconds, front_end, enrolled)
    if alive:
        found += check_enrolled_level(clip, all_together.level_db, enrolled)
        if len(alive) < len(levels):
            found += check_windows(clip, levels, starts_s)
        if seconds >= 2 * front_end.clip_seconds:
            found += check_gaps(clip, levels, starts_s)
    return found
