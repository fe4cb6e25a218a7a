"""Mel spectrogram: this project's kernel, on every instruction set, beside its peers.

    python benchmarks/bench_mel.py
    python benchmarks/bench_mel.py --rounds 100 --json > mel.json
    python benchmarks/bench_mel.py --clip recording.wav --sweep

The peers are librosa, torch and scipy and, where installed, audioflux, kaldi-native-fbank, ducc0
and pyfftw. One thread; --sweep adds tables by n_fft, and rows by thread count and for streams.

The contestants take turns, in an order drawn anew in each round (seeded): a change of clock or
a busy neighbour meets all of them alike. A turn is calls back to back for 20 ms, at least three:

    median, min   of the warm calls, all but the first of each turn: clip after clip, as in training
                  or scoring a folder. Ratios, and the share of the floor, are of these medians.
    cold          median of the first calls of the turns: with the caches, branch predictors and
                  memory that all other contestants left behind, as where a clip comes now and then.

Times are processor time, less what reading it takes: what others run on the same core meanwhile
is left out. Error is the largest relative one against librosa in float64, over whatever lies above
-100 dB of the clip's peak. audioflux is held to its own definition, bands on the HTK scale and up
to a factor. It costs time to keep it below 1e-5: frames that float cannot give so exactly are
computed again in double. "noise" has hardly any of them, "harmonics" hundreds, real recordings
from none to all.

The floor is the time that the 9.46 and 28.2 MFLOP of the two configurations take at the rate of
fused multiply-adds measured in this run (fma_peak.c, needs a C compiler).
"""

from __future__ import annotations

import json
import os
import platform
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, TypeVar

import click
import librosa
import numpy as np
import scipy.fft
import scipy.signal
import scipy.sparse
import soundfile
import torch
from figures import record as keep
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from threadpoolctl import threadpool_limits

from asd_edge.frontend.mel import MelConfig, MelSpectrogram, instruction_sets

CONFIGS = [
    MelConfig(sr=16000, n_fft=1024, hop_length=512, n_mels=128),
    MelConfig(sr=22050, n_fft=2048, hop_length=512, n_mels=256),
]
MFLOP = {1024: 9.46, 2048: 28.2}  # of CONFIGS, by n_fft
SECONDS = 10
OURS = "asd_edge"
TURN_SECONDS = 0.02
TURN_CALLS = 3  # at least: one cold, two warm

Transform = Callable[[], NDArray[np.float32]]
Key = TypeVar("Key")


def noise(config: MelConfig) -> NDArray[np.float32]:
    """Seeded white noise, rms 0.1."""
    rng = np.random.default_rng(0)
    return np.asarray(0.1 * rng.standard_normal(SECONDS * config.sr), dtype=np.float32)


def harmonics(config: MelConfig) -> NDArray[np.float32]:
    """Seeded harmonics in noise 40 dB below, peak about 0.25."""
    rng = np.random.default_rng(0)
    t = np.arange(SECONDS * config.sr) / config.sr
    k = np.arange(1, 30)[:, None]
    y = (np.sin(2 * np.pi * 97 * k * t) / k).sum(axis=0)
    y = 0.25 * y / np.abs(y).max() + 0.0025 * rng.standard_normal(t.size)
    return np.asarray(y, dtype=np.float32)


def recording(path: str) -> Callable[[MelConfig], NDArray[np.float32]]:
    """Repeat or cut the first channel of a file to 10 s; its rate is taken to be the config's."""
    y, _ = soundfile.read(path, dtype="float32", always_2d=True)
    return lambda config: np.resize(y[:, 0], SECONDS * config.sr)


