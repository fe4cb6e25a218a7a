"""Training and evaluation on a workstation.

`train` makes a run, `evaluate` measures a run or a bundle; each has an example.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from asd_training.api import evaluate, train

__all__ = ["evaluate", "train"]


def __getattr__(name: str) -> object:
    if name in __all__:  # here, because PyTorch and pandas come with it
        from asd_training import api

        return getattr(api, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
