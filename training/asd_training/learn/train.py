"""The training loop.

Everything random in an epoch is seeded from (seed, epoch), so a run that was
interrupted and resumed takes the same steps as one that was not.
"""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader

from asd_edge.scoring.fit import Normals
from asd_training import run_folder
from asd_training.data.feature_table import FeatureTable
from asd_training.data.holdout import held_out
from asd_training.errors import RunError
from asd_training.learn.distributed import Group, check_batch
from asd_training.learn.objective import ClassificationObjective, TripletObjective, make_objective
from asd_training.network.views import Network
from asd_training.presets import TrainingConfig
from asd_training.report.plots import training_curves
from asd_training.run_folder import Embeddings, RunConfig


@dataclass(frozen=True)
class Step:
    """Where training stands: the epoch, from 1, steps done and in all, the step's loss."""

    epoch: int
    done: int
    total: int
    loss: float


Report = Callable[[Step], None]


def train(
    config: RunConfig,
    table: FeatureTable,
    folder: Path,
    *,
    device: str = "cpu",
    precision: str = "float32",
    group: Group = Group(),  # noqa: B008 - frozen, so the default may be shared
    resume: bool = False,
    report: Report = lambda step: None,
) -> list[dict[str, float]]:
    """Train a network and leave a finished run in `folder`.

    Args:
        config: of the run.
        table: features of the machine's normal training clips; a share of them
            is held out.
        folder: the run folder; made if missing.
        device: a PyTorch device.
        precision: "float32", or "bfloat16" where the network allows it.
        group: this process among those that train together; the leader writes.
        resume: go on from the folder's checkpoint.
        report: called after every step.

    Returns:
        the history: epoch, train_loss, val_loss (where clips of two sections are held
        out) and seconds of each epoch; empty where nothing is learned.

    Raises:
        SingleSectionError: clips of one section, and nothing else to tell apart.
        RunError: a resumed run whose configuration or clips differ, or a damaged one.
        PresetError: input too small for the network.
        ParameterError: a batch that cannot be cut evenly among the processes.
    """
    preset = config.preset
    mask = held_out(table.clips, preset.training.holdout, config.seed)
    torch.manual_seed(config.seed)
    network = Network(preset).to(device)
    if device.startswith("cuda"):
        # Untyped in PyTorch: `to` has no overload for a memory format alone.
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    if group.leads:
        run_folder.write_json(folder / run_folder.CONFIG, config.to_dict())
    history: list[dict[str, float]] = []
    if network.learned is not None:
        check_batch(preset.training.batch_size, group)
        loop = _Loop(config, network, table, mask, group, device, precision)
        history = loop.run(folder, resume, report)
    elif group.leads:
        run_folder.save_checkpoint(folder, {"model": network.state_dict()})
    if group.leads:
        if history:
            training_curves(pd.DataFrame(history), folder / run_folder.CURVES)
        run_folder.save_embeddings(folder, embed_clips(network, table, mask))
    group.wait()
    return history


