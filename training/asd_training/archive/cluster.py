"""Computing on a Dask cluster: this computer's cores, or the workers of a scheduler."""

from __future__ import annotations

import logging
import math
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from asd_training.errors import ClusterError

if TYPE_CHECKING:
    from distributed import Client, Future

_T = TypeVar("_T")
_I = TypeVar("_I")
_R = TypeVar("_R")
# Rows of a part are fetched in milliseconds. If the worker that holds them dies just then, the
# scheduler sometimes never computes them again (distributed 2026.8).
_FETCH_S = 20.0
# It keeps the last thousand messages for those who debug it, and with them the names of the clips.
_EVERYWHERE = {"distributed.admin.low-level-log-length": 10}
# How long the number of workers is believed: asking costs the scheduler a message.
_COUNT_S = 1.0


@contextmanager
def connected(
    scheduler: str | None, workers: int | None, say: Callable[[str], None]
) -> Iterator[Client]:
    """Give a client of a scheduler, or of a cluster of processes on this computer.

    Args:
        scheduler: address, such as tcp://host:8786; None: this computer.
        workers: processes on this computer; default: one a core.
        say: called with a sentence where there is something to wait for.

    Raises:
        ClusterError: the scheduler does not answer.
    """
    import dask.config
    from distributed import Client, LocalCluster

    # What it logs is about its own parts; what matters here is said by errors and rows.
    for name in ("distributed", "distributed.client", "tornado", "tornado.application"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    if scheduler is not None:
        try:
            with dask.config.set(_EVERYWHERE):
                client = Client(scheduler, timeout="15s")
        except (OSError, TypeError, ValueError) as error:
            raise ClusterError(f"{scheduler}: the scheduler does not answer ({error})") from error
        with client:
            if not client.nthreads():
                say(f"{scheduler} has no workers; waiting for one")
            yield client
        return
    settings = _EVERYWHERE | {
        "distributed.scheduler.allowed-failures": 1,  # what killed two workers is tried in halves
        "distributed.deploy.lost-worker-timeout": "1 h",  # a busy machine takes long to start one
        # What only a dashboard shows; it took a third of the scheduler's processor time.
        "distributed.worker.profile.enabled": False,
        "distributed.admin.tick.interval": "1 s",
        "distributed.admin.system-monitor.gil.enabled": False,
        "distributed.admin.system-monitor.interval": "5 s",
        "distributed.client.scheduler-info-interval": "10 s",
        "distributed.worker.memory.monitor-interval": "1 s",
        # Results are on one worker each, and are fetched and forgotten.
        "distributed.scheduler.active-memory-manager.start": False,
    }
    with (
        dask.config.set(settings),
        LocalCluster(
            n_workers=workers or os.cpu_count() or 1,
            threads_per_worker=1,
            dashboard_address="127.0.0.1:0",  # all that listens does so on loopback
            silence_logs=logging.CRITICAL,
        ) as cluster,
        Client(cluster) as client,
    ):
        yield client


def on_every_worker(client: Client, function: Callable[..., None], *arguments: Any) -> None:
    """Call a function once in each worker, also in those that join or are started again later."""
    from distributed import WorkerPlugin

    class Setup(WorkerPlugin):  # type: ignore[misc]  # untyped in distributed
        def setup(self, worker: object) -> None:
            function(*arguments)

    client.register_plugin(Setup(), name=f"{function.__module__}.{function.__qualname__}")


class Pool(Generic[_T, _I, _R]):
    """Batches of items computed on a cluster, few at a time, so that memory does not grow.

    Which of the batches on a worker killed it, nobody knows. So those that were there twice when
    one died are set apart until all others are done, and are then computed one at a time; what
    kills a worker now is tried in halves, down to the one item that does it.

    Args:
        client: of the cluster.
        function: computes a batch, on a worker.
        dead: gives the result of an item that no worker survives, here.
    """

    def __init__(
        self,
        client: Client,
        function: Callable[[Sequence[_I]], _R],
        dead: Callable[[_I], _R],
    ) -> None:
        self._client, self._function, self._dead = client, function, dead
        self._threads, self._counted = 0, -math.inf
        self._version = version("asd-edge")
        self._running: dict[Future, _Batch[_T, _I]] = {}
        self._suspects: list[_Batch[_T, _I]] = []
        self._alone = False
        # Of each tag: results by the place of their first item, and the number of open batches.
        self._pieces: dict[_T, dict[int, _R]] = {}
        self._open: Counter[_T] = Counter()

    @property
    def threads(self) -> int:
        """Number of batches that are computed at a time; at least 1, also before a worker comes."""
        if time.monotonic() - self._counted > _COUNT_S:
            self._threads = max(sum(self._client.nthreads().values()), 1)
            self._counted = time.monotonic()
        return self._threads

    @property
    def is_full(self) -> bool:
        """Whether every worker has a batch and one that waits."""
        return len(self._running) >= max(2 * self.threads, 4)

    @property
    def is_idle(self) -> bool:
        """Whether no batch is left."""
        return not self._running and not self._suspects

    def submit(self, tag: _T, items: Sequence[_I], most: int = sys.maxsize) -> None:
        """Start a batch; `tag`, which no other has, comes back with its results.

        A batch of more than `most` items is computed in pieces.
        """
        for first in range(0, len(items), most):
            self._submit(_Batch(tag, first, items[first : first + most]))

    def finished(self) -> Iterator[tuple[_T, list[_R]]]:
        """Wait for at least one task, and give what is complete.

        Yields:
            tag and results of a batch: one, or those of its pieces in order.

        Raises:
            ClusterError: the scheduler went away, or a worker has another version of asd-edge.
            Exception: what the function raised.
        """
        from distributed import CancelledError, KilledWorker, wait
        from distributed.comm import CommClosedError

        self._alone = not self._running
        if self._alone:
            suspect = self._suspects.pop()
            self._open[suspect.tag] -= 1
            self._submit(suspect)
        try:
            done = wait(list(self._running), return_when="FIRST_COMPLETED").done
            for future in done:
                batch = self._running.pop(future)
                self._open[batch.tag] -= 1
                try:
                    self._keep(batch, future.result(timeout=_FETCH_S))
                except KilledWorker:
                    self._suspect(batch)
                except TimeoutError:
                    self._submit(batch)
                finally:
                    future.release()
                if not self._open[batch.tag]:
                    del self._open[batch.tag]
                    pieces = self._pieces.pop(batch.tag)
                    yield batch.tag, [pieces[first] for first in sorted(pieces)]
        except (CommClosedError, CancelledError) as error:
            raise ClusterError(
                "the scheduler went away; the same command goes on where it stopped"
            ) from error

    def _submit(self, batch: _Batch[_T, _I]) -> None:
        from distributed.protocol import serialize_bytes

        # By Dask's transport between its processes, and as bytes, which the scheduler passes on;
        # it would read and write anything else again.
        arguments = self._version, self._function, serialize_bytes(batch.items)
        self._running[self._client.submit(_compute, *arguments, pure=False)] = batch
        self._open[batch.tag] += 1

    def _keep(self, batch: _Batch[_T, _I], result: _R) -> None:
        self._pieces.setdefault(batch.tag, {})[batch.first] = result

    def _suspect(self, batch: _Batch[_T, _I]) -> None:
        """Set a batch apart, or halve one that killed its workers alone."""
        if not self._alone:
            self._set_apart(batch)
        elif len(batch.items) == 1:
            self._keep(batch, self._dead(batch.items[0]))
        else:
            middle = len(batch.items) // 2
            self._set_apart(_Batch(batch.tag, batch.first + middle, batch.items[middle:]))
            self._set_apart(_Batch(batch.tag, batch.first, batch.items[:middle]))

    def _set_apart(self, batch: _Batch[_T, _I]) -> None:
        self._suspects.append(batch)
        self._open[batch.tag] += 1


@dataclass(frozen=True)
class _Batch(Generic[_T, _I]):
    """A batch or a piece of one, from its item number `first` on."""

    tag: _T
    first: int
    items: Sequence[_I]


def _compute(needed: str, function: Callable[[Sequence[_I]], _R], items: bytes) -> _R:
    """Do on a worker what `Pool` submits."""
    if version("asd-edge") != needed:
        raise ClusterError(f"a worker has asd-edge {version('asd-edge')}, this computer {needed}")
    from distributed.protocol import deserialize_bytes

    return function(deserialize_bytes(items))
