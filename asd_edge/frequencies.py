"""Checks of what a recording holds: its rate, its encoding, its bands, its channel."""

from __future__ import annotations

import numpy as np

from asd_edge.audio.recording import Channel, ClipWarning, Recording
from asd_edge.checks import EMPTY_DB, EnrolledRange
from asd_edge.frontend.bands import mel_frequencies
from asd_edge.frontend.windows import FrontEnd
from asd_edge.scoring.views import Bands

# The other bands are no more than this softer: else the whole clip is, as of a machine that rests.
_SOFTER_DB = 10.0
_HIGHEST_SHARE = 0.9  # as of a rate: what is missing above it hardly matters


def check(
    recording: Recording,
    rate: int,
    encoding: str,
    bands: Bands,
    lowest: Bands,
    front_end: FrontEnd,
    enrolled: EnrolledRange | None,
) -> list[ClipWarning]:
    """Check a clip's rate, encoding, bands and channel; arguments are those of the checks below."""
    found = check_rate(recording.name, rate, front_end, enrolled)
    found += check_encoding(recording.name, encoding, enrolled)
    found += check_bands(recording.name, bands, lowest, rate, front_end)
    return found + check_channel(recording, front_end.channel)


def check_rate(
    clip: str, rate: int, front_end: FrontEnd, enrolled: EnrolledRange | None = None
) -> list[ClipWarning]:
    """Check that a recording holds the frequencies that the model looks at.

    Of a bundle that was enrolled from recordings of the same rate nothing is missing; one that was
    enrolled from others cannot judge the clip.
    """
    highest = front_end.mel.fmax or front_end.mel.sr / 2
    if enrolled is not None:
        highest = min(highest, enrolled.rate / 2)
    if rate / 2 >= 0.9 * highest:
        return _check_higher_rate(clip, rate, front_end, highest)
    reason = (
        f"was recorded at {rate} Hz: the model looks at frequencies up to {highest:g} Hz, "
        f"and there is nothing above {rate // 2} Hz"
    )
    return [ClipWarning(clip, "rate" if enrolled is None else "lower_rate", reason)]


def _check_higher_rate(
    clip: str, rate: int, front_end: FrontEnd, highest: float
) -> list[ClipWarning]:
    """Say that a clip has frequencies that those enrolled, of a lower rate, could not have."""
    looked_at = min(rate / 2, front_end.mel.fmax or front_end.mel.sr / 2)
    if highest >= 0.9 * looked_at:
        return []
    reason = (
        f"was recorded at {rate} Hz: clips enrolled at {2 * highest:g} Hz hold nothing above "
        f"{highest:g} Hz, which can look like a fault; enrol clips of this rate"
    )
    return [ClipWarning(clip, "rate", reason)]


def check_encoding(clip: str, encoding: str, enrolled: EnrolledRange | None) -> list[ClipWarning]:
    """Check that a clip is encoded as those enrolled.

    MP3 and WMA leave out high frequencies: of WAV files of the same normal sound 0 of 10 were
    anomalous, as MP3 10, as WMA 8.
    """
    usual = ("PCM",) if enrolled is None else enrolled.encodings
    if encoding in usual:
        return []
    if encoding == "PCM":
        words = f"is not lossy, and the clips enrolled are ({', '.join(usual)})"
    else:
        words = f"is {encoding}, and the clips enrolled are not, as far as the bundle tells"
    advice = "what a lossy format leaves out can decide; record WAV or FLAC, or enrol clips like it"
    return [ClipWarning(clip, "encoding", f"{words}: {advice}")]


def check_bands(
    clip: str,
    levels: Bands,
    lowest: Bands,
    rate: int,
    front_end: FrontEnd,
) -> list[ClipWarning]:
    """Check that a clip has sound up to where the clips enrolled have.

    One that was recorded at a lower rate and resampled, by a converter, a driver or a sound
    server, states a rate that says nothing. Of a fan's normal clips at 8 kHz, resampled to 16, all
    were anomalous.

    Args:
        clip: its name.
        levels: of the clip, by `views.band_levels`.
        lowest: of the references, by `views.lowest_levels`.
        rate: of the file in Hz; `check_rate` says what that leaves out.
        front_end: of the bundle.
    """
    if levels is None or lowest is None:
        return []
    softer = lowest - levels
    full = np.flatnonzero(softer <= EMPTY_DB)
    first = int(full[-1]) + 1 if len(full) else 0  # of the empty bands at the top
    if first in (0, len(softer)) or np.median(softer[:first]) > _SOFTER_DB:
        return []
    edges = mel_frequencies(front_end.mel)
    if edges[first] > _HIGHEST_SHARE * min(edges[-1], rate / 2):
        return []
    reason = (
        f"has nothing above {edges[first] / 1000:.1f} kHz, where all clips enrolled have sound, as "
        "if it had been recorded at a lower rate, or with another microphone, and cannot be "
        "compared with them"
    )
    return [ClipWarning(clip, "bandwidth", reason)]


def check_channel(recording: Recording, taught: Channel) -> list[ClipWarning]:
    """Check that a recording is judged by the channel that the bundle is about, `taught`."""
    channel = recording.channel
    if recording.channels == 1 or "mean" in (channel, taught) or channel == taught:
        return []
    reason = f"is judged by channel {channel}, and the bundle is about channel {taught}"
    return [ClipWarning(recording.name, "channel", reason)]
