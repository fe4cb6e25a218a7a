"""The report for a bug: whole in any state of the installation, and without secrets."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from helpers import invoke

from asd_edge import __version__, support
from asd_edge.bundle import locate
from asd_edge.cli.main import main
from asd_edge.frontend.mel import instruction_set, instruction_sets

CONFIG = """
[machines.fan]
bundle = "fan.asd"
command = ["ffmpeg", "-i", "rtsp://me:SECRET@camera/1", "-"]
[mqtt]
host = "broker.local"
user = "SECRET"
password_file = "mqtt.password"
[notify]
webhooks = ["https://example.org/SECRET"]
apprise = ["mailto://user:SECRET@example.org", "tgram://SECRET"]
"""


def test_version_names_what_matters() -> None:
    first, second = invoke(main, "--version").stdout.splitlines()
    assert first == f"asd-edge {__version__}"
    for name in ("Python", "onnxruntime", "soundfile", "soxr", "click"):
        assert f"{name} " in second
    assert f"numpy {np.__version__}" in second
    assert f"mel kernel {instruction_set()}" in second


def test_both_packages_of_onnxruntime_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Installed together they do not work; who reads the report must see it."""
    there = {"onnxruntime": "1.32.0", "onnxruntime-gpu": "1.31.1"}
    monkeypatch.setattr(support, "_version", there.get)
    found = support.versions()
    assert there.items() <= found.items()
    assert found["soxr"] == "not installed"
    there.clear()
    assert support.versions()["onnxruntime"] == "not installed"


def test_the_report(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("ASD_EDGE_BUNDLE", str(tmp_path / "none.asd"))
    digest = hashlib.sha256((locate.BUILT_IN / "bundle.json").read_bytes()).hexdigest()
    found = json.loads(invoke(main, "info", locate.BUILT_IN, "--support", "--json").stdout)
    assert found["bundle"]["sha256"] == digest
    assert found["kernels"] == f"{instruction_set()}, of {', '.join(instruction_sets())}"
    assert found["environment"]["ASD_EDGE_BUNDLE"] == "~/none.asd"
    assert found["providers"].startswith("cpu")
    assert {"matplotlib", "apprise", "torch"} <= found["extras"].keys()
    assert "ruff" not in found["extras"]
    assert "is unknown" not in json.dumps(found)
    text = invoke(main, "info", locate.BUILT_IN, "--support").stdout
    assert digest in text
    assert len(text.splitlines()) < 60  # one page


def test_what_is_broken_is_said_and_the_rest_is_there(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def broken() -> None:
        raise ImportError("libonnxruntime.so: cannot\nopen shared object file")

    monkeypatch.setattr("asd_edge.model.runtime", broken)
    monkeypatch.setenv("ASD_EDGE_SIMD", "mmx")
    (tmp_path / "half.asd").mkdir()
    (tmp_path / "half.asd" / "bundle.json").write_text('{"schema_version": 3')
    found = support.report(tmp_path / "half.asd", tmp_path / "none.toml")
    assert found["providers"].startswith("is unknown (ImportError: libonnxruntime.so: cannot")
    assert found["kernels"].startswith("is unknown (ParameterError: ASD_EDGE_SIMD is 'mmx'")
    assert found["bundle"]["holds"].startswith("is unknown (BundleError: ")
    assert len(found["bundle"]["sha256"]) == 64
    assert found["configuration"].startswith("is unknown (MissingFileError: ")
    assert found["versions"]["numpy"] == np.__version__
    assert found["processor"].endswith("cores for this process")


def test_a_configuration_keeps_its_secrets(tmp_path: Path) -> None:
    config = tmp_path / "fan.toml"
    config.write_text(CONFIG)
    for options in ([], ["--json"]):
        text = invoke(main, "info", "--support", "--config", config, *options).stdout
        assert "SECRET" not in text
        assert "broker.local" in text
        assert "ffmpeg and 3 arguments" in text
        assert "2 given" in text
    assert "--support" in invoke(main, "info", "--config", config, status=2).stderr


def test_the_home_is_not_named() -> None:
    home = os.path.expanduser("~")  # noqa: PTH111 - as support does
    assert support._without_home({"a": [f"{home}/x", 1]}) == {"a": ["~/x", 1]}


def test_the_shell_completes() -> None:
    """As docs/howto/install.md says; also where the command is run as a module."""
    env = {"_ASD_EDGE_COMPLETE": "bash_complete", "COMP_WORDS": "asd-edge sc", "COMP_CWORD": "1"}
    command = [sys.executable, "-m", "asd_edge"]
    done = subprocess.run(command, env=os.environ | env, capture_output=True, text=True)
    assert done.stdout == "plain,score\n"
