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
    standards = []
    for folder in ("once", "twice"):
        out = tmp_path / f"{folder}.asd"
        result = invoke(main, "enroll", tmp_path / folder, "-o", out, "--section", "00")
        assert f"{folder}.asd: 12 clips" in result.stderr
        standards.append(read_bundle(out).views["statistics"].standards["00"])
    assert "12 left out" in result.stderr
    assert "00.mp3 is the same sound as 00.wav in another file; left out" in result.stderr
    assert "so are 11 more: 01.mp3 (01.wav), 02.mp3 (02.wav), " in result.stderr
    assert "11.mp3 (11.wav)" in result.stderr
    # The distance that counts as the threshold is in these; the threshold itself is always 1.
    assert standards[1] == standards[0]
