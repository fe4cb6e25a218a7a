"""The edge's commands, each a process of its own, against what on_host.py recorded."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from asd_edge import _melspec

FOLDER = Path(os.environ["ASD_EDGE_RECORDED"])
BUNDLE = FOLDER / "hummer.asd"


def asd_edge(*arguments: object) -> str:
    """Standard output of the command; anything but a clean, quiet exit is a failure."""
    program = [sys.executable, "-c", "from asd_edge.cli import main; main()"]
    result = subprocess.run(
        [*program, *map(str, arguments)], capture_output=True, text=True, check=False
    )
    assert (result.returncode, result.stderr) == (0, "")
    return result.stdout


def test_this_is_arm64() -> None:
    assert platform.machine() == "aarch64"
    assert "aarch64" in Path(_melspec.__file__).name


def test_verify() -> None:
    stages = [json.loads(line) for line in asd_edge("verify", BUNDLE, "--json").splitlines()]
    assert [stage["stage"] for stage in stages] == ["mel", "embedding", "score"]
    assert all(stage["passed"] for stage in stages)


def test_scores_and_decisions_are_the_hosts() -> None:
    rows = asd_edge("score", FOLDER / "clips", "--bundle", BUNDLE, "--json").splitlines()
    recorded = (FOLDER / "score.jsonl").read_text().splitlines()
    assert len(rows) == len(recorded) == 16
    decisions = set()
    for here, there in zip(map(json.loads, rows), map(json.loads, recorded), strict=True):
        for name in ("score", "windows"):
            assert here.pop(name) == pytest.approx(there.pop(name), abs=1e-4)
        assert here == there
        decisions.add(here["anomalous"])
    assert decisions == {True, False}


def test_info_is_the_hosts() -> None:
    here = json.loads(asd_edge("info", BUNDLE, "--json"))
    there = json.loads((FOLDER / "info.json").read_text())
    for name in ("machine", "mel", "scoring", "sections", "provenance"):
        assert here[name] == there[name]
