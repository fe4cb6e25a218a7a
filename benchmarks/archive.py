"""Score an archive of hard links by one and two local workers in turn, and kill a run twice.

    python benchmarks/archive.py FOLDER --clips 100000          make test-archive

Prints clips a second and peak memory of each run (all processes together, and the largest), the
ratio of the medians, and whether every clip is there once after a run that was killed twice. Exit
status 1 if it is not.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import statistics
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil
import pyarrow.parquet as pq
import soundfile

from asd_edge.bundle.locate import BUILT_IN

SOUNDS = 8


def make_archive(folder: Path, count: int) -> Path:
    """Write a few ten-second clips and link them under `count` names: two machines, 56 days."""
    store, archive = folder / "sounds", folder / f"archive-{count}"
    store.mkdir(parents=True, exist_ok=True)
    for i in range(SOUNDS):
        rng = np.random.default_rng(i)
        t = np.arange(160_000) / 16_000
        hum = sum(np.sin(2 * np.pi * 50 * k * t + rng.uniform(0, 6)) / k for k in range(1, 30))
        soundfile.write(store / f"{i}.wav", 0.05 * hum + 0.02 * rng.normal(size=len(t)), 16_000)
    for i in range(count):
        date = f"2026-{1 + i // 56 % 2:02d}-{1 + i // 2 % 28:02d}"
        day = archive / f"machine {i % 2}" / date
        path = day / f"{i:07d}.wav"
        if not path.exists():
            day.mkdir(parents=True, exist_ok=True)
            os.link(store / f"{i % SOUNDS}.wav", path)
    return archive


def start(archive: Path, output: Path, workers: int) -> psutil.Popen:
    """Start the command in a process group of its own."""
    command = [sys.executable, "-c", "from asd_training.cli.entry import data; data()"]
    command += ["score", str(archive), "--bundle", str(BUILT_IN), "-o", str(output)]
    return psutil.Popen([*command, "--workers", str(workers)], start_new_session=True)


@dataclass
class Use:
    """What a run and its processes used.

    Attributes:
        sizes: resident memory of the command and of its workers in bytes, every half second.
        largest: of one process.
        seconds: processor time of the command, which schedules, and of its workers.
    """

    sizes: list[tuple[int, int]]
    largest: int
    seconds: tuple[float, float]

    def __str__(self) -> str:
        third = -(-len(self.sizes) // 3)
        megabytes = np.array(self.sizes) / 1e6
        thirds = [megabytes[i * third : (i + 1) * third].max(axis=0) for i in range(3)]
        memory = ", ".join(f"{command:.0f} + {workers:.0f}" for command, workers in thirds)
        return (
            f"memory of the command and its workers by thirds at most {memory} MB, largest process "
            f"{self.largest / 1e6:.0f} MB; processor time {self.seconds[0]:.1f} s of the command, "
            f"{self.seconds[1]:.1f} s of the workers"
        )


def watch(process: psutil.Popen) -> Use:
    """Wait for the end of a run."""
    sizes, largest, spent = list[tuple[int, int]](), 0, dict[int, float]()
    while process.poll() is None:
        now = []
        try:
            members = (process, *process.children(recursive=True))
            for member in members:
                now.append(member.memory_info().rss)
                times = member.cpu_times()
                spent[member.pid] = times.user + times.system
        except psutil.Error:  # it has ended
            continue
        sizes.append((now[0], sum(now[1:])))
        largest = max(largest, *now)
        time.sleep(0.5)
    own = spent.pop(process.pid, 0.0)
    return Use(sizes, largest, (own, sum(spent.values())))


def timed(archive: Path, output: Path, workers: int, count: int) -> float:
    """Score an archive from nothing; print and give clips a second."""
    shutil.rmtree(output, ignore_errors=True)
    began = time.monotonic()
    process = start(archive, output, workers)
    use = watch(process)
    if process.returncode != 0:
        raise SystemExit(f"the run ended with {process.returncode}")
    rate = count / (time.monotonic() - began)
    load = os.getloadavg()[0]
    print(
        f"{count} clips, {workers} worker(s): {rate:.0f} clips/s, {use}, load {load:.1f}",
        flush=True,
    )
    return rate


def killed_twice(archive: Path, output: Path, count: int) -> bool:
    """Kill a run when a third, and then two thirds are done; whether every clip is there once."""
    shutil.rmtree(output, ignore_errors=True)
    for share in (1 / 3, 2 / 3):
        process = start(archive, output, 2)
        while process.poll() is None and rows(output) < share * count:
            time.sleep(0.2)
        if process.poll() is not None:
            raise SystemExit("the run ended before it could be killed")
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        print(f"killed with {rows(output)} of {count} rows written", flush=True)
    process = start(archive, output, 2)
    print(f"the rest: {watch(process)}", flush=True)
    clips = pq.read_table(output, columns=["clip", "score"]).to_pandas()
    whole = bool(len(clips) == clips["clip"].nunique() == clips["score"].notna().sum() == count)
    print(f"after two kills: {len(clips)} rows, every clip once: {whole}", flush=True)
    return whole


def rows(output: Path) -> int:
    """Number of rows in the parts that are there."""
    return sum(pq.read_metadata(path).num_rows for path in output.rglob("part-*.parquet"))


def main() -> None:
    """Run what the arguments say."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--clips", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--timed", type=int, help="clips to time; default: all")
    options = parser.parse_args()
    small = min(options.clips, 1000)
    few = make_archive(options.folder, small)
    many = make_archive(options.folder, options.clips)
    some = make_archive(options.folder, options.timed or options.clips)
    output = options.folder / "scores"
    timed(few, output, 2, small)
    rates: dict[int, list[float]] = {1: [], 2: []}
    for _ in range(options.rounds):
        for workers, found in rates.items():
            found.append(timed(some, output, workers, options.timed or options.clips))
    ratio = statistics.median(rates[2]) / statistics.median(rates[1])
    print(f"two workers: {ratio:.2f} times one, {ratio / 2:.0%} of the ideal", flush=True)
    if not killed_twice(many, output, options.clips):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
