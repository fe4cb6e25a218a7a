"""Microphones for tests: a sound server that can be unplugged, and a device fed bit by bit."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray


def need(*programs: str) -> None:
    """Skip the test where a program is not installed."""
    for program in programs:
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed (tests/install_apt.sh)")


def need_plugin() -> None:
    """Skip the test where ALSA has no plugin for PulseAudio."""
    if not list(Path("/usr/lib").glob("*/alsa-lib/libasound_module_pcm_pulse.so")):
        pytest.skip("libasound2-plugins is not installed (tests/install_apt.sh)")


def wait_for(condition: Callable[[], object], seconds: float = 60.0, what: str = "") -> None:
    """Wait until a condition holds; fail after `seconds`."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"not within {seconds} s: {what}"
        time.sleep(0.02)


def python(program: str, *arguments: object) -> list[str]:
    """Give the command that runs a Python program."""
    return [sys.executable, "-u", "-c", program, *map(str, arguments)]


class Feed:
    """An ALSA device "mic" of which every sample is known, in real time or slower.

    Args:
        folder: for its files.
        rate: samples a second.
        channels: interleaved.
    """

    def __init__(self, folder: Path, rate: int, channels: int = 1) -> None:
        self.rate, self.channels = rate, channels
        self.fifo, self.asoundrc = folder / "fifo", folder / "asoundrc"
        os.mkfifo(self.fifo)
        self.asoundrc.write_text(
            "pcm.null { type null }\n"
            f'pcm.mic {{ type file slave.pcm null file /dev/null infile "{self.fifo}" '
            "format raw }\n"
        )
        self._pipe = os.open(self.fifo, os.O_RDWR)  # so that neither side ever sees its end
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def command(self) -> list[str]:
        """arecord of the device, with periods of 20 ms: others lose what the FIFO did not hold."""
        period = self.rate // 50
        return [
            *("arecord", "-q", "-D", "mic", "-t", "raw", "-f", "S16_LE", "-r", str(self.rate)),
            *("-c", str(self.channels), f"--period-size={period}", f"--buffer-size={4 * period}"),
        ]

    def play(self, samples: NDArray[np.int16]) -> None:
        """Begin to feed samples [shape=(n, channels)] in blocks of 20 ms."""

        def run() -> None:
            block = self.rate // 50
            content = samples.astype("<i2").tobytes()
            size = 2 * self.channels * block
            began = time.monotonic()
            for i in range(0, len(content), size):
                if self._stop.wait(max(0.0, began + 0.02 * (i // size) - time.monotonic())):
                    return
                os.write(self._pipe, content[i : i + size])

        self._thread = threading.Thread(target=run, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop feeding."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(5)
        os.close(self._pipe)


class SoundServer:
    """PulseAudio with one null sink whose monitor is an ALSA device.

    Args:
        folder: for its socket and files; its path must be short.
        rate: of the sink.
        device: name of the ALSA device.
    """

    def __init__(self, folder: Path, rate: int = 48000, device: str = "machine") -> None:
        self.folder, self.rate = folder, rate
        self.socket = folder / "sock"
        self.asoundrc = folder / "asoundrc"
        self.asoundrc.write_text(
            f'pcm.{device} {{ type pulse server "unix:{self.socket}" device "mach.monitor" }}\n'
        )
        self.env = {
            **os.environ,
            "HOME": str(folder),
            "XDG_RUNTIME_DIR": str(folder),
            "PULSE_SERVER": f"unix:{self.socket}",
        }
        self.sink = f"sink_name=mach rate={rate} channels=1 channel_map=mono format=s16le".split()
        self.process: subprocess.Popen[bytes] | None = None
        self._player: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the server with the sink plugged in."""
        self.socket.unlink(missing_ok=True)
        self.process = subprocess.Popen(
            [
                *("pulseaudio", "-n", "--daemonize=no", "--exit-idle-time=-1"),
                "--use-pid-file=no",
                *("-L", f"module-native-protocol-unix socket={self.socket} auth-anonymous=1"),
                *("-L", f"module-null-sink {' '.join(self.sink)}"),
            ],
            env=self.env,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        wait_for(lambda: self._pactl("info"), 20, "the sound server")

    def _pactl(self, *arguments: str) -> bool:
        result = subprocess.run(
            ["pactl", *arguments], env=self.env, capture_output=True, timeout=20, check=False
        )
        return result.returncode == 0

    def play(self, wav: Path) -> None:
        """Play a file into the sink, again and again."""
        self._start_player(f"while :; do paplay --device=mach {wav} || sleep 0.2; done")

    def play_once(self, wav: Path) -> None:
        """Play a file into the sink."""
        self._start_player(f"exec paplay --device=mach {wav}")

    def _start_player(self, program: str) -> None:
        self._player = subprocess.Popen(
            ["sh", "-c", program],
            env=self.env,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def unplug(self) -> None:
        """Take the device away."""
        assert self._pactl("unload-module", "module-null-sink")

    def plug(self) -> None:
        """Bring it back."""
        assert self._pactl("load-module", "module-null-sink", *self.sink)

    def signal(self, number: int) -> None:
        """Send a signal to the server."""
        assert self.process is not None
        self.process.send_signal(number)

    def kill(self) -> None:
        """End the server at once."""
        if self.process is not None:
            self.process.kill()
            self.process.wait(10)

    def close(self) -> None:
        """End everything."""
        if self._player is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._player.pid, 9)
            self._player.wait(10)
        self.kill()


# The count that `jumps` looks for goes from 1 to this.
COUNT = 20_000


def jumps(window: NDArray[np.int16]) -> int:
    """Give how often a sample is not the one after the one before it; silence may lie between."""
    x = window[:, 0].astype(np.int64)
    step = np.diff(x)
    fine = (step == 1) | (step == 1 - COUNT) | (x[1:] == 0) | (x[:-1] == 0)
    return int(np.count_nonzero(~fine))


@contextlib.contextmanager
def alsa_config(path: Path) -> Iterator[None]:
    """Let ALSA read this file besides its own for the time of the block."""
    old = os.environ.get("ALSA_CONFIG_PATH")
    os.environ["ALSA_CONFIG_PATH"] = str(path)
    try:
        yield
    finally:
        if old is None:
            del os.environ["ALSA_CONFIG_PATH"]
        else:
            os.environ["ALSA_CONFIG_PATH"] = old
