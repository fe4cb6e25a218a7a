"""How a process ends: closed and full outputs, Ctrl-C while it starts, names that do harm."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from helpers import write_tone

from asd_edge.cli.display import harmless

COMMAND = [sys.executable, "-m", "asd_edge"]
NAMES = [
    b"plain.wav",
    b"geh\xe4use.wav",  # Latin-1
    "gehäuse.wav".encode(),
    b"red\x1b[31m.wav",
    b"two\nlines  00  1  2  0.5  normal.wav",
    b"back\rhome.wav",
    b"[bold]$x$.wav",
    "turned\u202etxt.wav".encode(),
]


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("names")
    for i, name in enumerate(NAMES):
        write_tone(folder / "x.wav", 200.0, seed=i)
        (folder / "x.wav").rename(folder / os.fsdecode(name))
    return folder


@pytest.mark.parametrize(
    "environment",
    [
        {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
        {"PYTHONIOENCODING": "ascii:strict"},
        {"PYTHONIOENCODING": "latin-1:strict"},
        {"PYTHONIOENCODING": "utf-8:strict"},
        {},
    ],
    ids=str,
)
def test_names_of_any_kind_are_scored_and_shown_harmlessly(
    tiny_bundle: Path, clips: Path, environment: dict[str, str]
) -> None:
    command = [*COMMAND, "score", clips, "--bundle", tiny_bundle]
    env = os.environ | environment
    result = subprocess.run([*command, "--json"], capture_output=True, env=env)
    assert result.returncode == 0, result.stderr
    rows = [json.loads(line) for line in result.stdout.splitlines()]
    assert {os.fsencode(Path(row["clip"]).name) for row in rows} == set(NAMES)
    result = subprocess.run(command, capture_output=True, env=env)
    assert result.returncode == 0, result.stderr
    lines = result.stdout.decode("latin-1").split("\n")
    assert len(lines) == 1 + len(NAMES) + 1
    assert all(character >= " " for line in lines for character in line)


def test_harmless_text() -> None:
    assert harmless("Gehäuse 3") == "Gehäuse 3"
    assert harmless("a\x1b[2Jb\nc\udce4") == "a\\x1b[2Jb\\nc\\xe4"


def shell(line: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = ["bash", "-c", line, "-", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True)


@pytest.mark.parametrize("command", ["--help", "score --help", "--version", "info"])
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full on this system")
def test_a_full_output_is_one_line(command: str) -> None:
    result = shell(f"{' '.join(COMMAND)} {command} >/dev/full")
    assert result.returncode == 1
    assert result.stderr.splitlines()[-1] == "Error: No space left on device"
    assert "Traceback" not in result.stderr
    assert "Exception" not in result.stderr


@pytest.mark.parametrize("command", ["--help", "info", "score x.wav"])
def test_a_closed_output_is_one_line(command: str) -> None:
    result = shell(f"{' '.join(COMMAND)} {command} >&-")
    assert result.returncode == 1
    assert result.stderr == "Error: standard output is closed; results have nowhere to go\n"


def test_all_closed(tiny_bundle: Path, clips: Path, tmp_path: Path) -> None:
    result = shell(
        f'{" ".join(COMMAND)} info --bundle "$1" <&- 2>&-; echo "status $?"', tiny_bundle
    )
    assert "status 2" in result.stdout  # info takes no --bundle; nobody can read that
    copy = shutil.copytree(tiny_bundle, tmp_path / "copy.asd")
    result = shell(f'{" ".join(COMMAND)} score "$1" --bundle "$2" <&- 2>&-', clips, copy)
    assert result.returncode == 0
    assert len(result.stdout.splitlines()) == 1 + len(NAMES)


def test_interrupted_while_it_imports(tmp_path: Path) -> None:
    (tmp_path / "interrupted.py").write_text("raise KeyboardInterrupt")
    program = "from asd_edge.cli.startup import run; run('interrupted')"
    env = os.environ | {"PYTHONPATH": str(tmp_path)}
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env=env
    )
    assert (result.returncode, result.stderr) == (130, "Interrupted\n")
