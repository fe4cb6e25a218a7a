"""Choosing where PyTorch computes."""

from __future__ import annotations

import contextlib
import platform
from collections.abc import Iterator

import torch

from asd_edge.errors import AsdError


class DeviceError(AsdError, ValueError):
    """A device that PyTorch does not have here."""

    kind = "device"

    def __init__(self, name: str) -> None:
        there = ["cpu", *(f"cuda:{i}" for i in range(torch.cuda.device_count()))]
        super().__init__(f"device {name!r} is not there; PyTorch has: {', '.join(there)}")


def choose_device(name: str) -> str:
    """Give a device that works: "auto" is CUDA where PyTorch finds it, else the CPU.

    Raises:
        DeviceError: a device that is not there.
    """
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.empty(1, device=name)
    except (RuntimeError, AssertionError) as error:  # a PyTorch without CUDA asserts
        raise DeviceError(name) from error
    return name


def choose_precision(name: str, device: str) -> str:
    """Give the precision to train in: "auto" is bfloat16 on a GPU that has it, else float32."""
    if name != "auto":
        return name
    cuda = device.startswith("cuda") and torch.cuda.is_bf16_supported()
    return "bfloat16" if cuda else "float32"


def describe(device: str, precision: str) -> dict[str, str]:
    """Name the processor, the device and the precision that a network is trained with."""
    cuda = device.startswith("cuda")
    return {
        "processor": platform.machine(),
        "device": torch.cuda.get_device_name(device) if cuda else device,
        "precision": precision,
    }


@contextlib.contextmanager
def repeatable() -> Iterator[None]:
    """Let cuDNN use only algorithms that give the same bits in each run, as the CPU's do.

    Its others add up the gradients of a convolution in an order that changes: two trainings in
    float32 on an H100 had weights that were 0.03 apart after six epochs.
    """
    before = torch.backends.cudnn.deterministic
    torch.backends.cudnn.deterministic = True
    try:
        yield
    finally:
        torch.backends.cudnn.deterministic = before
