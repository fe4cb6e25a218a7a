"""What the page's requests answer, as plain values for JSON; times are UTC in seconds."""

from __future__ import annotations

import dataclasses
import functools
import os
import time
from collections.abc import Sequence
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path
from typing import Any

from asd_edge.bundle.format import read_bundle
from asd_edge.frontend.bands import mel_frequencies
from asd_edge.monitor.state import Episode, MachineState, Snapshot, Window
from asd_edge.monitor.wording import episode_title, headline, tone

_SILENT_HOPS = 3
# A window comes one hop after the one before it, give or take what scoring needs.
_SLACK_S = 5.0
_SHORTEST_CHART_S = 600.0


def state(snapshot: Snapshot, now: float) -> dict[str, Any]:
    """Give everything that the page shows and that changes from second to second."""
    return {
        "at": now,
        "node": snapshot.node,
        "version": version("asd-edge"),
        "time_zone": time_zone(),
        "utc_offset_s": time.localtime(now).tm_gmtoff,
        "machines": [machine(m, now) for m in snapshot.machines],
        "episodes": [episode(e, now) for e in snapshot.episodes],
        "health": dataclasses.asdict(snapshot.health),
    }


def machine(found: MachineState, now: float) -> dict[str, Any]:
    """Give a machine; the sentence is made here, so that page, MQTT and messages say the same."""
    return {
        "id": found.id,
        "name": found.name,
        "headline": headline(found, now),
        "tone": tone(found),
        "status": found.status,
        "mode": found.mode,
        "hop_s": found.hop_s,
        "last_heard": found.last_heard,
        "last": window(found.last),
        "last_valid": window(found.last_valid),
        "microphone": found.microphone,
        "counts": found.counts,
        "rate_measured": found.rate_measured,
        "shelved_until": found.shelved_until,
        "episodes": [episode(e, now) for e in found.episodes],
        "run_in": None
        if found.run_in is None
        else {"hours": found.run_in.hours, "rows": found.run_in.rows},
    }


def window(found: Window | None) -> dict[str, Any] | None:
    """Give one window, as far as the page shows it."""
    if found is None:
        return None
    return {
        "end": found.end,
        "validity": found.validity,
        "score": found.score,
        "threshold": found.threshold,
        "ratio": found.ratio,
        "level_dbfs": found.level_dbfs,
    }


def windows(found: Sequence[Window], hours: float, now: float) -> dict[str, Any]:
    """Give windows as columns: a tenth of the size of a list of objects.

    Args:
        found: of one machine, oldest first.
        hours: that are shown at most; a machine that was heard for less fills the chart as well.
        now: UTC.
    """
    first = found[0].start if found else now
    return {
        "since": max(now - hours * 3600.0, min(first, now - _SHORTEST_CHART_S)),
        "until": now,
        "end": [round(w.end, 1) for w in found],
        "ratio": [None if w.ratio is None else float(f"{w.ratio:.4g}") for w in found],
        "level_dbfs": [w.level_dbfs for w in found],
        "validity": [w.validity for w in found],
    }


def episode(found: Episode, now: float) -> dict[str, Any]:
    """Give an alarm."""
    return {
        **dataclasses.asdict(found),
        "title": episode_title(found),
        "seconds": (found.cleared_at or now) - found.raised_at,
    }


def silent(snapshot: Snapshot, now: float) -> list[str]:
    """Give the machines of which no valid window came for three hops, unless they are off."""
    return [
        m.id
        for m in snapshot.machines
        if m.status != "off" and now - (m.last_heard or m.since) > _SILENT_HOPS * m.hop_s + _SLACK_S
    ]


@functools.lru_cache(maxsize=16)
def band_edges(path: str) -> list[float]:
    """Give the edges of a bundle's mel bands in Hz, one more than there are bands.

    Raises:
        MissingFileError, BundleError: the bundle is not there or damaged.
    """
    centres = mel_frequencies(read_bundle(path).front_end.mel)
    return [round(float(low + high) / 2, 1) for low, high in pairwise(centres)]


@functools.cache
def time_zone() -> str | None:
    """Give the IANA name of the device's time zone, or None where it has none."""
    given = os.environ.get("TZ", "").removeprefix(":")
    if given:
        return given if "/" in given or given == "UTC" else None
    target = Path("/etc/localtime").resolve().as_posix()
    return target.partition("/zoneinfo/")[2] or None
