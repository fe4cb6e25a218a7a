"""Changes to a batch of training clips.

A pseudo-class is a change that makes a clip one of another class: the network must tell
unchanged, exchanged and shifted clips apart, and so learns details that sections alone would
not require. Every function draws from the generator it is given and works on the
whole batch, so that several processes with the same seed draw alike.
"""

from __future__ import annotations

import torch
from torch import Tensor

from asd_training.preset_tables import AugmentConfig


def pseudo_classes(
    x: Tensor, labels: Tensor, classes: int, config: AugmentConfig, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Change a random share of the clips, and their labels with them.

    Args:
        x: spectrograms [shape=(batch, n_mels, n_frames)].
        labels: their classes, 0 to classes - 1 [shape=(batch,)].
        classes: number of classes without the pseudo-classes.
        config: the changes; each clip gets one of them or none, all equally likely.
        generator: draws the clips and their changes.

    Returns:
        the changed spectrograms, and label + classes * (number of the change, 0 for none).
    """
    names = config.pseudo_classes
    if not names:
        return x, labels
    kind = torch.randint(len(names) + 1, (len(x),), generator=generator)
    partner = torch.randperm(len(x), generator=generator)
    changed = x.clone()
    for number, name in enumerate(names, start=1):
        rows = torch.nonzero(kind == number).flatten()
        if not len(rows):
            continue
        if name == "statistics_exchange":
            changed[rows] = statistics_exchange(x[rows], x[partner[rows]])
        else:
            bands = 1 + torch.randint(config.shift_bands, (len(rows),), generator=generator)
            sign = 1 - 2 * torch.randint(2, (len(rows),), generator=generator)
            for row, by in zip(rows.tolist(), (bands * sign).tolist(), strict=True):
                changed[row] = shift_bands(x[row], by)
    return changed, labels + classes * kind


def statistics_exchange(x: Tensor, other: Tensor) -> Tensor:
    """Give each band of one clip the mean and deviation over time that it has in another.

    Chen et al. (2023), ICASSP, "... representation learning with simulated anomalies".

    Args:
        x: the clips that change [shape=(batch, n_mels, n_frames)].
        other: those whose statistics they get, likewise.
    """
    # 1e-3: a band that does not change must not be divided by 0.
    mean, std = x.mean(2, keepdim=True), x.std(2, keepdim=True) + 1e-3
    return (x - mean) / std * other.std(2, keepdim=True) + other.mean(2, keepdim=True)


def shift_bands(x: Tensor, by: int) -> Tensor:
    """Move a spectrogram [shape=(n_mels, n_frames)] up by some bands; the edge is repeated."""
    shifted = torch.roll(x, by, dims=0)
    if by > 0:
        shifted[:by] = x[0]
    elif by < 0:
        shifted[by:] = x[-1]
    return shifted


def mixup(
    x: Tensor, targets: Tensor, share: float, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Mix a share of the clips with another one, and their targets alike.

    Zhang et al. (2018), with uniform weights.

    Args:
        x: [shape=(batch, n_mels, n_frames)].
        targets: weight of each class [shape=(batch, classes)].
        share: of the clips that are mixed.
        generator: draws the clips and their changes.
    """
    own = torch.rand(len(x), generator=generator)
    own[torch.rand(len(x), generator=generator) >= share] = 1.0
    partner = torch.randperm(len(x), generator=generator)
    a, b = own.to(x.device)[:, None, None], own.to(x.device)[:, None]
    return a * x + (1 - a) * x[partner], b * targets + (1 - b) * targets[partner]
