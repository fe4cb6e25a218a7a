"""The tables of the history, and how rows become values.

Times are whole milliseconds UTC. Rows also hold the boot and the monotonic time, because a device
without a battery for its clock does not know the time after a power cut: rows whose `synced` is 0
are moved once it is known. Levels are hundredths of a dB: a window takes 50 bytes.
"""

from __future__ import annotations

import json
import sqlite3
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from asd_edge.monitor.events import AlarmEvent
from asd_edge.monitor.state import VALIDITIES, Episode, Window

VERSION = 1
FILE_NAME = "history.sqlite"
CLIP_FOLDER = "clips"


class Connection(sqlite3.Connection):
    """Closes itself with the thread, reader or writer that it belongs to."""

    def __del__(self) -> None:
        self.close()


TABLES = """
CREATE TABLE machines (number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE);
CREATE TABLE boots (number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE);
CREATE TABLE windows (
    number INTEGER PRIMARY KEY, machine INTEGER NOT NULL, start INTEGER NOT NULL,
    length INTEGER NOT NULL, monotonic INTEGER NOT NULL, boot INTEGER NOT NULL,
    synced INTEGER NOT NULL, stream INTEGER NOT NULL, first_sample INTEGER NOT NULL,
    validity INTEGER NOT NULL, score REAL, threshold REAL, level INTEGER);
CREATE INDEX windows_by_time ON windows (machine, start);
CREATE TABLE hours (
    machine INTEGER NOT NULL, hour INTEGER NOT NULL, windows INTEGER NOT NULL,
    valid INTEGER NOT NULL, low REAL, median REAL, high REAL, level INTEGER,
    PRIMARY KEY (machine, hour)) WITHOUT ROWID;
CREATE TABLE episodes (
    id INTEGER PRIMARY KEY, machine TEXT NOT NULL, kind TEXT NOT NULL, raised_at INTEGER NOT NULL,
    cleared_at INTEGER, monotonic INTEGER NOT NULL, cleared_monotonic INTEGER,
    boot INTEGER NOT NULL, synced INTEGER NOT NULL, sentence TEXT NOT NULL, worst_ratio REAL,
    acknowledged_at INTEGER, acknowledged_by TEXT, shelved_until INTEGER, verdict TEXT,
    notify INTEGER NOT NULL);
CREATE INDEX episodes_by_time ON episodes (raised_at);
CREATE TABLE events (
    id INTEGER PRIMARY KEY, at INTEGER NOT NULL, monotonic INTEGER NOT NULL, boot INTEGER NOT NULL,
    synced INTEGER NOT NULL, action TEXT NOT NULL, episode INTEGER NOT NULL, detail TEXT NOT NULL);
CREATE TABLE clips (
    id INTEGER PRIMARY KEY, episode INTEGER NOT NULL, machine TEXT NOT NULL, role TEXT NOT NULL,
    start INTEGER NOT NULL, seconds REAL NOT NULL, rate INTEGER NOT NULL,
    channels INTEGER NOT NULL, file TEXT NOT NULL, bytes INTEGER NOT NULL, windows TEXT NOT NULL);
CREATE INDEX clips_by_episode ON clips (episode);
CREATE TABLE cursors (name TEXT PRIMARY KEY, event INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE state (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
"""

WINDOW_COLUMNS = (
    "m.id, w.start, w.length, w.monotonic, w.stream, w.first_sample, w.validity, w.score, "
    "w.threshold, w.level"
)
EPISODE_COLUMNS = (
    "e.id, e.machine, e.kind, e.raised_at, e.cleared_at, e.sentence, e.worst_ratio, "
    "e.acknowledged_at, e.acknowledged_by, e.shelved_until, e.verdict, e.notify, "
    "(SELECT group_concat(c.id) FROM clips c WHERE c.episode = e.id)"
)
CLIP_COLUMNS = "id, episode, machine, role, start, seconds, rate, channels, file, bytes, windows"


@dataclass(frozen=True)
class Hour:
    """An hour of a machine; the ratios are of its valid windows, None without one.

    Attributes:
        machine: its id.
        start: UTC of the full hour.
        windows, valid: number of windows, and of valid ones.
        low, median, high: smallest, median and largest ratio.
        level_dbfs: median level.
    """

    machine: str
    start: float
    windows: int
    valid: int
    low: float | None
    median: float | None
    high: float | None
    level_dbfs: float | None


