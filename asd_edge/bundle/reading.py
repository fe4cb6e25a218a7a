"""Reading a bundle from a source that is not trusted.

A digest tells damage, not intent: whoever changes a bundle can make its digests again. So
sizes are checked before anything is allocated, types and ranges before anything is computed, and
that all parts fit each other. Whatever is wrong is a BundleError; nothing is half-loaded.
"""

from __future__ import annotations

import json
import math
import os
import stat
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from asd_edge.bundle.archive import arrays
from asd_edge.bundle.contents import (
    EMBEDDING,
    FILES,
    GOLDEN,
    MANIFEST,
    MODEL,
    NO_CHECKSUM,
    PARTS,
    REFERENCES,
    SCHEMA_VERSION,
    Bundle,
    Golden,
    canonical,
    sha256,
)
from asd_edge.bundle.onnx_graph import refuse_unbounded
from asd_edge.errors import BundleError, MissingFileError
from asd_edge.frontend.windows import FrontEnd
from asd_edge.scoring.calibration import Calibration
from asd_edge.scoring.views import References, ScoringConfig, Standard, View

# Bytes of a file; the largest that the project makes are below a tenth.
_LARGEST = {MANIFEST: 1 << 24, MODEL: 1 << 27, REFERENCES: 1 << 27, GOLDEN: 1 << 26}
# Of one window: samples (17 minutes at 16 kHz), values of its spectrogram, and samples that go
# through its FFTs, which bounds the time that it takes to about a second.
_MAX_SAMPLES, _MAX_VALUES, _MAX_WORK = 1 << 24, 1 << 23, 1 << 28
_MAX_VIEWS = 8
_WHERE = (
    "a bundle that is named is looked for there alone; without a name it is what ASD_EDGE_BUNDLE "
    "names, default.asd in the data folder (~/.local/share/asd-edge), or the built-in one"
)
_MAX_SCORE = 1e30  # sums and squares of scores stay finite


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
        front_end = _front_end(manifest["front_end"])
        part = REFERENCES
        stored: Mapping[str, NDArray[Any]] = arrays(contents[REFERENCES])
        part = MANIFEST
        scoring, scores = manifest["scoring"], _checked_scores(manifest["calibration"])
        thresholds: dict[str, float] = {}
        if version < SCHEMA_VERSION:
            from asd_edge.bundle import old_schemas

            scoring, stored, scores, thresholds = old_schemas.converted(
                version, scoring, stored, scores
            )
        part = REFERENCES
        views = _views(scoring, stored)
        part = MANIFEST
        calibration = _calibration(scores, views)
        part = GOLDEN
        golden = _golden(arrays(contents[GOLDEN]), front_end, views, thresholds)
        part = MODEL
        refuse_unbounded(contents[MODEL])
        part = MANIFEST
        machine, provenance = manifest["machine"], manifest["provenance"]
        _expect(isinstance(machine, str) and len(machine) < 1000, "machine is no short text")
        _expect(isinstance(provenance, dict), "provenance is no object")
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


def _expect(condition: object, reason: str) -> None:
    if not condition:
        raise ValueError(reason)


def _read_manifest(path: Path) -> dict[str, Any]:
    content = _read_bytes(path, MANIFEST)
    try:
        manifest = json.loads(content, parse_constant=_refuse_constant)
        version, checksum = manifest["schema_version"], manifest["checksum"]
        _expect(isinstance(checksum, str) and len(checksum) == 64, "no checksum")
        _expect(isinstance(version, int) and not isinstance(version, bool), "no version")
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


def _front_end(values: Any) -> FrontEnd:
    _expect(
        isinstance(values, dict) and isinstance(values.get("mel"), dict), "front_end: no object"
    )
    for name in ("clip_seconds", "overlap"):
        _expect(_is_number(values[name]), f"front_end: {name} is no number")
    _expect(0 < values["clip_seconds"] < 1e5, "front_end: clip_seconds is out of range")
    channel = values["channel"]
    _expect(
        channel == "mean" or (type(channel) is int and 0 <= channel < 1024),
        "front_end: channel is out of range",
    )
    front_end = FrontEnd.from_dict(values)
    mel = front_end.mel
    _expect(front_end.n_samples <= _MAX_SAMPLES, "front_end: its window is too long")
    _expect(math.prod(front_end.shape) <= _MAX_VALUES, "front_end: its spectrogram is too large")
    _expect(front_end.n_frames * mel.n_fft <= _MAX_WORK, "front_end: it would take too long")
    return front_end


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value)


