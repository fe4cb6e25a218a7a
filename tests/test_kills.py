"""Commands killed at any moment (SIGKILL): files are whole, and nothing is lost that was reported.

    ASD_EDGE_KILLS=100 pytest tests/test_kills.py        or: make test-kills

Without the variable each command that starts quickly is killed twice.
"""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from helpers import write_tone

from asd_edge.bundle.format import read_bundle
from asd_edge.errors import MissingFileError

KILLS = int(os.environ.get("ASD_EDGE_KILLS", "0"))
EDGE = "asd_edge.cli.startup:main"
TRAIN, DATA = "asd_training.cli.entry:train", "asd_training.cli.entry:data"
EXPORT = "asd_export.entry:main"


def shares(of_a_hundred: int, at_least: int) -> list[float]:
    """Moments of the kills, evenly spread, as a share of the time that the command takes."""
    count = max(KILLS * of_a_hundred // 100, at_least)
    return [(i + 0.5) / count for i in range(count)]


def start(entry: str, *arguments: object) -> subprocess.Popen[str]:
    module, function = entry.split(":")
    return subprocess.Popen(
        [sys.executable, "-c", f"from {module} import {function} as f; f()", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def whole(entry: str, *arguments: object) -> tuple[str, str, float]:
    """Run a command to its end: stdout, stderr, seconds."""
    begin = time.monotonic()
    process = start(entry, *arguments)
    out, err = process.communicate()
    assert process.returncode == 0, err
    return out, err, time.monotonic() - begin


def killed(after: float, entry: str, *arguments: object) -> tuple[str, str]:
    """Run a command and kill it: what it had printed."""
    process = start(entry, *arguments)
    try:
        return process.communicate(timeout=after)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.communicate()


def temporaries(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if ".tmp" in path.name]


def made_old(folder: Path) -> None:
    """Let what a killed process has left look as if it were from before."""
    before = time.time() - 3600
    for path in temporaries(folder):
        os.utime(path, (before, before))


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clips")
    for i in range(40):
        write_tone(folder / f"{i:02d}.wav", 200, i, seconds=2)
    return folder


def test_score(clips: Path, tiny_bundle: Path) -> None:
    arguments = ("score", clips, "--bundle", tiny_bundle, "--json")
    everything, _, seconds = whole(EDGE, *arguments)
    assert len(everything.splitlines()) == 40
    for share in shares(30, 2):
        out, _ = killed(share * seconds, EDGE, *arguments)
        assert everything.startswith(out)
        for line in out.split("\n")[:-1]:
            json.loads(line)


def test_enroll(clips: Path, tiny_bundle: Path, tmp_path: Path) -> None:
    bundle = tmp_path / "x.asd"
    arguments = ("enroll", clips, "--from", tiny_bundle, "-o", bundle)
    seconds = whole(EDGE, *arguments)[2]
    for i, share in enumerate(shares(30, 2)):
        before = read_bundle(bundle).checksum
        clip = clips / f"new_{i}.wav"  # so that the next bundle is another
        write_tone(clip, 200, 100 + i, seconds=2)
        _, err = killed(share * seconds, EDGE, *arguments)
        after = read_bundle(bundle).checksum
        assert after != before or "x.asd: " not in err
        clip.unlink()
    made_old(tmp_path)
    whole(EDGE, *arguments)
    assert [path.name for path in tmp_path.iterdir()] == ["x.asd"]


def run_is_whole(folder: Path) -> None:
    for path in folder.glob("*.json"):
        json.loads(path.read_text())
    with (folder / "metrics.csv").open() as file:
        assert all(None not in row.values() for row in csv.DictReader(file))


needs_minutes = pytest.mark.skipif(
    not KILLS, reason="minutes of PyTorch's start: ASD_EDGE_KILLS=100, or make test-kills"
)


@needs_minutes
def test_export(tiny_run: Path, tmp_path: Path) -> None:
    bundle = tmp_path / "x.asd"
    seconds = whole(EXPORT, tiny_run, "-o", bundle)[2]
    shutil.rmtree(bundle)
    for share in shares(12, 1):
        _, err = killed(share * seconds, EXPORT, tiny_run, "-o", bundle)
        try:
            read_bundle(bundle)
        except MissingFileError:
            assert "x.asd: " not in err
    made_old(tmp_path)
    whole(EXPORT, tiny_run, "-o", bundle)
    assert [path.name for path in tmp_path.iterdir()] == ["x.asd"]


@needs_minutes
def test_features(tiny_data: Path, tiny_preset: Path, tmp_path: Path) -> None:
    import pandas as pd

    table = tmp_path / "x.parquet"
    arguments = ("features", tiny_data, "--preset", tiny_preset, "-o", table)
    seconds = whole(DATA, *arguments)[2]
    rows = len(pd.read_parquet(table))
    for share in shares(14, 1):
        table.unlink(missing_ok=True)
        _, err = killed(share * seconds, DATA, *arguments)
        if table.exists():
            assert len(pd.read_parquet(table)) == rows
        else:
            assert "x.parquet: " not in err
    made_old(tmp_path)
    table.unlink(missing_ok=True)  # what is complete is not written again, and nothing tidied up
    whole(DATA, *arguments)
    assert len(pd.read_parquet(table)) == rows
    assert [path.name for path in tmp_path.iterdir()] == ["x.parquet"]


@needs_minutes
def test_train(tiny_data: Path, tiny_preset: Path, tmp_path: Path) -> None:
    """A run that was killed goes on, to the same losses as if it had not been."""
    fixed = ("--preset", tiny_preset, "--cache", tmp_path / "cache", "--device", "cpu", "--resume")

    def losses(folder: Path) -> list[tuple[str, str]]:
        with (folder / "metrics.csv").open() as file:
            return [(row["train_loss"], row["val_loss"]) for row in csv.DictReader(file)]

    once = tmp_path / "once"
    seconds = whole(TRAIN, tiny_data, *fixed, "-o", once)[2]
    for share in shares(14, 1):
        run = tmp_path / "run"
        _, err = killed(share * seconds, TRAIN, tiny_data, *fixed, "-o", run)
        reported = err.count("epoch ")
        if reported:
            assert len(losses(run)) >= reported
        if (run / "metrics.csv").exists():
            run_is_whole(run)
        whole(TRAIN, tiny_data, *fixed, "-o", run)
        assert losses(run) == losses(once)
        shutil.rmtree(run)