class _Loop:
    """Epochs of one run."""

    def __init__(
        self,
        config: RunConfig,
        network: Network,
        table: FeatureTable,
        mask: NDArray[np.bool_],
        group: Group,
        device: str,
        precision: str,
    ) -> None:
        assert network.learned is not None
        self.config = config
        self.settings = config.preset.training
        self.network = network
        self.group = group
        self.clips = _clips_digest(table)
        self.training = table.take(~mask)
        self.objective = make_objective(
            config.preset, network.learned, self.training, config.seed, group, device, precision
        )
        self.validation = self._validation(table.take(mask), device)
        self.optimizer = torch.optim.AdamW(
            [p for p in self.objective.parameters() if p.requires_grad],
            lr=self.settings.lr,
            weight_decay=self.settings.weight_decay,
        )
        self.steps = -(-len(self.objective.dataset) // self.settings.batch_size)

    def _validation(
        self, table: FeatureTable, device: str
    ) -> TripletObjective | ClassificationObjective | None:
        """Held-out clips under the same loss; None where they are of fewer than two sections."""
        assert self.network.learned is not None
        if table.clips["section"].nunique() < 2:
            return None
        objective = make_objective(
            self.config.preset, self.network.learned, table, self.config.seed, Group(), device
        )
        # Classes are numbered by the data set at hand; these must be the trained ones.
        if isinstance(objective, ClassificationObjective):
            assert isinstance(self.objective, ClassificationObjective)
            known = self.objective.classes
            if not np.array_equal(objective.classes, known):
                return None
            objective.criterion = self.objective.criterion
        return objective

    def run(self, folder: Path, resume: bool, report: Report) -> list[dict[str, float]]:
        history: list[dict[str, float]] = []
        if resume:
            history = self._restore(folder)
        else:
            assert self.network.learned is not None
            rows = range(len(self.training.clips))
            self.network.learned.set_normalization(self.training.windows(i) for i in rows)
        for epoch in range(len(history) + 1, self.settings.epochs + 1):
            started = time.monotonic()
            row = {"epoch": epoch, "train_loss": self._epoch(epoch, report)}
            if self.validation is not None:
                row["val_loss"] = self._validation_loss()
            row["seconds"] = round(time.monotonic() - started, 3)
            history.append(row)
            if self.group.leads:
                self._save(folder, history)
        return history

    def _epoch(self, epoch: int, report: Report) -> float:
        """Take one pass over the clips; gives the mean loss of its steps."""
        seed = int(np.random.SeedSequence((self.config.seed, epoch)).generate_state(1)[0])
        # Dropout, where each process has its own slice to drop from.
        torch.manual_seed(seed + self.group.rank)
        generator = torch.Generator().manual_seed(seed)
        self.objective.dataset.set_epoch(epoch)
        self.objective.train()
        loader: DataLoader[Any] = DataLoader(
            self.objective.dataset, batch_sampler=_batches(self.objective, self.settings, generator)
        )
        total = 0.0
        for i, batch in enumerate(loader):
            done = (epoch - 1) * self.steps + i
            for parameters in self.optimizer.param_groups:
                parameters["lr"] = learning_rate(
                    self.settings, done, self.settings.epochs * self.steps
                )
            self.optimizer.zero_grad(set_to_none=True)
            loss = self.objective.loss(batch, generator)
            loss.backward()  # type: ignore[no-untyped-call]  # untyped in PyTorch
            self.optimizer.step()
            total += loss.item()
            report(Step(epoch, done + 1, self.settings.epochs * self.steps, loss.item()))
        return total / self.steps

    def _validation_loss(self) -> float:
        """Mean loss of held-out clips, the same ones after every epoch."""
        assert self.validation is not None
        self.validation.eval()
        total, count = 0.0, 0
        loader: DataLoader[Any] = DataLoader(
            self.validation.dataset,
            self.settings.batch_size,
            shuffle=True,  # or a batch would be of one section
            generator=torch.Generator().manual_seed(self.config.seed),
        )
        with torch.inference_mode():
            for batch in loader:
                size = len(batch[0])
                total += self.validation.unchanged_loss(batch).item() * size
                count += size
        return total / count

    def _save(self, folder: Path, history: list[dict[str, float]]) -> None:
        run_folder.save_checkpoint(
            folder,
            {
                "model": self.network.state_dict(),
                "loss": self._loss_state(),
                "optimizer": self.optimizer.state_dict(),
                "history": history,
                "clips": self.clips,
            },
        )
        run_folder.write_metrics(folder, history)

    def _restore(self, folder: Path) -> list[dict[str, float]]:
        state = run_folder.read_checkpoint(folder)
        if state["clips"] != self.clips:
            raise RunError(folder, "was trained on other clips than the data set has now")
        self.network.load_state_dict(state["model"])
        if isinstance(self.objective, ClassificationObjective):
            self.objective.criterion.load_state_dict(state["loss"])
        self.optimizer.load_state_dict(state["optimizer"])
        history: list[dict[str, float]] = state["history"]
        return history

    def _loss_state(self) -> dict[str, Any]:
        if isinstance(self.objective, ClassificationObjective):
            return self.objective.criterion.state_dict()
        return {}


def learning_rate(settings: TrainingConfig, step: int, steps: int) -> float:
    """Learning rate of a step, from 0.

    "one_cycle" (Smith and Topin 2019): from 1/25 of the peak up to it over the first 30 % of
    the steps and down towards 0, both along half a cosine.
    """
    if settings.schedule == "constant":
        return settings.lr
    peak = 0.3 * (steps - 1)
    if step < peak:
        rise = (1 - math.cos(math.pi * step / peak)) / 2
        return settings.lr * (1 / 25 + rise * 24 / 25)
    return settings.lr * (1 + math.cos(math.pi * (step - peak) / max(steps - 1 - peak, 1))) / 2


def _batches(
    objective: TripletObjective | ClassificationObjective,
    settings: TrainingConfig,
    generator: torch.Generator,
) -> list[list[int]]:
    """Shuffle the items into batches; the last one is filled up from a second shuffle.

    All are full: batch statistics of a few clips are none, and processes share evenly.
    """
    n, size = len(objective.dataset), settings.batch_size
    count = -(-n // size) * size
    order = torch.cat([torch.randperm(n, generator=generator) for _ in range(-(-count // n))])
    return [order[first : first + size].tolist() for first in range(0, count, size)]


def embed_clips(network: Network, table: FeatureTable, mask: NDArray[np.bool_]) -> Embeddings:
    """Embed every window of every clip; `mask` marks the held-out ones [shape=(clips,)]."""
    repeats = table.clips["n_windows"].to_numpy()

    def column(name: str) -> NDArray[np.str_]:
        return np.repeat(table.clips[name].to_numpy(dtype=str), repeats)

    clips = [network.embed(table.windows(i)) for i in range(len(repeats))]
    normals = Normals(
        views={view: np.concatenate([clip[view] for clip in clips]) for view in network.views},
        clips=column("clip"),
        sections=column("section"),
        domains=column("domain"),
    )
    return Embeddings(normals, np.repeat(mask, repeats))


def _clips_digest(table: FeatureTable) -> str:
    rows = table.clips[["clip", "section", "domain", "digest"]].to_csv(index=False)
    return hashlib.sha256(rows.encode()).hexdigest()
