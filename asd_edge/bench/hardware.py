"""Read the state of the hardware: processor, temperature, frequency, throttling.

Each source is one that some boards lack; what is not there is None or left out.

    /proc/cpuinfo, /proc/device-tree/model          the processor or the board
    /sys/class/thermal/thermal_zone*                temperatures, in 1/1000 degree Celsius
    /sys/class/thermal/cooling_device*              a "cpufreq" one above state 0: the kernel
                                                    holds the frequency down for the heat
    /sys/devices/system/cpu/cpu*/cpufreq            frequencies, in kHz
    /sys/devices/system/cpu/cpu*/thermal_throttle   how often x86 cores were throttled
    vcgencmd get_throttled                          the Raspberry Pi's firmware: bits of now (0-3)
                                                    and since the start (16-19)
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

# https://www.raspberrypi.com/documentation/computers/os.html#get_throttled
_FIRMWARE_BITS = (
    "under-voltage",
    "frequency capped",
    "throttled",
    "soft temperature limit",
)
_SINCE_START = 16


@dataclass(frozen=True)
class State:
    """How the device is at one moment; None where the board does not tell.

    Attributes:
        temperature_c: of the processor (the hottest zone if none is the processor's).
        mhz: frequency of the slowest core.
        max_mhz: the highest that its cores can have.
        throttled_count: times that cores were throttled for heat since the start (x86).
        held_down: whether the kernel holds the frequency down for heat.
        firmware: the bits of the Raspberry Pi's `vcgencmd get_throttled`.
    """

    temperature_c: float | None = None
    mhz: float | None = None
    max_mhz: float | None = None
    throttled_count: int | None = None
    held_down: bool | None = None
    firmware: int | None = None


def cpu_model(root: Path = Path("/")) -> str:
    """Name the processor, and the board where it has a name."""
    names = []
    board = root / "proc/device-tree/model"
    if board.is_file():
        names.append(board.read_text(errors="replace").strip("\0\n "))
    found = re.search(r"^model name\s*:\s*(.+)$", _text(root / "proc/cpuinfo") or "", re.MULTILINE)
    if found:
        names.append(found[1].strip())
    return ", ".join(names) or platform.processor() or platform.machine()


def cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def state(root: Path = Path("/")) -> State:
    """Ask the device how it is now."""
    cpu, thermal = root / "sys/devices/system/cpu", root / "sys/class/thermal"
    current = _numbers(cpu.glob("cpu[0-9]*/cpufreq/scaling_cur_freq"))
    highest = _numbers(cpu.glob("cpu[0-9]*/cpufreq/cpuinfo_max_freq"))
    counts = _numbers(cpu.glob("cpu[0-9]*/thermal_throttle/core_throttle_count"))
    cooling = [
        folder / "cur_state"
        for folder in thermal.glob("cooling_device*")
        if "cpufreq" in (_text(folder / "type") or "")
    ]
    return State(
        temperature_c=_temperature(thermal),
        mhz=min(current) / 1e3 if current else None,
        max_mhz=max(highest) / 1e3 if highest else None,
        throttled_count=round(sum(counts)) if counts else None,
        held_down=any(number > 0 for number in _numbers(cooling)) if cooling else None,
        firmware=_firmware(),
    )


def throttling(before: State, after: State) -> list[str]:
    """Say what slowed the processor between two moments; nothing if the board tells of nothing."""
    found = []
    if before.firmware is not None and after.firmware is not None:
        now = before.firmware | after.firmware
        since = (after.firmware & ~before.firmware) >> _SINCE_START
        found += [name for bit, name in enumerate(_FIRMWARE_BITS) if (now | since) >> bit & 1]
    if before.held_down or after.held_down:
        found.append("frequency held down by the kernel")
    times = (after.throttled_count or 0) - (before.throttled_count or 0)
    if times > 0:
        found.append(f"cores throttled for heat {times} times")
    return found


def _temperature(thermal: Path) -> float | None:
    zones = list(thermal.glob("thermal_zone*"))
    own = [z for z in zones if re.search("cpu|x86_pkg|soc|k10temp", _text(z / "type") or "", re.I)]
    celsius = [n / 1e3 for n in _numbers(zone / "temp" for zone in own or zones)]
    return max(celsius, default=None)


def _firmware() -> int | None:
    program = shutil.which("vcgencmd")
    if program is None:
        return None
    try:
        answer = subprocess.run(
            [program, "get_throttled"], capture_output=True, text=True, timeout=5
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    found = re.search(r"throttled=(0x[0-9a-fA-F]+)", answer)
    return int(found[1], 16) if found else None


def _text(path: Path) -> str | None:
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return None  # some zones are listed but cannot be read


def _numbers(paths: Iterable[Path]) -> list[float]:
    texts = (_text(path) for path in paths)
    return [float(text) for text in texts if text and re.fullmatch(r"-?\d+", text)]
