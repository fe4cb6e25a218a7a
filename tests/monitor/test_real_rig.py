"""Real machines in real time: normal for an hour, faulty, normal again, heard by four microphones
of one daemon; an alarm on what is faulty, none on what is normal, and all outlets say the same.

An hour is long, so that this runs only with ASD_EDGE_NORMAL_S=3600 (make test-monitor-real). The
clips follow each other without regard to the windows: a window begins anywhere in a clip. Left out
is section 02 of the motor, which has no faulty clips.

What is promised is an alarm with the k-th of k windows running that are each above the threshold.
A fault of which single windows lie below it takes as much longer.
"""

from __future__ import annotations

import itertools
import json
import os
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from helpers import invoke
from monitor_rigs import Feed, SoundServer, need, need_plugin
from numpy.typing import NDArray
from real_parts import MOSQUITTO, Broker, Listener, Receiver, free_port, wait_for
from running_monitor import Running

from asd_edge.cli.main import main
from asd_edge.monitor.config import AlarmConfig

NORMAL_S = float(os.environ.get("ASD_EDGE_NORMAL_S", "0"))
pytestmark = [
    pytest.mark.skipif(not NORMAL_S, reason="an hour long: make test-monitor-real"),
    pytest.mark.skipif(MOSQUITTO is None, reason="needs mosquitto (tests/install_apt.sh)"),
]
pytest.importorskip("paho.mqtt.client", reason="needs the extra monitor")
pytest.importorskip("uvicorn", reason="needs the extra monitor")

RATE, HOP, K = 16_000, 10, AlarmConfig().k
FAULTY_S, AFTER_S = 90, 120
# What a player and a sound server hold back: two seconds each.
LATE = 4.0


@dataclass(frozen=True)
class Kind:
    """A machine, and the rate of its microphone."""

    name: str
    section: str
    rate: int

    @property
    def id(self) -> str:
        return f"{self.name}{self.section}"


MACHINES = (
    Kind("fan", "01", 16_000),
    Kind("fan", "00", 16_000),
    Kind("motor", "00", 48_000),
    Kind("motor", "01", 44_100),
)


def clips(data: Path, kind: Kind, of: str) -> list[NDArray[np.int16]]:
    paths = sorted((data / kind.name).glob(f"test/section_{kind.section}*{of}*"))
    return [soundfile.read(path, dtype="int16", always_2d=True)[0] for path in paths]


