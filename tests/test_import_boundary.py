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
from helpers import NOT_ON_THE_DEVICE, ROOT, absent

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
ALONE = {
    "estimator.py": {"sklearn"},
    "explanation/plot.py": {"matplotlib"},
    "explanation/spectrogram.py": {"matplotlib"},
    "monitor/history/export.py": {"pyarrow"},
    "monitor/metrics.py": {"prometheus_client"},
    "monitor/mqtt.py": {"paho"},
    "monitor/mqtt_client.py": {"paho"},
    "monitor/notify.py": {"apprise"},
    "monitor/web/app.py": {"starlette"},
    "monitor/web/guard.py": {"starlette"},
    "monitor/web/server.py": {"anyio", "h11", "uvicorn"},
    "archive/cluster.py": {"dask", "distributed"},
    "data/filesystems.py": {"fsspec"},
    "archive/parts.py": {"fsspec"},
    "callbacks.py": {"mlflow", "tensorboard"},
}
# The rooms of asd_edge from the lowest layer to the highest: a module imports from layers below its
# own and from its own room.
LAYERS = (
    {"__init__", "errors", "_core"},
    {"atomic_files", "native_stderr", "stage"},
    {"audio"},
    {"frontend"},
    {"scoring"},
    {"bundle", "model"},
    {"checks"},
    {"frequencies"},
    {"decision"},
    {"analysis"},
    {"detector"},
    {"verify"},
    {"enrolment", "explanation", "bench"},
    {"api"},
    {"estimator"},
    {"monitor"},
    {"support"},
    {"cli"},
    {"__main__"},
)
# The same of asd_training. The learning loop draws its curves, so it lies above the report.
TRAINING_LAYERS = (
    {"__init__", "callbacks", "errors", "preset_tables", "progress"},
    {"presets"},
    {"synth"},
    {"data", "network"},
    {"run_folder", "archive"},
    {"reference_selection"},
    {"evaluation"},
    {"report"},
    {"learn"},
    {"api"},
    {"cli"},
)
FOLDERS = {
    "asd_edge": ROOT / "asd_edge",
    "asd_training": ROOT / "training" / "asd_training",
    "asd_export": ROOT / "export" / "asd_export",
}


@pytest.mark.parametrize("package", FOLDERS)
def test_imports(package: str) -> None:
    for path in FOLDERS[package].rglob("*.py"):
        alone = ALONE.get(path.relative_to(FOLDERS[package]).as_posix(), set())
        allowed = ALLOWED[package] | alone
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
                assert top in sys.stdlib_module_names | allowed, f"{path} imports {name}"


def imported_modules(path: Path, package: str) -> set[str]:
    """Modules of the package that a file imports, anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
    return {name for name in found if name.startswith(f"{package}.")}


@pytest.mark.parametrize(
    ("package", "layers"), [("asd_edge", LAYERS), ("asd_training", TRAINING_LAYERS)]
)
def test_layers(package: str, layers: tuple[set[str], ...]) -> None:
    level = {room: i for i, rooms in enumerate(layers) for room in rooms}
    for path in FOLDERS[package].rglob("*.py"):
        own = path.relative_to(FOLDERS[package]).with_suffix("").parts[0]
        if own == "__init__":  # names the public API, lazily
            continue
        assert own in level, f"{path} is in no layer"
        for name in imported_modules(path, package):
            other = name.split(".")[1]
            if other in level and other != own:
                assert level[other] < level[own], f"{path} imports {name}, of a layer not below it"


@pytest.mark.parametrize("package", FOLDERS)
def test_no_import_cycle(package: str) -> None:
    folder = FOLDERS[package]
    files = {}
    for path in folder.rglob("*.py"):
        parts = path.relative_to(folder).with_suffix("").parts
        files[".".join((package, *parts)).removesuffix(".__init__")] = path
    graph = {name: imported_modules(path, package) & files.keys() for name, path in files.items()}
    graph = {name: found - {name} for name, found in graph.items()}
    while leaves := [name for name, found in graph.items() if not found]:
        for leaf in leaves:
            del graph[leaf]
        graph = {name: found - set(leaves) for name, found in graph.items()}
    assert not graph, f"these modules import each other: {sorted(graph)}"


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
from asd_edge.cli.main import main
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
        ("asd_training.cli.train", ["data", "-o", "run"], "train"),
        ("asd_training.cli.evaluate", ["run", "data"], "train"),
        ("asd_training.cli.data", ["synth", "data"], "train"),
        ("asd_training.cli.data", ["features", "data", "-o", "t.parquet"], "train"),
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
for module in ("asd_edge.cli.main", "asd_training.cli.train", "asd_training.cli.evaluate",
               "asd_export.cli", "asd_training.cli.data"):
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
from asd_edge.cli.main import main
main(["score", {str(clip)!r}, "--bundle", {str(tiny_bundle)!r}], standalone_mode=False)
idle = {{"soundfile", "soxr", "click._termui_impl", "importlib.metadata",
        "numpy.testing", "numpy.random", "numpy.ma", "numpy.fft", "onnx", "asd_edge.verify",
        "asd_edge.bench.stages", "asd_edge.bench.hardware", "unittest", "asyncio",
        "multiprocessing"}}
print(sorted(idle & set(sys.modules)), gc.isenabled(), gc.get_freeze_count() > 10_000,
      os.environ.get("OPENBLAS_NUM_THREADS"))
"""
    env = {name: value for name, value in os.environ.items() if name != "OPENBLAS_NUM_THREADS"}
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env=env
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines()[-1] == "[] True True 1"


def test_start_up_of_a_score_is_few_modules(tiny_bundle: Path, tiny_data: Path) -> None:
    """Each module of the package costs a process some 0.1 ms, and each frozen dataclass 0.4 ms."""
    clip = next((tiny_data / "hummer" / "test").glob("*.wav"))
    program = f"""
import sys
from asd_edge.cli.main import main
main(["score", {str(clip)!r}, "--bundle", {str(tiny_bundle)!r}], standalone_mode=False)
own = {{name: module for name, module in sys.modules.items() if name.startswith("asd_edge")}}
classes = {{value for module in own.values() for value in vars(module).values()
           if isinstance(value, type) and hasattr(value, "__dataclass_fields__")}}
print(len(own), len(classes), len(sys.modules.keys() & sys.stdlib_module_names))
"""
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    modules, dataclasses, stdlib = map(int, result.stdout.splitlines()[-1].split())
    assert modules <= 45
    assert dataclasses <= 11
    assert stdlib <= 110  # of the standard library, with what NumPy and onnxruntime import


def test_a_process_of_somebody_else_is_left_alone(tiny_bundle: Path, tiny_data: Path) -> None:
    clip = next((tiny_data / "hummer" / "test").glob("*.wav"))
    program = f"""
import gc, os, numpy
from asd_edge.cli.main import main
main(["score", {str(clip)!r}, "--bundle", {str(tiny_bundle)!r}], standalone_mode=False)
print(gc.isenabled(), gc.get_freeze_count(), os.environ.get("OPENBLAS_NUM_THREADS"))
"""
    env = {name: value for name, value in os.environ.items() if name != "OPENBLAS_NUM_THREADS"}
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env=env
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines()[-1] == "True 0 None"
