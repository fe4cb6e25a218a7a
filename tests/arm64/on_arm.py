"""The edge's commands, each a process of its own, against what on_host.py recorded."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(os.environ["ASD_EDGE_RECORDED"])
BUNDLE = FOLDER / "hummer.asd"
THRESHOLD = ("--threshold", 10)  # between the normal clips and the faults


def asd_edge(*arguments: object) -> str:
    """Standard output of the command; anything but a clean, quiet exit is a failure."""
    program = [sys.executable, "-c", "from asd_edge.cli.main import main; main()"]
    result = subprocess.run(
        [*program, *map(str, arguments)], capture_output=True, text=True, check=False
    )
    assert (result.returncode, result.stderr) == (0, "")
    return result.stdout


def test_this_is_arm64() -> None:
    assert platform.machine() == "aarch64"


def test_verify() -> None:
    stages = [json.loads(line) for line in asd_edge("verify", BUNDLE, "--json").splitlines()]
    assert [stage["stage"] for stage in stages] == ["mel", "embedding", "statistics", "score"]
    assert all(stage["passed"] for stage in stages)


def test_scores_and_decisions_are_the_hosts() -> None:
    rows = asd_edge(
        "score", FOLDER / "clips", "--bundle", BUNDLE, "--json", *THRESHOLD
    ).splitlines()
    recorded = (FOLDER / "score.jsonl").read_text().splitlines()
    assert len(rows) == len(recorded) == 16
    decisions = set()
    for here, there in zip(map(json.loads, rows), map(json.loads, recorded), strict=True):
        assert_close(here, there)
        decisions.add(here["anomalous"])
    assert decisions == {True, False}


def test_info_is_the_hosts() -> None:
    here = json.loads(asd_edge("info", BUNDLE, "--json"))
    there = json.loads((FOLDER / "info.json").read_text())
    for name in ("machine", "mel", "views", "provenance"):
        assert here[name] == there[name]
    assert thresholds(here) == pytest.approx(thresholds(there), rel=1e-6)


def test_enrolls_as_the_host(tmp_path: Path) -> None:
    out = tmp_path / "mine.asd"
    program = [sys.executable, "-c", "from asd_edge.cli.main import main; main()"]
    clips = FOLDER / "train"
    subprocess.run([*program, "enroll", clips, "-o", out], check=True, capture_output=True)
    here = json.loads(asd_edge("info", out, "--json"))
    there = json.loads((FOLDER / "enrolled.json").read_text())
    assert thresholds(here) == pytest.approx(thresholds(there), rel=1e-4)
    asd_edge("verify", FOLDER / "enrolled.asd")
    asd_edge("verify", out)


def assert_close(here: Any, there: Any, name: str = "") -> None:
    """Scores and levels within 1e-4, probabilities within 1e-3 of their size, all else equal."""
    if isinstance(there, dict):
        assert here.keys() == there.keys()
        for key in there:
            assert_close(here[key], there[key], key)
    elif isinstance(there, list):
        assert len(here) == len(there)
        for one_here, one_there in zip(here, there, strict=True):
            assert_close(one_here, one_there, name)
    elif isinstance(there, float):
        close = {"rel": 1e-3, "abs": 0} if "p_value" in name else {"abs": 1e-4}
        assert here == pytest.approx(there, **close), name
    else:
        assert here == there, name


def thresholds(info: dict[str, Any]) -> dict[str, float]:
    return {name: section["threshold"] for name, section in info["sections"].items()}
