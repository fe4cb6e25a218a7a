"""The option --recordings, settings of hypothesis, and a tiny data set, run and bundle."""

from __future__ import annotations

import os
from pathlib import Path

# Read when PyTorch is imported: threads that wait for each other by spinning make the tests,
# whose networks are tiny, ten times as slow on a busy machine.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# Tests that import onnxruntime themselves send no telemetry either.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

import pytest
from helpers import TINY_PRESET, invoke, write_tone
from hypothesis import HealthCheck, settings

# How long an example takes to make or to run says nothing on a busy machine.
settings.register_profile(
    "asd-edge", deadline=None, suppress_health_check=[HealthCheck.too_slow], max_examples=50
)
settings.load_profile("asd-edge")
# For an emulated machine: --hypothesis-profile=few
settings.register_profile("few", settings.get_profile("asd-edge"), max_examples=15)


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
    from asd_training.cli.train import main

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
