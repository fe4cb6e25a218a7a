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


def watch(process: psutil.Popen) -> tuple[int, int]:
    """Wait for the end; give the most memory of all its processes and of one, in bytes."""
    together = largest = 0
    while process.poll() is None:
        sizes = []
        for member in (process, *process.children(recursive=True)):
            try:
                sizes.append(member.memory_info().rss)
            except psutil.Error:
                continue
        together, largest = max(together, sum(sizes)), max(largest, *sizes, 0)
        time.sleep(0.5)
    return together, largest


def timed(archive: Path, output: Path, workers: int, count: int) -> float:
    """Score an archive from nothing; print and give clips a second."""
    shutil.rmtree(output, ignore_errors=True)
    began = time.monotonic()
    process = start(archive, output, workers)
    together, largest = watch(process)
    if process.returncode != 0:
        raise SystemExit(f"the run ended with {process.returncode}")
    rate = count / (time.monotonic() - began)
    load = os.getloadavg()[0]
    print(
        f"{count} clips, {workers} worker(s): {rate:.0f} clips/s, memory {together / 1e6:.0f} MB, "
        f"largest process {largest / 1e6:.0f} MB, load {load:.1f}",
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
    watch(process)
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
    options = parser.parse_args()
    small = min(options.clips, 1000)
    few = make_archive(options.folder, small)
    many = make_archive(options.folder, options.clips)
    output = options.folder / "scores"
    timed(few, output, 2, small)
    rates: dict[int, list[float]] = {1: [], 2: []}
    for _ in range(options.rounds):
        for workers, found in rates.items():
            found.append(timed(many, output, workers, options.clips))
    ratio = statistics.median(rates[2]) / statistics.median(rates[1])
    print(f"two workers: {ratio:.2f} times one, {ratio / 2:.0%} of the ideal", flush=True)
    if not killed_twice(many, output, options.clips):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
