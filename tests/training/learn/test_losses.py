"""Losses against their definitions, written out."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional

from asd_training.learn.losses import MinedTriplets, SubClusterAdaCos
from asd_training.preset_tables import LossConfig

X = torch.randn(12, 5, generator=torch.Generator().manual_seed(0))
LABELS = torch.arange(12) % 3
TARGETS = functional.one_hot(LABELS).float()


def triplets(margin: float) -> float:
    """Loop over every triplet, on the unit sphere."""
    d = torch.cdist(*2 * (functional.normalize(X),)).double()
    values = []
    for a in range(12):
        positives = [p for p in range(12) if p != a and LABELS[p] == LABELS[a]]
        negatives = [n for n in range(12) if LABELS[n] != LABELS[a]]
        for p in positives:
            for n in negatives:
                values.append(max(0.0, margin - float(d[a, n] - d[a, p])))
    violating = [value for value in values if value > 0]
    return sum(violating) / len(violating)


def test_mined_triplets() -> None:
    loss = MinedTriplets(LossConfig(mining="all", margin=0.3))
    assert loss(X, TARGETS).item() == pytest.approx(triplets(0.3), rel=1e-4)


def test_adacos_is_a_softmax_over_sums_of_sub_clusters() -> None:
    loss = SubClusterAdaCos(LossConfig("adacos", subclusters=4), 5, 3)
    assert not loss.centres.requires_grad
    scale = loss.scale
    assert scale == pytest.approx(math.sqrt(2) * math.log(11))
    mixed = 0.7 * TARGETS + 0.3 * TARGETS.roll(1, 0)
    expected = 0.0
    for x, target in zip(X, mixed, strict=True):
        cosines = [functional.cosine_similarity(x, c, dim=0).item() for c in loss.centres]
        exponentials = [math.exp(scale * c) for c in cosines]
        for k in range(3):
            probability = sum(exponentials[4 * k : 4 * k + 4]) / sum(exponentials)
            expected -= target[k].item() * math.log(probability) / 12
    assert loss(X, mixed).item() == pytest.approx(expected, rel=1e-5)
