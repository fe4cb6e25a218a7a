"""Reading a bundle from a source that is not trusted.

A digest tells damage, not intent: whoever changes a bundle can make its digests again. So
sizes are checked before anything is allocated, types and ranges before anything is computed, and
that all parts fit each other. Whatever is wrong is a BundleError; nothing is half-loaded.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

from numpy.typing import NDArray

from asd_edge.bundle.archive import arrays
from asd_edge.bundle.checked_parts import (
    expect,
    read_calibration,
    read_front_end,
    read_golden,
    read_provenance,
    read_scores,
    read_views,
)
from asd_edge.bundle.contents import (
    FILES,
    GOLDEN,
    LONGEST_NAME,
    MANIFEST,
    MODEL,
    NO_CHECKSUM,
    PARTS,
    REFERENCES,
    SCHEMA_VERSION,
    Bundle,
    canonical,
    sha256,
)
from asd_edge.bundle.onnx_graph import refuse_unbounded
from asd_edge.errors import BundleError, MissingFileError

# Bytes of a file; the largest that the project makes are below a tenth.
_LARGEST = {MANIFEST: 1 << 24, MODEL: 1 << 27, REFERENCES: 1 << 27, GOLDEN: 1 << 26}
_WHERE = (
    "a bundle that is named is looked for there alone; without a name it is what ASD_EDGE_BUNDLE "
    "names, default.asd in the data folder (~/.local/share/asd-edge), or the built-in one"
)


def read_bundle(path: str | Path) -> Bundle:
    """Read a bundle and check all of it.

    A bundle that is replaced while it is read is read again.

    Raises:
        MissingFileError: no such folder.
        BundleError: not a bundle, damaged (the part is named), unfit to be run, or of a newer
            schema.
    """
    path = Path(path)
    for attempt in range(3):
        before = _identity(path)
        try:
            return _read(path)
        except (BundleError, MissingFileError):
            if attempt == 2 or _identity(path) == before:
                raise
    raise AssertionError


def _identity(path: Path) -> tuple[int, int, int] | None:
    try:
        status = (path / MANIFEST).stat()
    except (OSError, ValueError):
        return None
    return status.st_dev, status.st_ino, status.st_mtime_ns


def _read(path: Path) -> Bundle:
    if not os.path.lexists(path):
        raise MissingFileError(path, "bundle", _WHERE)
    manifest = _read_manifest(path)
    contents = {name: _read_file(path, name, manifest["sha256"][name]) for name in FILES}
    part = MANIFEST
    try:
        version = manifest["schema_version"]
        front_end = read_front_end(manifest["front_end"])
        part = REFERENCES
        stored: Mapping[str, NDArray[Any]] = arrays(contents[REFERENCES])
        part = MANIFEST
        scoring, scores = manifest["scoring"], read_scores(manifest["calibration"])
        thresholds: dict[str, float] = {}
        if version < SCHEMA_VERSION:
            from asd_edge.bundle import old_schemas

            scoring, stored, scores, thresholds = old_schemas.converted(
                version, scoring, stored, scores
            )
        part = REFERENCES
        views = read_views(scoring, stored)
        part = MANIFEST
        calibration = read_calibration(scores, views)
        part = GOLDEN
        golden = read_golden(arrays(contents[GOLDEN]), front_end, views, thresholds)
        part = MODEL
        refuse_unbounded(contents[MODEL])
        part = MANIFEST
        machine, provenance = manifest["machine"], read_provenance(manifest["provenance"])
        expect(isinstance(machine, str) and len(machine) < LONGEST_NAME, "machine is no short text")
    except Exception as error:  # zipfile, json and numpy have many classes
        # The digests are right, so another version or another program wrote this.
        raise BundleError(path, part, _reason(error)) from error
    return Bundle(
        machine=machine,
        front_end=front_end,
        views=views,
        calibration=calibration,
        golden=golden,
        model=contents[MODEL],
        provenance=provenance,
        checksum=manifest["checksum"],
    )


def _reason(error: Exception) -> str:
    reason = " ".join(str(error).split())[:300] or type(error).__name__
    return f"cannot be understood ({reason})"


def _read_manifest(path: Path) -> dict[str, Any]:
    content = _read_bytes(path, MANIFEST)
    try:
        manifest = json.loads(content, parse_constant=_refuse_constant)
        version, checksum = manifest["schema_version"], manifest["checksum"]
        expect(isinstance(checksum, str) and len(checksum) == 64, "no checksum")
        expect(isinstance(version, int) and not isinstance(version, bool), "no version")
    except Exception as error:  # also too deep, or a number too long
        raise BundleError(path, MANIFEST, "is damaged (not a bundle's JSON)") from error
    if not 1 <= version <= SCHEMA_VERSION:
        reason = f"has schema version {version}, this asd-edge reads up to {SCHEMA_VERSION}"
        raise BundleError(path, MANIFEST, f"{reason}; upgrade asd-edge")
    try:
        digests = {name: manifest["sha256"][name] for name in (*FILES, *PARTS)}
        parts = {name: canonical(manifest[name]) for name in PARTS}
        manifest["machine"], manifest["provenance"]
    except Exception as error:
        raise BundleError(path, MANIFEST, "is damaged (not a bundle's JSON)") from error
    for name, part in parts.items():
        if sha256(part) != digests[name]:
            raise BundleError(path, name, f"in {MANIFEST} is damaged (its SHA-256 differs)")
    blanked = content.replace(checksum.encode(errors="replace"), NO_CHECKSUM.encode(), 1)
    if sha256(blanked) != checksum:
        raise BundleError(path, MANIFEST, "is damaged (its checksum differs)")
    assert isinstance(manifest, dict)
    return manifest


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number")


def _read_file(path: Path, name: str, digest: object) -> bytes:
    content = _read_bytes(path, name)
    if sha256(content) != digest:
        raise BundleError(path, name, "is damaged (its SHA-256 differs)")
    return content


def _read_bytes(path: Path, name: str) -> bytes:
    """Read a file of the bundle: a file of its own, not a link or pipe, and not too large."""
    try:
        # Not blocking: a FIFO would wait for a writer.
        fd = os.open(path / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError) as error:
        hint = "; a bundle is a folder made by asd-export or enroll" if name == MANIFEST else ""
        if name == MANIFEST and (path / "run.json").is_file():
            hint = "; this is a run of asd-train, and asd-export makes a bundle of it"
        raise BundleError(path, name, f"is missing{hint}") from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise BundleError(path, name, f"cannot be opened ({reason})") from error
    try:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            raise BundleError(path, name, "is not a file")
        if status.st_size > _LARGEST[name]:
            raise BundleError(path, name, f"is larger than {_LARGEST[name] >> 20} MB")
        with os.fdopen(fd, "rb", buffering=0, closefd=False) as file:
            return file.read(_LARGEST[name]) or b""
    except OSError as error:
        raise BundleError(path, name, f"cannot be read ({error.strerror})") from error
    finally:
        os.close(fd)
