"""From a sound file to a decision: asd-edge beside common ways to write the same.

    python benchmarks/bench_pipeline.py
    python benchmarks/bench_pipeline.py --bundle fan.asd --clip clip.wav --rounds 30

All on one thread, warm, in turns of 20 ms or one call; a call before each turn does not count, so
that none pays for the caches that its neighbour emptied. Without a bundle the network is the
preset's with random weights, which cost what trained ones cost; the embeddings of the
candidates that share a network must agree, or nothing is printed. On a busy machine the processor
time is the one to trust: who is long at it is interrupted more often. `librosa + torch` with the
preset's network needs its weights in PyTorch, so it is left out when a bundle is named.
"""

from __future__ import annotations

import os

os.environ["OPENBLAS_NUM_THREADS"] = os.environ["OMP_NUM_THREADS"] = "1"  # read on import

import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import click
import librosa
import numpy as np
import soundfile
import torch
from figures import record as keep
from numpy.typing import NDArray

from asd_edge.bench.hardware import cpu_model
from asd_edge.bundle.format import read_bundle
from asd_edge.detector import Detector
from asd_edge.frontend.mel import MelConfig, instruction_set
from asd_edge.model import EmbeddingModel, runtime
from asd_edge.scoring.fit import cross_fit
from asd_edge.scoring.normals import NormalEmbeddings
from asd_edge.verify import relative_error
from asd_export.to_onnx import to_onnx
from asd_training import presets
from asd_training.network.views import Network
from asd_training.presets import Preset
from asd_training.reference_selection import view_rules

Embeddings = dict[str, NDArray[np.float32]]
Embed = Callable[[], Embeddings]
SECTION = "00"
TURN_SECONDS = 0.02


def librosa_mel(path: Path, config: MelConfig) -> NDArray[np.float32]:
    """Load a clip and make its mel spectrogram as the documentation of librosa shows it."""
    y, _ = librosa.load(path, sr=config.sr)
    mel = librosa.feature.melspectrogram(
        y=y,
        sr=config.sr,
        n_fft=config.n_fft,
        hop_length=config.hop_length,
        n_mels=config.n_mels,
        fmin=config.fmin,
        fmax=config.fmax,
        power=config.power,
        center=config.center,
        pad_mode=config.pad_mode,
    )
    if config.log == "db":
        to_db = librosa.power_to_db if config.power == 2 else librosa.amplitude_to_db
        amin = {} if config.amin is None else {"amin": config.amin}
        mel = to_db(mel, ref=1.0, top_db=None, **amin)
    return mel.astype(np.float32)


def network(name: str) -> tuple[Network, Preset]:
    """Give a preset's network with random weights."""
    torch.manual_seed(0)
    preset = presets.load(name)
    model = Network(preset).eval()
    if preset.model is not None and preset.model.normalize == "band":
        assert model.learned is not None  # as after training: decibels have a mean far from 0
        model.learned.mean.fill_(-50.0)
        model.learned.std.fill_(10.0)
    return model, preset


def random_detector(model: bytes, preset: Preset, network: Network) -> Detector:
    """Put a network behind references of 200 random clips, by the preset's rules."""
    rng = np.random.default_rng(0)
    mels = rng.normal(-50, 10, (200, *preset.front_end.shape)).astype(np.float32)
    normals = NormalEmbeddings(
        views=network.embed(mels),
        clips=np.array([f"{i:04d}.wav" for i in range(200)]),
        sections=np.repeat([SECTION, "01"], 100),
        domains=np.full(200, "source"),
    )
    scorer, calibration = cross_fit(view_rules(preset, 0), normals)
    embedder = EmbeddingModel(model, preset.front_end, scorer.views)
    return Detector(preset.front_end, embedder, scorer, calibration)


def with_onnxruntime(path: Path, model: bytes, config: MelConfig) -> Embed:
    """Embed a clip by librosa and onnxruntime with its default options but one thread."""
    ort = runtime()
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])

    names = [output.name for output in session.get_outputs()]

    def embed() -> Embeddings:
        outputs = session.run(None, {"mel": librosa_mel(path, config)[np.newaxis]})
        return dict(zip(names, outputs, strict=True))

    return embed


def with_torch(path: Path, model: Network, config: MelConfig) -> Embed:
    """Embed a clip by librosa and PyTorch."""

    def embed() -> Embeddings:
        mel = torch.from_numpy(librosa_mel(path, config)).unsqueeze(0)
        with torch.inference_mode():
            outputs = model(mel)
        return {view: x.numpy() for view, x in zip(model.views, outputs, strict=True)}

    return embed


def decide(embed: Embed, references: Embeddings, threshold: float) -> Callable[[], bool]:
    """Decide by the euclidean distances to the nearest references, summed over the views."""

    def run() -> bool:
        distances = (
            np.linalg.norm(references[view] - x, axis=1).min() for view, x in embed().items()
        )
        return bool(sum(distances) >= threshold)

    return run


