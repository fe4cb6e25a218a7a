"""Run the commands of a page of the documentation, in order, in an empty folder.

    python tests/doc_pages.py README.md docs/tutorials/run-to-device.md

Blocks of ```sh run as they are. In blocks of ```console, lines after "$ " run, and the other lines
must be what they print, but for numbers; "..." stands for anything. A block of ```python runs too,
and one of ```toml is a file if its first line is a comment with its name. What stands before a
block changes that:

    <!-- not run: REASON -->     the block needs what a test does not have
    <!-- may fail -->            its exit status may be any
    <!-- background: URL -->     goes on when URL answers; ended with the page

What the reader already has is made by commands in a comment at the top, <!-- setup ... -->.

`arecord` is a stand-in that plays a synthetic fan (tests/docs/bin/arecord).
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

STAND_INS = Path(__file__).parent / "docs" / "bin"
RUN = ("sh", "console", "python", "toml")
_MARK = "@@ end of block "


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, lines, first line in the page, and the comment before it."""

    language: str
    text: str
    line: int
    note: str

    @property
    def reason(self) -> str:
        """Why it is not run; "" if it is."""
        found = re.fullmatch(r"<!-- not run: (.+) -->", self.note)
        return found[1] if found else ""

    @property
    def url(self) -> str:
        """What has to answer before the page goes on; "" if it is not in the background."""
        found = re.fullmatch(r"<!-- background: (\S+) -->", self.note)
        return found[1] if found else ""


def blocks(page: Path) -> list[Block]:
    """Find the blocks of a page."""
    found = []
    lines = page.read_text().splitlines()
    start, note = None, ""
    indent = ""
    for number, line in enumerate(lines):
        fence = re.match(r"( *)```(\{?\w*)", line)
        if start is None and fence:
            start, indent, language = number, fence[1], fence[2]
            before = [x.strip() for x in lines[:number] if x.strip()]
            note = before[-1] if before and before[-1].startswith("<!--") else ""
        elif start is not None and fence:
            text = "\n".join(x.removeprefix(indent) for x in lines[start + 1 : number])
            found.append(Block(language, text, start + 1, note))
            start = None
    return found


def commands(block: Block) -> str:
    """What of a block bash runs."""
    if block.language == "console":
        found = "\n".join(x[2:] for x in block.text.splitlines() if x.startswith(("$ ", "> ")))
    elif block.language == "python":
        found = f"python - <<'END OF BLOCK'\n{block.text}\nEND OF BLOCK"
    elif block.language == "toml":
        name = re.match(r"# ([\w./-]+\.toml)$", block.text.splitlines()[0])
        found = f"cat > {name[1]} <<'END OF BLOCK'\n{block.text}\nEND OF BLOCK" if name else ":"
    else:
        found = block.text
    if block.note == "<!-- may fail -->":
        found = f"{{ {found}\n}} || true"
    if block.url:
        wait = f"until curl -fsS -o /dev/null {block.url}; do kill -0 $!; sleep 0.5; done"
        found = f"{{ {found}\n}} >background.log 2>&1 &\n{wait} 2>/dev/null"
    return found


# What makes a page that trains networks take a minute: little data, one epoch.
_MINIATURE = {
    r"(asd-data synth \S+)": r"\1 --sections 2 --train 12 --target-train 2 --test 2 --seconds 4",
    r"(asd-train \S+)": r"\1 --set training.epochs=1 --set training.min_items=32",
}


def run(page: Path, folder: Path, *, miniature: bool = False) -> Iterator[str]:
    """Run a page in a folder, or the same commands with little data; yields what is wrong."""
    todo = [b for b in blocks(page) if b.language in RUN and not b.reason]
    setup = re.findall(r"<!-- setup\n(.*?)-->", page.read_text(), flags=re.DOTALL)
    script = ["set -euo pipefail"]
    script += [f"{{\n{text}}} >/dev/null 2>&1" for text in setup]
    for number, block in enumerate(todo):
        text = commands(block)
        for pattern, small in _MINIATURE.items() if miniature else ():
            text = re.sub(pattern, small, text)
        script += [text, f"echo '{_MARK}{number}'"]
    environment = {
        **os.environ,
        "HOME": str(folder),
        "PATH": f"{STAND_INS}:{Path(sys.executable).parent}:{os.environ['PATH']}",
        "COLUMNS": "100",
    }
    for name in ("XDG_STATE_HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME", "ASD_EDGE_BUNDLE"):
        environment.pop(name, None)
    process = subprocess.Popen(
        ["bash", "-c", "\n".join(script)],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        printed, _ = process.communicate()
    finally:  # what the page started in the background
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
    outputs = re.split(rf"^{_MARK}\d+\n", printed, flags=re.MULTILINE)
    for block, output in zip(todo, outputs, strict=False):
        if block.language == "console" and not _as_shown(block.text, output):
            yield f"{page}:{block.line}: prints otherwise:\n{output}"
    if process.returncode:
        block = todo[min(len(outputs), len(todo)) - 1]
        yield f"{page}:{block.line}: exit status {process.returncode}:\n{outputs[-1]}"


def _as_shown(block: str, output: str) -> bool:
    shown = [x for x in block.splitlines() if not x.startswith(("$ ", "> "))]
    pattern = r"\n".join(
        ".*" if shape(x) == "..." else re.escape(shape(x)).replace(r"\.\.\.", ".*")
        for x in shown
        if x.strip()
    )
    found = "\n".join(shape(x) for x in output.splitlines() if x.strip())
    return re.fullmatch(pattern, found, flags=re.DOTALL) is not None


def shape(line: str) -> str:
    """A line without its numbers and without the width of its columns."""
    numbers = re.sub(r"(?<![\w.])[~-]?\d[\d.,]*(?:e[+-]?\d+)?", "0", line)
    return re.sub(r"[ \t]+", " ", re.sub(r"-{2,}", "-", numbers)).strip()


def main(pages: list[str]) -> int:
    """Run pages, each in a folder of its own."""
    wrong = 0
    for name in pages:
        with tempfile.TemporaryDirectory() as folder:
            troubles = list(run(Path(name).resolve(), Path(folder)))
        wrong += len(troubles)
        print(f"{name}: {'as written' if not troubles else ''}", *troubles, sep="\n", flush=True)
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
