"""The arrow points one way, and the device needs the base install alone."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# import name -> the packages of the project that may import it
ALLOWED = {
    "asd_edge": {"asd_edge", "numpy", "onnxruntime", "soundfile", "soxr", "click"},
    "asd_training": {
        *("asd_edge", "asd_training", "numpy", "pandas", "pyarrow", "scipy", "sklearn"),
        *("torch", "pytorch_metric_learning", "matplotlib", "rich", "click", "soundfile", "jinja2"),
    },
    "asd_export": {
        *("asd_edge", "asd_training", "asd_export", "numpy", "torch", "onnx", "onnxruntime"),
        *("scipy", "rich", "click"),
    },
}
# What one module alone may import, for an extra of its own.
ALONE = {"explain_plot.py": {"matplotlib"}}
FOLDERS = {
    "asd_edge": ROOT / "asd_edge",
    "asd_training": ROOT / "training" / "asd_training",
    "asd_export": ROOT / "export" / "asd_export",
}
NOT_ON_THE_DEVICE = ("torch", "onnx", "onnxscript", "pandas", "sklearn", "matplotlib", "scipy")
NOT_ON_THE_DEVICE += ("rich", "pyarrow", "librosa", "jinja2")


def absent(*packages: str) -> str:
    """Lines of Python after which packages cannot be imported."""
    return f"""
import importlib.abc, sys
class Absent(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {packages!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Absent())
"""


@pytest.mark.parametrize("package", FOLDERS)
def test_imports(package: str) -> None:
    for path in FOLDERS[package].rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{path}: relative import"
                names = [node.module or ""]
            else:
                continue
            for name in names:
                top = name.split(".")[0]
                allowed = ALLOWED[package] | ALONE.get(path.name, set())
                assert top in sys.stdlib_module_names | allowed, f"{path} imports {name}"


def test_the_base_install_is_the_runtime() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    names = {line.split(">")[0] for line in project["dependencies"]}
    assert names == ALLOWED["asd_edge"] - {"asd_edge"}


def test_the_device_works_without_the_workstation_s_packages(
    tiny_bundle: Path, tiny_data: Path
) -> None:
    clip = next((tiny_data / "hummer" / "test").glob("*.wav"))
    program = f"""
{absent(*NOT_ON_THE_DEVICE, "asd_training", "asd_export")}
from asd_edge.cli import main
bundle = {str(tiny_bundle)!r}
for arguments in (
    ["score", {str(clip)!r}, "--bundle", bundle, "--json"],
    ["info", bundle, "--json"],
    ["verify", bundle, "--json"],
):
    main(arguments, standalone_mode=False)
"""
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert len(lines) == 6


@pytest.mark.parametrize(
    ("module", "arguments", "extra"),
    [
        ("asd_training.cli_train", ["data", "-o", "run"], "train"),
        ("asd_training.cli_evaluate", ["run", "data"], "train"),
        ("asd_training.cli_data", ["synth", "data"], "train"),
        ("asd_training.cli_data", ["features", "data", "-o", "t.parquet"], "train"),
        ("asd_export.cli", ["run", "-o", "b.asd"], "export"),
    ],
)
def test_the_base_install_says_which_extra_is_missing(
    module: str, arguments: list[str], extra: str
) -> None:
    program = f"""
{absent(*NOT_ON_THE_DEVICE)}
from {module} import main
main({arguments!r})
"""
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert result.returncode == 1
    assert f"pip install 'asd-edge[{extra}]'" in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_help_loads_no_heavy_module() -> None:
    """On a Raspberry Pi, importing onnxruntime or torch takes longer than the help is read."""
    program = """
import sys
from click.testing import CliRunner
from importlib import import_module
for module in ("asd_edge.cli", "asd_training.cli_train", "asd_training.cli_evaluate",
               "asd_export.cli", "asd_training.cli_data"):
    result = CliRunner().invoke(import_module(module).main, ["--help"])
    assert result.exit_code == 0, result.output
heavy = {"numpy", "onnxruntime", "soundfile", "torch", "pandas", "sklearn", "matplotlib", "onnx"}
print(sorted(heavy & set(sys.modules)))
"""
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip() == "[]"


def test_score_loads_only_what_it_needs(tiny_bundle: Path, tiny_data: Path) -> None:
    """A process that scores one clip is mostly imports; none of these has a part in it."""
    clip = next((tiny_data / "hummer" / "test").glob("*.wav"))
    program = f"""
import gc, os, sys
from asd_edge.cli import main
main(["score", {str(clip)!r}, "--bundle", {str(tiny_bundle)!r}], standalone_mode=False)
idle = {{"soundfile", "soxr", "click._termui_impl", "importlib.metadata",
        "numpy.testing", "numpy.random", "numpy.ma", "numpy.fft", "onnx", "asd_edge.verify",
        "asd_edge.bench", "asd_edge.device_info", "unittest", "asyncio", "multiprocessing"}}
print(sorted(idle & set(sys.modules)), gc.isenabled(), gc.get_freeze_count() > 10_000,
      os.environ.get("OPENBLAS_NUM_THREADS"))
"""
    env = {name: value for name, value in os.environ.items() if name != "OPENBLAS_NUM_THREADS"}
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env=env
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines()[-1] == "[] True True 1"


def test_a_process_of_somebody_else_is_left_alone(tiny_bundle: Path, tiny_data: Path) -> None:
    clip = next((tiny_data / "hummer" / "test").glob("*.wav"))
    program = f"""
import gc, os, numpy
from asd_edge.cli import main
main(["score", {str(clip)!r}, "--bundle", {str(tiny_bundle)!r}], standalone_mode=False)
print(gc.isenabled(), gc.get_freeze_count(), os.environ.get("OPENBLAS_NUM_THREADS"))
"""
    env = {name: value for name, value in os.environ.items() if name != "OPENBLAS_NUM_THREADS"}
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env=env
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines()[-1] == "True 0 None"
