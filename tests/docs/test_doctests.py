"""The examples in docstrings run and give what they show.

They find these files in the folder they run in: fan.asd, enrolled from a synthetic fan, and of the
same fan normal.wav (10 s) and hour.wav, a long recording with half a minute of a fault in it.
Those of asd_training and asd_export also find a small data set of a machine "fan" in data/, its
feature table fan.parquet, and a run of it in runs/fan.
"""

from __future__ import annotations

import doctest
import importlib
import re
from pathlib import Path

import numpy as np
import pytest
import soundfile
from helpers import invoke

ROOT = Path(__file__).parents[2]
PACKAGES = {"asd_edge": ROOT, "asd_training": ROOT / "training", "asd_export": ROOT / "export"}
SR = 16000


def modules() -> list[str]:
    """Modules with examples."""
    return [
        ".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__")
        for package, root in PACKAGES.items()
        for path in sorted((root / package).rglob("*.py"))
        if re.search(r"^ *>>> ", path.read_text(), flags=re.MULTILINE)
    ]


def fan(seconds: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    blades = sum(
        np.sin(2 * np.pi * 170 * k * np.arange(seconds * SR) / SR + rng.uniform(0, 6)) / k
        for k in range(1, 9)
    )
    return 0.05 * blades + 0.05 * rng.normal(size=seconds * SR)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from asd_edge.cli.main import main

    path = tmp_path_factory.mktemp("doctest")
    for name, seconds, seed in (("monday.wav", 300, 1), ("normal.wav", 10, 2), ("hour.wav", 60, 3)):
        y = fan(seconds, seed)
        if name == "hour.wav":
            y[28 * SR : 58 * SR] += 0.05 * np.sin(np.pi * 5000 * np.arange(30 * SR) / SR)
        soundfile.write(path / name, y, SR)
    invoke(main, "enroll", path / "monday.wav", "-o", path / "fan.asd")
    return path


@pytest.fixture(scope="module")
def workstation(folder: Path, tiny_data: Path) -> Path:
    from asd_training.cli.data import main as data
    from asd_training.cli.train import main as train

    (folder / "data").mkdir()
    (folder / "data" / "fan").symlink_to(tiny_data / "hummer")
    invoke(data, "features", folder / "data", "-o", folder / "fan.parquet")
    arguments = ("--preset", "statistics", "--cache", folder / "cache")
    invoke(train, folder / "data", "-o", folder / "runs" / "fan", *arguments)
    return folder


@pytest.mark.parametrize("name", modules())
@pytest.mark.filterwarnings("ignore:.*noload:DeprecationWarning")  # MLflow's use of SQLAlchemy
def test_examples(
    name: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    if name.endswith(".callbacks"):
        pytest.importorskip("tensorboard", reason="needs the extra tensorboard")
        pytest.importorskip("mlflow", reason="needs the extra mlflow")
    module = importlib.import_module(name)
    workstation = not name.startswith("asd_edge")
    monkeypatch.chdir(request.getfixturevalue("workstation" if workstation else "folder"))
    found = doctest.testmod(module, optionflags=doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS)
    assert found.attempted
    assert not found.failed


@pytest.mark.parametrize("package", PACKAGES)
def test_every_public_name_has_an_example(package: str) -> None:
    module = importlib.import_module(package)
    public = {name: getattr(module, name) for name in module.__all__ if name[0] != "_"}
    assert public
    results = {"Export"}  # the example of `export` shows it
    lacking = {name for name, value in public.items() if ">>> " not in (value.__doc__ or "")}
    assert lacking - results == set()


def test_no_example_is_skipped() -> None:
    texts = {p: p.read_text() for root in PACKAGES.values() for p in root.glob("asd_*/**/*.py")}
    assert [path for path, text in texts.items() if "doctest: +SKIP" in text] == []
