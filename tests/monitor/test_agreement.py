"""One alarm of the whole daemon: MQTT, page, webhook and history say the same of it."""

from __future__ import annotations

import http.client
import json
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from helpers import write_tone
from real_parts import MOSQUITTO, Broker, Listener, Receiver, free_port, wait_for

from asd_edge.monitor.history.read import History

pytest.importorskip("paho.mqtt.client", reason="needs the extra monitor")
pytest.importorskip("uvicorn", reason="needs the extra monitor")
pytestmark = pytest.mark.skipif(MOSQUITTO is None, reason="needs mosquitto (tests/install_apt.sh)")

RATE = 8000
NORMAL_S, FAULTY_S = 6, 12
# The loop that plays: blocks of 20 ms at their time, and when each second was complete.
FEED = """
import sys, time
sound = open(sys.argv[1], "rb").read()
out = open(sys.argv[2], "w", buffering=1)
block = int(sys.argv[3]) // 50 * 2
start = time.monotonic()
for i in range(0, len(sound) // block):
    time.sleep(max(0.0, start + 0.02 * (i + 1) - time.monotonic()))
    sys.stdout.buffer.write(sound[i * block : (i + 1) * block])
    sys.stdout.buffer.flush()
    if (i + 1) % 50 == 0:
        print(time.time(), file=out)
"""


@pytest.fixture
def sound(tmp_path: Path) -> Path:
    """A machine that runs well, is faulty for a while, and runs well again."""
    pieces = []
    for number, (pitch, seconds) in enumerate([(200.0, NORMAL_S), (320.0, FAULTY_S), (200.0, 120)]):
        path = tmp_path / f"{number}.wav"
        write_tone(path, pitch, seed=number, seconds=seconds)
        pieces.append(soundfile.read(path, dtype="int16")[0])
    raw = tmp_path / "sound.raw"
    raw.write_bytes(np.concatenate(pieces).tobytes())
    return raw


class Device:
    """`asd-edge monitor` with everything switched on."""

    def __init__(self, folder: Path, bundle: Path, sound: Path, broker: int, hook: str) -> None:
        self.port, self.folder, self.played = free_port(), folder, folder / "played"
        program = [sys.executable, "-c", FEED, str(sound), str(self.played), str(RATE)]
        self.config = folder / "hum.toml"
        self.config.write_text(f"""
node = "shed"
[machines.hum]
name = "Hum <1>"
bundle = {json.dumps(str(bundle))}
command = {json.dumps(program)}
rate = {RATE}
[history]
folder = {json.dumps(str(folder / "history"))}
free_space_mb = 1
[web]
port = {self.port}
[mqtt]
host = "127.0.0.1"
port = {broker}
[notify]
webhooks = [{json.dumps(hook)}]
""")
        self.log = (folder / "log").open("w")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "asd_edge", "monitor", str(self.config)],
            stdout=self.log,
            stderr=subprocess.STDOUT,
        )

    def ask(self, path: str) -> Any:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        connection.request("GET", path)
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        if answer.getheader("Content-Type") == "application/json":
            return json.loads(content)
        return content

    def answers(self) -> bool:
        try:
            return bool(self.ask("/api/state"))
        except OSError:
            assert self._process.poll() is None, (self.folder / "log").read_text()
            return False

    def end(self) -> None:
        if self.log.closed:
            return
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(20)
        finally:
            self._process.kill()
            self._process.wait()
            self.log.close()


@pytest.fixture
def device(
    tmp_path: Path, hum_bundle: Path, sound: Path, broker: Broker, receiver: Receiver
) -> Iterator[Device]:
    found = Device(tmp_path, hum_bundle, sound, broker.port, receiver.url)
    yield found
    found.end()


class Arrivals(Listener):
    """A listener that notes when each message came."""

    def __init__(self, port: int) -> None:
        super().__init__(port)
        self.at: dict[int, float] = {}
        self.client.on_message = self._note

    def _note(self, _client: Any, _user: Any, message: Any) -> None:
        self.at[len(self.messages)] = time.time()
        self.messages.append(message)


def test_all_say_the_same_of_an_alarm(
    device: Device, broker: Broker, receiver: Receiver, tmp_path: Path
) -> None:
    listener = Arrivals(broker.port)
    wait_for(device.answers)
    history = History(tmp_path / "history")
    events = wait_for(lambda: listener.values("asd-edge/shed/hum/event"))
    raised = events[0]
    assert (raised["action"], raised["kind"]) == ("raise", "sound")

    # The page, while the alarm is open.
    state = wait_for(
        lambda: (s := device.ask("/api/state")["machines"][0])["status"] == "alarm" and s
    )
    (shown,) = [e for e in state["episodes"] if e["kind"] == "sound"]
    # The webhook.
    told = wait_for(lambda: receiver.bodies)[0]["events"][0]
    # The history.
    noted = history.episode(raised["episode"])
    assert noted is not None
    retained = wait_for(
        lambda: (v := listener.values("asd-edge/shed/hum/state")[-1])["alarm"] and v
    )

    assert raised["episode"] == shown["id"] == told["episode"] == noted.id
    assert retained["open_episodes"] == [noted.id]
    assert raised["id"] == told["id"] == history.events()[0].id
    assert told["raised_at"] == raised["raised_at"]
    assert shown["raised_at"] == pytest.approx(noted.raised_at, abs=0.002)
    assert state["headline"].startswith("ALARM since ")
    assert shown["sentence"] == noted.sentence == raised["reason"] == told["reason"]
    assert told["text"] == raised["text"] == f"Hum <1>: ALARM: {noted.sentence}"

    # The end of it, and what can be listened to.
    cleared = wait_for(
        lambda: [e for e in listener.values("asd-edge/shed/hum/event") if e["action"] == "clear"]
    )[0]
    assert cleared["episode"] == noted.id
    wait_for(lambda: device.ask("/api/state")["machines"][0]["status"] == "normal")
    past = wait_for(lambda: (e := device.ask("/api/episodes")[0])["clips"] and e)
    assert past["cleared_at"] == pytest.approx(history.episode(noted.id).cleared_at, abs=0.002)
    for number in past["clips"]:
        content = device.ask(f"/clips/{number}.flac")
        assert content[:4] == b"fLaC"
    wait_for(lambda: sum(len(body["events"]) for body in receiver.bodies) == 2)
    assert device.ask("/healthz")["ok"] is True
    assert b'asd_edge_microphone_up{machine="hum"} 1.0' in device.ask("/metrics")

    # Every window that MQTT told of is in the history, with the same ratio.
    listener.close()
    device.end()
    ratios = {window.ratio for window in history.windows("hum")}
    assert {s["ratio"] for s in listener.values("asd-edge/shed/hum/state")} - {None} <= ratios
    _report_latency(listener, device)


def _report_latency(listener: Arrivals, device: Device) -> None:
    """Print the time from a window's last sample, as it was played, to its MQTT message."""
    played = [float(line) for line in device.played.read_text().split()]
    late, heard = [], None
    for number, message in enumerate(listener.messages):
        if message.topic != "asd-edge/shed/hum/state" or message.retain:
            continue
        values = json.loads(message.payload)
        if values["last_heard"] != heard and values["last_heard"] is not None:
            heard = values["last_heard"]
            end = datetime.fromisoformat(heard).timestamp()
            nearest = min(played, key=lambda at, end=end: abs(at - end))
            late.append(listener.at[number] - nearest)
    print(f"\nlatency: median {statistics.median(late) * 1000:.0f} ms of {len(late)} windows")
