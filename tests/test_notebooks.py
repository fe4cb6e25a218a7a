"""The notebooks of docs/notebooks run from the first cell to the last and print what they show."""

from __future__ import annotations

from pathlib import Path

import notebooks
import pytest


def test_there_is_one_for_each_kind_of_user() -> None:
    assert [path.stem for path in notebooks.NOTEBOOKS] == ["dcase-entry", "engineer"]


@pytest.mark.parametrize("path", notebooks.NOTEBOOKS, ids=lambda p: p.stem)
@pytest.mark.filterwarnings("ignore")  # of Jupyter's own parts
def test_it_runs(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nbformat = pytest.importorskip("nbformat", reason="needs the packages of [dev]")
    pytest.importorskip("nbclient", reason="needs the packages of [dev]")
    for name in ("PATH", "COLUMNS"):  # put back what the run changes
        monkeypatch.setenv(name, "100" if name == "COLUMNS" else notebooks.os.environ[name])
    kept = nbformat.read(path, as_version=4)
    assert notebooks.shapes(notebooks.run(path, tmp_path)) == notebooks.shapes(kept), (
        "prints otherwise than it shows; if that is right: make docs-notebooks"
    )
