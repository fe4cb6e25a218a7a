"""Say what digital faults left in a recording: a buffer that repeats, samples of a lower rate."""

from __future__ import annotations

from collections.abc import Sequence

from asd_edge.errors import UnfitError

Found = tuple[int, tuple[int, int, int, int, int, bool]]
"""First frame of a block, and what `_core.find_artefacts` found in it."""


def judge(name: str, found: Sequence[Found], frames: int, rate: int) -> list[tuple[str, str]]:
    """Give warnings (kind, reason) about a recording.

    Args:
        name: of the recording.
        found: in its blocks; at least one.
        frames: of the recording.
        rate: in Hz.

    Raises:
        UnfitError: more than half of the recording repeats what came before.
    """
    warnings = []
    repeated = sum(block[3] for _, block in found)
    if repeated > 0:
        at, (period, start, length, *_) = max(found, key=lambda block: block[1][2])
        reason = _repetition((at + start) / rate, period / rate, length / rate)
        if 2 * repeated > frames:
            raise UnfitError(name, reason, "repeats")
        warnings.append(("repeats", reason))
    factors = {block[4:] for _, block in found if block[4] > 1}
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


def _repetition(start: float, period: float, length: float) -> str:
    """Say what is played again; all in s, `length` that of what equals what came before."""
    when = f"from {_seconds(start)} to {_seconds(start + period + length)} s"
    return (
        f"plays the same {_seconds(period)} s again and again {when}, bit for bit, as no "
        "microphone does: restart the recorder, and look for overruns of the sound driver"
    )


def _seconds(seconds: float) -> str:
    return f"{seconds:.3f}".rstrip("0").rstrip(".")
