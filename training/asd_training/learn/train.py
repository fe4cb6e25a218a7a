"""The training loop.

Everything random in an epoch is seeded from (seed, epoch), so a run that was
interrupted and resumed takes the same steps as one that was not.
"""

from __future__ import annotations

import copy
import csv
import hashlib
import io
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader

from asd_edge.scoring.normals import NormalEmbeddings
from asd_training import run_folder
from asd_training.data.feature_table import FeatureTable
from asd_training.data.holdout import held_out
from asd_training.errors import NotFiniteError, RunError
from asd_training.learn.adamw import AdamW
from asd_training.learn.devices import repeatable
from asd_training.learn.distributed import Group, check_batch
from asd_training.learn.objective import ClassificationObjective, TripletObjective, make_objective
from asd_training.network.views import Network
from asd_training.preset_tables import TrainingConfig
from asd_training.presets import PresetError
from asd_training.run_folder import Embeddings, RunConfig

_EMBED_CLIPS = 32  # copied together, 5 MB of windows of 10 s


@dataclass(frozen=True)
class Step:
    """Progress of the training.

    Attributes:
        epoch: from 1.
        done, total: steps of the whole training.
        loss: of this step.
    """

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
    on_epoch: Callable[[Mapping[str, float]], None] = lambda row: None,
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
        on_epoch: called after every epoch with its row of the history.

    Returns:
        the history: epoch, train_loss, val_loss (where clips of two sections are held
        out) and seconds of each epoch; empty where nothing is learned.

    Raises:
        SingleSectionError: clips of one section, and nothing else to tell apart.
        RunError: a resumed run of other clips, or a damaged one.
        NotFiniteError: the loss or the weights are NaN or infinite; the checkpoint of the epoch
            before is kept.
        PresetError: input too small for the network.
        ParameterError: a batch that cannot be cut evenly among the processes.
    """
    preset = config.preset
    mask = held_out(
        table.clips["section"],
        table.clips["domain"],
        preset.training.holdout,
        config.seed,
    )
    torch.manual_seed(config.seed)
    network = Network(preset).to(device)
    if device.startswith("cuda"):
        # Untyped in PyTorch: `to` has no overload for a memory format alone.
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    history: list[dict[str, float]] = []
    digest = _clips_digest(table)
    if resume:
        config, history = _resumed(config, folder, digest)
    loop = None
    if network.learned is not None:
        check_batch(preset.training.batch_size, group)
        loop = _Loop(config, network, table, mask, group, device, precision)
        if resume:
            loop.restore(folder)
    # Only now: a resumption that is refused leaves the run as it is.
    if group.leads:
        run_folder.write_json(folder / run_folder.CONFIG, config.to_dict())
    if loop is not None:
        with repeatable():
            history = loop.run(folder, history, report, on_epoch)
    elif group.leads:
        run_folder.save_checkpoint(folder, {"model": network.state_dict(), "clips": digest})
    if group.leads:
        if network.learned is not None and preset.training.keep == "best":
            network.load_state_dict(run_folder.load_model(folder, config).state_dict())
        run_folder.save_embeddings(folder, embed_clips(network, table, mask))
    group.wait()
    return history


def _resumed(
    config: RunConfig, folder: Path, digest: str
) -> tuple[RunConfig, list[dict[str, float]]]:
    """Check that a run can go on with these clips; give its configuration and its history.

    Raises:
        RunError: a damaged run, or one of other clips.
    """
    started = run_folder.read_config(folder)
    state = run_folder.read_checkpoint(folder)
    if state.get("clips", digest) != digest:
        raise RunError(folder, "was trained on other clips than the data set has now")
    history: list[dict[str, float]] = state.get("history", [])
    epochs, resumed = config.preset.training.epochs, started.resumed
    before = resumed[-1] if resumed else started.to_dict()
    now = {"versions": config.versions, "trained_on": config.trained_on}
    if epochs != started.preset.training.epochs or before != {**before, **now}:
        resumed = (*resumed, {"after_epoch": len(history), "epochs": epochs, **now})
    first = replace(config, versions=started.versions, trained_on=started.trained_on)
    return replace(first, resumed=resumed), history


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
        self.best: dict[str, Any] = {}
        self.training = table.take(~mask)
        self.objective = make_objective(
            config.preset, network.learned, self.training, config.seed, group, device, precision
        )
        self.validation = self._validation(table.take(mask), device)
        trained = (p for p in self.objective.parameters() if p.requires_grad)
        self.optimizer = AdamW(trained, self.settings.weight_decay)
        self.steps = -(-len(self.objective.dataset) // self.settings.batch_size)

    def _validation(
        self, table: FeatureTable, device: str
    ) -> TripletObjective | ClassificationObjective | None:
        """Objective of the held-out clips; None if they belong to fewer than two sections."""
        assert self.network.learned is not None
        if len(np.unique(table.clips["section"])) < 2:
            return None
        # Each clip once: held-out clips are not changed, so a second copy has the same loss.
        preset = replace(self.config.preset, training=replace(self.settings, min_items=1))
        objective = make_objective(
            preset, self.network.learned, table, self.config.seed, Group(), device
        )
        # Classes are numbered by the data set at hand; these must be the trained ones.
        if isinstance(objective, ClassificationObjective):
            assert isinstance(self.objective, ClassificationObjective)
            known = self.objective.classes
            if not np.array_equal(objective.classes, known):
                return None
            objective.criterion = self.objective.criterion
        return objective

    def run(
        self,
        folder: Path,
        history: list[dict[str, float]],
        report: Report,
        on_epoch: Callable[[Mapping[str, float]], None],
    ) -> list[dict[str, float]]:
        """Train the epochs that are not in the history; give the whole history."""
        if not history:
            assert self.network.learned is not None
            rows = range(len(self.training))
            self.network.learned.set_normalization(self.training.windows(i) for i in rows)
        if self.validation is None and (self.settings.patience or self.settings.keep == "best"):
            raise PresetError(
                self.config.preset.name,
                "patience and keep need the loss of held-out clips, of two sections or more",
            )
        for epoch in range(len(history) + 1, self.settings.epochs + 1):
            if self._is_patience_over(history):
                break
            started = time.monotonic()
            row = {"epoch": epoch, "train_loss": self._epoch(folder, epoch, report)}
            self._check_finite(folder, epoch)
            if self.validation is not None:
                row["val_loss"] = self._validation_loss()
            row["seconds"] = round(time.monotonic() - started, 3)
            history.append(row)
            if "val_loss" in row and row["val_loss"] <= min(r["val_loss"] for r in history):
                self.best = {"epoch": epoch, "model": copy.deepcopy(self.network.state_dict())}
            if self.group.leads:
                self._save(folder, history)
                on_epoch(row)
        return history

    def _is_patience_over(self, history: list[dict[str, float]]) -> bool:
        """Whether the loss of the held-out clips has not fallen for too long."""
        if not self.settings.patience or not history:
            return False
        losses = [row["val_loss"] for row in history]
        return len(losses) - 1 - losses.index(min(losses)) >= self.settings.patience

    def _check_finite(self, folder: Path, epoch: int) -> None:
        """Raise RunError before weights that are not finite replace those of the last epoch."""
        for parameter in self.objective.parameters():
            if not bool(torch.isfinite(parameter).all()):
                raise NotFiniteError(folder, f"weights after epoch {epoch}", epoch)

    def _epoch(self, folder: Path, epoch: int, report: Report) -> float:
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
            self.optimizer.zero_grad()
            loss = self.objective.loss(batch, generator)
            value = loss.item()
            if not math.isfinite(value):
                raise NotFiniteError(folder, f"loss of step {i + 1} in epoch {epoch}", epoch)
            loss.backward()  # type: ignore[no-untyped-call]  # untyped in PyTorch
            self.optimizer.step(
                learning_rate(self.settings, done, self.settings.epochs * self.steps)
            )
            total += value
            report(Step(epoch, done + 1, self.settings.epochs * self.steps, value))
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
        state = {
            "model": self.network.state_dict(),
            "loss": self._loss_state(),
            "optimizer": self.optimizer.state_dict(),
            "history": history,
            "clips": self.clips,
        }
        if self.settings.keep == "best" and self.best:
            state["best"] = self.best
        every = self.settings.checkpoint_every
        if every and len(history) % every == 0:
            run_folder.save_checkpoint(folder, state, f"checkpoint-{len(history):04d}.pt")
        run_folder.save_checkpoint(folder, state)
        run_folder.write_metrics(folder, history)

    def restore(self, folder: Path) -> None:
        """Load the folder's checkpoint."""
        state = run_folder.read_checkpoint(folder)
        self.network.load_state_dict(state["model"])
        if isinstance(self.objective, ClassificationObjective):
            self.objective.criterion.load_state_dict(state["loss"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.best = state.get("best", {})

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
    repeats = table.clips["n_windows"]

    # Many clips at once: a call of the network costs as much as the windows of a clip.
    parts = [
        network.embed(np.concatenate([table.windows(i) for i in rows]))
        for rows in np.array_split(np.arange(len(repeats)), -(-len(repeats) // _EMBED_CLIPS))
    ]
    normals = NormalEmbeddings(
        views={view: np.concatenate([part[view] for part in parts]) for view in network.views},
        clips=np.repeat(table.clips["clip"], repeats),
        sections=np.repeat(table.clips["section"], repeats),
        domains=np.repeat(table.clips["domain"], repeats),
    )
    return Embeddings(normals, np.repeat(mask, repeats))


def _clips_digest(table: FeatureTable) -> str:
    text = io.StringIO()
    names = ("clip", "section", "domain", "digest")
    rows = zip(*(table.clips[name].tolist() for name in names), strict=True)
    csv.writer(text, lineterminator="\n").writerows([names, *rows])
    return hashlib.sha256(text.getvalue().encode()).hexdigest()
