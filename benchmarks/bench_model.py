"""Cost of a preset on this machine: size, multiply-adds, mel and network time a window.

    python benchmarks/bench_model.py
    python benchmarks/bench_model.py --rounds 20 --threads 2 --json

The networks have random weights, which cost what trained ones cost. The presets take turns,
a window each a round, so that a busy neighbour meets all of them alike.
"""

from __future__ import annotations

import json
import platform
import statistics
import time
from importlib.metadata import version

import click
import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch import nn

from asd_edge.model import EmbeddingModel
from asd_export.to_onnx import to_onnx
from asd_training import presets
from asd_training.network.views import Network
from asd_training.presets import Preset


def multiply_adds(model: Network, shape: tuple[int, int]) -> int:
    """Multiply-adds of convolutions and linear layers for one window."""
    total = 0

    def count(layer: nn.Module, _: object, output: torch.Tensor) -> None:
        nonlocal total
        weight = layer.weight
        assert isinstance(weight, torch.Tensor)
        places = output[0, 0].numel() if isinstance(layer, nn.Conv2d) else 1
        total += weight.numel() * places

    hooks = [
        layer.register_forward_hook(count)
        for layer in model.modules()
        if isinstance(layer, nn.Conv2d | nn.Linear)
    ]
    with torch.inference_mode():
        model.eval()(torch.zeros(1, *shape))
    for hook in hooks:
        hook.remove()
    return total


class Contestant:
    """A preset with its times in ms."""

    def __init__(self, preset: Preset, threads: int) -> None:
        torch.manual_seed(0)
        self.name = preset.name
        self.front_end = preset.front_end
        model = Network(preset)
        self.multiply_adds = multiply_adds(model, preset.front_end.shape)
        content = to_onnx(model, preset.front_end)
        self.bytes = len(content)
        self.session = EmbeddingModel(content, preset.front_end, model.views, threads=threads)
        rng = np.random.default_rng(0)
        self.samples = rng.standard_normal(preset.front_end.n_samples).astype(np.float32)
        self.mel_ms: list[float] = []
        self.model_ms: list[float] = []

    def run(self) -> None:
        """Take one window from samples to embedding."""
        start = time.perf_counter()
        mel = self.front_end.features(self.samples)
        middle = time.perf_counter()
        self.session.embed(mel[np.newaxis])
        end = time.perf_counter()
        self.mel_ms.append(1e3 * (middle - start))
        self.model_ms.append(1e3 * (end - middle))

    def result(self) -> dict[str, object]:
        """Give the figures; times are medians, with the smallest in front of them."""
        return {
            "preset": self.name,
            "input": f"{self.front_end.shape[0]} x {self.front_end.shape[1]}",
            "model_kB": round(self.bytes / 1e3),
            "MMAC": round(self.multiply_adds / 1e6, 1),
            "mel_ms": f"{min(self.mel_ms):.2f} / {statistics.median(self.mel_ms):.2f}",
            "model_ms": f"{min(self.model_ms):.2f} / {statistics.median(self.model_ms):.2f}",
        }


@click.command()
@click.option("--rounds", default=30, show_default=True)
@click.option("--threads", default=1, show_default=True)
@click.option("--json", "as_json", is_flag=True)
def main(rounds: int, threads: int, as_json: bool) -> None:
    """Measure size, multiply-adds and time of every preset."""
    contestants = [Contestant(presets.load(name), threads) for name in presets.names()]
    for contestant in contestants:
        contestant.run()
        contestant.mel_ms.clear()
        contestant.model_ms.clear()
    for _ in range(rounds):
        for contestant in contestants:
            contestant.run()
    results = [contestant.result() for contestant in contestants]
    if as_json:
        for result in results:
            click.echo(json.dumps(result))
        return
    title = (
        f"{platform.machine()}, {threads} thread(s), onnxruntime {version('onnxruntime')}, "
        f"{rounds} rounds; ms a window: min / median"
    )
    table = Table(*results[0], title=title)
    for result in results:
        table.add_row(*(str(value) for value in result.values()))
    Console(width=110).print(table)


if __name__ == "__main__":
    main()
