"""A month of a machine by replay, with faults: nothing grows, nothing is lost, nothing is doubled.

ASD_EDGE_DAYS=30 (make test-monitor-month) plays 259,200 windows; the default is a tenth of a day.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
from helpers import write_tone
from numpy.typing import NDArray

from asd_edge.monitor.config import AlarmConfig, Config, HistoryConfig, MachineConfig
from asd_edge.monitor.events import AlarmEvent, Bus
from asd_edge.monitor.history.schema import FILE_NAME
from asd_edge.monitor.replay import START, Replay

DAYS = float(os.environ.get("ASD_EDGE_DAYS", "0.1"))
RATE, HOP = 8000, 10
A_DAY = 86_400 // HOP
# What happens in each tenth of a day, by the number of the window in it.
PERIOD = A_DAY // 10
FAULT, ODD, BREAK, DEAD, CLIPPED = range(300, 312), {500}, 400, range(450, 455), range(600, 604)


def sounds(folder: Path, pitch: float, seed: int, n: int) -> list[NDArray[np.int16]]:
    """Give `n` different stretches of 10 s of a hum."""
    write_tone(folder / "hum.wav", pitch, seed, seconds=HOP * n)
    return np.split(soundfile.read(folder / "hum.wav", dtype="int16", always_2d=True)[0], n)


def month(folder: Path, windows: int) -> Iterator[NDArray[np.int16] | None]:
    """Yield what is heard: 10 s for each window, and None for a break."""
    normal, faulty = sounds(folder, 200.0, 11, 60), sounds(folder, 320.0, 12, 12)
    for number in range(windows):
        at = number % PERIOD
        block = normal[number * 7 % 60]
        if at in FAULT or at in ODD:
            block = faulty[number % 12]
        elif at in DEAD:
            block = np.zeros_like(block)
        elif at in CLIPPED:
            block = np.where(block > 0, 32767, -32768).astype(np.int16)
        if at == BREAK:
            yield block[: RATE // 2]
            yield None
        yield block


def memory() -> float:
    """Resident memory of this process, in MB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def waited() -> float:
    """Seconds for which this thread was ready and others had the processors."""
    try:
        return int(Path("/proc/thread-self/schedstat").read_text().split()[1]) / 1e9
    except OSError:
        return 0.0


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs /proc")
def test_a_month(tmp_path: Path, hum_bundle: Path) -> None:
    windows = round(DAYS * A_DAY)
    machine = MachineConfig(
        hum_bundle, device="none", rate=RATE, hop_s=HOP, false_alarm_rate=0.0001
    )
    # No clips: what they take is bounded by their quota, and they are FLAC files, not the database.
    history = HistoryConfig(tmp_path / "h", clips=False)
    bus = Bus()
    told = bus.subscribe("test", 100)
    alarms = AlarmConfig(urgent=1e9)
    play = Replay(Config({"m": machine}, history=history, alarms=alarms), "m", bus, print)
    events: list[AlarmEvent] = []
    after_a_day = None
    wall, busy, ready = time.monotonic(), time.process_time(), waited()
    for number, block in enumerate(month(tmp_path, windows)):
        play.play([block])
        while isinstance(event := told.get(0), AlarmEvent):
            events.append(event)
        if number == min(A_DAY, windows // 2):
            after_a_day = memory()
    play.close()
    while isinstance(event := told.get(0), AlarmEvent):
        events.append(event)
    grown = memory() - (after_a_day or 0.0)
    size = sum(f.stat().st_size for f in (tmp_path / "h").glob(f"{FILE_NAME}*")) / 1e6
    wall, busy, ready = time.monotonic() - wall, time.process_time() - busy, waited() - ready
    print(f"\n{windows} windows in {wall:.0f} s, {busy:.0f} s of which on a processor", end="")
    print(f" and {ready:.0f} s waiting for one")
    print(f"memory {grown:+.1f} MB after the first day, database {size:.1f} MB")
    assert grown < 5.0
    assert size < 60.0
    _check_windows(play, windows)
    _check_alarms(events, windows)


def _check_windows(play: Replay, windows: int) -> None:
    """Every window once, each with the validity of what was heard."""
    expected: list[tuple[int, str]] = []
    start = 0
    for number in range(windows):
        at = number % PERIOD
        validity = "dead" if at in DEAD else "clipped" if at in CLIPPED else "valid"
        if at == BREAK:  # cut short by the break, the next begins after it
            expected.append((start, "gap"))
            start += RATE // 2
        expected.append((start, validity))
        start += HOP * RATE
    found = [(w.first_sample, w.validity) for w in play.history.each_window()]
    assert _starts(found) == _starts(expected)
    assert [v for _, v in found] == [v for _, v in expected]


def _starts(windows: list[tuple[int, str]]) -> list[int]:
    return [start for start, _ in windows]


def _check_alarms(events: list[AlarmEvent], windows: int) -> None:
    """One alarm for each fault, raised by its third window and cleared by the fifth after it."""
    sound = [e for e in events if e.episode.kind == "sound"]
    periods = (windows - FAULT.stop) // PERIOD + 1
    assert [e.action for e in sound] == ["raise", "clear"] * periods
    assert len({e.id for e in events}) == len(events)
    for number in range(periods):
        raised, cleared = sound[2 * number : 2 * number + 2]
        fault = START + (number * PERIOD + FAULT.start) * HOP + number / 2  # a break a period
        # A window is 1 s long: its end is 9 s before the next one begins.
        assert raised.at == pytest.approx(fault + 2 * HOP + 1, abs=HOP)
        assert cleared.at == pytest.approx(fault + (len(FAULT) + 4) * HOP + 1, abs=HOP)
