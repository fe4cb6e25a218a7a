"""Capture by real child processes: samples bit for bit, and every way a device can fail."""

from __future__ import annotations

import os
import signal
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st
from monitor_rigs import Feed, SoundServer, alsa_config, need, need_plugin, python, wait_for

from asd_edge.audio import capture, stream_time
from asd_edge.audio.capture import Capture
from asd_edge.audio.ring import Ring


@given(st.lists(st.integers(0, 40), max_size=30), st.integers(1, 3), st.integers(0, 60), st.data())
def test_the_ring_is_the_end_of_the_stream(
    sizes: list[int], channels: int, start: int, data: st.DataObject
) -> None:
    ring = Ring(25, channels)
    stream = np.arange(sum(sizes) * channels, dtype=np.int16).reshape(-1, channels)
    at = 0
    for size in sizes:
        ring.write(stream[at : at + size])
        at += size
    assert ring.total == len(stream)
    n = data.draw(st.integers(0, 30))
    found = ring.read(start, n)
    if start >= max(0, len(stream) - 25) and start + n <= len(stream):
        assert found is not None
        assert np.array_equal(found, stream[start : start + n])
    else:
        assert found is None


@pytest.fixture
def made() -> Iterator[list[Capture]]:
    captures: list[Capture] = []
    yield captures
    for one in captures:
        one.stop()


def start(made: list[Capture], command: list[str], rate: int = 8000, channels: int = 1) -> Capture:
    found = Capture(command, rate, channels, seconds=20.0)
    made.append(found)
    found.start()
    return found


def test_samples_in_pieces_that_are_no_whole_samples(made: list[Capture]) -> None:
    program = """
import os, time
content = bytes(range(256)) * 40
for i in range(0, len(content), 7):
    os.write(1, content[i:i + 7])
time.sleep(60)
"""
    found = start(made, python(program), channels=2)
    wait_for(lambda: found.ring.total == 2560)
    samples = found.ring.read(0, 2560)
    assert samples is not None
    assert samples.tobytes() == bytes(range(256)) * 40
    assert found.status.state == "ok"
    assert (found.status.gaps, found.status.stream) == (0, 1)


def test_a_program_that_is_not_there(made: list[Capture]) -> None:
    found = start(made, ["/nonexistent/arecord"])
    wait_for(lambda: found.status.restarts >= 1)
    assert found.status.state == "missing"
    assert found.status.sentence == "/nonexistent/arecord: No such file or directory"


