"""Figures that README and docs quote: a benchmark records them, docs/generate.py inserts them.

    record({"pipeline_ms": 0.62}, "python benchmarks/bench_pipeline.py --record")

keeps them in benchmarks/figures.json with the command, the day, the machine and the versions. A
page quotes one as `<!--figure pipeline_ms-->0.62<!--/figure-->`; `make docs-reference` puts the
recorded value between the two, and a test fails while they differ.
"""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from asd_edge.atomic_files import atomic_path
from asd_edge.bench.hardware import cpu_model

FILE = Path(__file__).with_name("figures.json")
_VERSIONS = ("numpy", "onnxruntime")


def record(figures: Mapping[str, float], command: str) -> None:
    """Keep figures that a command has printed, in place of older ones of the same names."""
    known = json.loads(FILE.read_text()) if FILE.is_file() else {}
    origin = {
        "command": command,
        "date": datetime.now(UTC).date().isoformat(),
        "machine": cpu_model(),
        "versions": f"Python {platform.python_version()}, "
        + ", ".join(f"{name} {version(name)}" for name in _VERSIONS),
    }
    known |= {name: {"value": float(value), **origin} for name, value in figures.items()}
    with atomic_path(FILE) as path:
        path.write_text(json.dumps(dict(sorted(known.items())), indent=1) + "\n")
