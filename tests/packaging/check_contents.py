"""Check what is in the built distributions: check_contents.py FILE...

A wheel must hold the packages, the built-in bundle, the example clips and one extension without
symbols, and nothing else; an sdist also what it takes to build and to test.
"""

from __future__ import annotations

import sys
import tarfile
import zipfile
from pathlib import Path

DATA = [
    *(f"asd_edge/data/default.asd/{name}" for name in ("bundle.json", "golden.npz")),
    *(f"asd_edge/data/default.asd/{name}" for name in ("model.onnx", "references.npz")),
    *(f"asd_edge/data/examples/{name}.flac" for name in ("normal", "faulty")),
    "asd_edge/py.typed",
    "asd_edge/_core.pyi",
    "asd_edge/__main__.py",
    "asd_training/presets/edge.toml",
    "asd_training/report/report.html.j2",
    "asd_export/py.typed",
]
SDIST = [
    "setup.py",
    "csrc/_core.pyx",
    "constraints.txt",
    "Makefile",
    "tests/conftest.py",
    "LICENSE",
]
ROOMS = {"asd_edge", "asd_training", "asd_export"}
LARGEST_MB = 4.0
GLIBC = "2_31"  # of Debian 11, Ubuntu 20.04 and Raspberry Pi OS from Bullseye on


def check_wheel(path: Path) -> None:
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        metadata = archive.read(next(n for n in names if n.endswith("/METADATA"))).decode()
    for name in DATA:
        assert name in names, f"{path.name} lacks {name}"
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == ROOMS, tops
    assert [n for n in names if n.endswith(".so")] == ["asd_edge/_core.abi3.so"]
    assert not [n for n in names if n.endswith((".c", ".h", ".pyx", ".pyc"))]
    assert f"cp311-abi3-manylinux_{GLIBC}_" in path.name, "it needs a newer glibc"
    assert "Requires-Python: >=3.11" in metadata
    assert path.stat().st_size < LARGEST_MB * 1e6, f"{path.name} has grown"


def check_sdist(path: Path) -> None:
    with tarfile.open(path) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    for name in SDIST:
        assert name in names, f"{path.name} lacks {name}"
    assert not [n for n in names if n.endswith((".so", ".pyc"))]


for file in map(Path, sys.argv[1:]):
    (check_wheel if file.suffix == ".whl" else check_sdist)(file)
    print(f"{file.name}: {file.stat().st_size / 1e6:.2f} MB, complete")
