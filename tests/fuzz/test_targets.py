"""The targets of fuzzing in seconds: everything found before, and some new mutations."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from fuzz import mutate, targets
from hypothesis import given
from hypothesis import strategies as st

HERE = Path(__file__).parent
CORPUS = sorted(HERE.glob("corpus/*/*"))


@pytest.fixture(scope="module", autouse=True)
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(targets, "SCRATCH", tmp_path_factory.mktemp("fuzz"))
        yield


@pytest.mark.parametrize("path", CORPUS, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_what_was_found_once(path: Path) -> None:
    targets.TARGETS[path.parent.name](path.read_bytes())


def test_mutated_sound_files() -> None:
    """Seeds are small files of every kind; a bound of 5 s holds for each by a wide margin."""
    rng = np.random.default_rng(0)
    seeds = mutate.seeds_of_sound()
    assert len(seeds) > 100
    for i in range(600):
        data = mutate.mutated(seeds[int(rng.integers(len(seeds)))], rng, seeds)
        begin = time.process_time()
        targets.sound(data)
        assert time.process_time() - begin < 5, f"input {i}"


def test_mutated_bundles() -> None:
    rng = np.random.default_rng(0)
    seeds = [targets.packed(path) for path in (HERE.parent / "bundle/schemas").glob("*.asd")]
    targets.bundle(seeds[0])
    for _ in range(60):
        targets.bundle(mutate.mutated_bundle(seeds[int(rng.integers(len(seeds)))], rng))


def test_mutated_feature_tables() -> None:
    pytest.importorskip("pyarrow")
    rng = np.random.default_rng(0)
    seed = mutate.seed_of_a_table()
    targets.feature_table(seed)
    for _ in range(60):
        targets.feature_table(mutate.mutated(seed, rng, [seed]))


@given(st.binary(max_size=200))
def test_any_bytes_as_a_stream(data: bytes) -> None:
    targets.stream(data)


@given(st.binary(min_size=1, max_size=300))
def test_any_bytes_as_a_name(data: bytes) -> None:
    targets.name(data)


WORDS = st.sampled_from(
    ["score", "info", "enroll", "verify", "explain", "--json", "-o", "--bundle"]
)
OTHERS = st.text(st.characters(exclude_characters="/\0"), max_size=20)


@given(st.lists(WORDS | OTHERS, max_size=6))
def test_any_command_line(words: list[str]) -> None:
    targets.arguments("\0".join(words).encode("utf-8", "surrogatepass"))
