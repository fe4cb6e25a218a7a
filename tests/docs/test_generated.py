"""The reference pages that docs/generate.py writes are those of the code."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from asd_edge.bundle.format import SCHEMA_VERSION

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture(scope="module")
def generate() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate", DOCS / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_pages_are_up_to_date(generate: ModuleType) -> None:
    pytest.importorskip("asd_training.presets", reason="needs the extra train")
    pytest.importorskip("onnx", reason="needs the extra export")
    assert [path.name for path in generate.outdated()] == [], "run `make docs-reference`"


def test_every_option_key_and_field_has_a_meaning(generate: ModuleType) -> None:
    for name in generate.PAGES:
        for line in (generate.REFERENCE / name).read_text().splitlines():
            cells = [cell.strip() for cell in line.split(" | ")]
            if line.startswith("| `"):
                assert all(cell not in ("", "|") for cell in cells), f"{name}: {line}"


def test_figures_are_those_that_were_recorded(
    generate: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(generate, "FIGURES", tmp_path / "figures.json")
    generate.FIGURES.write_text('{"command": {"figures": {"ms": 0.6182}}}')
    page = "a <!--figure ms-->9<!--/figure--> b <!--figure ms .1f-->9<!--/figure--> c"
    wanted = "a <!--figure ms-->0.618<!--/figure--> b <!--figure ms .1f-->0.6<!--/figure--> c"
    assert generate.with_figures(page) == wanted
    with pytest.raises(KeyError):
        generate.with_figures("<!--figure unknown-->1<!--/figure-->")


def test_the_page_of_the_bundle_format_is_about_the_version_that_is_written() -> None:
    text = (DOCS / "reference" / "bundle-format.md").read_text()
    assert f"This page describes schema version {SCHEMA_VERSION};" in text
    assert f"| `schema_version` | integer | {SCHEMA_VERSION} |" in text
    assert f"| {SCHEMA_VERSION} | " in text.partition("## Versions")[2]
