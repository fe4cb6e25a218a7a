"""AdamW: Loshchilov & Hutter (2019), ICLR; the arithmetic is PyTorch's own."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch.nn import Parameter
from torch.optim.adamw import adamw


class AdamW:
    """`torch.optim.AdamW` with its default betas and eps, without importing PyTorch's compiler.

    Whatever is made of `torch.optim.Optimizer` imports `torch._dynamo`, a quarter of what a short
    training costs. The function that updates the parameters does not, and gives the same bits.

    Attributes:
        state: one dict a parameter, named as PyTorch names them.
    """

    def __init__(self, parameters: Iterable[Parameter], weight_decay: float) -> None:
        self._parameters = list(parameters)
        self._weight_decay = weight_decay
        self.state: list[dict[str, torch.Tensor]] = [
            {
                "step": torch.tensor(0.0),  # on the CPU, as PyTorch keeps it
                "exp_avg": torch.zeros_like(p, memory_format=torch.preserve_format),
                "exp_avg_sq": torch.zeros_like(p, memory_format=torch.preserve_format),
            }
            for p in self._parameters
        ]

    def zero_grad(self) -> None:
        """Forget the gradients."""
        for parameter in self._parameters:
            parameter.grad = None

    @torch.no_grad()
    def step(self, lr: float) -> None:
        """Update the parameters that have a gradient, at a learning rate."""
        pairs = zip(self._parameters, self.state, strict=True)
        found = [(p, p.grad, state) for p, state in pairs if p.grad is not None]
        adamw(
            [p for p, _, _ in found],
            [gradient for _, gradient, _ in found],
            [state["exp_avg"] for _, _, state in found],
            [state["exp_avg_sq"] for _, _, state in found],
            [],
            [state["step"] for _, _, state in found],
            amsgrad=False,
            beta1=0.9,
            beta2=0.999,
            lr=lr,
            weight_decay=self._weight_decay,
            eps=1e-8,
            maximize=False,
        )

    def state_dict(self) -> dict[str, Any]:
        """Give the state in the layout of `torch.optim.AdamW`, for a checkpoint."""
        return {"state": dict(enumerate(self.state))}

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        """Go on from a checkpoint; parameters that had no gradient yet are not in it."""
        for number, values in saved["state"].items():
            for name, value in values.items():
                self.state[number][name].copy_(value)
