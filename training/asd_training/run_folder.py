"""A run folder: the recipe and the data, the course of the training, and its result.

run.json         preset, data set, machine, seed, versions
checkpoint.pt    network, optimizer, history; written after every epoch; with the network of
                 the best epoch where the preset keeps that one
checkpoint-NNNN.pt  the same of epoch NNNN, where the preset asks for it
metrics.csv      loss by epoch; asd-evaluate draws it
embeddings.npz   embeddings of the training clips, written when training is done
"""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from asd_edge.atomic_files import atomic_path
from asd_edge.errors import MissingFileError
from asd_edge.scoring.normals import NormalEmbeddings
from asd_training.errors import RunError
from asd_training.network.views import Network
from asd_training.presets import Preset, PresetError

CONFIG, CHECKPOINT = "run.json", "checkpoint.pt"
METRICS = "metrics.csv"
EMBEDDINGS = "embeddings.npz"
_VIEW = "view/"


@dataclass(frozen=True)
class RunConfig:
    """Configuration of a run: runs of equal configuration on one machine end bit for bit alike.

    Attributes:
        preset: the recipe.
        machine: the machine type.
        data: the data set, a folder or a feature table.
        seed: of the first weights, the triplets, dropout and the held-out clips.
        versions: of the programs, for the record.
        resumed: for each time that training went on: the epoch after which, how many epochs it
            was to have from then on, the versions, and on what it was trained. Learning rates
            follow the number of epochs.
        trained_on: processor, device and precision, which the last digits depend on too, for the
            record; empty in runs of before.
    """

    preset: Preset
    machine: str
    data: str
    seed: int
    versions: dict[str, str]
    resumed: tuple[dict[str, Any], ...] = ()
    trained_on: dict[str, str] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Give the configuration as plain values, for JSON."""
        return {
            "machine": self.machine,
            "data": self.data,
            "seed": self.seed,
            "preset": self.preset.to_dict(),
            "versions": self.versions,
            "trained_on": self.trained_on,
            "resumed": list(self.resumed),
        }


@dataclass(frozen=True)
class Embeddings:
    """Embeddings of a run's normal clips.

    Attributes:
        normals: all of them, a row a window.
        held_out: [shape=(n,)], True where the clip was kept out of training.
    """

    normals: NormalEmbeddings
    held_out: NDArray[np.bool_]


def versions() -> dict[str, str]:
    """Versions of the programs that a run's result depends on."""
    from importlib.metadata import version
    from platform import python_version

    return {"python": python_version()} | {
        name: version(name) for name in ("asd-edge", "torch", "numpy")
    }


def write_json(path: Path, values: Any) -> None:
    """Write a JSON file, whole or not at all."""
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(values, indent=2, ensure_ascii=False) + "\n")


def read_config(folder: Path) -> RunConfig:
    """Read a run's configuration.

    Raises:
        MissingFileError: no such folder.
        RunError: not a run, or a damaged one.
    """
    if not folder.is_dir():
        raise MissingFileError(folder, "run folder")
    try:
        values = json.loads((folder / CONFIG).read_text())
        values["preset"] = Preset.from_dict(values["preset"])
        values["resumed"] = tuple(values.get("resumed", ()))
        return RunConfig(**values)
    except FileNotFoundError as error:
        raise RunError(folder, f"has no {CONFIG}; a run is a folder made by asd-train") from error
    except (ValueError, TypeError, KeyError, PresetError) as error:
        raise RunError(folder / CONFIG, f"is damaged ({error})") from error


def save_checkpoint(folder: Path, state: dict[str, Any], name: str = CHECKPOINT) -> None:
    """Write a checkpoint, whole or not at all.

    Raises:
        OSError: the disk is full, or the like; the file is named.
    """
    path = folder / name
    with atomic_path(path) as temporary:
        try:
            # To a file object: PyTorch reports a full disk of its own writer as RuntimeError.
            with temporary.open("wb") as file:
                torch.save(state, file)
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(path)) from error
        except RuntimeError as error:
            cause = error.__context__
            if isinstance(cause, OSError):
                raise OSError(cause.errno, cause.strerror, str(path)) from error
            raise


def read_checkpoint(folder: Path) -> dict[str, Any]:
    """Read the checkpoint, to the CPU.

    Raises:
        RunError: missing or damaged.
    """
    path = folder / CHECKPOINT
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise RunError(path, "is missing; the run has not finished its first epoch") from error
    except Exception as error:  # torch.load raises whatever its zip and unpickler do
        raise RunError(path, "is damaged; start the run anew") from error
    return state


def load_model(folder: Path, config: RunConfig) -> Network:
    """Load a run's network in evaluation mode.

    Raises:
        RunError: a checkpoint that is missing, damaged or of another network.
    """
    model = Network(config.preset)
    try:
        state = read_checkpoint(folder)
        best = config.preset.training.keep == "best" and "best" in state
        model.load_state_dict(state["best"]["model"] if best else state["model"])
    except (RuntimeError, KeyError) as error:
        raise RunError(folder / CHECKPOINT, f"does not fit {CONFIG}") from error
    return model.eval()


def save_embeddings(folder: Path, embeddings: Embeddings) -> None:
    """Write the embeddings, whole or not at all."""
    with atomic_path(folder / EMBEDDINGS) as temporary:
        normals = embeddings.normals
        views: dict[str, Any] = {f"{_VIEW}{name}": x for name, x in normals.views.items()}
        np.savez_compressed(
            temporary,
            clips=normals.clips,
            sections=normals.sections,
            domains=normals.domains,
            held_out=embeddings.held_out,
            **views,
        )


def read_embeddings(folder: Path) -> Embeddings:
    """Read the embeddings.

    Raises:
        RunError: missing (training is not done) or damaged.
    """
    path = folder / EMBEDDINGS
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
        views = {n.removeprefix(_VIEW): x for n, x in arrays.items() if n.startswith(_VIEW)}
        names = {name: arrays[name] for name in ("clips", "sections", "domains")}
        return Embeddings(NormalEmbeddings(views=views, **names), arrays["held_out"])
    except FileNotFoundError as error:
        raise RunError(
            folder, "is not finished; asd-train with --resume goes on with it"
        ) from error
    except Exception as error:  # zipfile, numpy and zlib have no common base
        raise RunError(path, "is damaged; asd-train with --resume makes it anew") from error


def write_metrics(folder: Path, history: list[dict[str, float]]) -> None:
    """Write the history as CSV, a row an epoch."""
    columns = dict.fromkeys(name for row in history for name in row)
    with atomic_path(folder / METRICS) as temporary, temporary.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(columns), lineterminator="\n")
        writer.writeheader()
        writer.writerows(history)


def read_metrics(folder: Path) -> list[dict[str, float]]:
    """Read the history; empty for a run that learned nothing.

    Raises:
        RunError: damaged.
    """
    path = folder / METRICS
    if not path.is_file():
        return []
    try:
        with path.open(newline="") as file:
            rows = list(csv.DictReader(file))
        return [{name: float(value) for name, value in row.items() if value} for row in rows]
    except (ValueError, TypeError, csv.Error) as error:
        raise RunError(path, "is damaged; asd-train with --resume makes it anew") from error
