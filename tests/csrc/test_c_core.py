"""The C core without Python: how its files include each other, warnings, and its driver under
sanitizers."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from helpers import ROOT

CSRC = ROOT / "csrc"
HERE = Path(__file__).parent
SOURCES = sorted(CSRC.rglob("*.c"))
HEADERS = sorted(CSRC.rglob("*.h"))

# One of each: cc is often gcc by another name.
COMPILERS = sorted(
    {
        Path(found).resolve(): name
        for name in (os.environ.get("CC", "cc"), "gcc", "clang")
        if (found := shutil.which(name))
    }.values()
)
needs_compiler = pytest.mark.skipif(not COMPILERS, reason="no C compiler")


def run(*command: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(c) for c in command], capture_output=True, text=True, check=False)


def included(file: Path) -> list[Path]:
    """Give the files of the C core that a file includes."""
    names = re.findall(r'^\s*#\s*include "(.+)"', file.read_text(), flags=re.MULTILINE)
    return [(file.parent / name).resolve() for name in names]


# ---- how files include each other ----


def test_includes_have_no_cycle() -> None:
    """Guards would hide a cycle from the compiler."""
    done: set[Path] = set()

    def visit(file: Path, path: tuple[Path, ...]) -> None:
        assert file not in path, " -> ".join(p.name for p in (*path, file))
        if file not in done:
            for next_file in included(file):
                assert next_file.is_relative_to(CSRC)
                visit(next_file, (*path, file))
            done.add(file)

    for file in (*SOURCES, *HEADERS):
        visit(file.resolve(), ())
    assert len(done) >= 35


def test_every_source_has_its_header_and_includes_it_first() -> None:
    for source in CSRC.glob("*.c"):
        assert included(source)[0] == source.with_suffix(".h").resolve()
    for source in (CSRC / "kernels").glob("*.c"):
        assert included(source)[0].name == "kernels.h"


def test_macros_are_upper_case() -> None:
    for file in (*SOURCES, *HEADERS):
        names = re.findall(r"^\s*#\s*define (\w+)", file.read_text(), flags=re.MULTILINE)
        assert all(name == name.upper() for name in names), file


# ---- compilers ----


@needs_compiler
@pytest.mark.parametrize("compiler", COMPILERS)
def test_compiles_without_warnings_or_python(compiler: str) -> None:
    flags = ["-std=c11", "-pedantic", "-DNDEBUG", "-Wall", "-Wextra", "-Werror"]
    for source in SOURCES:
        result = run(compiler, *flags, "-fsyntax-only", source)
        assert result.returncode == 0, result.stderr
        assert "Python.h" not in run(compiler, "-std=c11", "-M", source).stdout


@needs_compiler
@pytest.mark.parametrize("compiler", COMPILERS)
def test_every_header_can_be_opened_alone(compiler: str) -> None:
    """As clangd does. Templates are then plain C, in either precision."""
    flags = ["-std=c11", "-pedantic", "-Wall", "-Wextra", "-Wno-unused-function", "-Werror"]
    for header in HEADERS:
        widths = ["32", "64"] if header.parent.name == "template" else ["32"]
        for bits in widths if header.name != "embeddings.h" else ["32"]:
            result = run(compiler, *flags, f"-DREAL_BITS={bits}", "-fsyntax-only", "-xc", header)
            assert result.returncode == 0, result.stderr


# ---- drivers under sanitizers ----

# -O1: without optimization, everything inlined has variables of its own, more than the stack holds.
# AddressSanitizer finds what the three left out would find; they double the time of the compiler.
# sanitize.sh has them all.
SANITIZE = [
    "-fsanitize=address,undefined,float-cast-overflow",
    "-fno-sanitize=null,object-size,pointer-overflow",
    "-fno-sanitize-recover=all",
    "-g",
    "-O1",
]
FLAGS = ["-std=c11", "-ffp-contract=off", "-Wall", "-Wextra", "-Werror", f"-I{CSRC}"]
WRAPPED = ",".join(f"--wrap={name}" for name in ("malloc", "calloc", "aligned_alloc", "free"))


@pytest.fixture(  # only clang if there is one: gcc takes a minute
    scope="module", params=[name for name in COMPILERS if "clang" in name] or COMPILERS
)
def core(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Compile the C core with assertions and sanitizers; give the compiler and the objects."""
    compiler, folder = Path(request.param), tmp_path_factory.mktemp("core")
    trivial = folder / "trivial.c"
    trivial.write_text("int main(void) { return 0; }\n")
    built = run(compiler, *SANITIZE, trivial, "-o", folder / "trivial")
    if built.returncode != 0 or run(folder / "trivial").returncode != 0:
        pytest.skip(f"{compiler} has no working address and undefined-behaviour sanitizers")
    objects = [folder / f"{number}.o" for number in range(len(SOURCES))]
    with ThreadPoolExecutor(os.cpu_count()) as pool:  # the kernels take seconds each
        for built in pool.map(
            lambda job: run(compiler, *FLAGS, *SANITIZE, "-c", job[0], "-o", job[1]),
            zip(SOURCES, objects, strict=True),
        ):
            assert built.returncode == 0, built.stderr
    return [compiler, *objects]


@needs_compiler
@pytest.mark.parametrize(
    ("driver", "link"),
    [
        ("driver.c", []),
        ("allocation_driver.c", [f"-Wl,{WRAPPED}"]),
        ("thread_driver.c", ["-pthread"]),
    ],
)
def test_driver(driver: str, link: list[str], core: list[Path], tmp_path: Path) -> None:
    program = tmp_path / "driver"
    compiler, *objects = core
    built = run(compiler, *FLAGS, *SANITIZE, HERE / driver, *objects, *link, "-lm", "-o", program)
    assert built.returncode == 0, built.stderr
    result = run(program)
    assert result.returncode == 0, result.stderr


# ---- the binding ----


def test_binding_in_threads() -> None:
    """sanitize.sh runs the same script under ThreadSanitizer and valgrind."""
    result = run(sys.executable, HERE / "binding.py")
    assert result.returncode == 0, result.stderr


def test_no_memory_is_an_exception() -> None:
    program = """
import resource
import numpy as np
from asd_edge import _core
name = _core.instruction_sets()[0]
config = dict(sr=16000, hop_length=512, n_mels=128, fmin=0, fmax=8000, power=2, db=False,
              amin=1e-10, center=True, reflect=False, instruction_set=name)
plan = _core.Plan(n_fft=2**20, **config)
triangle = np.zeros(3000 * 3001 // 2, dtype=np.uint16)
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 2**20, -1))
for make in (
    lambda: _core.Plan(n_fft=2**20, **config),
    lambda: _core.Stream(plan),
    lambda: _core.Projection(triangle, name),
):
    try:
        make()
    except MemoryError as error:
        print(error)
"""
    result = run(sys.executable, "-c", program)
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines() == [
        "not enough memory for a mel spectrogram",
        "not enough memory for a stream",
        "not enough memory for a whitening",
    ]
