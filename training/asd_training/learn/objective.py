"""Training objectives: from a batch of the data set's items to a loss."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from asd_training.data.feature_table import FeatureTable
from asd_training.data.torch_datasets import ClassDataset, MachineDataset
from asd_training.errors import SingleSectionError
from asd_training.learn.augment import mixup, pseudo_classes
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
        self._slice = group.wrap(_Slice(network, precision), device)

    def loss(self, batch: list[Tensor], generator: torch.Generator) -> Tensor:
        """Loss of a batch of the data set's items; changes to it are drawn from the generator."""
        raise NotImplementedError

    def unchanged_loss(self, batch: list[Tensor]) -> Tensor:
        """Loss of a batch of held-out items, as they are."""
        raise NotImplementedError

    def embed(self, x: Tensor) -> Tensor:
        """Embed normalized spectrograms of the whole batch; each process does its slice."""
        part: Tensor = self._slice(self.group.own(x))
        return self.group.gather(part.float())


class TripletObjective(Objective):
    """Triplets that the data set draws, one for each clip, as in the report."""

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
        return self._triplet_loss(self.embed(self.network.normalized(x)))

    def unchanged_loss(self, batch: list[Tensor]) -> Tensor:
        """See Objective."""
        x = torch.stack(batch, dim=1).flatten(0, 1).to(self.device)
        return self._triplet_loss(self.network(x))

    def _triplet_loss(self, embeddings: Tensor) -> Tensor:
        loss: Tensor = self._loss(*embeddings.view(-1, 3, embeddings.shape[1]).unbind(1))
        return loss


class ClassificationObjective(Objective):
    """Classification of sections and pseudo-classes."""

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
        x, labels = pseudo_classes(x, labels, self._classes, self.augment, generator)
        targets = self._targets(labels)
        if self.augment.mixup:
            x, targets = mixup(x, targets, self.augment.mixup, generator)
        return self._classification_loss(self.embed(x), targets)

    def unchanged_loss(self, batch: list[Tensor]) -> Tensor:
        """See Objective."""
        x, labels = batch
        return self._classification_loss(self.network(x.to(self.device)), self._targets(labels))

    def _targets(self, labels: Tensor) -> Tensor:
        return functional.one_hot(labels, self._classes * self._kinds).float().to(self.device)

    def _classification_loss(self, embeddings: Tensor, targets: Tensor) -> Tensor:
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
) -> TripletObjective | ClassificationObjective:
    """Make the training objective of a preset for the clips of a table; `seed` seeds its draws.

    Raises:
        SingleSectionError: clips of one section, and no pseudo-classes to tell apart.
    """
    items = preset.training.min_items
    if preset.loss.drawn:
        triplets = MachineDataset(table, "train", seed, items)
        return TripletObjective(preset, network, triplets, group, device, precision).to(device)
    classes = ClassDataset(table, seed, items)
    if len(classes.classes) == 1 and not preset.augment.pseudo_classes:
        machine, section = (str(table.clips[name][0]) for name in ("machine", "section"))
        raise SingleSectionError("training clips", machine, section)
    return ClassificationObjective(preset, network, classes, group, device, precision).to(device)


class _Slice(nn.Module):
    """The network for one process's slice of a batch; DistributedDataParallel wraps it."""

    def __init__(self, network: TripletCNN, precision: str) -> None:
        super().__init__()
        self.network = network
        self._half = precision == "bfloat16"

    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast(x.device.type, torch.bfloat16, enabled=self._half):
            return self.network.project(self.network.features(x))
