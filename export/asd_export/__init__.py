"""Export of a run to a bundle.

`export` makes a bundle of a run; it has an example.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from asd_export.run_to_bundle import Export, export

__all__ = ["Export", "export"]


def __getattr__(name: str) -> object:
    if name in __all__:  # here, because PyTorch and onnx come with it
        from asd_export import run_to_bundle

        return getattr(run_to_bundle, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
