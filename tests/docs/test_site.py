"""The pages as HTML, in a browser: links, anchors, search, and nothing wider than a phone."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
from helpers import ROOT

pytest.importorskip("sphinx", reason="needs the packages of [docs]")
pytest.importorskip("torch", reason="the reference describes the extras train and export")
CHROMIUM = shutil.which("chromium")
MARKDOWN = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / ".github").rglob("*.md")]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-n", "-q", "-b", "html"]
    subprocess.run([*command, ROOT / "docs", folder], check=True)
    return folder


class _Page(HTMLParser):
    """Targets of a page's links, and the anchors that it has."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.targets: list[str] = []
        self.anchors: set[str] = set()
        self.feed(path.read_text())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.targets += [x for key in ("href", "src") if (x := values.get(key))]
        self.anchors |= {x for key in ("id", "name") if (x := values.get(key))}


def pages(site: Path) -> list[Path]:
    return [p for p in sorted(site.rglob("*.html")) if p.relative_to(site).parts[0][0] != "_"]


def test_every_link_and_anchor_is_there(site: Path) -> None:
    read = {path.resolve(): _Page(path) for path in pages(site)}
    assert len(read) > 45
    broken = []
    for path, page in read.items():
        for target in page.targets:
            parts = urlsplit(target)
            if parts.scheme or parts.netloc:
                continue
            there = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            anchors = read[there].anchors if there in read else None
            if not there.is_file() or (
                parts.fragment and anchors and parts.fragment not in anchors
            ):
                broken.append(f"{path.name}: {target}")
    assert not broken


def _anchor(heading: str) -> str:
    """Anchor of a heading, as GitHub makes it."""
    words = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading).strip().lower()
    return re.sub(r"[^\w\- ]", "", words).replace(" ", "-")


def _prose(path: Path) -> str:
    """Text of a page without its code."""
    text = re.sub(r"^( *)```.*?^\1```", "", path.read_text(), flags=re.DOTALL | re.MULTILINE)
    return re.sub(r"`[^`]*`", "", text)


@pytest.mark.parametrize("path", MARKDOWN, ids=lambda p: str(p.relative_to(ROOT)))
def test_no_word_is_taken_for_an_element_of_html(path: Path) -> None:
    # A browser shows nothing of <day>.
    text = re.sub(r"^    .*", "", _prose(path), flags=re.MULTILINE)
    assert set(re.findall(r"<[a-z]\w*>", text)) <= {"<br>"}


@pytest.mark.parametrize("path", MARKDOWN, ids=lambda p: str(p.relative_to(ROOT)))
def test_links_of_the_markdown_lead_somewhere(path: Path) -> None:
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)\)", _prose(path)):
        parts = urlsplit(target)
        if parts.scheme:
            continue
        there = (path.parent / unquote(parts.path)).resolve() if parts.path else path
        headings = []
        if parts.fragment and there.suffix == ".md":
            headings = re.findall(r"^#+ (.*)", there.read_text(), flags=re.MULTILINE)
        if not there.exists() or (headings and parts.fragment not in map(_anchor, headings)):
            broken.append(target)
    assert not broken


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    if CHROMIUM is None:
        pytest.skip("needs chromium (tests/install_apt.sh)")
    playwright = pytest.importorskip("playwright.sync_api", reason="needs Playwright (extra dev)")
    with playwright.sync_playwright() as driver:
        # Chromium's sandbox does not run as root, as tests in containers do.
        sandbox = [] if os.geteuid() else ["--no-sandbox"]
        found = driver.chromium.launch(executable_path=CHROMIUM, args=sandbox)
        yield found
        found.close()


# What reaches beyond the right edge and cannot be scrolled to within a box of its own.
TOO_WIDE = """() => [...document.querySelectorAll('article *')].filter(e => {
    if (e.getBoundingClientRect().right <= innerWidth + 1) return false
    for (let p = e; p != document.body; p = p.parentElement)
        if (['auto', 'scroll'].includes(getComputedStyle(p).overflowX)) return false
    return true
}).map(e => e.tagName + ' ' + e.innerText.slice(0, 40))"""


@pytest.mark.parametrize("width", [400, 1280])
def test_nothing_is_wider_than_the_screen_or_comes_from_elsewhere(
    site: Path, browser: Any, width: int
) -> None:
    context = browser.new_context(viewport={"width": width, "height": 900})
    page = context.new_page()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    wrong = {}
    for path in pages(site):
        page.goto(path.as_uri())
        over = page.evaluate("document.documentElement.scrollWidth - innerWidth")
        if over > 0 or page.evaluate(TOO_WIDE):
            wrong[path.name] = (over, page.evaluate(TOO_WIDE))
    context.close()
    assert not wrong
    assert [url for url in asked if not url.startswith(("file:", "data:"))] == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_can_be_read_in_light_and_dark(site: Path, browser: Any, scheme: str) -> None:
    context = browser.new_context(color_scheme=scheme)
    page = context.new_page()
    page.goto((site / "howto" / "score.html").as_uri())
    colours = page.evaluate(
        "() => ['color', 'backgroundColor'].map(k => getComputedStyle(document.body)[k])"
    )
    text, ground = (sum(map(int, re.findall(r"\d+", c)[:3])) / 3 for c in colours)
    context.close()
    assert (ground - text > 120) if scheme == "light" else (text - ground > 120)


def test_search_works_without_a_network(site: Path, browser: Any) -> None:
    context = browser.new_context(offline=True)
    page = context.new_page()
    page.goto((site / "search.html").as_uri() + "?q=false+alarm")
    page.wait_for_selector("#search-results ul.search li a")
    found = page.eval_on_selector_all("#search-results li a", "xs => xs.map(x => x.innerText)")
    context.close()
    assert "After a false alarm" in found