def reference(
    y: NDArray[np.float32], config: MelConfig, *, htk: bool = False
) -> NDArray[np.float64]:
    """By librosa in float64 from end to end."""
    mel: NDArray[np.float64] = librosa.feature.melspectrogram(
        y=y.astype(np.float64),
        sr=config.sr,
        n_fft=config.n_fft,
        hop_length=config.hop_length,
        n_mels=config.n_mels,
        htk=htk,
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


def by_audioflux(y: NDArray[np.float32], config: MelConfig) -> Transform:
    """audioflux.BFT, bands on the HTK scale."""
    import audioflux
    from audioflux.type import (
        SpectralDataType,
        SpectralFilterBankNormalType,
        SpectralFilterBankScaleType,
        SpectralFilterBankStyleType,
        WindowType,
    )

    bft = audioflux.BFT(
        num=config.n_mels,
        radix2_exp=config.n_fft.bit_length() - 1,
        samplate=config.sr,
        low_fre=0.0,
        high_fre=config.sr / 2,
        window_type=WindowType.HANN,
        slide_length=config.hop_length,
        scale_type=SpectralFilterBankScaleType.MEL,
        style_type=SpectralFilterBankStyleType.SLANEY,
        normal_type=SpectralFilterBankNormalType.BAND_WIDTH,
        data_type=SpectralDataType.POWER,
    )
    padded = np.pad(y, config.n_fft // 2)
    return lambda: bft.bft(padded, result_type=1)


def by_kaldi(y: NDArray[np.float32], config: MelConfig) -> Transform:
    """kaldi-native-fbank with Slaney's scale and a Hann window; filters of its own."""
    import kaldi_native_fbank as knf

    options = knf.FbankOptions()
    frame = options.frame_opts
    frame.samp_freq, frame.dither, frame.preemph_coeff = config.sr, 0.0, 0.0
    frame.frame_shift_ms = 1000 * config.hop_length / config.sr
    frame.frame_length_ms = 1000 * config.n_fft / config.sr
    frame.remove_dc_offset, frame.window_type, frame.snip_edges = False, "hann", True
    options.mel_opts.num_bins, options.mel_opts.low_freq = config.n_mels, 0.0
    options.mel_opts.is_librosa = True
    options.use_log_fbank, options.use_power, options.use_energy = False, True, False
    padded = np.pad(y, config.n_fft // 2).tolist()

    def transform() -> NDArray[np.float32]:
        fbank = knf.OnlineFbank(options)
        fbank.accept_waveform(config.sr, padded)
        fbank.input_finished()
        return np.stack([fbank.get_frame(t) for t in range(fbank.num_frames_ready)], axis=1)

    return transform


def by_rfft(y: NDArray[np.float32], config: MelConfig, rfft: Callable[[Any], Any]) -> Transform:
    """Frames [shape=(n_frames, n_fft)] through another real FFT, filters as a sparse matrix."""
    weights = scipy.sparse.csr_array(filters(config))
    window = scipy.signal.get_window("hann", config.n_fft).astype(np.float32)

    def transform() -> NDArray[np.float32]:
        padded = np.pad(y, config.n_fft // 2)
        frames = np.lib.stride_tricks.sliding_window_view(padded, config.n_fft)
        stft = rfft(frames[:: config.hop_length] * window)
        mel: NDArray[np.float32] = weights @ (stft.real**2 + stft.imag**2).T
        return mel

    return transform


def by_ducc0(y: NDArray[np.float32], config: MelConfig) -> Transform:
    """ducc0.fft.r2c + sparse filters."""
    import ducc0

    return by_rfft(y, config, lambda x: ducc0.fft.r2c(x, axes=(1,), nthreads=1))


def by_pyfftw(y: NDArray[np.float32], config: MelConfig) -> Transform:
    """FFTW's measured plan + sparse filters."""
    import pyfftw

    shape = (config.n_frames(y.size), config.n_fft)
    plan = pyfftw.builders.rfft(pyfftw.empty_aligned(shape, "float32"), axis=1, threads=1)
    return by_rfft(y, config, plan)


def by_us(name: str) -> Callable[[NDArray[np.float32], MelConfig], Transform]:
    """The kernel on one instruction set, with its plan built beforehand."""

    def make(y: NDArray[np.float32], config: MelConfig) -> Transform:
        os.environ["ASD_EDGE_SIMD"] = name
        mel = MelSpectrogram(config)
        return lambda: mel(y)

    return make


PEERS = {
    "librosa": by_librosa,
    "torch.stft + matmul": by_torch,
    "scipy.fft + sparse": by_scipy,
    "audioflux": by_audioflux,
    "kaldi-native-fbank": by_kaldi,
    "ducc0 + sparse": by_ducc0,
    "pyfftw + sparse": by_pyfftw,
}
# Other sizes they round to one.
POWERS_OF_TWO_ONLY = {"audioflux", "kaldi-native-fbank"}
CONTESTANTS = {f"{OURS} {name}": by_us(name) for name in instruction_sets()} | PEERS
FASTEST = next(iter(CONTESTANTS))


def relative_error(mel: NDArray[np.float32], expected: NDArray[np.float64]) -> float:
    """Largest relative error above -100 dB of the peak."""
    if mel.shape != expected.shape:
        return float("nan")
    audible = expected > 1e-10 * expected.max()
    return float(np.max(np.abs(mel[audible] / expected[audible] - 1)))


def fma_peak() -> float | None:
    """Measure GFLOP/s of fused multiply-adds on one core; None without a C compiler."""
    compiler = shutil.which(os.environ.get("CC", "cc"))
    if compiler is None:
        return None
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder) / "fma_peak"
        source = Path(__file__).with_name("fma_peak.c")
        flags = ["-O2", "-march=native", "-ffp-contract=fast"]
        subprocess.run([compiler, *flags, str(source), "-o", str(program)], check=True)
        run = subprocess.run([str(program)], check=True, capture_output=True, text=True)
    return float(run.stdout)


@dataclass
class Times:
    """Processor seconds of one contestant's calls."""

    cold: list[float] = field(default_factory=list)
    warm: list[float] = field(default_factory=list)

    @property
    def cold_median(self) -> float:
        """Of the first calls of the turns."""
        return statistics.median(self.cold)

    @property
    def warm_median(self) -> float:
        """Of all other calls."""
        return statistics.median(self.warm)

    def turn(self, run: Callable[[], object], clock_cost: float) -> None:
        """Call for TURN_SECONDS, at least TURN_CALLS times."""
        calls: list[float] = []
        while len(calls) < TURN_CALLS or sum(calls) < TURN_SECONDS:
            start = time.process_time()
            run()
            calls.append(time.process_time() - start - clock_cost)
        self.cold.append(calls[0])
        self.warm += calls[1:]


def clock_cost() -> float:
    """Seconds that reading the processor's time adds to what is timed: a system call, 1 us."""
    costs = []
    for _ in range(1001):
        start = time.process_time()
        costs.append(time.process_time() - start)
    return statistics.median(costs)


def take_turns(runs: Mapping[Key, Callable[[], object]], rounds: int) -> dict[Key, Times]:
    """Let every contestant have a turn in each round, in an order drawn anew."""
    times = {name: Times() for name in runs}
    order, shuffle = list(runs), random.Random(0).shuffle
    cost = clock_cost()
    for _ in range(rounds):
        shuffle(order)
        for name in order:
            times[name].turn(runs[name], cost)
    return times


def measure(
    y: NDArray[np.float32], config: MelConfig, rounds: int, floor_ms: float | None = None
) -> list[dict[str, float | str | None]]:
    """Time all contestants in turns; a row for each, ours first."""
    expected, expected_htk = reference(y, config), reference(y, config, htk=True)
    transforms = {}
    for name, make in CONTESTANTS.items():
        if name in POWERS_OF_TWO_ONLY and config.n_fft & (config.n_fft - 1):
            continue
        try:
            transforms[name] = make(y, config)
        except ImportError:
            continue
    errors = {}
    for name, run in transforms.items():
        mel = run()
        if name == "audioflux":
            mel = mel / np.median(mel / expected_htk)
            errors[name] = relative_error(mel, expected_htk)
        else:
            errors[name] = relative_error(mel, expected)
    times = take_turns(transforms, rounds)
    ours, base = times[FASTEST], times["librosa"]
    return [
        {
            "name": name,
            "min_ms": 1e3 * min(it.warm),
            "median_ms": 1e3 * it.warm_median,
            "cold_median_ms": 1e3 * it.cold_median,
            "times_ours": it.warm_median / ours.warm_median,
            "faster_than_librosa": base.warm_median / it.warm_median,
            "cold_faster_than_librosa": base.cold_median / it.cold_median,
            "share_of_floor": floor_ms and floor_ms / (1e3 * it.warm_median),
            "max_relative_error": errors[name],
        }
        for name, it in times.items()
    ]


def by_threads(config: MelConfig, counts: list[int], rounds: int) -> list[dict[str, float]]:
    """Clips a second of one plan shared by several threads."""
    os.environ["ASD_EDGE_SIMD"] = instruction_sets()[0]
    mel, y = MelSpectrogram(config), noise(config)
    rows = []
    for count in counts:
        with ThreadPoolExecutor(count) as pool:
            list(pool.map(mel, [y] * count))
            start = time.perf_counter()
            list(pool.map(mel, [y] * rounds * count))
            seconds = time.perf_counter() - start
        rows.append({"threads": count, "clips_per_s": rounds * count / seconds})
    return rows


def by_pushes(config: MelConfig, hops: list[int], rounds: int) -> list[dict[str, float]]:
    """Streams by length of a push: their time a frame beside that of the whole clip."""
    os.environ["ASD_EDGE_SIMD"] = instruction_sets()[0]
    mel, y = MelSpectrogram(config), noise(config)

    def push_all(size: int) -> None:
        stream = mel.stream()
        for at in range(0, y.size, size):
            stream.push(y[at : at + size])
        stream.finish()

    runs: dict[int, Callable[[], object]] = {0: lambda: mel(y)}
    runs |= {n: partial(push_all, n * config.hop_length) for n in hops}
    times = take_turns(runs, rounds)
    whole = times[0]
    return [
        {
            "n_fft": config.n_fft,
            "hops": n,
            "times_whole": times[n].warm_median / whole.warm_median,
            "cold_times_whole": times[n].cold_median / whole.cold_median,
        }
        for n in hops
    ]


def machine() -> dict[str, str]:
    """Name the processor and the versions that the figures belong to."""
    model = platform.processor() or platform.machine()
    try:
        with Path("/proc/cpuinfo").open(encoding="utf-8") as info:
            model = next(
                line.split(":")[1].strip() for line in info if line.startswith("model name")
            )
    except (OSError, StopIteration):
        pass
    packages = {}
    for name in (
        *("asd-edge", "numpy", "librosa", "torch", "scipy"),
        *("audioflux", "kaldi-native-fbank", "ducc0", "pyfftw"),
    ):
        try:
            packages[name] = version(name)
        except PackageNotFoundError:
            continue
    return {"cpu": model, "python": platform.python_version()} | packages


def show(console: Console, title: str, rows: list[dict[str, float | str | None]]) -> None:
    """Print one table."""
    table = Table(title=title)
    columns = ("", "median ms", "min ms", "cold ms", "x ours", "librosa /", "cold librosa /")
    for column in (*columns, "of floor", "max rel. error"):
        table.add_column(column, justify="right" if column else "left", no_wrap=True)
    for row in rows:
        share = row["share_of_floor"]
        table.add_row(
            str(row["name"]),
            f"{row['median_ms']:.3f}",
            f"{row['min_ms']:.3f}",
            f"{row['cold_median_ms']:.3f}",
            f"{row['times_ours']:.2f}",
            f"{row['faster_than_librosa']:.1f}",
            f"{row['cold_faster_than_librosa']:.1f}",
            "" if share is None else f"{share:.0%}",
            f"{row['max_relative_error']:.1e}",
        )
    console.print(table)


@click.command(help=__doc__)
@click.option("--rounds", default=60, show_default=True, type=click.IntRange(min=1))
@click.option("--clip", "clips", multiple=True, type=click.Path(exists=True, dir_okay=False))
@click.option("--sweep", is_flag=True, help="Also by n_fft, by thread count and in pieces.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of tables.")
@click.option("--record", is_flag=True, help="Keep the figures for README: benchmarks/figures.json")
def main(rounds: int, clips: tuple[str, ...], sweep: bool, as_json: bool, record: bool) -> None:
    """Run and print."""
    torch.set_num_threads(1)
    signals = {"noise": noise, "harmonics": harmonics}
    signals |= {path: recording(path) for path in clips}  # by path: names may be alike
    peak = fma_peak()
    console = Console(stderr=as_json, width=130)  # room for the tables, in a pipe too
    console.print(", ".join(f"{name} {value}" for name, value in machine().items()))
    console.print(f"peak of fused multiply-adds {peak} GFLOP/s")
    cases = [(name, config) for name in signals for config in CONFIGS]
    if sweep:
        cases += [
            ("noise", MelConfig(n_fft=n, hop_length=n // 2, n_mels=n // 8))
            for n in (256, 400, 512, 1000, 4096, 8192)
        ]
    results = []
    with threadpool_limits(1):
        for signal, config in cases:
            floor = None
            if peak is not None and config in CONFIGS:
                floor = MFLOP[config.n_fft] / peak
            rows = measure(signals[signal](config), config, rounds, floor)
            about = {
                "signal": signal,
                "sr": config.sr,
                "n_fft": config.n_fft,
                "hop_length": config.hop_length,
                "n_mels": config.n_mels,
                "seconds": SECONDS,
            }
            results.append(about | {"results": rows})
            title = "{signal}: {sr} Hz, n_fft {n_fft}, hop {hop_length}, {n_mels} mels, {seconds} s"
            show(console, title.format(**about), rows)
        if record:
            # By the least times, which other programs on the machine change least.
            least = [{row["name"]: row["min_ms"] for row in x["results"]} for x in results]
            ratios = [times["librosa"] / times[FASTEST] for times in least]
            arguments = [Path(x).name for x in sys.argv[1:]]
            command = " ".join(["python benchmarks/bench_mel.py", *arguments])
            figures = {"least": min(ratios), "most": max(ratios)}
            keep({f"mel_librosa_ratio_{name}": x for name, x in figures.items()}, command)
        threads = by_threads(CONFIGS[0], [1, 2, 4], rounds) if sweep else []
        pushes = (
            [row for c in CONFIGS for row in by_pushes(c, [1, 4, 8, 16, 32, 64], rounds)]
            if sweep
            else []
        )
    for row in threads:
        console.print(f"{row['threads']} threads: {row['clips_per_s']:.0f} clips/s")
    for row in pushes:
        title = (
            "n_fft {n_fft}, pushes of {hops} hops: {times_whole:.2f} times the whole clip's time"
            " ({cold_times_whole:.2f} cold)"
        )
        console.print(title.format(**row))
    if as_json:
        everything = {"machine": machine(), "peak_gflops": peak, "rounds": rounds}
        print(
            json.dumps(
                everything | {"configs": results, "threads": threads, "pushes": pushes}, indent=2
            )
        )


if __name__ == "__main__":
    main()
