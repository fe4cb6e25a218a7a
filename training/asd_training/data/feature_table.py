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
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TypeVar

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from asd_edge.atomic_files import atomic_path
from asd_edge.audio.recording import open_recording
from asd_edge.errors import AsdError, MissingFileError
from asd_edge.frontend import windows
from asd_edge.frontend.windows import FrontEnd
from asd_training.data.clips import Clip, content_digest
from asd_training.errors import DatasetError

_log = logging.getLogger(__name__)

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
        ("rate", pa.int32()),
        ("channels", pa.int32()),
        ("seconds", pa.float64()),
        ("level_db", pa.float64()),
        ("clipped", pa.float64()),
        ("n_windows", pa.int32()),
        # Windows one after the other, each in C order [shape=(n_windows, n_mels, n_frames)].
        ("features", pa.list_(pa.float32())),
    ]
)


# What names and folders say: filled anew when a file moves to another split.
_DESCRIBED = ("machine", "section", "domain", "split", "label", "attributes")
_TEXTS = ("clip", "machine", "section", "domain", "split", "label", "attributes", "digest")


@dataclass(frozen=True)
class Sound:
    """Properties of a sound file.

    Attributes:
        rate: in Hz.
        channels: number of channels.
        seconds: length.
        level_db: root mean square in dB of full scale.
        clipped: share of samples at full scale.
    """

    rate: int
    channels: int
    seconds: float
    level_db: float
    clipped: float


@dataclass(frozen=True)
class Update:
    """Result of `update`: clips computed and kept, and the errors of those that are not read."""

    computed: int
    kept: int
    errors: list[AsdError]


@dataclass(frozen=True)
class FeatureTable:
    """A table in memory.

    Attributes:
        front_end: that made the features.
        clips: one row a clip, sorted by `clip`; the columns but for the features, and
            `first`, the row's first window in `features`. Tables of earlier versions lack
            rate, channels, seconds, level_db and clipped.
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

    Processes that update the same table wait for each other.

    Args:
        path: the Parquet file; made if missing, replaced if of another front end.
        clips: the rows that the table shall have.
        front_end: how clips become features.
        jobs: threads; the kernel and the decoder release the interpreter's lock.
            Default: the number of cores.
        advance: called after each clip.
    """
    path = Path(path)
    with _locked(path):
        return _update(path, clips, front_end, jobs, advance)


def _update(
    path: Path,
    clips: Sequence[Clip],
    front_end: FrontEnd,
    jobs: int | None,
    advance: Callable[[], None],
) -> Update:
    parts_folder = path.with_name(f".{path.name}.parts")
    schema = _SCHEMA.with_metadata(
        {_METADATA_KEY: json.dumps(front_end.to_dict()), "asd_edge.version": str(windows.VERSION)}
    )
    parts = sorted(parts_folder.glob("part-*.parquet")) if parts_folder.is_dir() else []
    sources = [p for p in [path, *parts] if _made_by(p, schema)]
    known: dict[str, str] = {}
    for source in sources:
        rows = pq.read_table(source, columns=["clip", "digest"])
        known |= dict(zip(*(rows[name].to_pylist() for name in rows.column_names), strict=True))

    def work(clip: Clip) -> _Row | AsdError:
        try:
            digest = content_digest(clip.path)
            if known.get(clip.name) == digest:
                return _Row(clip, digest)
            return _Row(clip, digest, *_features(clip, front_end))
        except AsdError as error:
            return error

    errors: list[AsdError] = []
    digests: dict[str, str] = {}
    batch: list[_Row] = []
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
            digests[result.clip.name] = result.digest
            if result.features is not None:
                computed += 1
                batch.append(result)
                if len(batch) == _PART_CLIPS:
                    save_part()
    save_part()
    _merge(path, sources, {clip.name: clip for clip in clips}, digests, schema)
    shutil.rmtree(parts_folder, ignore_errors=True)
    return Update(computed=computed, kept=len(digests) - computed, errors=errors)


@dataclass(frozen=True)
class _Row:
    """A clip of the table; without sound and features if the table has them already."""

    clip: Clip
    digest: str
    sound: Sound | None = None
    features: NDArray[np.float32] | None = None


def _features(clip: Clip, front_end: FrontEnd) -> tuple[Sound, NDArray[np.float32]]:
    with open_recording(clip.path, front_end.mel.sr, front_end.channel) as recording:
        y = recording.samples()
        seconds = len(y) / front_end.mel.sr
        used = recording.channels if front_end.channel == "mean" else 1
        clipped = recording.clipped / max(seconds * recording.rate * used, 1)
        rate, channels = round(recording.rate), recording.channels
    front_end.check_length(len(y), clip.path)
    full_scale = 32768.0 if y.dtype == np.int16 else 1.0
    power = float(np.mean(np.square(y, dtype=np.float64))) / full_scale**2
    sound = Sound(rate, channels, seconds, 10 * np.log10(max(power, 1e-20)), clipped)
    return sound, front_end.all_features(y)


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
        with pq.ParquetFile(path) as file:
            front_end = _front_end(file)
            frames, arrays = _read_rows(file, front_end, machine, split)
    except (pa.ArrowException, OSError, KeyError, TypeError, ValueError) as error:
        detail = f" ({error})" if isinstance(error, AsdError) else ""
        raise DatasetError(
            path, f"is not a feature table{detail}; make one with asd-data features"
        ) from error
    clips = pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()
    if len(clips) == 0:
        kind = {"train": "training ", "test": "test "}.get(split or "", "")
        of = f" of machine {machine!r}" if machine is not None else ""
        raise DatasetError(path, f"has no {kind}clips{of}")
    order = clips["clip"].argsort().to_numpy()
    clips = clips.iloc[order].reset_index(drop=True)
    clips["first"] = clips["n_windows"].cumsum() - clips["n_windows"]
    return FeatureTable(front_end, clips, np.concatenate([arrays[i] for i in order]))


