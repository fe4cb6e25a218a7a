"""Drive the binding from threads, on every instruction set; numpy is all that it needs besides.

Run by test_c_core.py, and by sanitize.sh under ThreadSanitizer and valgrind.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import numpy as np

from asd_edge import _core
from asd_edge.errors import ParameterError

N_THREADS = 4
ROUNDS = int(sys.argv[1]) if len(sys.argv) > 1 else 5


def make_plan(name: str, n_fft: int, **changed: object) -> _core.Plan:
    config = {
        "sr": 16000,
        "n_fft": n_fft,
        "hop_length": n_fft // 2,
        "n_mels": 20,
        "fmin": 0.0,
        "fmax": 8000.0,
        "power": 2,
        "db": True,
        "amin": 1e-10,
        "center": True,
        "reflect": True,
    }
    return _core.Plan(**(config | changed), instruction_set=name)


def by_stream(plan: _core.Plan, y: np.ndarray) -> np.ndarray:
    stream = _core.Stream(plan)
    parts = [stream.push(part) for part in np.array_split(y, 5)]
    return np.concatenate([*parts, stream.finish()], axis=1)


def check_threads(name: str, n_fft: int) -> None:
    """Threads that share a plan and a projection give the bits of one thread."""
    rng = np.random.default_rng(n_fft)
    plan = make_plan(name, n_fft)
    triangle = rng.standard_normal(37 * 38 // 2).astype(np.float16).view(np.uint16)
    project = _core.Projection(triangle, name)
    clips = [
        (
            0.5 * np.sin(0.3 * np.arange(4000 + 100 * i))
            + 10.0**-i * rng.standard_normal(4000 + 100 * i)
        )
        for i in range(N_THREADS)
    ]
    clips = [y.astype(np.float32) for y in clips]
    x = rng.standard_normal((3, 37)).astype(np.float32)
    neighbours = _core.Neighbours(project(x), project, 0, name)
    parts = _core.Neighbours(x[:, 5:20], None, 5, name, density=np.array([1.0, 2.0, 4.0]))
    references = _core.ReferenceSet(
        [neighbours, parts, _core.Neighbours(x, None, 0, name, True)], 2, np.array([1.0, 1.5, 1.0])
    )
    standard = _core.DistanceStandard(
        [1.0] * 3, [0.1] * 3, offset=9.0, factor=0.5, exponent=1 / 3, emphasis=1.0
    )

    def compute(y: np.ndarray) -> list[bytes]:
        pcm = (20000 * np.clip(y, -1, 1)).astype(np.int16)
        return [
            plan.compute(y).tobytes(),
            plan.compute(pcm).tobytes(),
            by_stream(plan, y).tobytes(),
            project(x).tobytes(),
            neighbours.distances(x).tobytes(),
            parts.distances(x).tobytes(),
            str(references.means(x, (0, 1, 3))).encode(),
            str(standard.contributions(references.means(x, (0, 3))[0][0])).encode(),
            str(_core.measure_levels(y)).encode(),
            str(_core.int16_range(pcm)).encode(),
            str(_core.find_artefacts(np.repeat(pcm, 2), 16000, 16000)).encode(),
        ]

    expected = [compute(y) for y in clips]
    assert all(parts[0] == parts[2] for parts in expected)
    barrier = Barrier(N_THREADS)

    def work(i: int) -> bool:
        barrier.wait(timeout=300)
        return all(compute(clips[i]) == expected[i] for _ in range(ROUNDS))

    with ThreadPoolExecutor(N_THREADS) as pool:
        assert all(pool.map(work, range(N_THREADS)))


def refusal(call: Callable[[], object]) -> str:
    """Give the message of the call's ParameterError, or nothing."""
    try:
        call()
    except ParameterError as error:
        return str(error)
    return ""


def check_one_stream_in_threads(name: str) -> None:
    """A stream serves one thread at a time; others get an error, and nothing breaks."""
    stream = _core.Stream(make_plan(name, 64, hop_length=1))
    y = np.ones(50_000, dtype=np.float32)

    with ThreadPoolExecutor(N_THREADS) as pool:
        refusals = list(pool.map(lambda _: refusal(lambda: stream.push(y)), range(N_THREADS)))
    assert all(message == "" or "another thread" in message for message in refusals)
    assert "" in refusals


def check_refused(name: str) -> None:
    plan = make_plan(name, 64)
    odd = np.zeros(4001, dtype=np.uint8)[1:].view(np.float32)
    assert not odd.flags.aligned
    assert plan.compute(odd).shape == (20, 32)
    x = np.ones((2, 3), dtype=np.float32)
    nan = np.array([0x7E00], dtype=np.uint16)
    part = _core.Neighbours(x, None, 0, name)
    standard = _core.DistanceStandard(
        [1.0, 1.0], [1.0, 1.0], offset=0.0, factor=1.0, exponent=1.0, emphasis=0.0
    )

    def references(rows: np.ndarray, first: int = 0) -> _core.ReferenceSet:
        return _core.ReferenceSet([_core.Neighbours(rows, None, first, name)], 1)

    for message, call in {
        "a config of": lambda: make_plan(name, 64, sr=float("nan")),
        "one frame": lambda: plan.compute(np.zeros(32, dtype=np.float32)),
        "finite": lambda: _core.Projection(nan, name),
        "mmx": lambda: make_plan("mmx", 64),
        "(w, 4) or wider": lambda: _core.Neighbours(x, None, 1, name).distances(x),
        "4) or wider, w > 0": lambda: references(x, first=1).means(x, (0, 2)),
        "3) or wider, w > 0": lambda: references(x).means(x[:0], (0, 2)),
        "(w, d)": lambda: references(x).means(x[0], (0, 2)),
        "ascending, up to 2": lambda: references(x).means(x, (0, 3)),
        "(1, 1)": lambda: references(x).means(x, (1, 1)),
        "2 references as in": lambda: _core.ReferenceSet(
            [_core.Neighbours(rows, None, 0, name) for rows in (x, x[:1])], 1
        ),
        "all above 0": lambda: _core.ReferenceSet([part], 1, np.zeros(2)),
        "(2,), all": lambda: _core.Neighbours(x, None, 0, name, density=np.ones(3)),
        "2 of each window": lambda: standard.contributions([(1.0,)]),
        "one or more": lambda: _core.ReferenceSet([], 1),
        "at least one": lambda: _core.measure_levels(np.zeros(0, dtype=np.int16)),
        "no int16 samples": lambda: _core.int16_range(np.zeros(9, dtype=np.float32)),
        "one dimension": lambda: plan.compute(np.zeros((2, 99), dtype=np.float32)),
    }.items():
        assert message in refusal(call)


for name in _core.instruction_sets():
    for n_fft in (64, 100, 512):
        check_threads(name, n_fft)
    check_one_stream_in_threads(name)
    check_refused(name)
