"""Metrics of a training in TensorBoard's and MLflow's own files, read by their own readers."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from helpers import invoke

from asd_edge.errors import OptionalDependencyError
from asd_training import run_folder
from asd_training.callbacks import MLflowCallback, TensorBoardCallback
from asd_training.cli.train import main

pytestmark = pytest.mark.filterwarnings("ignore")  # of tensorboard's and mlflow's own parts


def test_a_training_is_logged(tmp_path: Path, tiny_data: Path, tiny_preset: Path) -> None:
    pytest.importorskip("tensorboard")
    mlflow = pytest.importorskip("mlflow")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run = tmp_path / "run"
    common = ("--preset", tiny_preset, "--epochs", 2, "--cache", tmp_path / "cache")
    said = invoke(
        main, tiny_data, "-o", run, *common, "--log", "tensorboard", "--log", "mlflow"
    ).stderr
    assert "epoch 2/2" in said  # the line an epoch is still there
    history = run_folder.read_checkpoint(run)["history"]
    losses = [row["train_loss"] for row in history]
    events = EventAccumulator(str(run / "tensorboard"))
    events.Reload()
    assert [e.value for e in events.Scalars("train_loss")] == pytest.approx(losses)
    assert [e.step for e in events.Scalars("train_loss")] == [1, 2]
    client = mlflow.MlflowClient(tracking_uri=f"sqlite:///{run / 'mlflow' / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("asd-edge")
    (logged,) = client.search_runs([experiment.experiment_id])
    metrics = client.get_metric_history(logged.info.run_id, "train_loss")
    assert [m.value for m in sorted(metrics, key=lambda m: m.step)] == losses


@pytest.mark.parametrize(
    ("package", "callback"), [("tensorboard", TensorBoardCallback), ("mlflow", MLflowCallback)]
)
def test_what_is_missing_is_named(
    package: str, callback: type, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(OptionalDependencyError, match=rf"asd-edge\[{package}\]"):
        callback(tmp_path)
