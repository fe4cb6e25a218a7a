"""The same sound twice among the normals: found in another format, not among a machine's own."""

from __future__ import annotations

from pathlib import Path

import pytest
import soundfile
from helpers import invoke

from asd_edge.bundle.format import read_bundle
from asd_edge.cli.main import main


@pytest.mark.parametrize("machine", ["fan", "valve"])
def test_every_clip_as_wav_and_as_mp3(tmp_path: Path, machine: str) -> None:
    """With its duplicate as the nearest reference every score, and the threshold, was a third."""
    from asd_training.synth.scene import ClipSpec, render

    for i in range(12):
        y = render(ClipSpec(machine, 0, "source", "train", "normal", i), 10.0, 0)
        for folder in ("once", "twice"):
            (tmp_path / folder).mkdir(exist_ok=True)
            soundfile.write(tmp_path / folder / f"{i:02d}.wav", y, 16000)
        soundfile.write(tmp_path / "twice" / f"{i:02d}.mp3", y, 16000)
    thresholds = []
    for folder in ("once", "twice"):
        out = tmp_path / f"{folder}.asd"
        result = invoke(main, "enroll", tmp_path / folder, "-o", out, "--section", "00")
        assert f"{folder}.asd: 12 clips" in result.stderr
        thresholds.append(read_bundle(out).calibration.threshold("00").value)
    assert "12 left out" in result.stderr
    assert "00.mp3 is the same sound as 00.wav in another file; left out" in result.stderr
    assert thresholds[1] == thresholds[0]