def turn(run: Callable[[], object]) -> list[tuple[float, float]]:
    """Call for TURN_SECONDS, at least once; give wall and processor seconds of each call."""
    end = time.perf_counter() + TURN_SECONDS
    calls: list[tuple[float, float]] = []
    while not calls or time.perf_counter() < end:
        start, cpu = time.perf_counter(), time.process_time()
        run()
        calls.append((time.perf_counter() - start, time.process_time() - cpu))
    return calls


def figures(calls: list[tuple[float, float]]) -> tuple[float, float, float]:
    """Median and least wall time and median processor time, in ms."""
    walls, cpus = zip(*calls, strict=True)
    return 1e3 * statistics.median(walls), 1e3 * min(walls), 1e3 * statistics.median(cpus)


def machine_clip(folder: str) -> Path:
    """Write 10 s of a hum in noise: mono PCM16, 16 kHz."""
    rng = np.random.default_rng(0)
    t = np.arange(160_000) / 16_000
    hum = sum(np.sin(2 * np.pi * 120 * k * t) / k for k in range(1, 20))
    path = Path(folder) / f"section_{SECTION}_source_test_normal_0000.wav"
    soundfile.write(path, 0.1 * hum + 0.02 * rng.standard_normal(t.size), 16_000, subtype="PCM_16")
    return path


@click.command()
@click.option("--bundle", type=click.Path(path_type=Path), help="Default: the preset's network.")
@click.option("--preset", default="edge", show_default=True)
@click.option("--clip", type=click.Path(path_type=Path), help="Default: a hum in noise of 10 s.")
@click.option("--rounds", default=20, show_default=True)
@click.option("--record", is_flag=True, help="Keep the figures for README: benchmarks/figures.json")
def main(bundle: Path | None, preset: str, clip: Path | None, rounds: int, record: bool) -> None:
    """Measure the ways from a file to a decision beside each other."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        times = compare(bundle, preset, clip or machine_clip(folder), rounds)
    if record:
        # Processor time, which other programs on the machine change least.
        own, other = (figures(times[x])[2] for x in ("asd-edge", "librosa + onnxruntime"))
        command = " ".join(
            ["python benchmarks/bench_pipeline.py", *(Path(x).name for x in sys.argv[1:])]
        )
        keep({"pipeline_ms": own, "pipeline_librosa_ratio": other / own}, command)


def compare(
    bundle: Path | None, preset: str, path: Path, rounds: int
) -> dict[str, list[tuple[float, float]]]:
    """Build the candidates, check them against each other, time them, print a table."""
    embedders: dict[str, Embed] = {}
    if bundle is None:
        network_name = f"preset {preset}"
        model, recipe = network(preset)
        front_end = recipe.front_end
        content = to_onnx(model, front_end)
        detector = random_detector(content, recipe, model)
        embedders["librosa + onnxruntime"] = with_onnxruntime(path, content, front_end.mel)
        embedders["librosa + torch"] = with_torch(path, model, front_end.mel)
    else:
        network_name = bundle.name
        contents = read_bundle(bundle)
        front_end, detector = contents.front_end, Detector.from_bundle(contents, path=bundle)
        embedders["librosa + onnxruntime"] = with_onnxruntime(path, contents.model, front_end.mel)
    own = detector.analyse(path).embeddings
    for name, embed in embedders.items():
        got = embed()
        error = max(relative_error(got[view], own[view]) for view in own)
        if not error < 1e-3:
            raise click.ClickException(f"{name} and asd-edge disagree: relative error {error:.1e}")
    big, report = network("report")
    embedders["librosa + torch, the report's network"] = with_torch(path, big, report.front_end.mel)

    references = {n: view.references.embeddings for n, view in detector.scorer.views.items()}
    of_report = {"embedding": np.zeros((15, report.model.embedding_dim), np.float32)}
    candidates: dict[str, Callable[[], object]] = {"asd-edge": lambda: detector.score(path)}
    for name, embed in embedders.items():
        candidates[name] = decide(embed, of_report if "report" in name else references, 1.0)
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in candidates}
    for _ in range(rounds):
        for name, run in candidates.items():
            run()
            times[name] += turn(run)

    info = soundfile.info(path)
    versions = ", ".join(f"{n} {version(n)}" for n in ("onnxruntime", "librosa", "torch", "numpy"))
    click.echo(
        f"{cpu_model()} ({platform.machine()}, mel kernel {instruction_set()}), Python "
        f"{platform.python_version()}, {versions}\n"
        f"{network_name}; clip of {info.duration:g} s, {info.subtype}, {info.samplerate} Hz, "
        f"{info.channels} channel(s); one thread, {rounds} rounds\n\n"
        "| file to decision | median ms | min ms | median CPU ms | it / asd-edge: median | min "
        "| CPU |\n|---|---|---|---|---|---|---|"
    )
    base = figures(times["asd-edge"])
    for name, calls in times.items():
        wall, least, cpu = figures(calls)
        click.echo(
            f"| {name} | {wall:.3f} | {least:.3f} | {cpu:.3f} | "
            f"{wall / base[0]:.1f} | {least / base[1]:.1f} | {cpu / base[2]:.1f} |"
        )
    return times


if __name__ == "__main__":
    main()
