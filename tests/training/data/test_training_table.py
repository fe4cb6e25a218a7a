"""Training clips that may not belong are named before a network learns from them."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import soundfile
from helpers import write_tone

from asd_training import presets
from asd_training.data.clips import find_clips
from asd_training.data.feature_table import update
from asd_training.data.training_table import load_training_table
from asd_training.errors import DatasetError


def warnings_of(root: Path, preset: Path) -> list[str]:
    said: list[str] = []
    front_end = presets.load(str(preset)).front_end
    load_training_table(root, None, front_end, root.parent / "cache", say=said.append)
    return said


def test_an_outlier_is_named(tmp_path: Path, tiny_preset: Path) -> None:
    train = tmp_path / "data" / "hummer" / "train"
    for i in range(30):
        write_tone(train / f"section_00_source_train_normal_{i:04d}.wav", 200.0, seed=i)
    assert not [line for line in warnings_of(tmp_path / "data", tiny_preset) if "outlier" in line]
    odd = train / "section_00_source_train_normal_0030.wav"
    write_tone(odd, 1130.0, seed=30)
    (line,) = [line for line in warnings_of(tmp_path / "data", tiny_preset) if "outlier" in line]
    assert line.startswith(f"hummer/train/{odd.name} is an outlier: ")
    assert line.endswith("; listen to it")


def test_anomalous_training_clips_are_left_out_and_named(tmp_path: Path, tiny_preset: Path) -> None:
    train = tmp_path / "data" / "hummer" / "train"
    for i in range(20):
        write_tone(train / f"section_00_source_train_normal_{i:04d}.wav", 200.0, seed=i)
    wrong = train / "section_00_source_train_anomaly_0000.wav"
    write_tone(wrong, 200.0, seed=30)
    assert warnings_of(tmp_path / "data", tiny_preset)[0].endswith(
        f"clips: hummer/train/{wrong.name}"
    )


def test_damaged_clips_of_a_table_are_refused_or_counted(tmp_path: Path, tiny_preset: Path) -> None:
    """A table made by asd-data features is as strict as the folder that it was made of."""
    train = tmp_path / "data" / "hummer" / "train"
    for i in range(20):
        write_tone(train / f"section_00_source_train_normal_{i:04d}.wav", 200.0, seed=i)
    (train / "section_00_source_train_normal_0020.wav").write_bytes(b"junk")
    front_end = presets.load(str(tiny_preset)).front_end
    path = tmp_path / "features.parquet"
    update(path, find_clips(tmp_path / "data"), front_end)
    with pytest.raises(DatasetError, match=r"0020\.wav: cannot be read as sound.*--skip-damaged"):
        load_training_table(path, None, front_end)
    said: list[str] = []
    table = load_training_table(path, None, front_end, skip_damaged=True, say=said.append)
    assert len(table) == 20
    assert "left out 1 of 21 training clips" in said[0]


def test_pieces_of_a_recording_are_judged_one_by_one(tmp_path: Path, tiny_preset: Path) -> None:
    """One loud piece is named, and a recording that is a test clip too goes as a whole."""
    train = tmp_path / "data" / "hummer" / "train"
    for i in range(3):
        write_tone(train / f"section_00_source_train_normal_{i:04d}.wav", 200.0, i, seconds=8)
    y, sr = soundfile.read(train / "section_00_source_train_normal_0001.wav")
    y[3 * sr : 4 * sr] *= 6
    soundfile.write(train / "section_00_source_train_normal_0001.wav", y, sr)
    (line,) = [x for x in warnings_of(tmp_path / "data", tiny_preset) if "louder" in x]
    assert line.startswith(
        "hummer/train/section_00_source_train_normal_0001.wav@3s is 15 dB louder"
    )
    test = tmp_path / "data" / "hummer" / "test" / "section_00_source_test_normal_0000.wav"
    test.parent.mkdir()
    shutil.copy(train / "section_00_source_train_normal_0002.wav", test)
    said = warnings_of(tmp_path / "data", tiny_preset)
    assert said[0].startswith("left out 1 of 3 training clips, which are copies of test clips")
