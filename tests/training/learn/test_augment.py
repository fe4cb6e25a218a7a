"""Changes to training clips: what they do, and that processes draw alike."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from asd_training.learn import augment
from asd_training.preset_tables import PSEUDO_CLASSES, AugmentConfig


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def clips(n: int = 64) -> torch.Tensor:
    return torch.randn(n, 8, 20, generator=generator(9))


def test_statistics_exchange() -> None:
    x, other = clips(4), 3 * clips(4).flip(0) + 5
    changed = augment.statistics_exchange(x, other)
    torch.testing.assert_close(changed.mean(2), other.mean(2))
    torch.testing.assert_close(changed.std(2), other.std(2), rtol=5e-3, atol=0)
    for a, b in zip(changed.flatten(0, 1), x.flatten(0, 1), strict=True):
        assert np.corrcoef(a, b)[0, 1] == pytest.approx(1)


@pytest.mark.parametrize("by", [-3, -1, 1, 2])
def test_shift(by: int) -> None:
    x = torch.arange(8.0)[:, None].expand(8, 5)
    expected = (torch.arange(8.0) - by).clamp(0, 7)[:, None].expand(8, 5)
    assert torch.equal(augment.shift_bands(x, by), expected)


def test_pseudo_classes_number_what_was_done() -> None:
    x, labels = clips(300), torch.arange(300) % 3
    config = AugmentConfig(pseudo_classes=PSEUDO_CLASSES, shift_bands=2)
    changed, new = augment.pseudo_classes(x, labels, 3, config, generator())
    kind = new // 3
    assert torch.equal(new % 3, labels)
    assert all(75 < int((kind == k).sum()) < 125 for k in range(3))
    assert torch.equal((changed == x).flatten(1).all(1), kind == 0)
    for row in torch.nonzero(kind == 2).flatten().tolist():
        shifts = [augment.shift_bands(x[row], by) for by in (-2, -1, 1, 2)]
        assert any(torch.equal(changed[row], shift) for shift in shifts)
    again = augment.pseudo_classes(x, labels, 3, config, generator())
    assert torch.equal(again[0], changed)
    assert torch.equal(again[1], new)


def test_without_pseudo_classes_nothing_changes() -> None:
    x, labels = clips(), torch.zeros(64, dtype=torch.long)
    changed, new = augment.pseudo_classes(x, labels, 1, AugmentConfig(), generator())
    assert changed is x
    assert new is labels


def test_mixup_mixes_targets_as_it_mixes_clips() -> None:
    labels = torch.arange(64) % 4
    targets = torch.nn.functional.one_hot(labels).float()
    # Clips that are their targets, so that both can be compared.
    x = targets[:, :, None].expand(64, 4, 6)
    mixed, new = augment.mixup(x, targets, 0.5, generator())
    torch.testing.assert_close(mixed, new[:, :, None].expand(64, 4, 6))
    torch.testing.assert_close(new.sum(1), torch.ones(64))
    untouched = (new.max(1).values == 1).sum()
    assert 24 < untouched < 56
    assert torch.equal(augment.mixup(x, targets, 0.0, generator())[1], targets)
