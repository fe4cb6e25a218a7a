"""Losses of the embedding: triplets, or the classification of sections and pseudo-classes."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from asd_training.preset_tables import LossConfig


class MinedTriplets(nn.Module):
    """Triplet loss over triplets that are found in the batch.

    The mean of max(0, d(a, p) - d(a, n) + margin) over all triplets of the batch whose loss
    is not 0, with the euclidean distance of the embeddings on the unit sphere. The triplets
    of loss 0 are left out of the mean because there are so many of them that they would
    hide the rest.
    """

    def __init__(self, config: LossConfig) -> None:
        super().__init__()
        # Here, because it brings scikit-learn and scipy, and the other losses need neither.
        from pytorch_metric_learning import distances, losses

        distance = distances.LpDistance(normalize_embeddings=True, p=2)
        self._loss = losses.TripletMarginLoss(margin=config.margin, distance=distance)

    def forward(self, embeddings: Tensor, targets: Tensor) -> Tensor:
        """Loss of a batch; see `SubClusterAdaCos.forward`."""
        loss: Tensor = self._loss(embeddings, targets.argmax(1))
        return loss


class SubClusterAdaCos(nn.Module):
    """Sub-cluster AdaCos: Wilkinghoff (2021), IJCNN.

    A softmax over the cosines to the centres of all classes, several a class, whose
    probabilities are summed by class. The scale is AdaCos' fixed one, sqrt(2) log(number of
    centres - 1) (Zhang et al. 2019, eq. 10): the one that follows the data grows without bound
    where labels are mixed, since the median angle to the own class then stays wide.

    Args:
        config: number of centres a class; they stay where they are drawn.
        dim: of the embeddings.
        classes: number of classes.
    """

    def __init__(self, config: LossConfig, dim: int, classes: int) -> None:
        super().__init__()
        self._shape = (classes, config.subclusters)
        count = classes * config.subclusters
        self.centres = nn.Parameter(torch.randn(count, dim), requires_grad=False)
        self.scale = math.sqrt(2) * math.log(max(count - 1, 2))

    def forward(self, embeddings: Tensor, targets: Tensor) -> Tensor:
        """Loss of a batch.

        Args:
            embeddings: [shape=(batch, d)].
            targets: weight of each class, of sum 1 [shape=(batch, classes)].
        """
        cosine = functional.normalize(embeddings) @ functional.normalize(self.centres).T
        by_class = torch.logsumexp(self.scale * cosine.view(-1, *self._shape), dim=2)
        return -(targets * functional.log_softmax(by_class, dim=1)).sum(1).mean()


def loss_function(config: LossConfig, dim: int, classes: int) -> MinedTriplets | SubClusterAdaCos:
    """Make the loss of a configuration whose triplets the data set does not draw."""
    if config.name == "adacos":
        return SubClusterAdaCos(config, dim, classes)
    return MinedTriplets(config)
