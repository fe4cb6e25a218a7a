"""Threads and spinning: gain and cost for a device that scores now and then.

    python benchmarks/bench_threads.py
    python benchmarks/bench_threads.py --pause 0.1 --rounds 20

Each preset's network (random weights) embeds a window on 1 or 2 threads, with onnxruntime's
threads spinning while they wait or not, in turns, each window after a pause. "CPU" is the
processor time of the whole process: during the window, and with the pause that follows.
"""

from __future__ import annotations

import platform
import statistics
import time
from importlib.metadata import version
from typing import Any

import click
import numpy as np
import torch

from asd_edge.bench.hardware import cores, cpu_model
from asd_edge.model import runtime
from asd_export.to_onnx import to_onnx
from asd_training import presets
from asd_training.network.views import Network

SETTINGS = ((1, False), (2, True), (2, False))


def session(model: bytes, threads: int, spinning: bool) -> Any:
    """Open a session."""
    ort = runtime()
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", str(int(spinning)))
    return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])


@click.command()
@click.option("--pause", default=0.1, show_default=True, help="Seconds between windows.")
@click.option("--rounds", default=20, show_default=True)
def main(pause: float, rounds: int) -> None:
    """Measure threads and spinning."""
    click.echo(
        f"{cpu_model()}, {cores()} cores, Python {platform.python_version()}, "
        f"onnxruntime {version('onnxruntime')}; {rounds} rounds\n\n"
        f"| preset | threads | spinning | ms (min) | CPU ms | CPU ms with {pause:g} s after it |\n"
        "|---|---|---|---|---|---|"
    )
    for name in presets.names():
        torch.manual_seed(0)
        preset = presets.load(name)
        model = to_onnx(Network(preset), preset.front_end)
        mel = np.random.default_rng(0).standard_normal((1, *preset.front_end.shape))
        feed = {"mel": mel.astype(np.float32)}
        sessions = [session(model, threads, spinning) for threads, spinning in SETTINGS]
        figures: list[list[tuple[float, float, float]]] = [[] for _ in SETTINGS]
        for _ in range(rounds):
            for one, rows in zip(sessions, figures, strict=True):
                one.run(None, feed)
                time.sleep(pause)  # until the threads of the one before have stopped spinning
                start, cpu = time.perf_counter(), time.process_time()
                one.run(None, feed)
                wall, run = time.perf_counter() - start, time.process_time() - cpu
                time.sleep(pause)
                rows.append((1e3 * wall, 1e3 * run, 1e3 * (time.process_time() - cpu)))
        for (threads, spinning), rows in zip(SETTINGS, figures, strict=True):
            walls, runs, totals = zip(*rows, strict=True)
            on = "on" if spinning else "off"
            click.echo(
                f"| {name} | {threads} | {on} | {statistics.median(walls):.2f} ({min(walls):.2f}) "
                f"| {statistics.median(runs):.2f} | {statistics.median(totals):.2f} |"
            )


if __name__ == "__main__":
    main()
