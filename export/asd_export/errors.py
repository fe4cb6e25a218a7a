"""Errors of the export; the family is `asd_edge.errors.AsdError`."""

from __future__ import annotations

from pathlib import Path

from asd_edge.errors import AsdError


class ParityError(AsdError, ArithmeticError):
    """PyTorch, onnxruntime and the installed edge path disagree."""

    kind = "parity"

    def __init__(self, run: str | Path, stage: str, clip: str, error: float, limit: float) -> None:
        super().__init__(
            f"{run}: {stage} differs by {error:.1e} (relative) on {clip}, more than {limit:g}; "
            "nothing was exported. Is the installed onnxruntime or PyTorch damaged or very old?"
        )


class PrecisionError(AsdError, ArithmeticError):
    """A network of lower precision that does not pay."""

    kind = "precision"

    def __init__(self, run: str | Path, kind: str, figures: str) -> None:
        super().__init__(f"{run}: {kind} does not pay here: {figures}; nothing was exported")
