"""Training clips that may not belong are named before a network learns from them."""

from __future__ import annotations

from pathlib import Path

from helpers import write_tone

from asd_training import presets
from asd_training.data.training_table import load_training_table


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