@dataclass(frozen=True)
class Clip:
    """A recording that was kept of an alarm, FLAC of what the device gave.

    Attributes:
        id: number in the history.
        episode, machine: what it is of.
        role: "first" or "worst" window of the episode.
        start: UTC of its first sample.
        seconds, rate, channels: of the recording.
        path: the file.
        bytes: its size.
        windows: (first sample in the clip, number of samples, score, threshold) of the alarm's
            windows in it that were scored: cut out, each scores the same again.
    """

    id: int
    episode: int
    machine: str
    role: str
    start: float
    seconds: float
    rate: int
    channels: int
    path: Path
    bytes: int
    windows: tuple[tuple[int, int, float, float], ...]


def to_ms(seconds: float) -> int:
    """Give seconds as whole milliseconds."""
    return round(seconds * 1000)


def from_ms(value: int | None) -> float | None:
    """Give milliseconds as seconds."""
    return None if value is None else value / 1000


def level_to_row(level_dbfs: float | None) -> int | None:
    """Give a level in hundredths of a dB."""
    return None if level_dbfs is None else round(level_dbfs * 100)


def level_from_row(level: int | None) -> float | None:
    """Give a level in dB."""
    return None if level is None else level / 100


def window_from_row(row: tuple[Any, ...]) -> Window:
    """Make a window of WINDOW_COLUMNS."""
    machine, start, length, monotonic, stream, first, validity, score, threshold, level = row
    return Window(
        machine=machine,
        start=start / 1000,
        end=(start + length) / 1000,
        monotonic=monotonic / 1000,
        stream=stream,
        first_sample=first,
        validity=VALIDITIES[validity],
        score=score,
        threshold=threshold,
        ratio=ratio(score, threshold),
        level_dbfs=level_from_row(level),
    )


def ratio(score: float | None, threshold: float | None) -> float | None:
    """Give score / threshold; a threshold of 0, which any score reaches, counts as the smallest."""
    if score is None or threshold is None:
        return None
    return score / max(threshold, 1e-9)


def episode_from_row(row: tuple[Any, ...]) -> Episode:
    """Make an episode of EPISODE_COLUMNS."""
    (number, machine, kind, raised, cleared, sentence, worst) = row[:7]
    (acknowledged, by, shelved, verdict, notify, clips) = row[7:]
    return Episode(
        id=number,
        machine=machine,
        kind=kind,
        raised_at=raised / 1000,
        cleared_at=from_ms(cleared),
        sentence=sentence,
        worst_ratio=worst,
        acknowledged_at=from_ms(acknowledged),
        acknowledged_by=by,
        shelved_until=from_ms(shelved),
        verdict=verdict,
        clips=tuple(sorted(int(c) for c in clips.split(","))) if clips else (),
        notify=bool(notify),
    )


def event_to_detail(event: AlarmEvent) -> str:
    """Give what an event's row holds as JSON: the episode as it was then, and who did it."""
    values = asdict(event)
    return json.dumps({name: values[name] for name in ("episode", "notify", "by", "verdict")})


def event_from_row(row: tuple[Any, ...]) -> AlarmEvent:
    """Make an event of (id, at, action, detail)."""
    number, at, action, detail = row
    values = json.loads(detail)
    episode = values.pop("episode")
    episode["clips"] = tuple(episode["clips"])
    return AlarmEvent(id=number, at=at / 1000, action=action, episode=Episode(**episode), **values)


def clip_from_row(row: tuple[Any, ...], folder: Path) -> Clip:
    """Make a clip of CLIP_COLUMNS; `folder` is the history's."""
    number, episode, machine, role, start, seconds, rate, channels, file, size, windows = row
    return Clip(
        id=number,
        episode=episode,
        machine=machine,
        role=role,
        start=start / 1000,
        seconds=seconds,
        rate=rate,
        channels=channels,
        path=folder / CLIP_FOLDER / file,
        bytes=size,
        windows=tuple(tuple(window) for window in json.loads(windows)),
    )
