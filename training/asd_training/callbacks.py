"""Ready callbacks for `on_epoch`: metrics of the training in TensorBoard or MLflow.

`train("data", "runs/fan", on_epoch=TensorBoardCallback("log"))` uses one. Both write to a folder of
this computer and send nothing anywhere. `asd-train --log tensorboard` and `--log mlflow` use them.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from asd_edge.errors import OptionalDependencyError


class TensorBoardCallback:
    """Write each epoch's metrics as scalars; read them by `tensorboard --logdir FOLDER`.

    Args:
        folder: of the event files; made with the first epoch.

    Raises:
        OptionalDependencyError: tensorboard is not installed.

    Example:
        >>> from asd_training.callbacks import TensorBoardCallback
        >>> on_epoch = TensorBoardCallback("log")
        >>> on_epoch({"epoch": 1, "loss": 0.5})
        >>> [path.name for path in Path("log").iterdir()]
        ['events.out.tfevents...']
    """

    def __init__(self, folder: str | Path) -> None:
        try:
            # Now rather than after the first epoch.
            import_module("tensorboard")
        except ImportError as error:
            raise OptionalDependencyError("tensorboard", "tensorboard") from error
        self._folder = Path(folder)

    def __call__(self, row: Mapping[str, float]) -> None:
        """Write one row of metrics.csv."""
        from torch.utils.tensorboard import SummaryWriter

        # Opened for each epoch: an interrupted run leaves nothing behind that is not written.
        with SummaryWriter(str(self._folder)) as writer:
            for name, value in row.items():
                if name != "epoch":
                    writer.add_scalar(name, value, int(row["epoch"]))


class MLflowCallback:
    """Write each epoch's metrics to a run of MLflow.

    Read them by `mlflow ui --backend-store-uri sqlite:///FOLDER/mlflow.db`.

    Args:
        place: folder of the runs, or the URI of a tracking server, which metrics are then sent to.
        experiment: name of the experiment.
        run_name: name of the run.

    Raises:
        OptionalDependencyError: mlflow is not installed.

    Example:
        >>> from asd_training.callbacks import MLflowCallback
        >>> on_epoch = MLflowCallback("mlruns", run_name="fan")
        >>> on_epoch({"epoch": 1, "loss": 0.5})  # writes mlruns/mlflow.db
    """

    def __init__(
        self, place: str | Path, experiment: str = "asd-edge", run_name: str | None = None
    ) -> None:
        # MLflow reports its use to its makers unless it is told not to.
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        try:
            self._mlflow: Any = import_module("mlflow")
        except ImportError as error:
            raise OptionalDependencyError("mlflow", "mlflow") from error
        self._folder = None if "://" in str(place) else Path(place).absolute()
        self._uri = str(place)
        if self._folder is not None:  # MLflow's stores of plain files are no longer kept up
            self._uri = f"sqlite:///{self._folder / 'mlflow.db'}"
        self._experiment, self._name = experiment, run_name
        self._run = ""

    def __call__(self, row: Mapping[str, float]) -> None:
        """Write one row of metrics.csv."""
        artifacts = None
        if self._folder is not None:
            self._folder.mkdir(parents=True, exist_ok=True)
            artifacts = (self._folder / "artifacts").as_uri()
        client = self._mlflow.MlflowClient(tracking_uri=self._uri)
        if not self._run:
            found = client.get_experiment_by_name(self._experiment)
            if found is None:
                number = client.create_experiment(self._experiment, artifact_location=artifacts)
            else:
                number = found.experiment_id
            self._run = client.create_run(number, run_name=self._name).info.run_id
        for name, value in row.items():
            if name != "epoch":
                client.log_metric(self._run, name, float(value), step=int(row["epoch"]))
