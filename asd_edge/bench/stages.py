"""Measure the cost of a clip stage by stage, and of a process that scores one clip.

The stages are those of an `Analysis`, asked for one by one: read (the file to samples at the
model's rate), mel, model, scoring (distances and the decision). The whole is `Detector.score` of
the file.
"""

from __future__ import annotations

import json
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from asd_edge.bench import hardware
from asd_edge.bench.hardware import State
from asd_edge.bundle.format import Golden
from asd_edge.detector import Detector
from asd_edge.errors import AsdError
from asd_edge.frontend.mel import instruction_set
from asd_edge.model import EmbeddingModel, runtime

STAGES = ("read", "mel", "model", "scoring")
WHOLE = "whole"
GOLDEN_SECONDS = 10.0
_WARM_UP = 5

# Runs a command and says how long it took and the most memory it had. Being a small process of
# its own matters: on Linux the peak of a child begins with what the process that forked it had.
_WATCH = """
import json, os, subprocess, sys, time
start = time.perf_counter()
child = subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL)
_, status, usage = os.wait4(child.pid, 0)
wall = time.perf_counter() - start
unit = 1 if sys.platform == "darwin" else 1024
print(json.dumps([os.waitstatus_to_exitcode(status), 1e3 * wall, usage.ru_maxrss * unit]))
"""


class ChildError(AsdError, RuntimeError):
    """The process that was to score a clip by itself failed."""

    def __init__(self, message: str) -> None:
        super().__init__(f"asd-edge score failed in a process of its own: {message}")


@dataclass(frozen=True)
class Timing:
    """Times of a stage in ms: the median and the values that 90 % and 99 % stay below."""

    stage: str
    p50_ms: float
    p90_ms: float
    p99_ms: float

    @classmethod
    def of(cls, stage: str, seconds: list[float]) -> Timing:
        """Sum up some measured times."""
        p50, p90, p99 = 1e3 * np.percentile(seconds, [50, 90, 99])
        return cls(stage, float(p50), float(p90), float(p99))


@dataclass(frozen=True)
class Process:
    """A process that scores one clip: wall time from start to end, and peak memory (RSS)."""

    cold_start_ms: float
    peak_memory_bytes: int


@contextmanager
def golden_clip(golden: Golden, sr: int) -> Iterator[Path]:
    """Write a bundle's golden samples, repeated or cut to 10 s, as a PCM16 WAV while in use."""
    import tempfile

    import soundfile

    with tempfile.TemporaryDirectory(prefix="asd-edge-") as folder:
        path = Path(folder) / "golden.wav"
        samples = np.resize(golden.samples, round(GOLDEN_SECONDS * sr))
        soundfile.write(path, samples, sr, subtype="PCM_16")
        yield path


def measure(
    detector: Detector,
    clip: Path,
    repeat: int,
    section: str | None = None,
    progress: Callable[[], object] = lambda: None,
) -> list[Timing]:
    """Time the stages and the whole, in turns.

    Args:
        detector: of the bundle to measure.
        clip: a sound file.
        repeat: times that each is measured, after a few that are not.
        section: of the clip; by default what its name says.
        progress: called after each turn.

    Returns:
        one Timing for each of STAGES, and WHOLE last.

    Raises:
        MissingFileError, AudioError: see `audio.recording.open_recording`.
    """
    seconds: dict[str, list[float]] = {stage: [] for stage in (*STAGES, WHOLE)}
    for turn in range(_WARM_UP + repeat):
        times = _one_by_one(detector, clip, section)
        start = time.perf_counter()
        detector.score(clip, section=section)
        times[WHOLE] = time.perf_counter() - start
        if turn >= _WARM_UP:
            for stage, value in times.items():
                seconds[stage].append(value)
            progress()
    return [Timing.of(stage, values) for stage, values in seconds.items()]


def _one_by_one(detector: Detector, clip: Path, section: str | None) -> dict[str, float]:
    marks = [time.perf_counter()]
    analysis = detector.analyse(clip, section=section)
    marks.append(time.perf_counter())
    for stage in ("mels", "embeddings", "decision"):
        getattr(analysis, stage)
        marks.append(time.perf_counter())
    return dict(zip(STAGES, np.diff(marks).tolist(), strict=True))


