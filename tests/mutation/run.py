"""Mutation testing: does a test fail if the code is changed? `make mutants MUTANTS=100`.

One operator, comparison or constant of a module is changed in a copy of the tree, and the module's
tests are run there. A mutant that no test notices survives and is printed with its line. Mutants
that do the same as the code are in `equivalent.py`, each with the reason, and do not count.
"""

from __future__ import annotations

import argparse
import ast
import importlib
import multiprocessing
import os
import random
import shutil
import sys
import tempfile
from collections import Counter
from pathlib import Path

import pytest
from equivalent import EQUIVALENT

ROOT = Path(__file__).parents[2]
MODULES = {
    "asd_edge/scoring/recording_rule.py": ["tests/scoring/test_recording_rule.py"],
    "asd_edge/scoring/recording_tail.py": ["tests/scoring/test_recording_tail.py"],
    "asd_edge/scoring/calibration.py": ["tests/scoring/test_calibration.py"],
    "asd_edge/scoring/folds.py": ["tests/scoring/test_folds.py"],
    "asd_edge/scoring/scorer.py": ["tests/scoring/test_scorer.py", "tests/scoring/test_views.py"],
    "asd_edge/scoring/whitening.py": ["tests/scoring/test_whitening.py"],
    "asd_edge/bundle/archive.py": ["tests/bundle/test_reading.py"],
    "asd_edge/bundle/reading.py": ["tests/bundle/test_reading.py", "tests/bundle/test_format.py"],
    "training/asd_training/evaluation/measures.py": ["tests/training/evaluation/test_metrics.py"],
    "training/asd_training/evaluation/metrics.py": ["tests/training/evaluation/test_metrics.py"],
}
_SECONDS = 600  # a mutant may loop for ever
# Imported once, before the tests of each mutant are forked off: most of their time otherwise.
_SLOW_IMPORTS = ("hypothesis", "onnxruntime", "pandas", "scipy.stats", "sklearn.metrics")
_OTHER: dict[type[ast.AST], type[ast.AST]] = {
    **{ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult},
    **{ast.FloorDiv: ast.Mult, ast.Pow: ast.Mult, ast.And: ast.Or, ast.Or: ast.And},
    **{ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt},
    **{ast.Eq: ast.NotEq, ast.NotEq: ast.Eq, ast.Is: ast.IsNot, ast.IsNot: ast.Is},
}


class _Mutator(ast.NodeTransformer):
    """Changes the place number `wanted`, and counts them."""

    def __init__(self, wanted: int) -> None:
        self.wanted, self.count = wanted, 0

    def visit(self, node: ast.AST) -> ast.AST:
        if isinstance(node, (ast.BinOp, ast.BoolOp, ast.AugAssign)) and type(node.op) in _OTHER:
            if self._now():
                node.op = _OTHER[type(node.op)]()
        elif isinstance(node, ast.Compare) and type(node.ops[0]) in _OTHER:
            if self._now():
                node.ops[0] = _OTHER[type(node.ops[0])]()
        elif isinstance(node, ast.Constant) and type(node.value) in (int, float) and self._now():
            node.value = node.value + 1
        elif isinstance(node, ast.JoinedStr):  # words of a message
            return node
        return self.generic_visit(node)

    def _now(self) -> bool:
        self.count += 1
        return self.count - 1 == self.wanted


def mutants(source: str) -> list[tuple[str, str]]:
    """Give every mutant of a module: its code, and the line that is new in it."""
    counter = _Mutator(-1)
    before = ast.unparse(counter.visit(ast.parse(source))).splitlines()
    found = []
    for place in range(counter.count):
        code = ast.unparse(_Mutator(place).visit(ast.parse(source)))
        pairs = zip(before, code.splitlines(), strict=True)
        found.append((code, next(new.strip() for old, new in pairs if new != old)))
    return found


def survives(tree: Path, module: str, code: str) -> bool:
    path = tree / module
    before = path.read_text()
    path.write_text(code)
    for compiled in path.parent.glob(f"__pycache__/{path.stem}.*"):
        compiled.unlink()
    # Tests run in a fork, in which nothing of the project is imported yet.
    process = multiprocessing.get_context("fork").Process(
        target=run_tests, args=(tree, MODULES[module])
    )
    try:
        process.start()
        process.join(_SECONDS)
        return process.exitcode == 0
    finally:
        process.kill()
        process.join()
        path.write_text(before)


def run_tests(tree: Path, tests: list[str]) -> None:
    """Run tests of a copy of the tree; the exit status is pytest's."""
    os.chdir(tree)
    paths = [str(tree), str(tree / "training"), str(tree / "export")]
    sys.path[:0] = paths
    os.environ["PYTHONPATH"] = ":".join(paths)
    # The run without a mutant leaves compiled tests; a mutant's code would look like it by its age.
    sys.dont_write_bytecode = (tree / COMPILED).exists()
    silent = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silent, 1)
    os.dup2(silent, 2)
    quiet = [
        "-q",
        "-x",
        "-p",
        "no:cacheprovider",
        "-W",
        "ignore::pytest.PytestAssertRewriteWarning",
    ]
    os._exit(pytest.main([*quiet, *ARGUMENTS, *tests]))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mutants", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", help="part of a module's path")
    parser.add_argument("pytest", nargs="*", help="arguments for pytest, behind --")
    arguments = parser.parse_args()
    ARGUMENTS[:] = arguments.pytest
    places = [
        (module, *mutant)
        for module in MODULES
        if arguments.only in (None, "") or arguments.only in module
        for mutant in mutants((ROOT / module).read_text())
    ]
    chosen = random.Random(arguments.seed).sample(places, min(arguments.mutants, len(places)))
    for name in _SLOW_IMPORTS:
        importlib.import_module(name)
    count: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as name:
        tree = Path(name) / "tree"
        shutil.copytree(ROOT, tree, ignore=shutil.ignore_patterns(".venv", ".git", "build"))
        for module in sorted({module for module, _, _ in chosen}):
            if not survives(tree, module, (ROOT / module).read_text()):
                sys.exit(f"the tests of {module} fail without a mutant: {MODULES[module]}")
        (tree / COMPILED).touch()
        for number, (module, code, line) in enumerate(chosen, 1):
            word = "SURVIVES" if survives(tree, module, code) else "noticed"
            reason = EQUIVALENT.get(Path(module).name, {}).get(line, "")
            if word == "SURVIVES" and reason:
                word, line = "equivalent", f"{line} ({reason})"
            count[word] += 1
            print(f"{number} {word} {module}: {line}", flush=True)
    same = count["equivalent"]
    print(f"{count['noticed']} of {len(chosen) - same} mutants noticed, {same} equivalent")
    return 0


ARGUMENTS: list[str] = []
COMPILED = ".compiled"

if __name__ == "__main__":
    sys.exit(main())
