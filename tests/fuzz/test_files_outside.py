"""Mutated sound files and bundles: nothing outside is read or written. System calls tell."""

from __future__ import annotations

import os
import re
import shutil
import site
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(
    shutil.which("strace") is None, reason="strace is not installed (tests/install_apt.sh)"
)

RUN = Path(__file__).with_name("run.py")
ROOT = RUN.parents[2]
# Interpreter, libraries, this project and what the kernel tells of itself.
INSTALLED = [
    *(Path(sys.prefix), Path(sys.base_prefix), *map(Path, site.getsitepackages()), ROOT),
    *map(Path, ("/usr/lib", "/usr/local/lib", "/usr/share", "/lib", "/lib64", "/proc", "/sys")),
    *map(Path, ("/dev/null", "/dev/urandom", "/etc/ld.so.cache", "/etc/localtime")),
    Path("/etc/os-release"),
]
# Libraries that another folder of the path of modules holds, such as a shared environment's.
INSTALLED += [Path(name) for name in sys.path if name.endswith(("site-packages", "dist-packages"))]
CALLS = (
    "open,openat,creat,mkdir,mkdirat,rename,renameat,renameat2,link,linkat,symlink,symlinkat,"
    "mknod,mknodat,unlink,unlinkat,rmdir,truncate,chmod,fchmodat,connect,execve"
)
CALL = re.compile(r'\b(\w+)\((?:AT_FDCWD(?:<.*?>)?, |\d+<(.*?)>, )?"((?:[^"\\]|\\.)*)"(.*)= (\S+)')


@pytest.mark.parametrize(("target", "inputs"), [("sound", 300), ("stream", 60), ("bundle", 40)])
def test_files_outside(tmp_path: Path, target: str, inputs: int) -> None:
    """One process reads them all, in an empty folder; names in the inputs lead nowhere."""
    empty, scratch, log = tmp_path / "empty", tmp_path / "scratch", tmp_path / "calls"
    empty.mkdir()
    scratch.mkdir()
    (tmp_path / "x").write_text("not to be read")  # "../x" is among the values tried
    command = ["strace", "-f", "-qq", "-y", "-s", "4096", "-o", str(log), "-e", f"trace={CALLS}"]
    command += [sys.executable, "-B", str(RUN), target, "--inputs", str(inputs), "--seed", "7"]
    command += ["--found", str(tmp_path / "found")]
    done = subprocess.run(
        command, cwd=empty, env={**os.environ, "TMPDIR": str(scratch)}, capture_output=True
    )
    assert done.returncode == 0, done.stdout
    lines = log.read_text(errors="replace").splitlines()
    calls = [(line, match) for line in lines if (match := CALL.search(line))]
    inside = [line for line, _ in calls if str(scratch) in line]
    assert len(inside) >= inputs  # the trace is of the real thing
    read, written, others = [], [], []
    for line, call in calls:
        kind, folder, name, arguments, result = call.groups()
        path = Path(os.path.normpath(Path(folder or empty) / name))
        if path.is_relative_to(scratch) or (kind == "execve" and line is calls[0][0]):
            continue
        if kind in ("open", "openat") and "O_WRONLY" not in arguments and "O_RDWR" not in arguments:
            found = result != "-1" and not any(path.is_relative_to(root) for root in INSTALLED)
            read += [line] if found and path not in (empty, Path("/")) else []
        elif kind in ("connect", "execve"):
            others.append(line)
        elif path not in (Path("/dev/null"), Path("/proc/self/clear_refs")):
            written.append(line)
    assert (read, written, others) == ([], [], [])
