"""Mel spectrogram: this project's kernel beside librosa, torch and scipy, on one thread.

    python benchmarks/bench_mel.py
    python benchmarks/bench_mel.py --rounds 100 --json > mel.json

The contestants take turns, one call each a round, so that a change of clock or a busy
neighbour meets all of them alike. Error is the largest relative one against librosa in
float64, over whatever lies above -100 dB of the clip's peak.
"""

from __future__ import annotations

import json
import platform
import statistics
import time
from collections.abc import Callable
from importlib.metadata import version

import click
import librosa
import numpy as np
import scipy.fft
import scipy.signal
import scipy.sparse
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from asd_edge.features import MelConfig, MelSpectrogram

CONFIGS = [
    MelConfig(sr=16000, n_fft=1024, hop_length=512, n_mels=128),
    MelConfig(sr=22050, n_fft=2048, hop_length=512, n_mels=256),
]
SECONDS = 10
OURS = "asd_edge"

Transform = Callable[[], NDArray[np.float32]]


def clip(config: MelConfig) -> NDArray[np.float32]:
    """Seeded harmonics in noise 40 dB below, peak about 0.25."""
    rng = np.random.default_rng(0)
    t = np.arange(SECONDS * config.sr) / config.sr
    k = np.arange(1, 30)[:, None]
    y = (np.sin(2 * np.pi * 97 * k * t) / k).sum(axis=0)
    y = 0.25 * y / np.abs(y).max() + 0.0025 * rng.standard_normal(t.size)
    return np.asarray(y, dtype=np.float32)


def reference(y: NDArray[np.float32], config: MelConfig) -> NDArray[np.float64]:
    """By librosa in float64 from end to end."""
    mel: NDArray[np.float64] = librosa.feature.melspectrogram(
        y=y.astype(np.float64),
        sr=config.sr,
        n_fft=config.n_fft,
        hop_length=config.hop_length,
        n_mels=config.n_mels,
        dtype=np.float64,
    )
    return mel


def by_librosa(y: NDArray[np.float32], config: MelConfig) -> Transform:
    """librosa.feature.melspectrogram as people call it."""
    return lambda: librosa.feature.melspectrogram(
        y=y,
        sr=config.sr,
        n_fft=config.n_fft,
        hop_length=config.hop_length,
        n_mels=config.n_mels,
    )


def filters(config: MelConfig) -> NDArray[np.float32]:
    """Give librosa's filters [shape=(n_mels, 1 + n_fft/2)]; the peers build theirs beforehand."""
    weights: NDArray[np.float32] = librosa.filters.mel(
        sr=config.sr, n_fft=config.n_fft, n_mels=config.n_mels
    )
    return weights


def by_torch(y: NDArray[np.float32], config: MelConfig) -> Transform:
    """torch.stft, re^2 + im^2, matmul."""
    samples, weights = torch.from_numpy(y), torch.from_numpy(filters(config))
    window = torch.hann_window(config.n_fft)

    def transform() -> NDArray[np.float32]:
        with torch.inference_mode():
            stft = torch.stft(
                samples,
                config.n_fft,
                config.hop_length,
                window=window,
                pad_mode="constant",
                return_complex=True,
            )
            mel: NDArray[np.float32] = (weights @ (stft.real.square() + stft.imag.square())).numpy()
            return mel

    return transform


def by_scipy(y: NDArray[np.float32], config: MelConfig) -> Transform:
    """scipy.fft.rfft of all frames in float32, filters as a sparse matrix."""
    weights = scipy.sparse.csr_array(filters(config))
    window = scipy.signal.get_window("hann", config.n_fft).astype(np.float32)[:, None]

    def transform() -> NDArray[np.float32]:
        padded = np.pad(y, config.n_fft // 2)
        frames = np.lib.stride_tricks.sliding_window_view(padded, config.n_fft)
        stft = scipy.fft.rfft(frames[:: config.hop_length].T * window, axis=0)
        mel: NDArray[np.float32] = weights @ (stft.real**2 + stft.imag**2)
        return mel

    return transform


def by_us(y: NDArray[np.float32], config: MelConfig) -> Transform:
    """The kernel, with its plan built beforehand."""
    mel = MelSpectrogram(config)
    return lambda: mel(y)


CONTESTANTS = {
    OURS: by_us,
    "librosa": by_librosa,
    "torch.stft + matmul": by_torch,
    "scipy.fft + sparse": by_scipy,
}


def relative_error(mel: NDArray[np.float32], expected: NDArray[np.float64]) -> float:
    """Largest relative error above -100 dB of the peak."""
    audible = expected > 1e-10 * expected.max()
    return float(np.max(np.abs(mel[audible] / expected[audible] - 1)))


def measure(config: MelConfig, rounds: int) -> list[dict[str, float | str]]:
    """Time all contestants in turns; a row for each, ours first."""
    y = clip(config)
    expected = reference(y, config)
    transforms = {name: make(y, config) for name, make in CONTESTANTS.items()}
    errors = {name: relative_error(run(), expected) for name, run in transforms.items()}
    times: dict[str, list[float]] = {name: [] for name in transforms}
    for _ in range(rounds):
        for name, run in transforms.items():
            start = time.perf_counter()
            run()
            times[name].append(1e3 * (time.perf_counter() - start))
    ours = statistics.median(times[OURS])
    return [
        {
            "name": name,
            "min_ms": min(ms),
            "median_ms": statistics.median(ms),
            "times_ours": statistics.median(ms) / ours,
            "max_relative_error": errors[name],
        }
        for name, ms in times.items()
    ]


def machine() -> dict[str, str]:
    """Name the processor and the versions that the figures belong to."""
    model = platform.processor() or platform.machine()
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as info:  # noqa: PTH123
            model = next(
                line.split(":")[1].strip() for line in info if line.startswith("model name")
            )
    except (OSError, StopIteration):
        pass
    packages = ("asd-edge", "numpy", "librosa", "torch", "scipy")
    return {"cpu": model, "python": platform.python_version()} | {p: version(p) for p in packages}


@click.command(help=__doc__)
@click.option("--rounds", default=60, show_default=True, type=click.IntRange(min=1))
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of tables.")
def main(rounds: int, as_json: bool) -> None:
    """Run and print."""
    torch.set_num_threads(1)
    with threadpool_limits(1):
        results = [
            {
                "sr": config.sr,
                "n_fft": config.n_fft,
                "hop_length": config.hop_length,
                "n_mels": config.n_mels,
                "seconds": SECONDS,
                "results": measure(config, rounds),
            }
            for config in CONFIGS
        ]
    if as_json:
        print(json.dumps({"machine": machine(), "rounds": rounds, "configs": results}, indent=2))
        return
    console = Console()
    console.print(", ".join(f"{name} {value}" for name, value in machine().items()))
    for result in results:
        title = "{sr} Hz, n_fft {n_fft}, hop {hop_length}, {n_mels} mels, {seconds} s"
        table = Table(title=title.format(**result))
        for column in ("", "median ms", "min ms", "x ours", "max relative error"):
            table.add_column(column, justify="right" if column else "left")
        for row in result["results"]:  # type: ignore[attr-defined]
            table.add_row(
                row["name"],
                f"{row['median_ms']:.3f}",
                f"{row['min_ms']:.3f}",
                f"{row['times_ours']:.2f}",
                f"{row['max_relative_error']:.1e}",
            )
        console.print(table)


if __name__ == "__main__":
    main()
