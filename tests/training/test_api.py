"""The documented Python API does what the commands do."""

from __future__ import annotations

from pathlib import Path

import pytest

import asd_training as api
from asd_edge import Detector
from asd_edge.errors import AsdError
from asd_export import export
from asd_training.evaluation.metrics import Results


def test_from_clips_to_figures_and_a_bundle(
    tmp_path: Path, tiny_data: Path, tiny_preset: Path
) -> None:
    rows: list[float] = []
    said: list[str] = []
    config = api.train(
        tiny_data,
        tmp_path / "run",
        preset=str(tiny_preset),
        changes=["training.epochs=2"],
        device="cpu",
        cache=tmp_path / "cache",
        say=said.append,
        on_epoch=lambda row: rows.append(row["train_loss"]),
    )
    assert (config.machine, config.preset.training.epochs, len(rows)) == ("hummer", 2, 2)
    results = api.evaluate(tmp_path / "run", tiny_data, device="cpu")
    assert isinstance(results, Results)
    assert 0.5 < results.official_score <= 1
    bundle = export(tmp_path / "run", tmp_path / "hummer.asd").bundle
    assert bundle.machine == "hummer"
    assert Detector.load(tmp_path / "hummer.asd").calibration == bundle.calibration
    with pytest.raises(AsdError, match="is a run already"):
        api.train(tiny_data, tmp_path / "run", preset=str(tiny_preset))
