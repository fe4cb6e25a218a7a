"""The commands in README and docs: every block runs, or says why not.

Pages that train networks run here with little data and one epoch; `make docs-commands` runs them as
they are written.
"""

from __future__ import annotations

import socket
import time
from pathlib import Path

import doc_pages as pages
import pytest

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
# They train networks for minutes.
LONG = {"dcase-entry.md", "run-to-device.md"}


def runs(page: Path) -> bool:
    return any(b.language in pages.RUN and not b.reason for b in pages.blocks(page))


SHORT = [p for p in PAGES if p.name not in LONG and runs(p)]


@pytest.mark.parametrize("page", SHORT, ids=lambda p: p.stem)
def test_commands_do_what_the_page_says(page: Path, tmp_path: Path) -> None:
    pytest.importorskip("starlette", reason="needs the extra monitor")
    assert list(pages.run(page, tmp_path)) == []


@pytest.mark.parametrize("name", sorted(LONG))
def test_commands_of_pages_that_train(name: str, tmp_path: Path) -> None:
    pytest.importorskip("onnxscript", reason="needs the extra export")
    page = ROOT / "docs" / "tutorials" / name
    assert list(pages.run(page, tmp_path, miniature=True)) == []


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.stem)
def test_every_block_has_a_language(page: Path) -> None:
    for block in pages.blocks(page):
        assert block.language, f"{page}:{block.line}"


def page(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "page.md"
    path.write_text(text)
    return path


def test_a_command_that_fails_is_found(tmp_path: Path) -> None:
    path = page(tmp_path, "```sh\ntrue\n```\n\n```sh\nfalse\n```\n")
    (trouble,) = pages.run(path, tmp_path)
    assert "page.md:5: exit status 1" in trouble


def test_another_output_is_found(tmp_path: Path) -> None:
    text = "```console\n$ echo a   1.5\na 2\n```\n\n```console\n$ echo b\nc\n```\n"
    (trouble,) = pages.run(page(tmp_path, text), tmp_path)
    assert "page.md:6: prints otherwise:\nb" in trouble


def test_dots_stand_for_anything(tmp_path: Path) -> None:
    text = "```console\n$ printf 'x\\ny\\nz\\n'\nx\n...\nz\n```\n"
    assert list(pages.run(page(tmp_path, text), tmp_path)) == []


def test_a_block_that_is_not_run_says_why(tmp_path: Path) -> None:
    text = "<!-- not run: it fails -->\n```sh\nfalse\n```\n"
    path = page(tmp_path, text)
    assert list(pages.run(path, tmp_path)) == []
    assert [b.reason for b in pages.blocks(path)] == ["it fails"]


def test_what_runs_in_the_background_ends_with_the_page(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}/"
    serve = f"<!-- background: {url} -->\n```sh\npython -m http.server {port} -b 127.0.0.1\n```\n"
    path = page(tmp_path, f"{serve}\n```sh\ncurl -fsS -o got {url}page.md\n```\n")
    assert list(pages.run(path, tmp_path)) == []
    assert (tmp_path / "got").read_text() == path.read_text()
    for _ in range(100):
        with socket.socket() as tried:
            if tried.connect_ex(("127.0.0.1", port)) != 0:
                return
        time.sleep(0.1)
    pytest.fail("it still runs")
