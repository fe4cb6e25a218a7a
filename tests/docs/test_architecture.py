"""The pages name files that exist, and docs/architecture.md names every room of the runtime."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from helpers import ROOT

PAGES = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), ROOT / "benchmarks" / "RESULTS.md"]
TEXT = (ROOT / "docs" / "architecture.md").read_text()


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_every_path_exists(page: Path) -> None:
    rooms = "asd_edge|training|export|csrc|tests|benchmarks|docs"
    paths = re.findall(rf"`((?:{rooms})/[\w./-]*)`", page.read_text())
    assert [p for p in paths if not (ROOT / p).exists() and "/NAME_" not in p] == []


def test_every_path_in_the_table_exists() -> None:
    table = TEXT[TEXT.index("| to change | go to |") :]
    paths = re.findall(r"`((?:asd_edge|training|export|csrc|tests)/[\w./]*)`", table)
    assert len(paths) > 20
    assert [path for path in paths if not (ROOT / path).exists()] == []


def test_every_room_of_the_runtime_is_drawn() -> None:
    drawn = TEXT[TEXT.index("    asd_edge/   ") : TEXT.index("    training/asd_training/   ")]
    rooms = {path.name for path in (ROOT / "asd_edge").iterdir() if path.suffix == ".py"}
    rooms |= {
        f"{path.name}/"
        for path in (ROOT / "asd_edge").iterdir()
        if path.is_dir() and any(path.glob("*.py"))
    }
    missing = {room for room in rooms if not room.startswith("__") and room not in drawn}
    assert not missing
