"""Files and functions stay small enough to be read at once."""

from __future__ import annotations

import ast

import pytest
from helpers import ROOT

FILE_LINES, FUNCTION_LINES = 350, 60
FILES = sorted(
    path for folder in ("asd_edge", "training", "export") for path in (ROOT / folder).rglob("*.py")
)


def test_no_file_of_the_runtime_is_long() -> None:
    lengths = {
        path.relative_to(ROOT).as_posix(): path.read_text().count("\n")
        for path in (ROOT / "asd_edge").rglob("*.py")
    }
    long = {name: lines for name, lines in lengths.items() if lines > FILE_LINES}
    assert not long, f"split these by their jobs: {long}"


def body_lines(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of a function without its docstring."""
    assert node.end_lineno is not None
    lines = node.end_lineno - node.lineno + 1
    first = node.body[0]
    if ast.get_docstring(node) is not None and first.end_lineno is not None:
        lines -= first.end_lineno - first.lineno + 1
    return lines


def test_no_function_is_long() -> None:
    long = {
        f"{path.relative_to(ROOT)}:{node.name}": body_lines(node)
        for path in FILES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and body_lines(node) > FUNCTION_LINES
    }
    assert not long, f"split these: {long}"


@pytest.mark.parametrize(("docstring", "lines"), [("", 2), ('    """One\n    two."""\n', 2)])
def test_the_docstring_does_not_count(docstring: str, lines: int) -> None:
    (node,) = ast.parse(f"def f():\n{docstring}    return 1\n").body
    assert isinstance(node, ast.FunctionDef)
    assert body_lines(node) == lines
