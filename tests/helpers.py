"""Helpers that tests of several rooms share."""

from __future__ import annotations

import traceback
from pathlib import Path

import click
import numpy as np
import soundfile
from click.testing import CliRunner, Result

ROOT = Path(__file__).parents[1]
NOT_ON_THE_DEVICE = ("torch", "onnx", "onnxscript", "pandas", "sklearn", "matplotlib", "scipy")
NOT_ON_THE_DEVICE += ("rich", "pyarrow", "librosa", "jinja2")

TINY_PRESET = """
[front_end]
clip_seconds = 1.0
overlap = 0.5
channel = "mean"
[front_end.mel]
sr = 8000
n_fft = 256
hop_length = 128
n_mels = 32
log = "db"
[model]
normalize = "band"
separable = true
channels = [4, 8]
kernel = [3, 3]
stride = [2, 2]
padding = [1, 1]
pool_kernel = [1, 1]
pool_stride = [1, 1]
dropout = 0.1
head = "time_mean"
embedding_dim = 8
[statistics]
lags = [1, 2]
[loss]
name = "triplet"
mining = "all"
margin = 0.5
[augment]
pseudo_classes = ["statistics_exchange", "shift"]
[training]
epochs = 3
min_items = 40
batch_size = 8
lr = 3e-3
schedule = "one_cycle"
weight_decay = 1e-4
holdout = 0.25
[scoring.embedding]
metric = "cosine"
k = 2
references = "all"
weight = 0.5
[scoring.statistics]
metric = "whitened"
local_density = 2
references = "kmeans-3"
"""


def write_tone(path: Path, frequency: float, seed: int, seconds: float = 1.0) -> None:
    """A machine that hums: three harmonics in noise, 8 kHz PCM16."""
    rng = np.random.default_rng(seed)
    t = np.arange(round(8000 * seconds)) / 8000
    y = sum(np.sin(2 * np.pi * k * frequency * t + rng.uniform(0, 6)) / k for k in (1, 2, 3))
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, 0.1 * y + 0.01 * rng.standard_normal(len(t)), 8000, subtype="PCM_16")


def invoke(command: click.Command, *arguments: object, status: int = 0) -> Result:
    """Run a command in this process; anything but a clean exit of the status is a failure."""
    result = CliRunner().invoke(command, [str(a) for a in arguments])
    clean = result.exception is None or isinstance(result.exception, SystemExit)
    assert clean, "".join(traceback.format_exception(result.exception))
    assert result.exit_code == status, result.output
    return result


def absent(*packages: str) -> str:
    """Lines of Python after which packages cannot be imported."""
    return f"""
import importlib.abc, sys
class Absent(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {packages!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Absent())
"""
