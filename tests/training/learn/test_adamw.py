"""The optimizer gives the bits of torch.optim.AdamW; a training imports no more than it needs."""

from __future__ import annotations

import copy
import subprocess
import sys
from pathlib import Path

import torch
from helpers import TINY_PRESET
from torch import nn

from asd_training.learn.adamw import AdamW


def network() -> nn.Module:
    torch.manual_seed(1)
    return nn.Sequential(nn.Conv1d(2, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 6, 3))


def test_it_is_pytorch_s() -> None:
    ours, theirs = network(), network()
    optimizer = AdamW(ours.parameters(), weight_decay=0.1)
    reference = torch.optim.AdamW(theirs.parameters(), weight_decay=0.1)
    for step in range(30):
        x = torch.randn(5, 2, 8)
        lr = 1e-2 * (step + 1) / 30
        reference.param_groups[0]["lr"] = lr
        for model in (ours, theirs):
            model.zero_grad()
            model(x).square().mean().backward()
            if step % 3 == 0:  # a parameter that a step does not use
                model[0].bias.grad = None
        optimizer.step(lr)
        reference.step()
        for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
            assert torch.equal(a, b)
    optimizer.zero_grad()
    assert all(p.grad is None for p in ours.parameters())
    saved, known = optimizer.state_dict()["state"], reference.state_dict()["state"]
    assert saved.keys() == known.keys()
    for number, values in known.items():
        for name, value in values.items():
            assert torch.equal(saved[number][name], value)


def test_it_goes_on_from_a_checkpoint_of_pytorch_s() -> None:
    model = network()
    reference = torch.optim.AdamW(model.parameters(), lr=1e-2, weight_decay=0.1)
    model(torch.randn(5, 2, 8)).square().mean().backward()
    reference.step()
    copied = copy.deepcopy(model)
    optimizer = AdamW(copied.parameters(), weight_decay=0.1)
    optimizer.load_state_dict(copy.deepcopy(reference.state_dict()))
    x = torch.randn(5, 2, 8)
    for one in (model, copied):
        one.zero_grad()
        one(x).square().mean().backward()
    reference.step()
    optimizer.step(1e-2)
    for a, b in zip(model.parameters(), copied.parameters(), strict=True):
        assert torch.equal(a, b)


def test_a_training_imports_neither_a_compiler_nor_scientific_packages(
    tmp_path: Path, tiny_data: Path
) -> None:
    preset = tmp_path / "adacos.toml"  # mined triplets need scikit-learn
    loss = 'name = "triplet"\nmining = "all"\nmargin = 0.5'
    assert loss in TINY_PRESET
    preset.write_text(TINY_PRESET.replace(loss, 'name = "adacos"\nsubclusters = 2'))
    arguments = [tiny_data, "--preset", preset, "--cache", tmp_path / "cache", "--epochs", 1]
    program = """
import sys
from asd_training.cli.train import main
main(sys.argv[1:], standalone_mode=False)
heavy = {"torch._dynamo", "sympy", "scipy", "sklearn", "matplotlib", "pandas", "pyarrow.dataset"}
print(sorted(heavy & set(sys.modules)))
"""

    def imported(run: str) -> str:
        command = [sys.executable, "-c", program, *map(str, arguments), "-o", str(tmp_path / run)]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    assert imported("cold") in ("[]", "['pandas']")  # pyarrow imports it where arrays are made
    assert imported("warm") == "[]"
