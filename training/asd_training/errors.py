"""Errors of training and evaluation; the family is `asd_edge.errors.AsdError`."""

from __future__ import annotations

from pathlib import Path

from asd_edge.errors import AsdError


class DatasetError(AsdError, ValueError):
    """A data set that does not hold what the command needs."""

    kind = "dataset"

    def __init__(self, path: str | Path, reason: str) -> None:
        super().__init__(f"{path}: {reason}")


class SingleSectionError(DatasetError):
    """A data set of one section, where a triplet has no negative to draw from."""

    kind = "single_section"

    def __init__(self, path: str | Path, machine: str, section: str) -> None:
        super().__init__(
            path,
            f"machine {machine!r} has the one section {section!r}, and a triplet needs a negative "
            "from another; record a second machine or operating condition as its own section "
            "(section_01_source_train_normal_0000.wav, ...), or take a preset with "
            "pseudo_classes or without training: edge, statistics",
        )


class RunError(AsdError, ValueError):
    """A run folder that is damaged, unfinished or of another kind."""

    kind = "run"

    def __init__(self, path: str | Path, reason: str) -> None:
        super().__init__(f"{path}: {reason}")


class NotFiniteError(RunError):
    """A training whose loss or weights became NaN or infinite; it stops there."""

    kind = "not_finite"

    def __init__(self, path: str | Path, what: str, epoch: int) -> None:
        kept = f"the checkpoint of epoch {epoch - 1} is kept" if epoch > 1 else "nothing was kept"
        super().__init__(
            path, f"the {what} is NaN or infinite; {kept}. A smaller learning rate may help"
        )


class ClusterError(AsdError, ConnectionError):
    """A cluster that does not answer, went away, or has other versions."""

    kind = "cluster"

    def __init__(self, reason: str) -> None:
        super().__init__(reason)


class UnreachableError(AsdError, ConnectionError):
    """A folder behind a URL that cannot be listed, read or written."""

    kind = "unreachable"

    def __init__(self, url: str, reason: str) -> None:
        super().__init__(f"{url}: cannot be reached or opened ({reason})")
