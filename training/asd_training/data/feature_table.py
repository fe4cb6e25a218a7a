"""Features on disk: a Parquet table of one row a clip, brought up to date when it is used.

The table's metadata holds the front end that made it, and every row the digest
of the sound file's content. `update` computes the rows whose file is new or has
changed, drops those whose file is gone, and leaves the rest. It works in parts
that are kept until the table is complete, so an interrupted run goes on where
it stopped.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from asd_edge.atomic_files import atomic_path
from asd_edge.frontend import windows
from asd_edge.frontend.windows import FrontEnd
from asd_training.data.clips import Clip
from asd_training.data.feature_rows import (
    DESCRIBED,
    SCHEMA,
    Computed,
    Known,
    Wanted,
    compute,
    description,
    is_cut,
)
from asd_training.data.table_reading import METADATA_KEY, Failure, FeatureTable, load

__all__ = ["Failure", "FeatureTable", "Update", "load", "update"]
_log = logging.getLogger(__name__)

# Clips of a batch: about 10 MB of features; what an interruption can cost for each thread.
_PART_CLIPS = 64

Batches = Iterable[Sequence[Wanted]]
# Computes batches somewhere, and gives the results as they come. A batch that kills what
# computes it, down to the one clip that does, comes back as `feature_rows.dead`.
Compute = Callable[[Callable[[Sequence[Wanted]], Computed], Batches], Iterator[Computed]]


@dataclass(frozen=True)
class Update:
    """Result of `update`: recordings computed and kept, and those that have no features."""

    computed: int
    kept: int
    failures: list[Failure]


def update(
    path: str | Path,
    clips: Sequence[Clip],
    front_end: FrontEnd,
    jobs: int | None = None,
    advance: Callable[[int], None] = lambda count: None,
    compute_batches: Compute | None = None,
) -> Update:
    """Bring the table at `path` up to date with the clips' files.

    Processes that update the same table wait for each other.

    Args:
        path: the Parquet file; made if missing, replaced if of another front end.
        clips: the recordings that the table shall have.
        front_end: how clips become features.
        jobs: threads; the kernel and the decoder release the interpreter's lock.
            Default: the number of cores.
        advance: called with the number of recordings that are done, batch by batch.
        compute_batches: computes elsewhere than in threads of this process.
    """
    path = Path(path)
    jobs = jobs or os.cpu_count() or 1
    with _locked(path):
        size = min(_PART_CLIPS, max(len(clips) // (4 * jobs), 1))
        run = compute_batches or partial(_in_threads, jobs)
        return _Updating(path, front_end, advance).finish(clips, size, run)


class _Updating:
    """One update of a table."""

    def __init__(self, path: Path, front_end: FrontEnd, advance: Callable[[int], None]) -> None:
        self._path, self._front_end, self._advance = path, front_end, advance
        self._folder = path.with_name(f".{path.name}.parts")
        metadata = {
            METADATA_KEY: json.dumps(front_end.to_dict()),
            "asd_edge.version": str(windows.VERSION),
        }
        self._schema = SCHEMA.with_metadata(metadata)
        parts = sorted(self._folder.glob("part-*.parquet")) if self._folder.is_dir() else []
        self._number = max((int(p.stem.removeprefix("part-")) for p in parts), default=-1) + 1
        self._sources = [p for p in [path, *parts] if _made_by(p, self._schema)]

    def finish(self, clips: Sequence[Clip], size: int, run: Compute) -> Update:
        """Compute what is missing, a part of the table after each batch, and put them together."""
        known = self._known()
        by_name = {clip.name: clip for clip in clips}
        wanted = [Wanted(clip, known.get(clip.name)) for clip in clips]
        batches = (wanted[i : i + size] for i in range(0, len(wanted), size))
        digests: dict[str, str] = {}
        failures: list[Failure] = []
        kept = 0
        for rows, same in run(partial(compute, self._front_end), batches):
            for name in same:
                before = known[name]
                digests[name] = before.digest
                if before.reason:
                    place = by_name[name].place
                    failures.append(Failure(name, place, before.kind, before.reason))
            kept += len(same)
            if rows.num_rows:
                columns = ("recording", "digest", "kind", "reason")
                for row in rows.select(columns).to_pylist():
                    name = row["recording"]
                    digests[name] = row["digest"]
                    if row["reason"]:
                        place = by_name[name].place
                        failures.append(Failure(name, place, row["kind"], row["reason"]))
                self._save(rows)
            self._advance(len(same) + len(set(rows["recording"].to_pylist())))
        _merge(self._path, self._sources, by_name, digests, self._schema)
        shutil.rmtree(self._folder, ignore_errors=True)
        failures.sort(key=lambda failure: failure.clip)
        kept -= sum(known[f.clip].reason != "" for f in failures if f.clip in known)
        computed = len(digests) - kept - len(failures)
        return Update(computed, kept, failures)

    def _known(self) -> dict[str, Known]:
        known: dict[str, Known] = {}
        for source in self._sources:
            columns = ["recording", "clip", "split", "seconds", "digest", "kind", "reason"]
            with pq.ParquetFile(source) as file:
                rows = file.read(columns).to_pylist()
            for row in rows:
                cut: bool | None = True
                if row["clip"] == row["recording"]:
                    long = is_cut("train", row["seconds"] or 0.0, self._front_end)
                    cut = None if long is None else False
                known[row["recording"]] = Known(row["digest"], cut, row["kind"], row["reason"])
        return known

    def _save(self, rows: pa.Table) -> None:
        part = self._folder / f"part-{self._number:05d}.parquet"
        with atomic_path(part) as temporary:
            pq.write_table(rows.replace_schema_metadata(self._schema.metadata), temporary)
        self._sources.append(part)
        self._number += 1


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Keep other processes from updating the same table; they wait."""
    try:
        import fcntl
    except ImportError:  # not a POSIX system
        yield
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = path.with_name(f".{path.name}.lock")
    while True:
        with lock.open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                _log.warning("%s: waiting for another process that computes these features", path)
                fcntl.flock(file, fcntl.LOCK_EX)
            except OSError:  # a file system without locks
                yield
                return
            # Whoever held the lock before removed the file: the next process makes a new one.
            if not lock.exists() or not os.path.samestat(os.fstat(file.fileno()), lock.stat()):
                continue
            try:
                yield
            finally:
                lock.unlink(missing_ok=True)
            return


