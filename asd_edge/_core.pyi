from collections.abc import Iterable, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

MIN_N_FFT: Final[int]
MAX_N_FFT: Final[int]
MAX_N_MELS: Final[int]

def instruction_sets() -> tuple[str, ...]: ...
def measure_levels(
    y: NDArray[np.float32 | np.int16],
) -> tuple[float, float, float, int, int, int, int, float, float, int, int]: ...
def find_artefacts(
    y: NDArray[np.float32 | np.int16], rate: int, lowest: int
) -> tuple[int, int, int, int, bool] | None: ...
def int16_range(y: NDArray[np.int16]) -> tuple[int, int]: ...

class Plan:
    def __init__(
        self,
        *,
        sr: float,
        n_fft: int,
        hop_length: int,
        n_mels: int,
        fmin: float,
        fmax: float,
        power: int,
        db: bool,
        amin: float,
        center: bool,
        reflect: bool,
        instruction_set: str,
    ) -> None: ...
    def compute(self, y: NDArray[np.float32 | np.int16]) -> NDArray[np.float32]: ...
    def filterbank(self) -> NDArray[np.float64]: ...

class Stream:
    def __init__(self, plan: Plan) -> None: ...
    def push(self, y: NDArray[np.float32 | np.int16]) -> NDArray[np.float32]: ...
    def finish(self) -> NDArray[np.float32]: ...

class Projection:
    def __init__(self, triangle: NDArray[np.uint16], instruction_set: str) -> None: ...
    def __call__(self, embeddings: NDArray[np.float32]) -> NDArray[np.float32]: ...

class Neighbours:
    def __init__(
        self,
        references: NDArray[np.float32],
        projection: Projection | None,
        first: int,
        instruction_set: str,
        cosine: bool = False,
        density: NDArray[np.floating[Any]] | None = None,
    ) -> None: ...
    def distances(self, embeddings: NDArray[np.float32]) -> NDArray[np.float64]: ...

class ReferenceSet:
    def __init__(
        self, parts: list[Neighbours], k: int, reach: NDArray[np.floating[Any]] | None = None
    ) -> None: ...
    def means(
        self, embeddings: NDArray[np.float32], edges: tuple[int, ...]
    ) -> list[tuple[list[tuple[float, ...]], int]]: ...

class DistanceStandard:
    def __init__(
        self,
        centres: Iterable[float],
        spreads: Iterable[float],
        *,
        offset: float,
        factor: float,
        exponent: float,
        emphasis: float,
    ) -> None: ...
    def contributions(self, distances: Iterable[Sequence[float]]) -> list[float]: ...
