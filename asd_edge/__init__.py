"""Anomalous sound detection on edge devices.

>>> from asd_edge import Detector, enroll, explain
>>> bundle = enroll("monday.wav", "fan-2.asd").bundle
>>> Detector.load("fan-2.asd").score("normal.wav").anomalous
False
>>> explain("normal.wav", "fan-2.asd").sentence
'normal: score ...
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from asd_edge.errors import AsdError

if TYPE_CHECKING:
    from asd_edge.analysis import Analysis
    from asd_edge.api import enroll, explain
    from asd_edge.decision import Decision
    from asd_edge.detector import Detector
    from asd_edge.frontend.mel import MelConfig, MelSpectrogram

    __version__: str

__all__ = [
    "Analysis",
    "AsdError",
    "Decision",
    "Detector",
    "MelConfig",
    "MelSpectrogram",
    "__version__",
    "enroll",
    "explain",
]

_MODULES = {
    "Analysis": "asd_edge.analysis",
    "Decision": "asd_edge.decision",
    "Detector": "asd_edge.detector",
    "MelConfig": "asd_edge.frontend.mel",
    "MelSpectrogram": "asd_edge.frontend.mel",
    "enroll": "asd_edge.api",
    "explain": "asd_edge.api",
}


def __getattr__(name: str) -> object:
    # Detector brings numpy and the kernel, importlib.metadata half the standard
    # library; `asd-edge --help` waits for neither.
    if name == "__version__":
        from importlib.metadata import version

        return version("asd-edge")
    if name in _MODULES:
        from importlib import import_module

        return getattr(import_module(_MODULES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