def _merge(
    path: Path,
    sources: list[Path],
    clips: dict[str, Clip],
    digests: dict[str, str],
    schema: pa.Schema,
) -> None:
    """Write the wanted rows of the sources to `path`, one row group in memory at a time."""
    if sources == [path]:
        with pq.ParquetFile(path) as file:
            rows = file.read([*DESCRIBED, "recording", "digest"])
        if _same_rows(rows, clips, digests):
            return
    written: set[str] = set()
    with atomic_path(path) as temporary, pq.ParquetWriter(temporary, schema) as writer:
        # The newest part first: where a clip changed, its old rows are passed over.
        for source in reversed(sources):
            found: set[str] = set()
            with pq.ParquetFile(source) as file:
                for group in range(file.num_row_groups):
                    rows = file.read_row_group(group)
                    pairs = zip(
                        rows["recording"].to_pylist(), rows["digest"].to_pylist(), strict=True
                    )
                    wanted = [
                        i
                        for i, (name, digest) in enumerate(pairs)
                        if digests.get(name) == digest and name not in written
                    ]
                    if wanted:
                        rows = rows.take(wanted)
                        found.update(rows["recording"].to_pylist())
                        writer.write_table(_describe_again(rows, clips, schema))
            written |= found


def _same_rows(rows: pa.Table, clips: dict[str, Clip], digests: dict[str, str]) -> bool:
    present = {row.pop("recording"): row for row in rows.to_pylist()}
    return present == {
        name: {**description(clips[name]), "digest": digest} for name, digest in digests.items()
    }


def _describe_again(rows: pa.Table, clips: dict[str, Clip], schema: pa.Schema) -> pa.Table:
    """Fill the columns that come from names anew: a file may have moved to another split."""
    descriptions = [description(clips[name]) for name in rows["recording"].to_pylist()]
    columns = {name: rows[name] for name in schema.names}
    for name in descriptions[0]:
        columns[name] = pa.array([d[name] for d in descriptions], pa.string())
    return pa.table(columns, schema=schema)


def _made_by(path: Path, schema: pa.Schema) -> bool:
    """Whether a file is a whole table of this schema and front end."""
    try:
        found = pq.read_schema(path)
    except (OSError, pa.ArrowException):
        return False
    # Not the types: Parquet names the elements of a list its own way.
    return bool(found.names == schema.names and found.metadata == schema.metadata)


def _in_threads(
    jobs: int, function: Callable[[Sequence[Wanted]], Computed], batches: Batches
) -> Iterator[Computed]:
    """Map in order, with few results waiting: they are large."""
    waiting: deque[Future[Computed]] = deque()
    with ThreadPoolExecutor(jobs) as pool:
        for batch in batches:
            waiting.append(pool.submit(function, batch))
            if len(waiting) > jobs:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
