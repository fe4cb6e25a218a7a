"""The daemon in a process of its own, and what it listens to."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import soundfile
from helpers import write_tone
from monitor_rigs import python
from numpy.typing import NDArray

from asd_edge.errors import HistoryError
from asd_edge.monitor.history.read import History

_MAIN = "from asd_edge.cli.main import main; main(prog_name='asd-edge')"


class Running:
    """A daemon in a process of its own.

    Args:
        folder: for its configuration, its log and its history.
        config: text of the configuration.
        patch: lines of Python that run in it first, to shorten delays or to slow something down.
        env: environment variables.
    """

    def __init__(self, folder: Path, config: str, patch: str = "", **env: str) -> None:
        self.folder, self.config = folder, folder / "m.toml"
        self.config.write_text(config)
        self.log = folder / "stderr"
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                python(f"{patch}\n{_MAIN}", "monitor", self.config),
                stdout=subprocess.DEVNULL,
                stderr=log,
                env={**os.environ, **env},
                cwd=folder,
            )
        self.history = History(folder / "h")

    def windows(self) -> list:
        try:
            return list(self.history.each_window())
        except HistoryError:
            return []

    def events(self) -> list:
        try:
            return self.history.events()
        except HistoryError:
            return []

    def says(self, text: str) -> bool:
        return text in self.log.read_text()

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(30)


def toml(bundle: Path, source: str, rest: str = "", machine: str = "") -> str:
    return f"""
node = "test"
[machines.fan]
bundle = "{bundle}"
rate = 8000
section = "00"
{source}
{machine}
[history]
folder = "h"
free_space_mb = 0
[web]
enabled = false
{rest}
"""


# Gives a file in blocks of 0.1 s of 8 kHz, in real time or at once, with pauses at some bytes.
_PLAYER = """
import json, os, sys, time
sound, speed, pauses = open(sys.argv[1], "rb").read(), float(sys.argv[2]), json.loads(sys.argv[3])
start, at = time.monotonic(), 0
while at < len(sound):
    if speed:
        time.sleep(max(0.0, start + at / 16000 / speed - time.monotonic()))
    if pauses and at >= pauses[0][0]:
        time.sleep(pauses.pop(0)[1])
    end = min(at + 1600, pauses[0][0] if pauses else len(sound))
    at += os.write(1, sound[at:end])
time.sleep(600)
"""


def player(path: Path, speed: float = 1.0, pauses: Sequence[tuple[int, float]] = ()) -> str:
    """Give the lines of a configuration that play a raw file.

    Args:
        path: the file.
        speed: as many times as fast as real time; 0 for at once.
        pauses: (byte, seconds of nothing before it).
    """
    return f"command = {json.dumps(python(_PLAYER, path, speed, json.dumps(list(pauses))))}"


def hum(folder: Path, seconds: float, pitch: float = 200.0, seed: int = 40) -> NDArray[np.int16]:
    """Give a machine that hums; `hum_bundle` knows 200 Hz."""
    write_tone(folder / "hum.wav", pitch, seed=seed, seconds=seconds)
    return soundfile.read(folder / "hum.wav", dtype="int16")[0]


def raw(folder: Path, *parts: tuple[float, float]) -> Path:
    """Make a raw file of parts (pitch, seconds)."""
    blocks = [hum(folder, seconds, pitch, 40 + i) for i, (pitch, seconds) in enumerate(parts)]
    path = folder / "sound.raw"
    path.write_bytes(np.concatenate(blocks).astype("<i2").tobytes())
    return path
