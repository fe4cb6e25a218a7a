"""The recipe of the documentation scores as asd-edge does, with numpy, librosa and onnxruntime."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from helpers import ROOT, write_tone

from asd_edge import Detector, enroll
from asd_edge.bundle.locate import BUILT_IN

PAGE = ROOT / "docs" / "howto" / "onnx-without-asd-edge.md"


def recipe() -> str:
    text = PAGE.read_text().partition("```python\n")[2]
    return text.partition("```")[0]


@pytest.mark.parametrize("section", ["00", "01"])
def test_bundle_of_a_run(tmp_path: Path, tiny_bundle: Path, section: str) -> None:
    """A learned view, cosine distance, two sections."""
    clip = tmp_path / "clip.wav"
    write_tone(clip, 260.0, seed=7)
    check(tmp_path, tiny_bundle, clip, section)


def test_enrolled_bundle(tmp_path: Path) -> None:
    """Statistics, whitened, in parts, with local density."""
    rng = np.random.default_rng(0)
    clips = list(0.1 * rng.normal(size=(8, 160_000)))
    enroll(clips, tmp_path / "own.asd", sr=16_000, source=BUILT_IN)
    soundfile.write(tmp_path / "clip.wav", 0.1 * rng.normal(size=160_000), 16_000)
    check(tmp_path, tmp_path / "own.asd", tmp_path / "clip.wav", "00")


def check(folder: Path, bundle: Path, clip: Path, section: str) -> None:
    program = recipe().replace('"fan.asd"', repr(str(bundle)))
    program = program.replace('score(y, "00")', f'score(y, "{section}")')
    assert "asd_edge" not in program
    program += "\nimport sys; assert not any(m.startswith('asd_') for m in sys.modules)\n"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=folder, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    expected = Detector.load(bundle).score(clip, section=section).score
    assert float(done.stdout) == pytest.approx(expected, rel=1e-4)
