"""Train with several processes as if they were one.

They are started by `torchrun --nproc-per-node N $(command -v asd-train) ...`.

Each process takes its slice of every batch through the network. What looks at the whole batch
(batch statistics, losses, feature exchange) is given the whole batch, gathered by
operations that gradients pass through; so N processes take the steps of one, but for rounding.
"""

from __future__ import annotations

import datetime
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.nn import functional as collective
from torch.nn.parallel import DistributedDataParallel

from asd_edge.errors import ParameterError

# Untyped in PyTorch.
_all_gather: Callable[[Tensor], tuple[Tensor, ...]] = collective.all_gather
_all_reduce: Callable[[Tensor], Tensor] = collective.all_reduce


@dataclass(frozen=True)
class Group:
    """A process among others: its rank, from 0, and their number."""

    rank: int = 0
    size: int = 1

    @property
    def leads(self) -> bool:
        """Whether this process writes files and talks to the user."""
        return self.rank == 0

    def own(self, batch: Tensor) -> Tensor:
        """Give this process's slice of a batch; its size is a multiple of the group's."""
        return batch.chunk(self.size)[self.rank] if self.size > 1 else batch

    def gather(self, part: Tensor) -> Tensor:
        """Put the slices of all processes together; gradients flow back to each."""
        return torch.cat(_all_gather(part)) if self.size > 1 else part

    def wait(self) -> None:
        """Wait for the others."""
        if self.size > 1:
            dist.barrier()

    @contextmanager
    def leader_first(self) -> Iterator[None]:
        """Let the leader go through the block before the others, which find what it left."""
        if not self.leads:
            self.wait()
        yield
        if self.leads:
            self.wait()

    def wrap(self, module: nn.Module, device: str) -> nn.Module:
        """Share the gradients of a module's parameters, and its batch statistics."""
        if self.size == 1:
            return module
        _share_batch_norm(module)
        return DistributedDataParallel(module, device_ids=[device] if "cuda" in device else None)


@contextmanager
def group(device: str) -> Iterator[tuple[Group, str]]:
    """Join the processes that torchrun started; a process of its own is a group of one.

    Args:
        device: "cuda" becomes this process's own GPU.

    Returns:
        the group, and the device of this process.
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        yield Group(), device
        return
    if device == "cuda":
        device = f"cuda:{os.environ['LOCAL_RANK']}"
        torch.cuda.set_device(device)
    # The leader computes the features alone, which can take hours.
    patience = datetime.timedelta(hours=12)
    dist.init_process_group("nccl" if "cuda" in device else "gloo", timeout=patience)
    try:
        yield Group(dist.get_rank(), dist.get_world_size()), device
    finally:
        dist.destroy_process_group()


def check_batch(batch_size: int, group: Group) -> None:
    """Raise ParameterError if a batch cannot be cut evenly."""
    if batch_size % group.size:
        raise ParameterError("batch_size", batch_size, f"a multiple of {group.size} processes")


class _SharedBatchNorm2d(nn.BatchNorm2d):
    """BatchNorm2d with the statistics of all processes; PyTorch's own is for GPUs alone."""

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return super().forward(x)
        count = x.numel() / x.shape[1] * dist.get_world_size()
        mean = _all_reduce(x.sum((0, 2, 3))) / count
        centred = x - mean[:, None, None]
        variance = _all_reduce(centred.square().sum((0, 2, 3))) / count
        with torch.no_grad():
            assert self.running_mean is not None
            assert self.running_var is not None
            assert self.num_batches_tracked is not None
            assert self.momentum is not None
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * count / (count - 1), self.momentum)
            self.num_batches_tracked.add_(1)
        scale = self.weight * torch.rsqrt(variance + self.eps)
        return torch.addcmul(self.bias[:, None, None], centred, scale[:, None, None])


def _share_batch_norm(module: nn.Module) -> None:
    for child in module.modules():
        if type(child) is nn.BatchNorm2d:
            child.__class__ = _SharedBatchNorm2d  # same parameters, buffers and names