def _views(scoring: Any, stored: Mapping[str, NDArray[Any]]) -> dict[str, View]:
    _expect(isinstance(scoring, dict) and 0 < len(scoring) <= _MAX_VIEWS, "scoring: no views")
    views = {}
    for name, values in scoring.items():
        rule = dict(values)
        weight, standards = rule.pop("weight", 1.0), _standards(rule.pop("standards"))
        _expect(
            _is_number(weight) and 0 <= weight < _MAX_SCORE,
            f"scoring: a weight of {weight!r}, not 0 or more",
        )
        parts = rule.get("parts", {})
        _expect(isinstance(parts, dict) and len(parts) <= _MAX_VIEWS, "scoring: parts")
        for columns in parts.values():
            _expect(
                isinstance(columns, list) and [type(x) for x in columns] == [int, int],
                "scoring: parts are no pairs of columns",
            )
        for key in ("emphasis", "exponent"):
            _expect(_is_number(rule.get(key, 1.0)), f"scoring: {key} is no number")
        _expect(rule.get("exponent", 1.0) > 0.1, "scoring: exponent is out of range")
        for key in ("k", "local_density"):
            value = rule.get(key)
            _expect(value is None or type(value) is int, f"scoring: {key} is no whole number")
        _expect(type(rule.get("pool_sections", False)) is bool, "scoring: pool_sections")
        prefix = f"{name}/"
        own = {k.removeprefix(prefix): x for k, x in stored.items() if k.startswith(prefix)}
        views[name] = View(ScoringConfig(**rule), _references(own), standards, weight)
    sections = {tuple(sorted(set(v.references.sections.tolist()))) for v in views.values()}
    _expect(len(sections) == 1, "its views have different sections")
    _expect(all(v.standards for v in views.values()), "has views without standards")
    return views


def _standards(values: Any) -> dict[str, Standard]:
    _expect(isinstance(values, dict), "scoring: standards is no object")
    standards = {}
    for section, value in values.items():
        numbers = [*value["centres"], *value["spreads"], value["offset"], value["factor"]]
        _expect(
            all(_is_number(x) and 0 <= x < _MAX_SCORE for x in numbers),
            f"scoring: a standard of {str(value)[:100]}, not of numbers that are 0 or more",
        )
        standards[section] = Standard(**value)
    return standards


_TYPES = (
    ("embeddings", "f4"),
    ("density", "f4"),
    ("whitening", "f2"),
    ("part_density", "f4"),
    ("part_whitening", "f2"),
)


def _references(own: dict[str, NDArray[Any]]) -> References:
    whitening = own.get("whitening")
    if whitening is not None and whitening.ndim == 2:  # the whole matrix, in early bundles
        _expect(whitening.shape[0] == whitening.shape[1] < 10_000, "whitening: its shape")
        own["whitening"] = whitening[np.tril_indices(len(whitening))].astype(np.float16)
    for name, kind in _TYPES:
        _expect(name not in own or own[name].dtype == kind, f"{name} is not of the type {kind}")
    for name in ("sections", "domains", "clips"):
        x = own[name]
        _expect(x.dtype.kind == "U" and x.ndim == 1, f"{name} is no list of texts")
    references = References(**own)
    for clip in set(references.clips.tolist()):
        path = PurePosixPath(clip)
        _expect(
            not path.is_absolute() and ".." not in path.parts and "\0" not in clip,
            f"a reference is called {clip[:100]!r}, which leads out of a folder",
        )
    x = references.embeddings
    _expect(np.abs(x).max(initial=0.0) < _MAX_SCORE, "embeddings are out of range")
    for values in (references.whitening, references.part_whitening):
        _expect(np.isfinite(values).all(), "whitening is NaN or infinite")
    return references


def _checked_scores(values: Any) -> dict[str, Any]:
    _expect(isinstance(values, dict) and isinstance(values.get("scores"), dict), "calibration")
    _expect(_is_number(values["false_alarm_rate"]), "calibration: false_alarm_rate is no number")
    for scores in values["scores"].values():
        _expect(isinstance(scores, list), "calibration: scores are no list")
        _expect(
            all(_is_number(score) and 0 <= score < _MAX_SCORE for score in scores),
            "calibration: a score is not 0 or more",
        )
    assert isinstance(values, dict)
    return values


def _calibration(values: dict[str, Any], views: Mapping[str, View]) -> Calibration:
    sections = set(next(iter(views.values())).references.sections.tolist())
    for section in values["scores"]:
        _expect(section in sections, f"calibration: section {section!r} has no references")
    return Calibration.from_dict(values)


def _golden(
    stored: Mapping[str, NDArray[Any]],
    front_end: FrontEnd,
    views: Mapping[str, View],
    thresholds: Mapping[str, float],
) -> Golden:
    prefixed = {f"{EMBEDDING}embedding" if k == "embedding" else k: x for k, x in stored.items()}
    embeddings = {
        name.removeprefix(EMBEDDING): x
        for name, x in prefixed.items()
        if name.startswith(EMBEDDING)
    }
    samples, mel = stored["samples"], stored["mel"]
    _expect(samples.dtype == np.int16 and samples.ndim == 1, "samples are not 16-bit")
    _expect(front_end.mel.n_fft <= len(samples) <= front_end.n_samples, "samples: their number")
    _expect(mel.dtype == np.float32 and mel.shape == front_end.shape, "mel: its shape")
    _expect(set(embeddings) == set(views), "embeddings are not those of the views")
    for name, x in embeddings.items():
        d = views[name].references.embeddings.shape[1]
        _expect(x.dtype == np.float32 and x.shape == (d,), f"embedding of {name}: its shape")
    for x in (mel, *embeddings.values()):
        _expect(np.isfinite(x).all(), "values are NaN or infinite")
    score, section = stored["score"], stored["section"]
    _expect(score.shape == section.shape == () and section.dtype.kind == "U", "score: its shape")
    _expect(math.isfinite(float(score)), "score is NaN or infinite")
    units = float(score) / thresholds.get(str(section), 1.0)
    return Golden(samples, mel, embeddings, units, str(section))
