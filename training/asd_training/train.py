"""The training loop.

Everything random in an epoch is seeded from (seed, epoch), so a run that was
interrupted and resumed takes the same steps as one that was not.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import nn
from torch.utils.data import DataLoader

from asd_training import run
from asd_training.dataset import MachineDataset
from asd_training.errors import RunError
from asd_training.feature_table import FeatureTable
from asd_training.model import TripletCNN
from asd_training.plots import training_curves
from asd_training.run import Embeddings, RunConfig
from asd_training.splitting import held_out


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
        resume: go on from the folder's checkpoint.
        report: called after every step.

    Returns:
        the history: epoch, train_loss, val_loss (where clips of two sections are held
        out) and seconds of each epoch.

    Raises:
        SingleSectionError: clips of fewer than two sections.
        RunError: a resumed run whose configuration or clips differ, or a damaged one.
        PresetError: input too small for the network.
    """
    preset = config.preset
    mask = held_out(table.clips, preset.training.holdout, config.seed)
    training = MachineDataset(table.take(~mask), "train", config.seed, preset.training.min_triplets)
    validation = _validation(table.take(mask), config.seed)

    torch.manual_seed(config.seed)
    model = TripletCNN(preset.model, preset.front_end.shape).to(device)
    optimizer = torch.optim.Adam(model.parameters(), lr=preset.training.lr)
    history: list[dict[str, float]] = []
    clips = _clips_digest(table)
    if resume:
        state = run.read_checkpoint(folder)
        if state["clips"] != clips:
            raise RunError(folder, "was trained on other clips than the data set has now")
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        history = state["history"]
    else:
        clips_seen = range(len(training.table.clips))
        model.set_normalization(training.table.windows(i) for i in clips_seen)
    run.write_json(folder / run.CONFIG, config.to_dict())

    for epoch in range(len(history) + 1, preset.training.epochs + 1):
        started = time.monotonic()
        loss = _train_epoch(model, optimizer, training, config, epoch, report)
        row = {"epoch": epoch, "train_loss": loss}
        if validation is not None:
            row["val_loss"] = _validation_loss(model, validation, config)
        row["seconds"] = round(time.monotonic() - started, 3)
        history.append(row)
        run.save_checkpoint(
            folder,
            {
                "model": model.state_dict(),
                "optimizer": optimizer.state_dict(),
                "history": history,
                "clips": clips,
            },
        )
        run.write_metrics(folder, history)
    training_curves(pd.DataFrame(history), folder / run.CURVES)
    run.save_embeddings(folder, embed_clips(model, table, mask))
    return history


def _train_epoch(
    model: TripletCNN,
    optimizer: torch.optim.Optimizer,
    dataset: MachineDataset,
    config: RunConfig,
    epoch: int,
    report: Report,
) -> float:
    """Take one pass over the clips; gives the mean loss of a triplet."""
    settings = config.preset.training
    loss_function = nn.TripletMarginLoss(margin=settings.margin)
    seed = int(np.random.SeedSequence((config.seed, epoch)).generate_state(1)[0])
    torch.manual_seed(seed)  # dropout
    dataset.set_epoch(epoch)
    loader: DataLoader[Any] = DataLoader(
        dataset,
        settings.batch_size,
        shuffle=True,
        generator=torch.Generator().manual_seed(seed),
    )
    model.train()
    total = 0.0
    for i, triplet in enumerate(loader, start=1):
        optimizer.zero_grad(set_to_none=True)
        loss = loss_function(*_embed_triplet(model, triplet))
        loss.backward()
        optimizer.step()
        total += loss.item() * len(triplet[0])
        done = (epoch - 1) * len(loader) + i
        report(Step(epoch, done, settings.epochs * len(loader), loss.item()))
    return total / len(dataset)


def _validation(table: FeatureTable, seed: int) -> MachineDataset | None:
    """Triplets among held-out clips; None where they are of fewer than two sections."""
    if table.clips["section"].nunique() < 2:
        return None
    return MachineDataset(table, "train", seed)


def _validation_loss(model: TripletCNN, dataset: MachineDataset, config: RunConfig) -> float:
    """Mean loss of the held-out triplets, the same ones after every epoch."""
    settings = config.preset.training
    loss_function = nn.TripletMarginLoss(margin=settings.margin, reduction="sum")
    model.eval()
    total = 0.0
    loader: DataLoader[Any] = DataLoader(dataset, settings.batch_size)
    with torch.inference_mode():
        for triplet in loader:
            total += loss_function(*_embed_triplet(model, triplet)).item()
    return total / len(dataset)


def _embed_triplet(model: TripletCNN, triplet: list[torch.Tensor]) -> tuple[torch.Tensor, ...]:
    # One pass, so that the batch statistics are those of all three.
    embedding: torch.Tensor = model(torch.cat(triplet).to(model.mean.device))
    return embedding.chunk(3)


def embed_clips(model: TripletCNN, table: FeatureTable, mask: np.ndarray) -> Embeddings:
    """Embed every window of every clip; `mask` marks the held-out ones [shape=(clips,)]."""
    repeats = table.clips["n_windows"].to_numpy()

    def column(name: str) -> np.ndarray:
        return np.repeat(table.clips[name].to_numpy(dtype=str), repeats)

    return Embeddings(
        embeddings=np.concatenate([model.embed(table.windows(i)) for i in range(len(repeats))]),
        clips=column("clip"),
        sections=column("section"),
        domains=column("domain"),
        held_out=np.repeat(mask, repeats),
    )


def _clips_digest(table: FeatureTable) -> str:
    rows = table.clips[["clip", "section", "domain", "digest"]].to_csv(index=False)
    return hashlib.sha256(rows.encode()).hexdigest()