def _front_end(file: pq.ParquetFile) -> FrontEnd:
    values = json.loads((file.schema_arrow.metadata or {})[_METADATA_KEY])
    if not isinstance(values, dict):
        raise TypeError(values)
    return FrontEnd.from_dict(values)


def _read_rows(
    file: pq.ParquetFile, front_end: FrontEnd, machine: str | None, split: str | None
) -> tuple[list[pd.DataFrame], list[NDArray[np.float32]]]:
    """Read the rows of one machine and split, and check them like any outside input.

    Raises:
        DatasetError: a column that is missing or of another type, a value that makes no sense.
    """
    names = file.schema_arrow.names
    needed = {*_TEXTS, "n_windows", "features"}
    if missing := sorted(needed - set(names)):
        raise DatasetError(f"column {missing[0]}", "is missing")
    frames: list[pd.DataFrame] = []
    arrays: list[NDArray[np.float32]] = []
    seen: set[str] = set()
    for group in range(file.num_row_groups):
        rows = file.read_row_group(group)
        frame = rows.select([name for name in names if name != "features"]).to_pandas()
        _check_rows(frame, seen)
        keep = np.ones(len(frame), dtype=bool)
        if machine is not None:
            keep &= (frame["machine"] == machine).to_numpy()
        if split is not None:
            keep &= (frame["split"] == split).to_numpy()
        frames.append(frame[keep])
        for i in np.flatnonzero(keep):
            values = np.asarray(rows["features"][int(i)].values, dtype=np.float32)
            count = int(frame["n_windows"].iloc[i])
            name = frame["clip"].iloc[i]
            if values.size != count * front_end.shape[0] * front_end.shape[1]:
                raise DatasetError(
                    f"clip {name}", f"has {values.size} features in its {count} windows"
                )
            if not np.isfinite(values).all():
                raise DatasetError(f"clip {name}", "has features that are NaN or infinite")
            arrays.append(values.reshape(count, *front_end.shape))
    return frames, arrays


def _check_rows(frame: pd.DataFrame, seen: set[str]) -> None:
    """Raise DatasetError for text that is no text, or a value that makes no sense."""
    for name in _TEXTS:
        if not all(isinstance(value, str) for value in frame[name]):
            raise DatasetError(f"column {name}", "has values that are no text")
    allowed = {"split": {"train", "test"}, "label": {"normal", "anomaly", "unknown"}}
    for name, values in allowed.items():
        if odd := sorted(set(frame[name]) - values):
            raise DatasetError(f"column {name}", f"has the value {odd[0]!r}")
    for machine in frame["machine"].unique():
        # It becomes the name of a folder below the user's.
        if machine in ("", ".", "..") or any(c in machine for c in "/\\\0"):
            raise DatasetError("column machine", f"has {machine!r}, which is no name of a folder")
    for clip in frame["clip"]:
        if clip in seen:
            raise DatasetError(f"clip {clip}", "is there twice")
        seen.add(clip)
    if not pd.api.types.is_integer_dtype(frame["n_windows"]) or (frame["n_windows"] < 1).any():
        raise DatasetError("column n_windows", "has values that are no numbers from 1")


def _merge(
    path: Path,
    sources: list[Path],
    clips: dict[str, Clip],
    digests: dict[str, str],
    schema: pa.Schema,
) -> None:
    """Write the wanted rows of the sources to `path`, one row group in memory at a time."""
    if sources == [path]:
        rows = pq.read_table(path, columns=[*_DESCRIBED, "clip", "digest"])
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
    return {name: getattr(clip, name) for name in _DESCRIBED}


def _rows(batch: list[_Row], schema: pa.Schema) -> pa.Table:
    rows = []
    for row in batch:
        assert row.sound is not None
        assert row.features is not None
        rows.append(
            {
                "clip": row.clip.name,
                **_description(row.clip),
                "digest": row.digest,
                **asdict(row.sound),
                "n_windows": len(row.features),
                "features": row.features.ravel(),
            }
        )
    return pa.Table.from_pylist(rows, schema=schema)


def _made_by(path: Path, schema: pa.Schema) -> bool:
    """Whether a file is a whole table of this schema and front end."""
    try:
        found = pq.read_schema(path)
    except (OSError, pa.ArrowException):
        return False
    # Not the types: Parquet names the elements of a list its own way.
    return bool(found.names == schema.names and found.metadata == schema.metadata)


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