def sound(data: Path, kind: Kind) -> NDArray[np.int16]:
    """Give normal clips that were not enrolled, in an order drawn at random; faulty; normal."""
    normal, faulty = clips(data, kind, "normal"), clips(data, kind, "anomaly")
    rng = np.random.default_rng(13)

    def seconds(of: Iterator[NDArray[np.int16]], n: float) -> NDArray[np.int16]:
        blocks = list(itertools.islice(of, int(n // 10) + 1))
        return np.concatenate(blocks)[: round(n * RATE)]

    def drawn() -> Iterator[NDArray[np.int16]]:
        while True:
            yield normal[rng.integers(len(normal))]

    parts = (drawn(), NORMAL_S), (itertools.cycle(faulty), FAULTY_S), (drawn(), AFTER_S)
    # Not from the first sample of a clip, so that windows and clips do not fall together.
    return np.concatenate([seconds(of, n) for of, n in parts])[round(3.7 * RATE) :]


class Rig:
    """The four microphones: the first machine's by a FIFO, the others' by sound servers."""

    def __init__(self, folder: Path, data: Path) -> None:
        fed, *played = MACHINES
        self._data, self._folder = data, folder
        self._feed = Feed(folder, fed.rate)
        self._temporary = [tempfile.TemporaryDirectory(dir="/tmp", prefix="snd") for _ in played]
        self._servers = {
            kind.id: SoundServer(Path(found.name), kind.rate, kind.id)
            for kind, found in zip(played, self._temporary, strict=True)
        }
        self.asoundrc = folder / "all.asoundrc"
        parts = [self._feed.asoundrc, *(server.asoundrc for server in self._servers.values())]
        self.asoundrc.write_text("".join(part.read_text() for part in parts))
        for server in self._servers.values():
            server.start()

    def source(self, kind: Kind) -> str:
        """Give the line of a configuration that names the microphone of a machine."""
        if kind.id in self._servers:
            return f'device = "{kind.id}"'
        return f"command = {json.dumps(self._feed.command)}"

    def play(self) -> None:
        """Begin to play."""
        for kind in MACHINES:
            samples = sound(self._data, kind)
            if kind.id in self._servers:
                path = self._folder / f"{kind.id}.wav"
                soundfile.write(path, samples, RATE, subtype="PCM_16")
                self._servers[kind.id].play_once(path)
            else:
                self._feed.play(samples)

    def close(self) -> None:
        for server in self._servers.values():
            server.close()
        self._feed.close()
        for folder in self._temporary:
            folder.cleanup()


@pytest.fixture
def rig(recordings: Path, tmp_path: Path) -> Iterator[Rig]:
    need("pulseaudio", "pactl", "paplay", "arecord")
    need_plugin()
    found = Rig(tmp_path, recordings / "machines" / "dev_data")
    yield found
    found.close()


def config(folder: Path, data: Path, rig: Rig, broker: int, hook: str, page: int) -> str:
    lines = ['node = "hall"']
    for kind in MACHINES:
        bundle = folder / f"{kind.id}.asd"
        enrolled = sorted((data / kind.name).glob(f"train/section_{kind.section}*"))
        invoke(main, "enroll", *enrolled, "-o", bundle)
        lines += [f"[machines.{kind.id}]", f'bundle = "{bundle}"', rig.source(kind)]
        lines += [f"rate = {kind.rate}", f'section = "{kind.section}"']
    lines += ["[history]", 'folder = "h"', "free_space_mb = 0", "[web]", f"port = {page}"]
    lines += ["[mqtt]", 'host = "127.0.0.1"', f"port = {broker}"]
    # Each event by itself: six would be told one by one, the others in a digest.
    lines += ["[notify]", f'webhooks = ["{hook}"]', f"per_hour = {2 * len(MACHINES)}"]
    return "\n".join(lines)


def test_an_hour_of_normal_machines_then_faults(
    rig: Rig, broker: Broker, receiver: Receiver, recordings: Path, tmp_path: Path
) -> None:
    data, page = recordings / "machines" / "dev_data", free_port()
    text = config(tmp_path, data, rig, broker.port, receiver.url, page)
    listener = Listener(broker.port)
    daemon = Running(tmp_path, text, ALSA_CONFIG_PATH=str(rig.asoundrc))

    def ask(path: str) -> Any:
        with urllib.request.urlopen(f"http://127.0.0.1:{page}{path}", timeout=20) as answer:
            return json.loads(answer.read())

    def listening() -> bool:
        try:
            return {m["microphone"] for m in ask("/api/state")["machines"]} == {"ok"}
        except OSError:
            return False

    try:
        rig.play()  # the device of the feed gives its first sample when it is fed
        began = time.time()
        wait_for(listening)
        assert time.time() - began < 20
        fault = began + NORMAL_S - 3.7
        while (rest := fault - time.time()) > 0:
            time.sleep(min(rest, 60.0))
            assert daemon.process.poll() is None
        assert [e.episode.sentence for e in daemon.events() if e.action == "raise"] == []
        time.sleep(FAULTY_S - HOP)
        page_in_alarm = ask("/api/state")
        time.sleep(fault + FAULTY_S + AFTER_S - 5.0 - time.time())
        listed = ask("/api/episodes")
        score_clips(daemon, tmp_path)
    finally:
        assert daemon.stop() == 0
        listener.close()
    _report(daemon, fault)
    for kind in MACHINES:
        raised, cleared = (e for e in daemon.events() if e.episode.machine == kind.id)
        assert (raised.action, cleared.action) == ("raise", "clear")
        # The raise is told when the last of its windows ends.
        assert raised.at > fault
        assert raised.at <= kth_above(daemon, kind, fault) + LATE
        # One faulty clip may lie below, and the first window may have begun before the fault.
        assert raised.at - fault <= (K + 2) * HOP + LATE
        (shown,) = (m for m in page_in_alarm["machines"] if m["id"] == kind.id)
        assert shown["headline"].startswith("ALARM since ")
        (open_,) = shown["episodes"]
        (past,) = (e for e in listed if e["machine"] == kind.id)
        told = listener.values(f"asd-edge/hall/{kind.id}/event")
        hooked = [e for b in receiver.bodies for e in b["events"] if e["machine"] == kind.id]
        number, why = raised.episode.id, raised.episode.sentence
        assert [e["action"] for e in told] == [e["action"] for e in hooked] == ["raise", "clear"]
        assert {number} == {open_["id"], past["id"], *(e["episode"] for e in told + hooked)}
        assert {why} == {told[0]["reason"], hooked[0]["reason"]}
        assert open_["raised_at"] == pytest.approx(raised.at, abs=0.002)
        assert past["cleared_at"] == pytest.approx(cleared.at, abs=0.002)
        ratios = {w.ratio for w in daemon.windows() if w.machine == kind.id}
        states = listener.values(f"asd-edge/hall/{kind.id}/state")
        assert {s["ratio"] for s in states} - {None} <= ratios
    assert {e.episode.kind for e in daemon.events()} == {"sound"}


def kth_above(daemon: Running, kind: Kind, fault: float) -> float:
    """Give when the first K windows running that are each above the threshold end."""
    running = 0
    for window in daemon.windows():
        if window.machine != kind.id or window.end < fault:
            continue
        running = running + 1 if window.ratio is not None and window.ratio >= 1 else 0
        if running == K:
            end: float = window.end
            return end
    pytest.fail(f"no {K} windows running of {kind.id} are above the threshold")


def score_clips(daemon: Running, folder: Path) -> None:
    """What the alarms' recordings hold scores as it was scored when it was heard."""
    for kind in MACHINES:
        (number,) = {e.episode.id for e in daemon.events() if e.episode.machine == kind.id}
        for clip in daemon.history.clips(number):
            samples, rate = soundfile.read(clip.path, dtype="int16", always_2d=True)
            assert rate == kind.rate
            start, n, score, _ = clip.windows[-1]
            soundfile.write(folder / "w.wav", samples[start : start + n], rate, subtype="PCM_16")
            options = ("--bundle", folder / f"{kind.id}.asd", "--section", kind.section, "--json")
            assert f'"score": {score!r}' in invoke(main, "score", folder / "w.wav", *options).output


def _report(daemon: Running, fault: float) -> None:
    for kind in MACHINES:
        windows = [w for w in daemon.windows() if w.machine == kind.id]
        before = [w.ratio for w in windows if w.end < fault and w.ratio is not None]
        odd = [w.validity for w in windows if w.validity != "valid"]
        raised = [round(e.at - fault) for e in daemon.events() if e.episode.machine == kind.id]
        faulty = [w.ratio for w in windows if 0 <= w.end - fault <= FAULTY_S + HOP]
        print(f"\n{kind.id}: {len(before)} normal windows, ratio at most {max(before):.2f}")
        print(f"  from the fault on: {[None if r is None else round(r, 2) for r in faulty]}")
        print(f"  windows that did not count: {odd}; raised and cleared {raised} s after the fault")
