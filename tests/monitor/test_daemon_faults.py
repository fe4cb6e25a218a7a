"""What can go wrong around the daemon, in the daemon: it is said, counted, and survived."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from monitor_rigs import need, wait_for
from running_monitor import Running, hum, player, raw, toml

Start = Callable[..., Running]
SOON = """
from asd_edge.monitor import device, machine
from asd_edge.monitor.history import keep
machine.MICROPHONE_DELAY, device.DISK_WELL, keep.COMMIT_EVERY = 2.0, 1.0, 1.0
"""


def actions(daemon: Running, kind: str) -> list[str]:
    return [e.action for e in daemon.events() if e.episode.kind == kind]


def test_windows_that_do_not_count_are_told_apart(
    tmp_path: Path, hum_bundle: Path, start: Start
) -> None:
    one = hum(tmp_path, 12.0).astype(np.float64)
    left, right = one.copy(), one.copy()
    second = [slice(8000 * i, 8000 * (i + 1)) for i in range(12)]
    right[second[3]] *= -1  # the mean of the channels is nothing
    left[second[4]] *= 40
    right[second[4]] *= 40
    for channel in (left, right):
        channel[second[5]] *= 0.05  # 26 dB less than enrolled
        channel[second[6]] *= 0.002  # the machine is off
        channel[second[7]] = 900.0  # offset only
    sound = np.clip(np.round(np.stack([left, right], axis=1)), -32768, 32767).astype("<i2")
    path = tmp_path / "sound.raw"
    path.write_bytes(sound.tobytes())
    source = player(path, 0, [(4 * 68_000, 2.5)]) + "\nchannels = 2\nrunning_dbfs = -60"
    daemon = start(toml(hum_bundle, source), SOON)
    expected = ["valid"] * 3 + ["dead", "clipped", "level", "off", "dead", "gap"] + ["valid"] * 3
    wait_for(lambda: len(daemon.windows()) == len(expected), 60, "all windows")
    assert daemon.stop() == 0
    # Sound that is played at once has no time of its own: its first window may seem the latest.
    windows = sorted(daemon.windows(), key=lambda w: w.first_sample)
    assert [w.validity for w in windows] == expected
    # The gap cuts a window short; the next one begins with the first sample after it.
    assert [w.first_sample for w in windows] == [*range(0, 72_000, 8000), 68_000, 76_000, 84_000]
    assert [w.score is not None for w in windows] == [v == "valid" for v in expected]
    assert actions(daemon, "sound") == []


def test_a_slow_device_skips_the_oldest_whole_windows_and_says_so(
    tmp_path: Path, hum_bundle: Path, start: Start
) -> None:
    slow = f"""{SOON}
