"""A machine of which there is one long recording: trained, exported, and scored by the bundle."""

from __future__ import annotations

from pathlib import Path

import soundfile
from helpers import invoke, write_tone

from asd_edge import Detector
from asd_export.cli import main as export
from asd_training.cli.train import main as train
from asd_training.run_folder import read_embeddings

PRESET = """
[front_end]
clip_seconds = 1.0
[front_end.mel]
sr = 8000
n_fft = 256
hop_length = 128
n_mels = 32
[statistics]
lags = [1]
[training]
epochs = 0
holdout = 0.25
[scoring.statistics]
metric = "whitened"
"""


def test_one_recording_is_enough_from_training_to_scores(tmp_path: Path) -> None:
    data, preset, run, bundle = (
        tmp_path / name for name in ("saw", "plain.toml", "run", "saw.asd")
    )
    preset.write_text(PRESET)
    # Not a whole number of Hz, or every piece of a second would begin at the same phase.
    write_tone(tmp_path / "all.wav", 203.7, seed=1, seconds=70)
    y, sr = soundfile.read(tmp_path / "all.wav")
    monday = data / "normal" / "monday.wav"
    monday.parent.mkdir(parents=True)
    soundfile.write(monday, y[: round(60.4 * sr)], sr)
    soundfile.write(tmp_path / "same.wav", y[round(60.4 * sr) :], sr)
    invoke(train, data, "--preset", preset, "-o", run, "--cache", tmp_path / "cache")
    embeddings = read_embeddings(run)
    # Cut end to end, as enrolment cuts; what is left at the end is not used.
    assert len(set(embeddings.normals.clips.tolist())) == len(embeddings.normals.clips) == 60
    assert embeddings.held_out.sum() == 15
    invoke(export, run, "-o", bundle, "--data", data)
    write_tone(tmp_path / "other.wav", 320, seed=3, seconds=5)
    detector = Detector.load(bundle)
    assert not detector.score(tmp_path / "same.wav").anomalous
    assert detector.score(tmp_path / "other.wav").anomalous
    assert not detector.score(monday).anomalous
