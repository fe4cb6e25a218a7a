"""Idle cost of `asd-edge monitor` with everything on, and how late its MQTT messages are.

One machine with the built-in bundle (hop 10 s), samples in blocks of 125 ms as arecord gives them,
the page, a real broker and a scrape of /metrics every 15 s:

    python benchmarks/bench_monitor.py --seconds 300

The processor time is that of the daemon without the program that gives the samples. A wake-up is a
voluntary context switch of any thread. Lateness is measured from the moment at which the last
sample of a window was written into the pipe to the moment at which the message with that window
has come to a subscriber. Needs the extra `monitor` and mosquitto.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np
from figures import record

ROOT = Path(__file__).parents[1]
BLOCK_S = 0.125
# Writes blocks at their time, and when each block was written.
FEED = """
import os, sys, time
sound, note, size, pause = open(sys.argv[1], "rb").read(), sys.argv[2], int(sys.argv[3]), 0.125
out = os.open(note, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
start, number = time.monotonic(), 0
while True:
    number += 1
    time.sleep(max(0.0, start + pause * number - time.monotonic()))
    at = (number - 1) * size % len(sound)
    block = memoryview(sound[at : at + size])
    while block:
        block = block[os.write(1, block):]
    os.write(out, b"%.4f\\n" % time.time())
"""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--seconds", type=float, default=300.0, help="time that is measured")
    parser.add_argument("--rate", type=int, default=48000, help="of the microphone, in Hz")
    parser.add_argument("--bundle", type=Path, default=ROOT / "asd_edge" / "data" / "default.asd")
    parser.add_argument("--warm-up", type=float, default=45.0, help="seconds before that")
    parser.add_argument("--record", action="store_true", help="keep the figures for the docs")
    options = parser.parse_args()
    mosquitto = shutil.which("mosquitto", path=f"{os.environ['PATH']}:/usr/sbin")
    if mosquitto is None:
        sys.exit("mosquitto is not installed (tests/install_apt.sh)")
    with tempfile.TemporaryDirectory(prefix="bench-monitor") as name:
        folder = Path(name)
        broker_port, page_port = _free_port(), _free_port()
        (folder / "broker").write_text(
            f"listener {broker_port} 127.0.0.1\nallow_anonymous true\npersistence false\n"
        )
        started = [_start([mosquitto, "-c", str(folder / "broker")])]
        try:
            time.sleep(1.0)
            arrivals = _listen(broker_port)
            _write_config(folder, options, broker_port, page_port)
            command = [sys.executable, "-m", "asd_edge", "monitor", str(folder / "m.toml")]
            started.insert(0, _start(command))
            _measure(started[0], folder, arrivals, page_port, options)
        finally:
            for process in started:
                process.send_signal(signal.SIGTERM)
                process.wait(30)


def _start(command: list[str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


def _listen(port: int) -> list[tuple[float, dict[str, Any]]]:
    from paho.mqtt.client import Client
    from paho.mqtt.enums import CallbackAPIVersion

    arrivals: list[tuple[float, dict[str, Any]]] = []
    client = Client(CallbackAPIVersion.VERSION2)
    client.on_connect = lambda c, *_: c.subscribe("asd-edge/bench/machine/state")
    client.on_message = lambda _c, _u, m: arrivals.append((time.time(), json.loads(m.payload)))
    client.connect("127.0.0.1", port)
    client.loop_start()
    return arrivals


def _write_config(folder: Path, options: argparse.Namespace, broker: int, page: int) -> None:
    rng = np.random.default_rng(1)
    t = np.arange(40 * options.rate) / options.rate
    y = 0.1 * np.sin(2 * np.pi * 120 * t) + 0.02 * rng.standard_normal(len(t))
    (folder / "sound").write_bytes(np.round(32767 * y).astype("<i2").tobytes())
    size = 2 * round(BLOCK_S * options.rate)
    feed = [sys.executable, "-c", FEED, *map(str, (folder / "sound", folder / "written", size))]
    (folder / "m.toml").write_text(f"""
node = "bench"
[machines.machine]
bundle = {json.dumps(str(options.bundle.absolute()))}
command = {json.dumps(feed)}
rate = {options.rate}
[history]
folder = "h"
[web]
port = {page}
[mqtt]
host = "127.0.0.1"
port = {broker}
""")


def _measure(
    daemon: subprocess.Popen[bytes],
    folder: Path,
    arrivals: list[tuple[float, dict[str, Any]]],
    page: int,
    options: argparse.Namespace,
) -> None:
    time.sleep(options.warm_up)
    before, began = _processor_s(daemon.pid), time.monotonic()
    woken = _wake_ups(daemon.pid)
    scrapes = 0
    while (rest := began + options.seconds - time.monotonic()) > 0:
        time.sleep(min(15.0, rest))
        with urllib.request.urlopen(f"http://127.0.0.1:{page}/metrics", timeout=10) as answer:
            scrapes += b"asd_edge_microphone_up" in answer.read()
    seconds = time.monotonic() - began
    share = (_processor_s(daemon.pid) - before) / seconds
    late = _lateness(folder, arrivals, options.rate)
    print(f"processor: {share:.2%} of a core over {seconds:.0f} s, {scrapes} scrapes")
    print(f"wake-ups: {(_wake_ups(daemon.pid) - woken) / seconds:.1f} a second")
    print(
        f"memory: {_memory(daemon.pid, 'VmRSS'):.0f} MB, at most {_memory(daemon.pid, 'VmHWM'):.0f}"
    )
    if options.record:
        figures = {
            "monitor_cpu_percent": round(100 * share, 2),
            "monitor_memory_mb": round(_memory(daemon.pid, "VmRSS")),
            "monitor_latency_ms": round(statistics.median(late) * 1000),
        }
        record(figures, "python benchmarks/bench_monitor.py --record")
    print(
        f"lateness of {len(late)} windows: median {statistics.median(late) * 1000:.0f} ms, "
        f"at most {max(late) * 1000:.0f} ms"
    )


def _lateness(folder: Path, arrivals: list[tuple[float, dict[str, Any]]], rate: int) -> list[float]:
    written = [float(line) for line in (folder / "written").read_text().split()]
    late, seen = [], set()
    for at, values in list(arrivals):
        heard = values["last_heard"]
        if heard is None or heard in seen:
            continue
        seen.add(heard)
        # Windows of 10 s without a gap: the nth ends with the last sample of block 80 n.
        block = round(10.0 / BLOCK_S) * len(seen) - 1
        if block < len(written):
            late.append(at - written[block])
    return late


def _processor_s(process: int) -> float:
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _wake_ups(process: int) -> int:
    total = 0
    for status in Path(f"/proc/{process}/task").glob("*/status"):
        total += int(status.read_text().partition("\nvoluntary_ctxt_switches:")[2].split()[0])
    return total


def _memory(process: int, field: str) -> float:
    text = Path(f"/proc/{process}/status").read_text()
    return int(text.partition(f"{field}:")[2].split()[0]) / 1000


if __name__ == "__main__":
    main()
