"""The option --recordings, settings of hypothesis, and a tiny data set, run and bundle."""

from __future__ import annotations

import os
import traceback
from pathlib import Path

# Read when PyTorch is imported: threads that wait for each other by spinning make the tests,
# whose networks are tiny, ten times as slow on a busy machine.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import click
import numpy as np
import pytest
import soundfile
from click.testing import CliRunner, Result
from hypothesis import settings

# No deadline: how long an example takes says nothing on a busy machine.
settings.register_profile("asd-edge", deadline=None, max_examples=50)
settings.load_profile("asd-edge")
# For an emulated machine: --hypothesis-profile=few
settings.register_profile("few", deadline=None, max_examples=15)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--recordings",
        metavar="DIR",
        default=os.environ.get("ASD_EDGE_RECORDINGS") or None,
        help="folder of real recordings and published scores; tests that need it are skipped "
        "without it (default: the environment variable ASD_EDGE_RECORDINGS)",
    )
    parser.addoption(
        "--tiny-bundle",
        metavar="BUNDLE",
        help="the bundle of the fixture tiny_bundle, made elsewhere: for machines without PyTorch",
    )


@pytest.fixture(scope="session")
def recordings(request: pytest.FixtureRequest) -> Path:
    """Folder of real recordings; read-only, whatever a test writes goes to tmp_path."""
    given = request.config.getoption("--recordings")
    if given is None:
        pytest.skip("no folder of real recordings: --recordings DIR or ASD_EDGE_RECORDINGS")
    folder = Path(given).expanduser().resolve()
    if not folder.is_dir():
        pytest.skip(f"--recordings {given}: no such folder")
    return folder


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
unit_norm = true
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


@pytest.fixture(scope="session")
def tiny_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A machine "hummer" of two sections, told by their pitch; anomalies are off pitch."""
    root = tmp_path_factory.mktemp("data") / "tiny"
    for section, pitch in (("00", 200.0), ("01", 310.0)):
        for i in range(12):
            name = f"section_{section}_source_train_normal_{i:04d}_rpm_1000.wav"
            write_tone(root / "hummer" / "train" / name, pitch, seed=i)
        for i in range(4):
            name = f"section_{section}_source_test_normal_{i:04d}.wav"
            write_tone(root / "hummer" / "test" / name, pitch, seed=100 + i)
            name = f"section_{section}_source_test_anomaly_{i:04d}.wav"
            write_tone(root / "hummer" / "test" / name, pitch * 1.6, seed=200 + i)
    return root


@pytest.fixture(scope="session")
def tiny_preset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("preset") / "tiny.toml"
    path.write_text(TINY_PRESET)
    return path


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory: pytest.TempPathFactory, tiny_data: Path, tiny_preset: Path) -> Path:
    from asd_training.cli_train import main

    folder = tmp_path_factory.mktemp("runs") / "hummer"
    cache = folder.parent / "cache"
    invoke(main, tiny_data, "--preset", tiny_preset, "-o", folder, "--cache", cache)
    return folder


@pytest.fixture(scope="session")
def tiny_bundle(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    if ready := request.config.getoption("--tiny-bundle"):
        return Path(ready)
    from asd_export.cli import main

    tiny_run = request.getfixturevalue("tiny_run")
    path = tmp_path_factory.mktemp("bundles") / "hummer.asd"
    invoke(main, tiny_run, "-o", path)
    return path


def invoke(command: click.Command, *arguments: object, status: int = 0) -> Result:
    """Run a command in this process; anything but a clean exit of the status is a failure."""
    result = CliRunner().invoke(command, [str(a) for a in arguments])
    clean = result.exception is None or isinstance(result.exception, SystemExit)
    assert clean, "".join(traceback.format_exception(result.exception))
    assert result.exit_code == status, result.output
    return result