def cold_start(
    bundle: Path, clip: Path, options: list[str], runs: int, progress: Callable[[], object]
) -> Process:
    """Run `asd-edge score` on a clip in a process of its own.

    Args:
        bundle: the bundle's folder.
        clip: a sound file.
        options: further arguments of `score`.
        runs: how often; the first, which may read from a cold disk, is one of them.
        progress: called after each run.

    Returns:
        the median wall time, and the highest peak.

    Raises:
        ChildError: the process failed.
    """
    program = "from asd_edge.cli.main import main; main(prog_name='asd-edge')"
    command = [sys.executable, "-P", "-c", program, "score", str(clip), "--bundle", str(bundle)]
    walls, peaks = [], []
    for _ in range(runs):
        wall, peak = watch([*command, *options])
        walls.append(wall)
        peaks.append(peak)
        progress()
    return Process(float(np.median(walls)), max(peaks))


def watch(command: list[str]) -> tuple[float, int]:
    """Run a command; give its wall time in ms and its peak memory in bytes.

    Raises:
        ChildError: it ended with another status than 0.
    """
    watcher = [sys.executable, "-I", "-S", "-c", _WATCH, *command]
    result = subprocess.run(watcher, capture_output=True, text=True, check=False)
    try:
        status, wall, peak = json.loads(result.stdout)
    except ValueError:
        status, wall, peak = result.returncode, 0.0, 0
    if status != 0:
        raise ChildError(" ".join(result.stderr.split()) or f"exit status {status}")
    return wall, peak


def seconds_of(clip: Path) -> float:
    """Length of a sound file in s."""
    import soundfile

    return float(soundfile.info(clip).duration)


def summary(timings: list[Timing], process: Process, clip_seconds: float) -> dict[str, Any]:
    """Give what follows from the times, and the process.

    The real-time factor is the time that a clip takes over the clip's length.
    """
    whole = timings[-1].p50_ms / 1e3
    return {
        "clip_seconds": clip_seconds,
        "clips_per_second": 1 / whole,
        "real_time_factor": whole / clip_seconds,
        "cold_start_ms": process.cold_start_ms,
        "peak_memory_MB": process.peak_memory_bytes / 1e6,
    }


def setting(network: EmbeddingModel, before: State, after: State) -> dict[str, Any]:
    """Give what was measured on: provider, instruction set, processor, versions, its state."""
    return {
        "provider": network.provider,
        "threads": network.threads,
        "instruction_set": instruction_set(),
        "cpu": hardware.cpu_model(),
        "cores": hardware.cores(),
        "onnxruntime": runtime().__version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
        "before": asdict(before),
        "after": asdict(after),
        "throttling": hardware.throttling(before, after),
    }


def lines(timings: list[Timing], rest: dict[str, Any]) -> list[str]:
    """Lay out the figures for people; `rest` is `summary` and `setting` together."""
    whole = timings[-1].p50_ms
    out = [f"{'stage':10}{'p50 ms':>10}{'p90 ms':>10}{'p99 ms':>10}{'share':>8}"]
    out += [
        f"{t.stage:10}{t.p50_ms:10.3f}{t.p90_ms:10.3f}{t.p99_ms:10.3f}{t.p50_ms / whole:8.0%}"
        for t in timings
    ]
    out.append("")
    before, after = State(**rest["before"]), State(**rest["after"])
    of_max = f" of {after.max_mhz:.0f}" if after.max_mhz else ""
    rows = {
        "clip": f"{rest['clip']}, {rest['clip_seconds']:.3g} s, scored {rest['repeat']} times",
        "clips per second": f"{rest['clips_per_second']:.4g}",
        "real-time factor": f"{rest['real_time_factor']:.2g}",
        "cold start": f"{rest['cold_start_ms']:.0f} ms, median of {rest['cold_starts']}",
        "peak memory": f"{rest['peak_memory_MB']:.0f} MB",
        "network": f"{rest['provider']}, {rest['threads']} thread(s), "
        f"onnxruntime {rest['onnxruntime']}",
        "mel kernel": f"{rest['instruction_set']}, 1 thread",
        "processor": f"{rest['cpu']}, {rest['cores']} cores",
        "temperature": _change(before.temperature_c, after.temperature_c, " °C"),
        "frequency": _change(before.mhz, after.mhz, f"{of_max} MHz"),
        "throttling": ", ".join(rest["throttling"]) or _no_throttling(after),
    }
    return out + [f"{name:18}{value}" for name, value in rows.items()]


def _change(before: float | None, after: float | None, unit: str) -> str:
    if before is None or after is None:
        return "this board does not tell"
    return f"{before:.0f}, after the run {after:.0f}{unit}"


def _no_throttling(state: State) -> str:
    told = (state.throttled_count, state.held_down, state.firmware)
    return "this board does not tell" if told == (None, None, None) else "none"
