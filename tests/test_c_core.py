"""The C core without Python: it compiles without warnings, and its driver runs under sanitizers."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

# One of each: cc is often gcc by another name.
COMPILERS = sorted(
    {
        Path(found).resolve(): name
        for name in (os.environ.get("CC", "cc"), "gcc", "clang")
        if (found := shutil.which(name))
    }.values()
)
SOURCES = sorted(str(path) for path in (ROOT / "csrc").glob("*.c"))


def run(*command: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(c) for c in command], capture_output=True, text=True, check=False)


@pytest.mark.skipif(not COMPILERS, reason="no C compiler")
@pytest.mark.parametrize("compiler", COMPILERS)
def test_c_core_compiles_without_warnings_or_python(compiler: str, tmp_path: Path) -> None:
    assert len(SOURCES) >= 8
    flags = ["-std=c11", "-pedantic", "-O3", "-Wall", "-Wextra", "-Werror"]
    for source in SOURCES:
        result = run(compiler, *flags, "-c", source, "-o", tmp_path / "core.o")
        assert result.returncode == 0, result.stderr
        depends = run(compiler, "-std=c11", "-M", source).stdout
        assert any(header in depends for header in ("melspec.h", "rfft.h", "kernel.h"))
        assert "Python.h" not in depends


@pytest.mark.skipif(sys.platform == "win32", reason="the sanitizers' flags are those of gcc")
@pytest.mark.skipif(not COMPILERS, reason="no C compiler")
@pytest.mark.parametrize(  # clang alone where it is there: gcc takes a minute for it
    "compiler", [name for name in COMPILERS if "clang" in name] or COMPILERS
)
def test_c_core_under_sanitizers(compiler: str, tmp_path: Path) -> None:
    # unoptimized, all that is inlined has variables of its own: more than the stack holds
    sanitize = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-g", "-O1"]
    trivial = tmp_path / "trivial.c"
    trivial.write_text("int main(void) { return 0; }\n")
    built = run(compiler, *sanitize, trivial, "-o", tmp_path / "trivial")
    if built.returncode != 0 or run(tmp_path / "trivial").returncode != 0:
        pytest.skip(f"{compiler} has no working address and undefined-behaviour sanitizers")
    program = tmp_path / "driver"
    driver = Path(__file__).parent / "melspec_driver.c"
    flags = ["-std=c11", "-Wall", "-Wextra", "-Werror", f"-I{ROOT / 'csrc'}"]
    objects = [tmp_path / f"{number}.o" for number in range(1 + len(SOURCES))]
    jobs = zip([str(driver), *SOURCES], objects, strict=True)
    with ThreadPoolExecutor(os.cpu_count()) as pool:  # the kernels take seconds each
        for built in pool.map(
            lambda job: run(compiler, *flags, *sanitize, "-c", job[0], "-o", job[1]), jobs
        ):
            assert built.returncode == 0, built.stderr
    built = run(compiler, *sanitize, *objects, "-lm", "-o", program)
    assert built.returncode == 0, built.stderr
    result = run(program)
    assert result.returncode == 0, result.stderr
