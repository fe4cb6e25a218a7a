"""Computing on a Dask cluster: this computer's cores, or the workers of a scheduler."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from asd_training.errors import ClusterError

if TYPE_CHECKING:
    from distributed import Client, Future

_T = TypeVar("_T")
# Rows of a part are fetched in milliseconds. If the worker that holds them dies just then, the
# scheduler sometimes never computes them again (distributed 2026.8).
_FETCH_S = 20.0


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
            client = Client(scheduler, timeout="15s")
        except (OSError, TypeError, ValueError) as error:
            raise ClusterError(f"{scheduler}: the scheduler does not answer ({error})") from error
        with client:
            if not client.nthreads():
                say(f"{scheduler} has no workers; waiting for one")
            yield client
        return
    settings = {
        "distributed.scheduler.allowed-failures": 1,  # what killed two workers is tried in halves
        "distributed.deploy.lost-worker-timeout": "1 h",  # a busy machine takes long to start one
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


class Pool(Generic[_T]):
    """Tasks on a cluster, few of them at a time, so that memory does not grow with their number.

    Args:
        client: of the cluster.
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        self._running: dict[Future, tuple[_T, Callable[..., Any], tuple[Any, ...]]] = {}

    @property
    def is_full(self) -> bool:
        """Whether every worker has a task and one that waits."""
        threads = sum(self._client.nthreads().values())
        return bool(len(self._running) >= max(2 * threads, 4))

    @property
    def is_idle(self) -> bool:
        """Whether no task is left."""
        return not self._running

    def submit(self, tag: _T, function: Callable[..., Any], *arguments: Any) -> None:
        """Start a task; `tag` comes back with its result."""
        future = self._client.submit(function, *arguments, pure=False)
        self._running[future] = tag, function, arguments

    def finished(self) -> Iterator[tuple[_T, Any]]:
        """Wait for at least one task, and give the results of those that are done.

        The result of a task that killed its worker several times is None.

        Raises:
            ClusterError: the scheduler went away.
            Exception: what a task raised.
        """
        from distributed import CancelledError, KilledWorker, wait
        from distributed.comm import CommClosedError

        try:
            done = wait(list(self._running), return_when="FIRST_COMPLETED").done
            for future in done:
                tag, function, arguments = self._running.pop(future)
                try:
                    result = future.result(timeout=_FETCH_S)
                except KilledWorker:
                    result = None
                except TimeoutError:
                    self.submit(tag, function, *arguments)
                    continue
                finally:
                    future.release()
                yield tag, result
        except (CommClosedError, CancelledError) as error:
            raise ClusterError(
                "the scheduler went away; the same command goes on where it stopped"
            ) from error
