"""What a batch of training clips costs: from the data set's items to one number."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from asd_training.data.feature_table import FeatureTable
from asd_training.data.torch_datasets import ClassDataset, MachineDataset
from asd_training.errors import SingleSectionError
from asd_training.learn.augment import mixup, pseudo_classes, spec_augment
from asd_training.learn.distributed import Group
from asd_training.learn.losses import loss_function
from asd_training.network.cnn import TripletCNN
from asd_training.presets import Preset


class Objective(nn.Module):
    """The network in training, with a data set and a loss; `make_objective` makes one.

    Its parameters are the network's and the loss's. Every process of a group draws the same
    batch and the same changes to it, and takes its slice through the network.

    Args:
        preset: the recipe.
        network: that learns.
        dataset: the items to learn from.
        group: this process among the others.
        device: of the network.
        precision: "float32", or "bfloat16" for the network; the loss stays in float32.
    """

    def __init__(
        self,
        preset: Preset,
        network: TripletCNN,
        dataset: MachineDataset | ClassDataset,
        group: Group,
        device: str,
        precision: str,
    ) -> None:
        super().__init__()
        self.network = network
        self.dataset = dataset
        self.device = device
        self.group = group
        self.augment = preset.augment
        self._through = group.wrap(_Slice(network, group, precision), device)

    def loss(self, batch: list[Tensor], generator: torch.Generator) -> Tensor:
        """Loss of a batch of the data set's items; changes to it are drawn from the generator."""
        raise NotImplementedError

    def unchanged_loss(self, batch: list[Tensor]) -> Tensor:
        """Loss of a batch of held-out items, as they are."""
        raise NotImplementedError

    def embed(self, x: Tensor, exchange: Tensor | None = None) -> Tensor:
        """Embed normalized spectrograms of the whole batch; each process does its slice."""
        part: Tensor = self._through(self.group.own(x), exchange)
        return self.group.gather(part.float())


class DrawnTriplets(Objective):
    """Triplets that the data set draws, one for each clip: the report's way."""

    def __init__(
        self, preset: Preset, network: TripletCNN, dataset: MachineDataset, *where: Any
    ) -> None:
        super().__init__(preset, network, dataset, *where)
        self._loss = nn.TripletMarginLoss(margin=preset.loss.margin)

    def loss(self, batch: list[Tensor], generator: torch.Generator) -> Tensor:
        """See Objective."""
        # One pass, so that the batch statistics are those of all three, and interleaved, so
        # that a process has whole triplets.
        x = torch.stack(batch, dim=1).flatten(0, 1).to(self.device)
        x = spec_augment(self.network.normalized(x), self.augment, generator)
        return self._of(self.embed(x))

    def unchanged_loss(self, batch: list[Tensor]) -> Tensor:
        """See Objective."""
        return self._of(self.network(torch.stack(batch, dim=1).flatten(0, 1).to(self.device)))

    def _of(self, embeddings: Tensor) -> Tensor:
        loss: Tensor = self._loss(*embeddings.view(-1, 3, embeddings.shape[1]).unbind(1))
        return loss


class Classes(Objective):
    """Sections, with attributes if asked for, and pseudo-classes: told apart by a loss."""

    def __init__(
        self, preset: Preset, network: TripletCNN, dataset: ClassDataset, *where: Any
    ) -> None:
        super().__init__(preset, network, dataset, *where)
        self.classes = dataset.classes
        self._classes = len(dataset.classes)
        self._kinds = 1 + len(preset.augment.pseudo_classes)
        dim = network.config.embedding_dim
        self.criterion = loss_function(preset.loss, dim, self._classes * self._kinds)

    def loss(self, batch: list[Tensor], generator: torch.Generator) -> Tensor:
        """See Objective."""
        x, labels = batch
        x = self.network.normalized(x.to(self.device))
        x, labels, exchange = pseudo_classes(x, labels, self._classes, self.augment, generator)
        targets = self._targets(labels)
        if self.augment.mixup:
            x, targets = mixup(x, targets, self.augment.mixup, generator)
        x = spec_augment(x, self.augment, generator)
        exchanged = "feature_exchange" in self.augment.pseudo_classes
        return self._of(self.embed(x, exchange.to(self.device) if exchanged else None), targets)

    def unchanged_loss(self, batch: list[Tensor]) -> Tensor:
        """See Objective."""
        x, labels = batch
        return self._of(self.network(x.to(self.device)), self._targets(labels))

    def _targets(self, labels: Tensor) -> Tensor:
        return functional.one_hot(labels, self._classes * self._kinds).float().to(self.device)

    def _of(self, embeddings: Tensor, targets: Tensor) -> Tensor:
        loss: Tensor = self.criterion(embeddings, targets)
        return loss


def make_objective(
    preset: Preset,
    network: TripletCNN,
    table: FeatureTable,
    seed: int,
    group: Group,
    device: str,
    precision: str = "float32",
) -> DrawnTriplets | Classes:
    """Make the objective of a preset on the clips of a table; the seed is of the draws.

    Raises:
        SingleSectionError: clips of one section, and no pseudo-classes to tell apart.
    """
    items = preset.training.min_items
    if preset.loss.drawn:
        triplets = MachineDataset(table, "train", seed, items)
        return DrawnTriplets(preset, network, triplets, group, device, precision).to(device)
    classes = ClassDataset(table, preset.loss.classes, seed, items)
    if len(classes.classes) == 1 and not preset.augment.pseudo_classes:
        clip = table.clips.iloc[0]
        raise SingleSectionError("training clips", clip["machine"], clip["section"])
    return Classes(preset, network, classes, group, device, precision).to(device)


class _Slice(nn.Module):
    """What DistributedDataParallel wraps: one process's slice through the network."""

    def __init__(self, network: TripletCNN, group: Group, precision: str) -> None:
        super().__init__()
        self.network = network
        self.group = group
        self._half = precision == "bfloat16"

    def forward(self, x: Tensor, exchange: Tensor | None) -> Tensor:
        with torch.autocast(x.device.type, torch.bfloat16, enabled=self._half):
            return self._embed(x, exchange)

    def _embed(self, x: Tensor, exchange: Tensor | None) -> Tensor:
        features = self.network.features(x)
        if exchange is not None:
            # Partners may be in another process's slice.
            others = self.group.gather(features)[self.group.own(exchange)]
            half = features.shape[2] // 2
            features = torch.cat([features[:, :, :half], others[:, :, half:]], dim=2)
        return self.network.project(features)
