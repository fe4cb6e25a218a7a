"""A sound server that is unplugged, stopped and killed at random moments while the daemon listens:
always back, and no window is judged that spans what was not heard.

ASD_EDGE_ROUNDS=20 (make test-monitor-rigs) does each of them 20 times; the default is once.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
from helpers import ROOT, invoke
from monitor_rigs import COUNT, SoundServer, jumps, need, need_plugin, wait_for
from running_monitor import Running, toml

from asd_edge.cli.enroll import enroll

ROUNDS = int(os.environ.get("ASD_EDGE_ROUNDS", "1"))
RATE = 48_000
# Counts from 1 to COUNT again and again: a sample tells which one has to come before it.
_COUNT = f"""
import sys
block = b"".join(n.to_bytes(2, "little") for n in range(1, {COUNT} + 1))
while True:
    sys.stdout.buffer.write(block)
"""
# Runs in the daemon: looks into each window that is judged.
_LOOK = f"""
import json, sys, time
sys.path.insert(0, {str(ROOT / "tests")!r})
from monitor_rigs import jumps
from asd_edge.monitor.windows import Judge
log, judge = open("looked", "a", buffering=1), Judge.judge
def look(self, samples):
    found = judge(self, samples)
    values = found.validity, found.score, jumps(samples), int((samples != 0).sum())
    print(json.dumps(values), file=log)
    return found
Judge.judge = look
"""


class Player:
    """Plays the count into the sink, again whenever the server went away."""

    def __init__(self, server: SoundServer) -> None:
        pacat = f"pacat --raw --rate={RATE} --channels=1 --format=s16le --device=mach"
        program = f"while :; do {sys.executable} -c '{_COUNT}' | {pacat}; sleep 0.2; done"
        self._process = subprocess.Popen(
            ["sh", "-c", program],
            env=server.env,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def close(self) -> None:
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(10)


@pytest.fixture
def server() -> Iterator[SoundServer]:
    need("pulseaudio", "pactl", "pacat", "arecord")
    need_plugin()
    with tempfile.TemporaryDirectory(dir="/tmp", prefix="snd") as folder:  # sockets: short names
        found = SoundServer(Path(folder), RATE)
        found.start()
        player = Player(found)
        yield found
        player.close()
        found.signal(signal.SIGCONT)
        found.close()


def test_jumps_are_found() -> None:
    count = (1 + np.arange(3 * COUNT) % COUNT).astype(np.int16)[:, np.newaxis]
    assert jumps(count) == 0
    assert jumps(np.delete(count, 30_000, axis=0)) == 1
    assert jumps(np.insert(count, 100, 0, axis=0)) == 0


@pytest.fixture(scope="module")
def count_bundle(tiny_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A machine that sounds like the count."""
    folder = tmp_path_factory.mktemp("count")
    count = (1 + np.arange(60 * RATE) % COUNT).astype(np.int16)
    soundfile.write(folder / "normal.wav", count, RATE, subtype="PCM_16")
    invoke(enroll, folder / "normal.wav", "--from", tiny_bundle, "-o", folder / "count.asd")
    return folder / "count.asd"


class Looked:
    """What the daemon found in each window, and what was in it."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "looked"
        self._read = self.scored = 0
        self.wrong: list[str] = []

    def more(self) -> int:
        """Read on; give the number of windows that were scored, with sound of the count in them."""
        lines = self._path.read_text().splitlines()
        for line in lines[self._read :]:
            validity, score, jumped, heard = json.loads(line)
            if validity == "valid":
                self.scored += score is not None and heard > 0
                self.wrong += [line] if jumped else []
        self._read = len(lines)
        return self.scored


def test_back_within_35_s_and_nothing_judged_that_was_not_heard(
    server: SoundServer, count_bundle: Path, tmp_path: Path
) -> None:
    rng = random.Random(11)
    faults = {
        "unplugged": (server.unplug, server.plug),
        "stopped": (lambda: server.signal(signal.SIGSTOP), lambda: server.signal(signal.SIGCONT)),
        "killed": (server.kill, server.start),
    }
    longest = dict.fromkeys(faults, 0.0)
    config = toml(count_bundle, 'device = "machine"').replace("rate = 8000", f"rate = {RATE}")
    daemon = Running(tmp_path, config, _LOOK, ALSA_CONFIG_PATH=str(server.asoundrc))
    try:
        wait_for((tmp_path / "looked").exists)
        looked = Looked(tmp_path)
        wait_for(looked.more)
        order = [name for name in faults for _ in range(ROUNDS)]
        rng.shuffle(order)
        for name in order:
            time.sleep(rng.uniform(0.5, 3.0))
            harm, mend = faults[name]
            harm()
            time.sleep(rng.uniform(0.2, 6.0))
            mend()
            began, scored = time.monotonic(), looked.more()
            wait_for(lambda scored=scored: looked.more() > scored, 35, name)
            longest[name] = max(longest[name], time.monotonic() - began)
    finally:
        assert daemon.stop() == 0
    looked.more()
    windows = daemon.windows()
    print(f"\n{ROUNDS} times each; seconds until a window was scored again, at most: ", end="")
    print(", ".join(f"{name} {seconds:.1f}" for name, seconds in longest.items()))
    found = {kind: sum(w.validity == kind for w in windows) for kind in ("valid", "gap", "dead")}
    print(f"windows {found}, {len(looked.wrong)} wrong")
    assert looked.wrong == []
    assert found["gap"] >= ROUNDS