def test_a_program_that_ends_is_started_again(
    made: list[Capture], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(capture, "LONGEST_PAUSE", 0.1)
    program = """
import sys
sys.stdout.buffer.write(b"\\x01\\x00" * 100)
print("first line", file=sys.stderr)
sys.exit("cannot open the device")
"""
    found = start(made, python(program))
    wait_for(lambda: found.status.restarts >= 4)
    wait_for(lambda: found.status.sentence == "cannot open the device")
    # each start is a break, so that no window spans it
    assert found.next_break(-1) == 0
    assert found.next_break(0) == 100
    assert found.next_break(100) == 200
    assert found.status.gaps >= 3


def test_the_pauses() -> None:
    pauses = [0.0]
    for _ in range(8):
        pauses.append(capture.next_pause(pauses[-1]))
    assert pauses[1:] == [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 20.0, 20.0]
    # a child that was silent for ten seconds was part of the pause
    assert capture.pause_left(20.0, 10.0) == 10.0
    assert capture.pause_left(4.0, 10.0) == capture.pause_left(0.5, 0.0) == 0.5


def test_a_flood_on_stderr_neither_blocks_nor_grows(made: list[Capture]) -> None:
    program = """
import os
for i in range(2000):
    os.write(2, b"x" * 1000)
    os.write(1, b"\\0\\0" * 10)
os.write(2, b"\\nlast words\\n")
import time; time.sleep(60)
"""
    found = start(made, python(program))
    wait_for(lambda: found.ring.total == 20000 and found.status.sentence == "last words")
    assert len(found._tail) <= 2000


def test_an_overrun_that_arecord_reports_is_a_break() -> None:
    """It lies between the last block that was read before the message and the end of the next."""
    found = Capture(["arecord"], 8000)
    for _ in range(2):
        found._take(bytearray(2000), 2000, time.monotonic())
    found._take_stderr(b"overrun!!! (at least 12.345 ms long)\n")
    for _ in range(3):
        found._take(bytearray(2000), 2000, time.monotonic())
    assert found.next_break(0) == 2000
    assert found.next_break(2000) == 3000
    assert found.next_break(3000) is None
    assert found.status.gaps == 1


def test_a_stall_is_a_state_and_a_break(made: list[Capture]) -> None:
    program = """
import os, time
while True:
    os.write(1, b"\\1\\0" * 80); time.sleep(0.01)
"""
    found = start(made, python(program))
    wait_for(lambda: found.ring.total > 800)
    assert found._child is not None
    os.kill(found._child.pid, signal.SIGSTOP)
    wait_for(lambda: found.status.state == "stalled")
    stalled_at = found.ring.total
    os.kill(found._child.pid, signal.SIGCONT)
    wait_for(lambda: found.status.state == "ok")
    assert found.next_break(0) == stalled_at
    assert (found.status.stalls, found.status.restarts, found.status.gaps) == (1, 0, 1)


def test_what_gives_nothing_for_long_is_started_again(
    made: list[Capture], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(capture, "HOPELESS", 1.0)
    found = start(made, python("import time; time.sleep(600)"))
    wait_for(lambda: found.status.restarts >= 1)
    assert found.status.sentence == "no sound for 1 s"


def test_a_rate_that_is_off_is_counted(
    made: list[Capture], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream_time, "_RATE_SPAN", 2.0)
    program = """
import os, sys, time
rate, began, sent = float(sys.argv[1]), time.monotonic(), 0
while True:
    due = int((time.monotonic() - began) * rate)
    os.write(1, b"\\1\\0" * (due - sent)); sent = due
    time.sleep(0.005)
"""
    right, wrong = (start(made, python(program, rate)) for rate in (8000, 8400))
    wait_for(lambda: wrong.status.rate_off and right.status.rate_measured)
    assert wrong.status.rate_measured == pytest.approx(8400, rel=0.03)
    assert right.status.rate_off == 0


def test_the_end_of_a_capture_ends_its_child(made: list[Capture]) -> None:
    found = start(made, ["sh", "-c", "cat /dev/zero | cat"])
    wait_for(lambda: found.ring.total > 0)
    assert found._child is not None
    group = found._child.pid
    found.stop()

    def gone() -> bool:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        return False

    wait_for(gone)


@pytest.mark.parametrize(("rate", "channels"), [(16000, 1), (44100, 1), (48000, 2)])
def test_arecord_gives_every_sample(
    made: list[Capture], tmp_path: Path, rate: int, channels: int
) -> None:
    need("arecord")
    rng = np.random.default_rng(rate)
    samples = rng.integers(-32768, 32768, (2 * rate, channels)).astype(np.int16)
    feed = Feed(tmp_path, rate, channels)
    try:
        with alsa_config(feed.asoundrc):
            found = start(made, feed.command, rate, channels)
            feed.play(samples)
            # what does not fill arecord's last period stays with it
            n = len(samples) - rate // 10
            wait_for(lambda: found.ring.total >= n)
            heard = found.ring.read(0, n)
            gaps = found.status.gaps
    finally:
        feed.close()
    assert heard is not None
    assert np.array_equal(heard, samples[:n])
    assert gaps == 0


@pytest.fixture
def server() -> Iterator[SoundServer]:
    need("pulseaudio", "pactl", "paplay", "arecord")
    need_plugin()
    with tempfile.TemporaryDirectory(dir="/tmp", prefix="snd") as folder:  # sockets: short names
        found = SoundServer(Path(folder))
        found.start()
        t = np.arange(48000 * 5) / 48000
        soundfile.write(Path(folder) / "tone.wav", 0.3 * np.sin(2 * np.pi * 1000 * t), 48000)
        found.play(Path(folder) / "tone.wav")
        yield found
        found.close()


def test_unplugging_stopping_and_killing_a_sound_server(
    made: list[Capture], server: SoundServer
) -> None:
    with alsa_config(server.asoundrc):
        found = start(made, capture.arecord("machine", 48000, 1), 48000)
        wait_for(lambda: found.status.state == "ok")
        for break_it, mend in (
            (server.unplug, server.plug),
            (lambda: server.signal(signal.SIGSTOP), lambda: server.signal(signal.SIGCONT)),
            (server.kill, server.start),
        ):
            breaks = found.status.stream
            break_it()
            wait_for(lambda: found.status.state != "ok", 30)
            time.sleep(1.0)
            mend()
            wait_for(lambda: found.status.state == "ok", 35)
            assert found.status.stream > breaks
