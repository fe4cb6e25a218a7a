"""Features of a data set of any size, computed on a cluster into the table that training reads."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

from asd_edge.frontend.windows import FrontEnd
from asd_training.archive.cluster import Pool, connected
from asd_training.data.clips import Clip
from asd_training.data.feature_rows import Computed, Wanted, dead
from asd_training.data.feature_table import Batches, Update, update


def compute_features(
    clips: Sequence[Clip],
    output: Path,
    front_end: FrontEnd,
    *,
    scheduler: str | None = None,
    workers: int | None = None,
    say: Callable[[str], None] = lambda sentence: None,
    advance: Callable[[int], None] = lambda count: None,
) -> Update:
    """Bring a feature table up to date, as `feature_table.update` does in threads.

    Args:
        clips: the recordings that the table shall have.
        output: the Parquet file.
        front_end: how clips become features.
        scheduler: address of a Dask scheduler; default: a cluster on this computer.
        workers: processes of that cluster; default: one a core.
        say: called with what there is to wait for.
        advance: called with the number of recordings that are done, batch by batch.

    Raises:
        ClusterError: the scheduler does not answer, or went away.
    """
    run = partial(_on_cluster, scheduler, workers, say)
    return update(output, clips, front_end, advance=advance, compute_batches=run)


def _on_cluster(
    scheduler: str | None,
    workers: int | None,
    say: Callable[[str], None],
    function: Callable[[Sequence[Wanted]], Computed],
    batches: Batches,
) -> Iterator[Computed]:
    """Compute batches on the workers of a cluster, few at a time."""
    with connected(scheduler, workers, say) as client:
        pool: Pool[int, Wanted, Computed] = Pool(client, function, dead)
        for number, batch in enumerate(batches):
            pool.submit(number, batch)
            while pool.is_full:
                yield from _done(pool)
        while not pool.is_idle:
            yield from _done(pool)


def _done(pool: Pool[int, Wanted, Computed]) -> Iterator[Computed]:
    for _, pieces in pool.finished():
        yield from pieces
