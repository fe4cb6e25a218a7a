"""The names that other programs may rely on, and that naming them costs nothing."""

from __future__ import annotations

import subprocess
import sys

import asd_edge

PUBLIC = {
    "Analysis",
    "AsdError",
    "Decision",
    "Detector",
    "MelConfig",
    "MelSpectrogram",
    "__version__",
    "enroll",
    "explain",
}


def test_the_public_names() -> None:
    assert set(asd_edge.__all__) == set(dir(asd_edge)) == PUBLIC
    for name in PUBLIC:
        assert getattr(asd_edge, name) is not None
    assert not hasattr(asd_edge, "Scorer")


def test_importing_the_package_loads_nothing_heavy() -> None:
    program = "import asd_edge, sys; print({'numpy', 'onnxruntime', 'click'} & set(sys.modules))"
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert result.stdout.strip() == "set()", result.stderr
