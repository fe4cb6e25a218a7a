"""A sound server that is unplugged, stopped and killed at random moments: always back, and no
window that spans what was not heard.

ASD_EDGE_ROUNDS=20 (make test-monitor-rigs) does each of them 20 times; the default is once.
"""

from __future__ import annotations

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
from monitor_rigs import SoundServer, alsa_config, need, need_plugin, wait_for
from numpy.typing import NDArray

from asd_edge.audio.capture import Capture, arecord
from asd_edge.monitor.windows import Cutter

ROUNDS = int(os.environ.get("ASD_EDGE_ROUNDS", "1"))
RATE, PERIOD = 48_000, 20_000
# Counts from 1 to 20000 again and again: a sample tells which one has to come before it.
_COUNT = """
import sys
block = b"".join(n.to_bytes(2, "little") for n in range(1, 20001))
while True:
    sys.stdout.buffer.write(block)
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
        found = SoundServer(Path(folder))
        found.start()
        player = Player(found)
        yield found
        player.close()
        found.signal(signal.SIGCONT)
        found.close()


def jumps(window: NDArray[np.int16]) -> int:
    """Give how often a sample is not the one after the one before it; silence may lie between."""
    x = window[:, 0].astype(np.int64)
    step = np.diff(x)
    fine = (step == 1) | (step == 1 - PERIOD) | (x[1:] == 0) | (x[:-1] == 0)
    return int(np.count_nonzero(~fine))


def test_jumps_are_found() -> None:
    count = (1 + np.arange(3 * PERIOD) % PERIOD).astype(np.int16)[:, np.newaxis]
    assert jumps(count) == 0
    assert jumps(np.delete(count, 30_000, axis=0)) == 1
    assert jumps(np.insert(count, 100, 0, axis=0)) == 0


class Judge:
    """Cuts windows of a second as the daemon does, and looks into each that is whole."""

    def __init__(self, capture: Capture) -> None:
        self.capture = capture
        self._cutter = Cutter(capture.ring, capture.next_break, RATE, RATE)
        self.whole = self.cut_short = 0
        self.wrong: list[int] = []
        self.heard = 0  # samples of the count

    def look(self) -> None:
        while (cut := self._cutter.due()) is not None:
            samples = self.capture.ring.read(cut.start, cut.n) if cut.whole else None
            if samples is None:
                self.cut_short += 1
                continue
            self.whole += 1
            self.heard += int(np.count_nonzero(samples))
            self.wrong += [cut.start] if jumps(samples) else []

    def wait(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.look()
            time.sleep(0.05)


def test_back_within_35_s_and_nothing_judged_that_was_not_heard(server: SoundServer) -> None:
    rng = random.Random(11)
    faults = {
        "unplugged": (server.unplug, server.plug),
        "stopped": (lambda: server.signal(signal.SIGSTOP), lambda: server.signal(signal.SIGCONT)),
        "killed": (server.kill, server.start),
    }
    longest = dict.fromkeys(faults, 0.0)
    with alsa_config(server.asoundrc):
        capture = Capture(arecord("machine", RATE, 1), RATE)
        judge = Judge(capture)
        capture.start()
        try:
            wait_for(lambda: (judge.look(), judge.heard)[1])
            order = [name for name in faults for _ in range(ROUNDS)]
            rng.shuffle(order)
            for name in order:
                judge.wait(rng.uniform(0.5, 3.0))
                harm, mend = faults[name]
                harm()
                judge.wait(rng.uniform(0.2, 6.0))
                mend()
                began, whole = time.monotonic(), judge.whole
                wait_for(lambda whole=whole: (judge.look(), judge.whole > whole)[1], 35, name)
                longest[name] = max(longest[name], time.monotonic() - began)
        finally:
            capture.stop()
    judge.look()
    print(f"\n{ROUNDS} times each; seconds until a whole window was heard again, at most: ", end="")
    print(", ".join(f"{name} {seconds:.1f}" for name, seconds in longest.items()))
    print(f"{judge.whole} windows whole, {judge.cut_short} cut short, {len(judge.wrong)} wrong")
    print(capture.status)
    assert judge.wrong == []
    assert judge.cut_short >= ROUNDS
