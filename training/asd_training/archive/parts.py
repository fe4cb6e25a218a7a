"""The parts of a data set of scores: one Parquet file for some clips of one machine and day.

    scores/_scores.json                          of which bundle and settings
    scores/<machine>/<day>/part-00000.parquet    a row a clip

Machine and day are columns as well, so that "00" stays text whatever reads them. A part is written
whole or not at all, and knows the clips that it is made of: one whose clips are as they were is not
made again.
"""

from __future__ import annotations

import hashlib
import io
import json
from dataclasses import asdict, dataclass
from typing import Any
from urllib.parse import quote

import pyarrow as pa
import pyarrow.parquet as pq

from asd_edge.atomic_files import atomic_path
from asd_training.archive.listing import Item
from asd_training.data.filesystems import is_local, is_url, open_filesystem, reaching
from asd_training.errors import DatasetError

RECORD = "_scores.json"
_KEY, _COUNTS = b"asd_edge.clips", b"asd_edge.counts"


@dataclass
class Counts:
    """Number of clips, of anomalous ones, of those without a score, and of those to try again."""

    clips: int = 0
    anomalous: int = 0
    failed: int = 0
    again: int = 0

    def add(self, other: Counts) -> None:
        """Add the numbers of another part."""
        self.clips += other.clips
        self.anomalous += other.anomalous
        self.failed += other.failed
        self.again += other.again


@dataclass(frozen=True, eq=False)  # a digest of all clips at each look into a table takes long
class Part:
    """Some clips of one machine and day, that are scored and written together."""

    number: int
    items: tuple[Item, ...]

    @property
    def folder(self) -> str:
        """Path of its folder, relative to the data set."""
        first = self.items[0]
        return f"{_folder_name(first.machine)}/{first.day}"

    @property
    def path(self) -> str:
        """Path of its file, relative to the data set."""
        return f"{self.folder}/part-{self.number:05d}.parquet"

    @property
    def key(self) -> str:
        """Digest of the names and stamps of its clips."""
        text = json.dumps([(item.name, item.stamp) for item in self.items])
        return hashlib.sha256(text.encode()).hexdigest()


class ScoreStore:
    """A data set of scores, in a folder or at a URL.

    Args:
        url: of the data set; made if it is not there.
        made_with: what the scores depend on; those of other settings are never mixed with these.

    Raises:
        DatasetError: the place holds scores of another bundle or other settings, or other files.
    """

    def __init__(self, url: str, made_with: dict[str, Any]) -> None:
        import fsspec

        if not is_url(url):
            self._fs, self._root = fsspec.filesystem("file"), url
            self._fs.makedirs(url, exist_ok=True)
        else:
            self._fs, self._root = open_filesystem(url)
        self.url = url
        self._local = is_local(self._fs)
        self._folders: dict[str, set[str]] = {}
        self._check(made_with)

    def _check(self, made_with: dict[str, Any]) -> None:
        try:
            with reaching(self.url):
                content = self._fs.cat_file(self._at(RECORD))
            before = json.loads(content)
        except FileNotFoundError:
            if self._names(""):
                raise DatasetError(
                    self.url, "is no data set of scores and not empty; choose another folder"
                ) from None
            self._write(RECORD, json.dumps(made_with, indent=2).encode() + b"\n")
            return
        except ValueError as error:
            raise DatasetError(f"{self.url}/{RECORD}", "is damaged") from error
        for name, value in made_with.items():
            if before.get(name) != value:
                raise DatasetError(
                    self.url,
                    f"holds scores of another {name.replace('_', ' ')} ({before.get(name)}, not "
                    f"{value}); choose another folder",
                )

    def done(self, part: Part) -> Counts | None:
        """Give the numbers of a part that is there and of the same clips; else None.

        A part with clips that could not be read because of the network or a dead worker is not
        done.
        """
        if part.folder not in self._folders:
            self._folders = {part.folder: self._names(part.folder)}  # parts come in order
        if part.path.rpartition("/")[2] not in self._folders[part.folder]:
            return None
        try:
            with self._fs.open(self._at(part.path), "rb") as file:
                metadata = pq.read_metadata(file).metadata or {}
            counts = Counts(**json.loads(metadata[_COUNTS]))
        except (OSError, ValueError, KeyError, TypeError):  # of somebody else, or damaged
            return None
        return counts if metadata.get(_KEY) == part.key.encode() and not counts.again else None

    def write(self, part: Part, rows: pa.Table) -> Counts:
        """Write the rows of a part, whole or not at all."""
        outcomes = rows["outcome"].to_pylist()
        counts = Counts(
            clips=rows.num_rows,
            anomalous=outcomes.count("anomalous"),
            failed=rows["score"].null_count,
            again=outcomes.count("failed"),
        )
        metadata = {_KEY: part.key, _COUNTS: json.dumps(asdict(counts))}
        buffer = io.BytesIO()
        pq.write_table(rows.replace_schema_metadata(metadata), buffer)
        self._write(part.path, buffer.getvalue())
        return counts

    def remove_beyond(self, last: Part) -> None:
        """Remove the parts of a machine and day behind its last one: their clips are in others."""
        for name in self._names(last.folder):
            if name.startswith("part-") and name > last.path.rpartition("/")[2]:
                self._fs.rm_file(self._at(f"{last.folder}/{name}"))

    def _write(self, path: str, content: bytes) -> None:
        if self._local:
            with atomic_path(self._at(path)) as temporary:
                temporary.write_bytes(content)
        else:  # an object store shows an object when it is complete
            with reaching(self.url):
                self._fs.pipe_file(self._at(path), content)

    def _names(self, folder: str) -> set[str]:
        try:
            with reaching(self.url):
                found = self._fs.ls(self._at(folder), detail=False)
        except FileNotFoundError:
            return set()
        names = {str(path).rstrip("/").rpartition("/")[2] for path in found}
        return {name for name in names if not name.startswith(".")}

    def _at(self, path: str) -> str:
        return f"{self._root.rstrip('/')}/{path}"


def _folder_name(machine: str) -> str:
    """Write a machine's name as that of a folder that every reader of data sets looks into."""
    name = quote(machine, safe=" -+,()[]")
    return name.replace("_", "%5F", 1) if name.startswith("_") else name.replace(".", "%2E", 1)
