"""Score an archive of any size on a cluster, into a data set of scores that can be gone on with."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pyarrow as pa

from asd_edge.bundle.format import read_bundle
from asd_training.archive.cluster import Pool, connected, on_every_worker
from asd_training.archive.listing import Archive, Item
from asd_training.archive.parts import Counts, Part, ScoreStore
from asd_training.archive.worker import Job, dead_row, receive, score_clips

# About a second for 10 s clips: what an interruption can cost for each worker. Scheduling, fetching
# and writing a part cost the command some 11 ms, whatever its size.
PART_CLIPS = 1024
_PASSWORD = re.compile(r"(://[^/@:]*):[^/@]*@")
# No task is larger than a quarter of a worker's share of the clips that are left: all workers end
# at about the same time, and a small archive keeps all of them busy.
_SHARE, _LEAST = 4, 8


@dataclass
class Summary:
    """What an archive came to.

    Attributes:
        counts: over all clips of the archive.
        kept: parts that were there already.
        made: parts that were computed.
        unread: folders that could not be listed.
    """

    counts: Counts = field(default_factory=Counts)
    kept: int = 0
    made: int = 0
    unread: list[str] = field(default_factory=list)


def score_archive(
    archive: str,
    bundle: Path,
    output: str,
    *,
    scheduler: str | None = None,
    workers: int | None = None,
    section: str | None = None,
    false_alarm_rate: float | None = None,
    say: Callable[[str], None] = lambda sentence: None,
    start: Callable[[int], None] = lambda count: None,
    advance: Callable[[int], None] = lambda count: None,
) -> Summary:
    """Score every sound file of an archive.

    Parts that are there already, of the same clips, are kept; so an interrupted run goes on.

    Args:
        archive: a folder, or a URL that fsspec opens.
        bundle: folder of the bundle.
        output: folder or URL of the data set; see `archive.parts`.
        scheduler: address of a Dask scheduler; default: a cluster on this computer.
        workers: processes of that cluster; default: one a core.
        section: of all clips; default: what their names say.
        false_alarm_rate: that decides; default: the bundle's.
        say: called with what there is to wait for.
        start: called with the number of clips, when it is known.
        advance: called with the number of clips that are done, part by part.

    Raises:
        MissingFileError: no such archive or bundle, or no sound files.
        BundleError: the bundle is damaged.
        DatasetError: the output is of another bundle or of something else.
        ClusterError: the scheduler does not answer, or went away.
    """
    read_bundle(bundle)  # raises here what would be raised on every worker
    files = {path.name: path.read_bytes() for path in sorted(bundle.iterdir()) if path.is_file()}
    digest = hashlib.sha256(files["bundle.json"]).hexdigest()
    job = Job("", digest, section, false_alarm_rate)
    made_with = {
        "bundle": digest,
        "section": section,
        "false_alarm_rate": false_alarm_rate,
    }
    with Archive(archive) as listed:
        job = Job(listed.url, digest, section, false_alarm_rate)
        place = _PASSWORD.sub(r"\1@", listed.url)  # which others read
        store = ScoreStore(output, {"archive": place, **made_with})
        start(listed.count)
        return _Run(listed, store, job, files, advance).finish(scheduler, workers, say)


class _Run:
    """One pass over an archive."""

    def __init__(
        self,
        archive: Archive,
        store: ScoreStore,
        job: Job,
        files: dict[str, bytes],
        advance: Callable[[int], None],
    ) -> None:
        self._archive, self._store, self._job, self._files = archive, store, job, files
        self._advance = advance
        self._pool: Pool[Part, Item, pa.Table] | None = None
        self._summary = Summary(unread=archive.unread)
        self._left = archive.count  # clips that are neither kept nor submitted

    def finish(
        self, scheduler: str | None, workers: int | None, say: Callable[[str], None]
    ) -> Summary:
        """Score what is not there yet; without anything to do, no cluster is started."""
        with ExitStack() as stack:
            last: Part | None = None
            for number, items in self._archive.chunks(PART_CLIPS):
                part = Part(number, tuple(items))
                if last is not None and last.folder != part.folder:
                    self._store.remove_beyond(last)
                last = part
                left, self._left = self._left, self._left - len(items)
                counts = self._store.done(part)
                if counts is not None:
                    self._summary.kept += 1
                    self._count(counts)
                    continue
                if self._pool is None:
                    client = stack.enter_context(connected(scheduler, workers, say))
                    on_every_worker(client, receive, self._job.digest, self._files)
                    self._pool = Pool(client, partial(score_clips, self._job), dead_row)
                most = max(left // (_SHARE * self._pool.threads), _LEAST)
                self._pool.submit(part, part.items, most)
                while self._pool.is_full:
                    self._collect(self._pool)
            if last is not None:
                self._store.remove_beyond(last)
            while self._pool is not None and not self._pool.is_idle:
                self._collect(self._pool)
        return self._summary

    def _count(self, counts: Counts) -> None:
        self._summary.counts.add(counts)
        self._advance(counts.clips)

    def _collect(self, pool: Pool[Part, Item, pa.Table]) -> None:
        for part, rows in pool.finished():
            self._summary.made += 1
            self._count(self._store.write(part, pa.concat_tables(rows)))
