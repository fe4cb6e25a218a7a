"""A full disk is one line that names the file, status 1, and nothing is half-written."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from helpers import invoke

from asd_export.cli import main as export
from asd_training.cli.data import main as data
from asd_training.cli.evaluate import main as evaluate
from asd_training.cli.train import main as train


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 1 MB, in memory."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    try:
        subprocess.run(command, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("a small disk cannot be mounted here")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def fill(disk: Path, left: int) -> None:
    """Leave so many bytes of it."""
    free = os.statvfs(disk)
    (disk / "fill").write_bytes(bytes(free.f_bavail * free.f_frsize - left))


def said(command: click.Command, *arguments: object) -> str:
    output = invoke(command, *arguments, status=1).stderr
    lines = [line for line in output.splitlines() if "o space left on device" in line]
    assert len(lines) == 1
    assert "Traceback" not in output
    return lines[0]


def files(disk: Path) -> set[str]:
    found = {path.relative_to(disk).as_posix() for path in disk.rglob("*") if path.is_file()}
    return found - {"fill"}


def test_synthetic_data(disk: Path) -> None:
    fill(disk, 20_000)
    few = ("--machine", "fan", "--sections", 1, "--train", 3, "--test", 1, "--seconds", 2)
    line = said(data, "synth", disk / "data", *few, "--jobs", 1)
    assert line.startswith(f"Error: {disk}/data/fan/train/section_00_source_train_normal_0000")
    assert files(disk) == {"data/README.md"}


def test_features(disk: Path, tiny_data: Path, tiny_preset: Path) -> None:
    pytest.importorskip("distributed", reason="the extra cluster is not installed")
    fill(disk, 20_000)
    path = disk / "table.parquet"
    line = said(data, "features", tiny_data, "-o", path, "--preset", tiny_preset, "--workers", 1)
    assert str(disk) in line
    assert files(disk) == set()


def test_checkpoint(disk: Path, tmp_path: Path, tiny_data: Path, tiny_preset: Path) -> None:
    fill(disk, 20_000)
    arguments = ("--preset", tiny_preset, "--cache", tmp_path / "cache")
    line = said(train, tiny_data, "-o", disk / "run", *arguments)
    assert line.startswith(f"Error: {disk}/run/checkpoint.pt: ")
    assert files(disk) == {"run/run.json"}
    (disk / "fill").unlink()
    invoke(train, tiny_data, "-o", disk / "run", *arguments, "--resume")


def test_export_and_evaluation(disk: Path, tiny_run: Path, tiny_data: Path) -> None:
    fill(disk, 20_000)
    line = said(export, tiny_run, "-o", disk / "own.asd", "--data", tiny_data)
    assert line.startswith(f"Error: {disk}/own.asd")
    assert files(disk) == set()
    line = said(evaluate, tiny_run, tiny_data, "-o", disk / "evaluation", "--device", "cpu")
    assert line.startswith(f"Error: {disk}/evaluation/")
    assert not any(path.name.endswith(".tmp") for path in disk.rglob("*"))
