"""A daemon with a day of history, for the tests of the page and for pictures of it."""

from __future__ import annotations

import math
import random
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import soundfile
from fake_monitor import BANDS, FakeMonitor, clip, episode, machine, window

from asd_edge.monitor.state import Episode, Health, RunIn, Window

REASON = "4.7-5.4 kHz, 8 dB above normal"


def demo(folder: Path, now: float | None = None) -> FakeMonitor:
    """Give three machines: one in alarm, one without its microphone, one in run-in."""
    now = time.time() if now is None else now
    days = {"fan": _day("fan", now, fault_s=900.0), "pump": _day("pump", now, stops_s=5400.0)}
    days["gearbox"] = _day("gearbox", now)
    alarm = episode(41, sentence=REASON, raised_at=now - 840, worst_ratio=1.83, clips=(1, 2))
    lost = episode(
        40,
        "pump",
        kind="microphone",
        raised_at=now - 5340,
        sentence="no such device",
        worst_ratio=None,
    )
    run_in = RunIn(31.5, _run_in_rows())
    monitor = FakeMonitor(
        machine(
            *("fan",), name="Fan, hall 2", status="alarm", since=now - 840, sentence=REASON,
            last_heard=now - 4, last=days["fan"][-1], last_valid=days["fan"][-1],
            microphone_since=now - 2e5, counts={"valid": 8611, "level": 2, "gap": 1, "gaps": 1},
            rate_measured=47999.6, episodes=(alarm,),
        ),
        machine(
            *("pump",), name="Cooling pump", status="unknown", since=now - 5400,
            last_heard=now - 5400, last=days["pump"][-1], last_valid=days["pump"][-1],
            microphone="missing", microphone_since=now - 5400, microphone_sentence="no such device",
            counts={"valid": 8100, "gaps": 3, "restarts": 41}, episodes=(lost,),
        ),
        machine(
            *("gearbox",), name="Gearbox of the conveyor", since=now - 1e5, last_heard=now - 2,
            last=days["gearbox"][-1], last_valid=days["gearbox"][-1], mode="run-in",
            counts={"valid": 8640}, rate_measured=48000.2, run_in=run_in,
        ),
    )  # fmt: skip
    health = Health(51.8, False, 23_400_000_000, 0.04, 264_000.0, True, 96_500_000, 0)
    monitor.snapshot = replace(monitor.snapshot, at=now, node="hall-2", health=health)
    monitor.history.all_windows = [w for day in days.values() for w in day]
    monitor.history.all_episodes = [alarm, lost, *_past(now)]
    for number, role in ((1, "first"), (2, "worst")):
        path = folder / f"{number}.flac"
        _whistle(path)
        found = clip(path, number, of=41, role=role, windows=((0, 160_000, 3.6, 2.0),))
        monitor.history.all_clips[number] = found
    monitor.spectrogram = _columns()
    return monitor


def _run_in_rows() -> tuple[tuple[int, int, float, int, float], ...]:
    rows = ((1, 1, 0.01, 106, 80.8), (2, 3, 0.01, 2, 1.5), (3, 5, 0.01, 0, 0.0))
    return (*rows, (2, 3, 0.001, 0, 0.0), (3, 5, 0.001, 0, 0.0))


def _past(now: float) -> list[Episode]:
    return [
        episode(
            number,
            name,
            kind=kind,
            raised_at=now - ago,
            cleared_at=now - ago + lasted,
            sentence=sentence,
            verdict=verdict,
            worst_ratio=None if kind != "sound" else 1.4,
        )
        for number, name, kind, ago, lasted, sentence, verdict in (
            (39, "fan", "sound", 50_000.0, 400.0, "all bands alike, 3 dB above normal", "normal"),
            (38, "pump", "sound", 90_000.0, 4000.0, "210-260 Hz, 11 dB above normal", "fault"),
            (37, "", "clock", 200_000.0, 30.0, "the clock jumped by 41 s", None),
        )
    ]


def _day(name: str, now: float, fault_s: float = 0.0, stops_s: float = 0.0) -> list[Window]:
    rng = random.Random(name)
    found = []
    for number in range(8640):
        end = now - 86_400 + 10.0 * (number + 1)
        ago = now - end
        if ago < stops_s:
            break
        rise = 1.0 + 0.12 * math.sin(2 * math.pi * ago / 86_400)
        ratio = 0.5 * rise * math.exp(rng.gauss(0, 0.13))
        if ago < fault_s:
            ratio = 1.25 + 0.5 * rng.random()
        if 30_000 < ago < 33_000:
            found.append(window(name, end, None, validity="off", level_dbfs=-62 + rng.random()))
            continue
        level = -31 + 1.5 * math.sin(2 * math.pi * ago / 43_200) + rng.gauss(0, 0.4)
        found.append(window(name, end, ratio, level_dbfs=round(level, 1)))
    return found


def _columns() -> np.ndarray:
    rng = np.random.default_rng(1)
    band, column = np.arange(BANDS), np.arange(480)
    values = 150.0 - 1.4 * band[np.newaxis] + rng.normal(0, 9, (480, BANDS))
    for centre, height in ((5, 55), (11, 40), (17, 30), (47, 75)):
        values += height * np.exp(-0.5 * ((band - centre) / 0.9) ** 2)[np.newaxis]
    values += 10 * np.sin(column / 9)[:, np.newaxis]
    return np.clip(values, 0, 255).astype(np.uint8)


def _whistle(path: Path) -> None:
    rng = np.random.default_rng(1)
    t = np.arange(160_000) / 16_000
    y = 0.05 * rng.standard_normal(len(t)) + 0.05 * np.sin(2 * np.pi * 5000 * t)
    soundfile.write(path, y + 0.1 * np.sin(2 * np.pi * 100 * t), 16_000)
