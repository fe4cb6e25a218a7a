"""Cost of a process that scores one clip: wall time and peak memory.

    python benchmarks/bench_startup.py demo/valve.asd
    python benchmarks/bench_startup.py demo/valve.asd clip.wav --rounds 15

The yardstick is `python -c "import numpy, onnxruntime"`, the least that a program with a network
can do; the second one starts no BLAS threads, which `asd-edge score` does not either. The
candidates take turns. Without a clip, the one stored in the bundle is scored.
"""

from __future__ import annotations

import platform
import statistics
import sys
from contextlib import nullcontext
from importlib.metadata import version
from pathlib import Path

import click

from asd_edge.bench import stages as bench
from asd_edge.bench.hardware import cores, cpu_model
from asd_edge.bundle.format import read_bundle

IMPORTS = "import numpy, onnxruntime"


@click.command()
@click.argument("bundle", type=click.Path(path_type=Path))
@click.argument("clip", required=False, type=click.Path(path_type=Path))
@click.option("--rounds", default=15, show_default=True)
def main(bundle: Path, clip: Path | None, rounds: int) -> None:
    """Measure `asd-edge score` as a process beside the imports alone."""
    contents = read_bundle(bundle)
    golden = bench.golden_clip(contents.golden, contents.front_end.mel.sr)
    with golden if clip is None else nullcontext(clip) as path:
        python = [sys.executable]
        candidates = {
            f'python -c "{IMPORTS}"': [*python, "-c", IMPORTS],
            "the same, OPENBLAS_NUM_THREADS=1": [
                *python,
                "-c",
                f"import os; os.environ['OPENBLAS_NUM_THREADS'] = '1'; {IMPORTS}",
            ],
            "asd-edge score": [
                str(Path(sys.executable).with_name("asd-edge")),
                *("score", str(path), "--bundle", str(bundle)),
            ],
        }
        results: dict[str, list[tuple[float, int]]] = {name: [] for name in candidates}
        for command in candidates.values():
            bench.watch(command)
        for _ in range(rounds):
            for name, command in candidates.items():
                results[name].append(bench.watch(command))
    click.echo(
        f"{cpu_model()}, {cores()} cores, Python {platform.python_version()}, "
        f"onnxruntime {version('onnxruntime')}, numpy {version('numpy')}; {rounds} rounds\n\n"
        "| process | median ms | min ms | it / imports (medians) | (min) | peak MB |\n"
        "|---|---|---|---|---|---|"
    )
    walls = {name: [wall for wall, _ in values] for name, values in results.items()}
    base = next(iter(walls.values()))
    for name, values in walls.items():
        median, peak = statistics.median(values), max(peak for _, peak in results[name])
        click.echo(
            f"| `{name}` | {median:.0f} | {min(values):.0f} | "
            f"{median / statistics.median(base):.2f} | {min(values) / min(base):.2f} | "
            f"{peak / 1e6:.0f} |"
        )


if __name__ == "__main__":
    main()
