"""The examples in docstrings run and give what they show.

They find these files in the folder they run in: fan.asd, enrolled from a synthetic fan, and of the
same fan normal.wav (10 s) and hour.wav, a long recording with half a minute of a fault in it.
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

import asd_edge

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


@pytest.mark.parametrize("name", modules())
def test_examples(name: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = importlib.import_module(name)
    monkeypatch.chdir(folder)
    found = doctest.testmod(module, optionflags=doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS)
    # Examples of asd_training and asd_export need a run, and are skipped; the notebooks run them.
    assert found.attempted or not name.startswith("asd_edge")
    assert not found.failed


def test_every_public_name_has_an_example() -> None:
    public = {name: getattr(asd_edge, name) for name in asd_edge.__all__ if name[0] != "_"}
    assert len(public) >= 6
    assert [name for name, value in public.items() if ">>> " not in (value.__doc__ or "")] == []
