"""Changes to a batch of training clips.

A pseudo-class is a change that makes a clip one of another class: the network must tell
as it is, exchanged and shifted apart, and so learns details that sections alone would
not ask for. Every function draws from the generator it is given and works on the
whole batch, so that several processes with the same seed draw alike.
"""

from __future__ import annotations

import torch
from torch import Tensor

from asd_training.presets import AugmentConfig


def pseudo_classes(
    x: Tensor, labels: Tensor, classes: int, config: AugmentConfig, generator: torch.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """Change a random share of the clips, and their labels with them.

    Args:
        x: spectrograms [shape=(batch, n_mels, n_frames)].
        labels: their classes, 0 to classes - 1 [shape=(batch,)].
        classes: number of classes without the pseudo-classes.
        config: which changes; each clip stays as it is or suffers one, all equally likely.
        generator: of the draws.

    Returns:
        the changed spectrograms; labels, label + classes * (1 + number of the change);
        and for each clip the one whose features it is to exchange, itself if none
        [shape=(batch,)] ("feature_exchange" is done inside the network).
    """
    names = config.pseudo_classes
    itself = torch.arange(len(x))
    if not names:
        return x, labels, itself
    kind = torch.randint(len(names) + 1, (len(x),), generator=generator)
    partner = torch.randperm(len(x), generator=generator)
    changed, exchange = x.clone(), itself.clone()
    for number, name in enumerate(names, start=1):
        rows = torch.nonzero(kind == number).flatten()
        if not len(rows):
            continue
        if name == "statistics_exchange":
            changed[rows] = statistics_exchange(x[rows], x[partner[rows]])
        elif name == "shift":
            bands = 1 + torch.randint(config.shift_bands, (len(rows),), generator=generator)
            sign = 1 - 2 * torch.randint(2, (len(rows),), generator=generator)
            for row, by in zip(rows.tolist(), (bands * sign).tolist(), strict=True):
                changed[row] = shift_bands(x[row], by)
        else:
            exchange[rows] = partner[rows]
    return changed, labels + classes * kind, exchange


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


def spec_augment(x: Tensor, config: AugmentConfig, generator: torch.Generator) -> Tensor:
    """Set a random stretch of bands and one of frames of each clip to the clip's mean.

    Park et al. (2019), SpecAugment.

    Args:
        x: [shape=(batch, n_mels, n_frames)].
        config: the widest masks.
        generator: of the draws.
    """
    for dim, widest in ((1, config.mask_bands), (2, config.mask_frames)):
        if widest:
            size = x.shape[dim]
            width = torch.randint(widest + 1, (len(x), 1), generator=generator)
            start = (torch.rand(len(x), 1, generator=generator) * (size - width + 1)).long()
            place = torch.arange(size)
            mask = ((place >= start) & (place < start + width)).unsqueeze(3 - dim)
            x = torch.where(mask.to(x.device), x.mean((1, 2), keepdim=True), x)
    return x


def mixup(
    x: Tensor, targets: Tensor, share: float, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Mix a share of the clips with another one, and their targets alike.

    Zhang et al. (2018), with uniform weights.

    Args:
        x: [shape=(batch, n_mels, n_frames)].
        targets: weight of each class [shape=(batch, classes)].
        share: of the clips that are mixed.
        generator: of the draws.
    """
    own = torch.rand(len(x), generator=generator)
    own[torch.rand(len(x), generator=generator) >= share] = 1.0
    partner = torch.randperm(len(x), generator=generator)
    a, b = own.to(x.device)[:, None, None], own.to(x.device)[:, None]
    return a * x + (1 - a) * x[partner], b * targets + (1 - b) * targets[partner]
