"""Features on disk: a Parquet table of one row a clip, computed once and never stale.

The table's metadata holds the front end that made it, and every row the digest
of the sound file's content. `update` computes the rows whose file is new or has
changed, drops those whose file is gone, and leaves the rest. It works in parts
that are kept until the table is complete, so an interrupted run goes on where
it stopped.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TypeVar

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from asd_edge.atomic_files import atomic_path
from asd_edge.audio import files as audio
from asd_edge.errors import AsdError, MissingFileError
from asd_edge.frontend import windows as frontend
from asd_edge.frontend.windows import FrontEnd
from asd_training.data.clips import Clip
from asd_training.errors import DatasetError

_R = TypeVar("_R")
_METADATA_KEY = b"asd_edge.front_end"
_PART_CLIPS = 64  # about 10 MB of features; what an interruption can cost
_SCHEMA = pa.schema(
    [
        ("clip", pa.string()),
        ("machine", pa.string()),
        ("section", pa.string()),
        ("domain", pa.string()),
        ("split", pa.string()),
        ("label", pa.string()),
        ("attributes", pa.string()),
        ("digest", pa.string()),
        ("n_windows", pa.int32()),
        # Windows one after the other, each in C order [shape=(n_windows, n_mels, n_frames)].
        ("features", pa.list_(pa.float32())),
    ]
)


@dataclass(frozen=True)
class Update:
    """What `update` did: clips computed and kept, and those that could not be read."""

    computed: int
    kept: int
    errors: list[AsdError]


@dataclass(frozen=True)
class FeatureTable:
    """A table in memory.

    Attributes:
        front_end: that made the features.
        clips: one row a clip, sorted by `clip`; the columns but for the features, and
            `first`, the row's first window in `features`.
        features: [shape=(total of n_windows, n_mels, n_frames)].
    """

    front_end: FrontEnd
    clips: pd.DataFrame
    features: NDArray[np.float32]

    @cached_property
    def _bounds(self) -> NDArray[np.int64]:
        first = self.clips["first"].to_numpy(dtype=np.int64)
        return np.stack([first, first + self.clips["n_windows"].to_numpy(dtype=np.int64)])

    def windows(self, row: int) -> NDArray[np.float32]:
        """Windows of a clip by its row number [shape=(n_windows, n_mels, n_frames)]."""
        first, end = self._bounds[:, row]
        return self.features[first:end]

    def take(self, chosen: NDArray[np.bool_]) -> FeatureTable:
        """Give the table of the chosen rows; it shares the features."""
        return replace(self, clips=self.clips[chosen].reset_index(drop=True))


def update(
    path: str | Path,
    clips: Sequence[Clip],
    front_end: FrontEnd,
    jobs: int | None = None,
    advance: Callable[[], None] = lambda: None,
) -> Update:
    """Bring the table at `path` up to date with the clips' files.

    Args:
        path: the Parquet file; made if missing, replaced if of another front end.
        clips: the rows that the table shall have.
        front_end: how clips become features.
        jobs: threads; the kernel and the decoder release the interpreter's lock.
            Default: the number of cores.
        advance: called after each clip.
    """
    path = Path(path)
    parts_folder = path.with_name(f".{path.name}.parts")
    schema = _SCHEMA.with_metadata(
        {_METADATA_KEY: json.dumps(front_end.to_dict()), "asd_edge.version": str(frontend.VERSION)}
    )
    parts = sorted(parts_folder.glob("part-*.parquet")) if parts_folder.is_dir() else []
    sources = [p for p in [path, *parts] if _made_by(p, schema)]
    known: dict[str, str] = {}
    for source in sources:
        rows = pq.read_table(source, columns=["clip", "digest"])
        known |= dict(zip(*(rows[name].to_pylist() for name in rows.column_names), strict=True))

    def work(clip: Clip) -> tuple[Clip, str, NDArray[np.float32] | None] | AsdError:
        try:
            digest = _digest(clip.path)
            if known.get(clip.name) == digest:
                return clip, digest, None
            y = audio.read(clip.path, front_end.mel.sr, front_end.channel)
            return clip, digest, front_end.all_features(y)
        except AsdError as error:
            return error

    errors: list[AsdError] = []
    digests: dict[str, str] = {}
    batch: list[tuple[Clip, str, NDArray[np.float32]]] = []
    computed = 0
    number = max((int(p.stem.removeprefix("part-")) for p in parts), default=-1) + 1

    def save_part() -> None:
        nonlocal number
        if batch:
            part = parts_folder / f"part-{number:05d}.parquet"
            with atomic_path(part) as temporary:
                pq.write_table(_rows(batch, schema), temporary)
            sources.append(part)
            number += 1
            batch.clear()

    with ThreadPoolExecutor(jobs or os.cpu_count()) as pool:
        for result in _bounded_map(pool, work, clips):
            advance()
            if isinstance(result, AsdError):
                errors.append(result)
                continue
            clip, digest, features = result
            digests[clip.name] = digest
            if features is not None:
                computed += 1
                batch.append((clip, digest, features))
                if len(batch) == _PART_CLIPS:
                    save_part()
    save_part()
    _merge(path, sources, {clip.name: clip for clip in clips}, digests, schema)
    shutil.rmtree(parts_folder, ignore_errors=True)
    return Update(computed=computed, kept=len(digests) - computed, errors=errors)


def load(path: str | Path, machine: str | None = None, split: str | None = None) -> FeatureTable:
    """Read a table, or the rows of one machine and split.

    Raises:
        MissingFileError: no such file.
        DatasetError: not a table of features, or none of the rows asked for.
    """
    path = Path(path)
    if not path.exists():
        raise MissingFileError(path, "feature table")
    try:
        file = pq.ParquetFile(path)
        front_end = FrontEnd.from_dict(json.loads(file.schema_arrow.metadata[_METADATA_KEY]))
    except (pa.ArrowException, KeyError, TypeError, ValueError) as error:
        raise DatasetError(
            path, "is not a feature table; make one with asd-data features"
        ) from error
    frames: list[pd.DataFrame] = []
    windows: list[NDArray[np.float32]] = []
    with file:
        for group in range(file.num_row_groups):
            rows = file.read_row_group(group)
            names = [name for name in rows.column_names if name != "features"]
            frame = rows.select(names).to_pandas()
            keep = np.ones(len(frame), dtype=bool)
            if machine is not None:
                keep &= (frame["machine"] == machine).to_numpy()
            if split is not None:
                keep &= (frame["split"] == split).to_numpy()
            frames.append(frame[keep])
            windows += [
                values.values.to_numpy().reshape(-1, *front_end.shape)
                for values, kept in zip(rows["features"], keep, strict=True)
                if kept
            ]
    clips = pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()
    if len(clips) == 0:
        raise DatasetError(path, f"has no {split or ''} clips of machine {machine!r}")
    order = clips["clip"].argsort().to_numpy()
    clips = clips.iloc[order].reset_index(drop=True)
    clips["first"] = clips["n_windows"].cumsum() - clips["n_windows"]
    return FeatureTable(front_end, clips, np.concatenate([windows[i] for i in order]))


def _merge(
    path: Path,
    sources: list[Path],
    clips: dict[str, Clip],
    digests: dict[str, str],
    schema: pa.Schema,
) -> None:
    """Write the wanted rows of the sources to `path`, one row group in memory at a time."""
    if sources == [path]:
        rows = pq.read_table(path, columns=_SCHEMA.names[:-2])
        if _same_rows(rows, clips, digests):
            return
    written: set[str] = set()
    with atomic_path(path) as temporary, pq.ParquetWriter(temporary, schema) as writer:
        # The newest part first: where a clip changed, its old row is passed over.
        for source in reversed(sources):
            with pq.ParquetFile(source) as file:
                for group in range(file.num_row_groups):
                    rows = file.read_row_group(group)
                    wanted = []
                    for i, (name, digest) in enumerate(
                        zip(rows["clip"].to_pylist(), rows["digest"].to_pylist(), strict=True)
                    ):
                        if digests.get(name) == digest and name not in written:
                            wanted.append(i)
                            written.add(name)
                    if wanted:
                        rows = rows.take(wanted)
                        writer.write_table(_describe_again(rows, clips, schema))


def _same_rows(rows: pa.Table, clips: dict[str, Clip], digests: dict[str, str]) -> bool:
    present = {row.pop("clip"): row for row in rows.to_pylist()}
    return present == {
        name: {**_description(clips[name]), "digest": digest} for name, digest in digests.items()
    }


def _describe_again(rows: pa.Table, clips: dict[str, Clip], schema: pa.Schema) -> pa.Table:
    """Fill the columns that come from names anew: a file may have moved to another split."""
    descriptions = [_description(clips[name]) for name in rows["clip"].to_pylist()]
    columns = {name: rows[name] for name in schema.names}
    for name in descriptions[0]:
        columns[name] = pa.array([d[name] for d in descriptions], pa.string())
    return pa.table(columns, schema=schema)


def _description(clip: Clip) -> dict[str, str]:
    names = ("machine", "section", "domain", "split", "label", "attributes")
    return {name: getattr(clip, name) for name in names}


def _rows(batch: list[tuple[Clip, str, NDArray[np.float32]]], schema: pa.Schema) -> pa.Table:
    return pa.Table.from_pylist(
        [
            {
                "clip": clip.name,
                **_description(clip),
                "digest": digest,
                "n_windows": len(features),
                "features": features.ravel(),
            }
            for clip, digest, features in batch
        ],
        schema=schema,
    )


def _made_by(path: Path, schema: pa.Schema) -> bool:
    """Whether a file is a whole table of this schema and front end."""
    try:
        found = pq.read_schema(path)
    except (OSError, pa.ArrowException):
        return False
    # Not the types: Parquet names the elements of a list its own way.
    return bool(found.names == schema.names and found.metadata == schema.metadata)


def _digest(path: Path) -> str:
    # Content rather than size and time, which a restored backup or a copy can leave the same.
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()
    except FileNotFoundError as error:
        raise MissingFileError(path) from error


def _bounded_map(
    pool: ThreadPoolExecutor, function: Callable[[Clip], _R], clips: Sequence[Clip]
) -> Iterator[_R]:
    """Map in order like `pool.map`, with few results waiting: they are large."""
    waiting: deque[Future[_R]] = deque()
    for clip in clips:
        waiting.append(pool.submit(function, clip))
        if len(waiting) > 64:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()
