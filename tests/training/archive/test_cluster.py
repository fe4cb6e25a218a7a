"""The pool of batches: what it holds in memory, and how it cuts batches in pieces."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from typing import Any

import pytest

from asd_training.archive.cluster import Pool, connected

pytest.importorskip("distributed", reason="the extra cluster is not installed")


@pytest.fixture(scope="module")
def client() -> Iterator[Any]:
    with connected(None, 1, print) as one:
        yield one


def test_memory_does_not_grow(client: Any) -> None:
    """What a batch was made of is forgotten with it, by the scheduler in this process too."""
    pool: Pool[int, str, int] = Pool(client, len, len)
    sizes = list[int]()
    tracemalloc.start()
    try:
        for number in range(60):
            pool.submit(number, [f"{number} {'x' * 100_000}"])
            assert list(pool.finished()) == [(number, [1])]
            sizes.append(tracemalloc.get_traced_memory()[0])
    finally:
        tracemalloc.stop()
    assert sizes[-1] - sizes[19] < 1_000_000  # of 4 MB


def test_pieces(client: Any) -> None:
    """A batch comes back whole and in order; who asks for no pieces gets none."""
    pool: Pool[str, int, list[int]] = Pool(client, list, lambda item: [item])
    assert pool.threads == 1
    pool.submit("whole", range(10))
    pool.submit("pieces", range(10), most=4)
    done = dict[str, list[list[int]]]()
    while not pool.is_idle:
        done |= dict(pool.finished())
    assert done == {
        "whole": [[*range(10)]],
        "pieces": [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]],
    }
