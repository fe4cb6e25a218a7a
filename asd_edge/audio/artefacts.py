"""Say what digital faults left in a recording: a buffer that repeats, samples of a lower rate."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Found = tuple[tuple[int, int, int, int, bool], int, NDArray[Any]]
"""What `_core.find_artefacts` found in a block, its first frame, and the period that repeats."""

# A generator's tones also repeat exactly: so many lines have all power but a ten-thousandth. A
# period of real sound has power in all of them.
_LINES, _REST = 8, 1e-4


def judge(found: Sequence[Found], rate: int) -> list[tuple[str, str]]:
    """Give warnings (kind, reason) about a recording.

    Args:
        found: in its blocks.
        rate: in Hz.
    """
    warnings = []
    repeating = [block for block in found if block[0][0] > 0 and not _is_tone(block[2])]
    if repeating:
        (period, start, length, *_), at, _ = max(repeating, key=lambda block: block[0][2])
        reason = _repetition((at + start) / rate, period / rate, length / rate)
        warnings.append(("repeats", reason))
    factors = {traces[3:] for traces, *_ in found if traces[3] > 1}
    if factors:
        factor, is_interpolated = max(factors)
        lower = rate // factor
        how = "joined by straight lines" if is_interpolated else "each repeated"
        reason = (
            f"holds samples of {lower} Hz, {how} to make {rate} Hz: above {lower // 2} Hz are only "
            "images of what is below, which can look like a fault; record at a rate that the "
            "microphone has, without a converter of the sound driver"
        )
        warnings.append(("upsampled", reason))
    return warnings


def _is_tone(period: NDArray[Any]) -> bool:
    """Whether a period [shape=(n,)] is that of a few tones, which need no microphone."""
    powers = np.sort(np.abs(np.fft.rfft(period.astype(np.float64)))[1:] ** 2)
    return bool(powers[:-_LINES].sum() <= _REST * powers.sum())


def _repetition(start: float, period: float, length: float) -> str:
    """Say what is played again; all in s, `length` that of what equals what came before."""
    when = f"from {_seconds(start)} to {_seconds(start + period + length)} s"
    return (
        f"plays the same {_seconds(period)} s again and again {when}, bit for bit, as no "
        "microphone does: restart the recorder, and look for overruns of the sound driver"
    )


def _seconds(seconds: float) -> str:
    return f"{seconds:.3f}".rstrip("0").rstrip(".")
