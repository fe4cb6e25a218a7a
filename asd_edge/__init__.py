"""Anomalous sound detection on edge devices.

from asd_edge import Detector
decision = Detector.load("fan.asd").score("clip.wav")
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from asd_edge.errors import AsdError

if TYPE_CHECKING:
    from asd_edge.detector import Decision, Detector

    __version__: str

__all__ = ["AsdError", "Decision", "Detector", "__version__"]


def __getattr__(name: str) -> object:
    # Detector brings numpy and the kernel, importlib.metadata half the standard
    # library; `asd-edge --help` waits for neither.
    if name == "__version__":
        from importlib.metadata import version

        return version("asd-edge")
    if name in {"Detector", "Decision"}:
        from asd_edge import detector

        return getattr(detector, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
