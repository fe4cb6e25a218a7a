"""Nothing leaves the device, and nothing is written but what was asked for: system calls tell."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(
    shutil.which("strace") is None, reason="strace is not installed (tests/install_apt.sh)"
)

# Calls that change a file system, and the names in them.
CHANGES = (
    "creat,mkdir,mkdirat,rename,renameat,renameat2,link,linkat,symlink,symlinkat,mknod,mknodat"
)
OPENED_TO_WRITE = re.compile(
    r'open(?:at)?\(.*?"(.*?)", [^)]*(?:O_WRONLY|O_RDWR|O_CREAT)[^)]*\) = \d'
)
CHANGED = re.compile(rf"\b(?:{CHANGES.replace(',', '|')})\((.*)\) = 0")
NAME = re.compile(r'"((?:[^"\\]|\\.)*)"')


def trace(folder: Path, *arguments: object, **variables: str) -> tuple[list[str], list[Path]]:
    """Run asd-edge under strace in `folder`: its calls for sockets, and the paths it wrote."""
    log = folder.parent / f"{folder.name}.strace"
    home = folder.parent / "home"
    home.mkdir(exist_ok=True)
    env = {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "PYTHONPATH": os.environ.get("PYTHONPATH", ""),
        "PYTHONDONTWRITEBYTECODE": "1",  # Python's own cache, of an installation that just began
        "TMPDIR": str(folder.parent / "tmp"),
        **variables,
    }
    (folder.parent / "tmp").mkdir(exist_ok=True)
    strace = ["strace", "-f", "-qq", "-s", "4096", "-o", str(log)]
    strace += ["-e", f"trace=socket,connect,open,openat,{CHANGES}"]
    command = [*strace, sys.executable, "-m", "asd_edge", *map(str, arguments)]
    result = subprocess.run(
        command, cwd=folder, env=env, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    lines = log.read_text(errors="replace").splitlines()
    assert any("_core" in line for line in lines)  # the trace is of the real thing
    sockets = [line for line in lines if re.search(r"\b(?:socket|connect)\(", line)]
    names = [match[1] for line in lines if (match := OPENED_TO_WRITE.search(line))]
    names += [
        n for line in lines if (match := CHANGED.search(line)) for n in NAME.findall(match[1])
    ]
    written = {folder / name for name in names if not name.startswith("/dev/")}
    return sockets, sorted(written)


def outside(written: list[Path], *given: Path) -> list[Path]:
    return [path for path in written if not any(path.is_relative_to(g) for g in given)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "work"
    path.mkdir()
    return path


def test_score(folder: Path, tiny_bundle: Path, tiny_data: Path) -> None:
    clips = tiny_data / "hummer" / "test"
    assert trace(folder, "score", clips, "--bundle", tiny_bundle) == ([], [])


def test_enroll(folder: Path, tiny_data: Path) -> None:
    sockets, written = trace(folder, "enroll", tiny_data / "hummer" / "train", "-o", "mine.asd")
    assert sockets == []
    assert folder / "mine.asd" in written
    assert outside(written, folder) == []


def test_explain(folder: Path, tiny_bundle: Path, tiny_data: Path) -> None:
    clip = next((tiny_data / "hummer" / "test").glob("*.wav"))
    options = ("--bundle", tiny_bundle, "--blocks", "2", "2")
    assert trace(folder, "explain", clip, *options) == ([], [])


def test_explain_draws(folder: Path, tiny_bundle: Path, tiny_data: Path) -> None:
    pytest.importorskip("matplotlib")
    clip = next((tiny_data / "hummer" / "test").glob("*.wav"))
    options = ("--bundle", tiny_bundle, "--blocks", "2", "2", "-o", "why.png")
    sockets, written = trace(folder, "explain", clip, *options)
    assert sockets == []
    # matplotlib keeps a list of the fonts that it found in the user's cache.
    fonts = folder.parent / "home"
    assert (
        outside(written, folder, fonts / ".cache", fonts / ".config", folder.parent / "tmp") == []
    )


def test_bench(folder: Path, tiny_bundle: Path) -> None:
    sockets, written = trace(folder, "bench", tiny_bundle, "--repeat", "1")
    assert sockets == []
    assert outside(written, folder.parent / "tmp") == []
    assert list((folder.parent / "tmp").iterdir()) == []


def test_telemetry_is_off_unless_the_user_set_the_variable() -> None:
    program = (
        "import os; from asd_edge.model import runtime; runtime();"
        "print(os.environ['ORT_DISABLE_TELEMETRY'])"
    )
    env = {name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"}
    for given, found in ((None, "1"), ("0", "0")):
        variables = env if given is None else env | {"ORT_DISABLE_TELEMETRY": given}
        result = subprocess.run(
            [sys.executable, "-c", program], env=variables, capture_output=True, text=True
        )
        assert result.stdout.strip() == found, result.stderr


def test_only_one_module_imports_onnxruntime_first() -> None:
    """Whoever imports it elsewhere would import it with its telemetry on."""
    import asd_edge

    rooms = [Path(asd_edge.__file__).parent]
    for name in ("asd_training", "asd_export"):
        rooms.append(Path(__import__(name).__file__ or "").parent)
    direct = re.compile(r"^\s*(?:import onnxruntime|from onnxruntime import)", re.MULTILINE)
    found = [p.name for room in rooms for p in room.rglob("*.py") if direct.search(p.read_text())]
    assert found == ["model.py"]
