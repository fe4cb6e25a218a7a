"""Figures that README and docs quote: a benchmark records them, docs/generate.py inserts them.

    record({"pipeline_ms": 0.62}, "python benchmarks/bench_pipeline.py --record")

keeps them in benchmarks/figures.json under the command, with the day, the machine and the versions.
A page quotes one as `<!--figure pipeline_ms-->0.62<!--/figure-->`; `make docs-reference` puts the
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
    for run in known.values():
        run["figures"] = {k: v for k, v in run["figures"].items() if k not in figures}
    kept = {name: float(value) for name, value in sorted(figures.items())}
    known[command] = {
        "date": datetime.now(UTC).date().isoformat(),
        "machine": cpu_model(),
        "versions": f"Python {platform.python_version()}, "
        + ", ".join(f"{name} {version(name)}" for name in _VERSIONS),
        "figures": kept,
    }
    known = {name: run for name, run in sorted(known.items()) if run["figures"]}
    with atomic_path(FILE) as path:
        path.write_text(json.dumps(known, indent=1) + "\n")
