"""Two processes take the steps of one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from asd_edge.errors import ParameterError
from asd_training import run_folder
from asd_training.learn.distributed import Group, check_batch

ADACOS = """[loss]
name = "adacos"
subclusters = 4
[augment]
pseudo_classes = ["statistics_exchange", "shift"]
mixup = 0.5
"""


def train(data: Path, preset: Path, folder: Path, processes: int) -> None:
    start = [sys.executable, "-m"]
    if processes > 1:
        start += ["torch.distributed.run", f"--nproc-per-node={processes}", "--standalone", "-m"]
    cache = folder.parent / "cache"
    arguments = ["asd_training.cli.train", data, "--preset", preset, "-o", folder, "--cache", cache]
    result = subprocess.run(
        [*start, *map(str, arguments), "--device", "cpu"],
        capture_output=True,
        text=True,
        # Processes that wait for each other by spinning take minutes on a busy machine.
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert result.returncode == 0, result.stderr
    assert result.stderr.count("24 clips of hummer") == 1, result.stderr


@pytest.mark.parametrize("recipe", ["triplet", "adacos"])
def test_two_processes_take_the_steps_of_one(
    tmp_path: Path, tiny_data: Path, tiny_preset: Path, recipe: str
) -> None:
    text = tiny_preset.read_text().replace("dropout = 0.1", "dropout = 0.0")
    if recipe == "adacos":
        start, end = text.index("[loss]"), text.index("[training]")
        text = text[:start] + ADACOS + text[end:]
    preset = tmp_path / "tiny.toml"
    preset.write_text(text)
    for processes in (1, 2):
        train(tiny_data, preset, tmp_path / str(processes), processes)
    one, two = (run_folder.read_checkpoint(tmp_path / name) for name in "12")
    for a, b in zip(one["history"], two["history"], strict=True):
        assert a["train_loss"] == pytest.approx(b["train_loss"], rel=1e-4)
    for name, value in one["model"].items():
        np.testing.assert_allclose(two["model"][name], value, rtol=1e-3, atol=1e-4, err_msg=name)
    views = [
        run_folder.read_embeddings(tmp_path / name).normals.views["embedding"] for name in "12"
    ]
    np.testing.assert_allclose(*views, atol=1e-3)


def test_a_batch_that_cannot_be_cut_evenly() -> None:
    with pytest.raises(ParameterError, match="a multiple of 2 processes"):
        check_batch(7, Group(0, 2))
    check_batch(7, Group())