import time
from asd_edge.monitor.windows import Judge
judge = Judge.judge
Judge.judge = lambda self, samples: (time.sleep(0.2), judge(self, samples))[1]
"""
    path = tmp_path / "sound.raw"
    path.write_bytes(np.tile(hum(tmp_path, 10.0), 40).astype("<i2").tobytes())
    daemon = start(toml(hum_bundle, player(path, 0)), slow)
    wait_for(lambda: actions(daemon, "overload") == ["raise"], 60, "the alarm")
    count = len(daemon.windows())
    wait_for(lambda: len(daemon.windows()) > count + 5, 60, "more windows")
    assert daemon.stop() == 0
    starts = sorted(w.first_sample for w in daemon.windows())
    assert len(starts) == len(set(starts))
    assert all(at % 8000 == 0 for at in starts)
    skipped = starts[-1] // 8000 + 1 - len(starts)
    (raised,) = [e for e in daemon.events() if e.episode.kind == "overload"]
    said = re.match(r"(\d+) windows could not be judged in time", raised.episode.sentence)
    assert said is not None
    assert 0 < int(said[1]) <= skipped
    # What is left is the newest: 90 s before the end of what came.
    assert starts[-1] >= 8000 * (400 - 90)


def test_a_microphone_that_is_missing_or_dead_for_long_is_an_alarm(
    tmp_path: Path, hum_bundle: Path, start: Start
) -> None:
    sound = np.concatenate([np.full(6 * 8000, 300), hum(tmp_path, 30.0)])
    path = tmp_path / "sound.raw"
    path.write_bytes(sound.astype("<i2").tobytes())
    program = player(path).partition(" = ")[2]
    words = program.strip("[]").split(", ", 3)
    plug = json.dumps('test -e plugged && exec "$@"; echo no mic >&2')
    wrapped = f'command = ["sh", "-c", {plug}, "sh", {", ".join(words)}]'
    daemon = start(toml(hum_bundle, wrapped), SOON)
    wait_for(lambda: actions(daemon, "microphone") == ["raise"], 60, "missing")
    assert daemon.events()[0].episode.sentence == "no mic"
    assert daemon.events()[0].notify
    (tmp_path / "plugged").touch()
    wait_for(lambda: actions(daemon, "microphone") == ["raise", "clear"], 40, "back")
    wait_for(lambda: actions(daemon, "microphone")[2:] == ["raise"], 60, "dead")
    assert "one value" in daemon.events()[2].episode.sentence
    wait_for(lambda: actions(daemon, "microphone")[3:] == ["clear"], 60, "alive")
    assert daemon.stop() == 0
    validities = [w.validity for w in daemon.windows()]
    assert validities[:6] == ["dead"] * 6
    assert "valid" in validities


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MB at the history's place."""
    folder = tmp_path / "h"
    folder.mkdir()
    need("mount", "umount")
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    if subprocess.run(command, capture_output=True, check=False).returncode != 0:
        pytest.skip("a file system cannot be mounted here (needs root)")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_disk_that_is_full_is_an_alarm_and_loses_nothing(
    tmp_path: Path, hum_bundle: Path, start: Start, small_disk: Path
) -> None:
    sound = raw(tmp_path, (200.0, 10.0), (320.0, 6.0), (200.0, 60.0))
    daemon = start(toml(hum_bundle, player(sound)), SOON)
    wait_for(daemon.windows, 60, "a window")
    room = shutil.disk_usage(small_disk).free
    (small_disk / "full").write_bytes(bytes(room))
    wait_for(lambda: daemon.says("raise (disk)"), 60, "the fault")
    wait_for(lambda: daemon.says("fan: raise"), 60, "an alarm while nothing can be written")
    assert daemon.process.poll() is None
    (small_disk / "full").unlink()
    wait_for(lambda: daemon.says("can be written again"), 60)
    wait_for(lambda: actions(daemon, "disk") == ["raise", "clear"], 60, "the end of the fault")
    wait_for(lambda: "raise" in actions(daemon, "sound"), 60, "the alarm is in the history")
    assert daemon.stop() == 0
    starts = [w.first_sample for w in daemon.windows()]
    assert starts == list(range(0, 8000 * len(starts), 8000))
    numbers = [e.id for e in daemon.events()]
    assert numbers == list(range(1, len(numbers) + 1))


def test_a_clock_that_jumps_is_an_alarm_and_moves_no_duration(
    tmp_path: Path, hum_bundle: Path, start: Start
) -> None:
    found = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
    if not found:
        pytest.skip("libfaketime is not installed (tests/install_apt.sh)")
    clock = tmp_path / "clock"
    clock.write_text("+0\n")
    sound = raw(tmp_path, (200.0, 3.0), (320.0, 60.0))
    # Under libfaketime 0.9.10 clock_nanosleep, by which Python sleeps, fails with EINVAL.
    patch = f"{SOON}\nimport threading, time\ntime.sleep = lambda s: threading.Event().wait(s)"
    daemon = start(
        toml(hum_bundle, player(sound).replace("[", '["env", "-u", "LD_PRELOAD", ', 1)),
        patch,
        LD_PRELOAD=str(found[0]),
        FAKETIME_TIMESTAMP_FILE=str(clock),
        FAKETIME_NO_CACHE="1",
        FAKETIME_DONT_FAKE_MONOTONIC="1",
    )
    wait_for(lambda: actions(daemon, "sound") == ["raise"], 60, "an alarm")
    before = len(daemon.windows())
    clock.write_text("+26h\n")
    wait_for(lambda: actions(daemon, "clock") == ["raise"], 60, "the fault")
    wait_for(lambda: len(daemon.windows()) > before + 4, 60, "windows go on")
    clock.write_text("-30d\n")
    count = len(daemon.windows())
    wait_for(lambda: len(daemon.windows()) > count + 4, 60, "windows go on")
    assert daemon.stop() == 0
    windows = sorted(daemon.windows(), key=lambda w: w.first_sample)
    steps = np.diff([w.monotonic for w in windows])
    assert np.all((steps > 0.8) & (steps < 1.2))
    jumps = np.diff([w.start for w in windows])
    assert jumps.max() == pytest.approx(26 * 3600, abs=3)
    assert jumps.min() == pytest.approx(-30 * 86400 - 26 * 3600, abs=3)
    # A day by the clock is no day: neither a reminder nor an end.
    assert actions(daemon, "sound") == ["raise"]
    why = next(e for e in daemon.events() if e.episode.kind == "clock").episode.sentence
    assert re.fullmatch(r"the clock was set by \+93(59|60)\d s", why)
