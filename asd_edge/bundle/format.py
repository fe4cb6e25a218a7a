"""The bundle: a folder `NAME.asd/` with everything a device needs to score.

    bundle.json      schema version, machine, front end, scoring, calibration,
                     provenance, digests
    model.onnx       mel -> embeddings, one output a view
    references.npz   of each view: embeddings, sections, domains, clips, density, whitening
    golden.npz       a clip with the mel, embeddings and score that the export saw

`bundle.json` holds the SHA-256 of every other file and of its own front end,
scoring and calibration, so that damage is named, and a checksum of itself.
Reading checks all of them before anything is used.
"""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asd_edge.errors import AsdError, BundleError, MissingFileError
from asd_edge.frontend.windows import FrontEnd
from asd_edge.scoring.calibration import Calibration
from asd_edge.scoring.scorer import References, ScoringConfig, View

SCHEMA_VERSION = 2
MANIFEST = "bundle.json"
MODEL, REFERENCES, GOLDEN = "model.onnx", "references.npz", "golden.npz"
FILES = (MODEL, REFERENCES, GOLDEN)
PARTS = ("front_end", "scoring", "calibration")
_NO_CHECKSUM = "0" * 64
_EMBEDDING = "embedding/"


@dataclass(frozen=True, eq=False)  # arrays have no one answer to ==
class Golden:
    """One clip and what the export made of it; `asd-edge verify` replays it.

    Attributes:
        samples: one window [shape=(n_samples,)], int16, at the front end's rate.
        mel: [shape=(n_mels, n_frames)].
        embeddings: view -> [shape=(d,)].
        score: of that window.
        section: the clip's.
    """

    samples: NDArray[np.int16]
    mel: NDArray[np.float32]
    embeddings: Mapping[str, NDArray[np.float32]]
    score: float
    section: str


@dataclass(frozen=True, eq=False)  # arrays have no one answer to ==
class Bundle:
    """A bundle in memory; `model` is the ONNX file's content."""

    machine: str
    front_end: FrontEnd
    views: Mapping[str, View]
    calibration: Calibration
    golden: Golden
    model: bytes
    provenance: dict[str, Any]

    def write(self, path: str | Path) -> None:
        """Write the bundle to the folder `path`, whole or not at all; a bundle there is replaced.

        Raises:
            BundleError: something else than a bundle is in the place.
        """
        path = Path(path)
        if path.exists() and not (path / MANIFEST).is_file() and not _is_empty_folder(path):
            raise BundleError(path, "the place", "is taken by something that is not a bundle")
        contents = {
            MODEL: self.model,
            REFERENCES: _npz(
                {
                    f"{name}/{key}": value
                    for name, view in self.views.items()
                    for key, value in vars(view.references).items()
                }
            ),
            GOLDEN: _npz(
                {
                    "samples": self.golden.samples,
                    "mel": self.golden.mel,
                    "score": np.float64(self.golden.score),
                    "section": np.str_(self.golden.section),
                }
                | {f"{_EMBEDDING}{name}": x for name, x in self.golden.embeddings.items()}
            ),
        }
        parts: dict[str, Any] = {
            "front_end": self.front_end.to_dict(),
            "scoring": {
                name: {
                    **dataclasses.asdict(view.config),
                    "weights": dict(view.weights),
                    "weight": view.weight,
                }
                for name, view in self.views.items()
            },
            "calibration": self.calibration.to_dict(),
        }
        digests = {name: _sha256(content) for name, content in contents.items()}
        digests |= {name: _sha256(_canonical(values)) for name, values in parts.items()}
        manifest = {
            "schema_version": SCHEMA_VERSION,
            "checksum": _NO_CHECKSUM,
            "machine": self.machine,
            **parts,
            "provenance": self.provenance,
            "sha256": digests,
        }
        text = json.dumps(manifest, indent=2, ensure_ascii=False).encode() + b"\n"
        checksum = _sha256(text).encode()
        contents[MANIFEST] = text.replace(_NO_CHECKSUM.encode(), checksum, 1)
        from asd_edge.atomic_files import atomic_folder  # here, because a device only reads

        with atomic_folder(path) as folder:
            for name, content in contents.items():
                (folder / name).write_bytes(content)


def read(path: str | Path) -> Bundle:
    """Read a bundle and check all of it.

    Raises:
        MissingFileError: no such folder.
        BundleError: not a bundle, damaged (the part is named), or of a newer schema.
    """
    path = Path(path)
    if not path.exists():
        raise MissingFileError(path, "bundle")
    if not (path / MANIFEST).is_file():
        raise BundleError(path, MANIFEST, "is missing; a bundle is a folder made by asd-export")
    manifest = _read_manifest(path)
    contents = {name: _read_file(path, name, manifest["sha256"][name]) for name in FILES}
    try:
        return Bundle(
            machine=manifest["machine"],
            front_end=FrontEnd.from_dict(manifest["front_end"]),
            views=_views(manifest["scoring"], _arrays(contents[REFERENCES])),
            calibration=Calibration.from_dict(manifest["calibration"]),
            golden=_golden(_arrays(contents[GOLDEN])),
            model=contents[MODEL],
            provenance=manifest["provenance"],
        )
    except (AsdError, KeyError, TypeError, ValueError, AttributeError) as error:
        # The digests are right, so another version or another program wrote this.
        raise BundleError(path, MANIFEST, f"cannot be understood ({error})") from error


def _read_manifest(path: Path) -> dict[str, Any]:
    content = (path / MANIFEST).read_bytes()
    try:
        manifest = json.loads(content)
        version, checksum = manifest["schema_version"], manifest["checksum"]
        digests = {name: manifest["sha256"][name] for name in (*FILES, *PARTS)}
        parts = {name: _canonical(manifest[name]) for name in PARTS}
    except (ValueError, KeyError, TypeError) as error:
        raise BundleError(path, MANIFEST, "is damaged (not a bundle's JSON)") from error
    if version != SCHEMA_VERSION:
        newer = isinstance(version, int) and version > SCHEMA_VERSION
        raise BundleError(
            path,
            MANIFEST,
            f"has schema version {version}, this asd-edge reads {SCHEMA_VERSION}; "
            + ("upgrade asd-edge" if newer else "export the run again"),
        )
    for name, part in parts.items():
        if _sha256(part) != digests[name]:
            raise BundleError(path, name, f"in {MANIFEST} is damaged (its SHA-256 differs)")
    blanked = content.replace(str(checksum).encode(), _NO_CHECKSUM.encode(), 1)
    if _sha256(blanked) != checksum:
        raise BundleError(path, MANIFEST, "is damaged (its checksum differs)")
    assert isinstance(manifest, dict)
    return manifest


def _read_file(path: Path, name: str, digest: str) -> bytes:
    try:
        content = (path / name).read_bytes()
    except FileNotFoundError as error:
        raise BundleError(path, name, "is missing") from error
    if _sha256(content) != digest:
        raise BundleError(path, name, "is damaged (its SHA-256 differs)")
    return content


def _arrays(content: bytes) -> dict[str, Any]:
    with np.load(io.BytesIO(content), allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}


def _golden(arrays: dict[str, Any]) -> Golden:
    return Golden(
        samples=arrays["samples"],
        mel=arrays["mel"],
        embeddings={
            name.removeprefix(_EMBEDDING): x
            for name, x in arrays.items()
            if name.startswith(_EMBEDDING)
        },
        score=float(arrays["score"]),
        section=str(arrays["section"]),
    )


def _views(scoring: dict[str, Any], arrays: dict[str, Any]) -> dict[str, View]:
    views = {}
    for name, values in scoring.items():
        rule = dict(values)
        weights, weight = rule.pop("weights"), rule.pop("weight")
        prefix = f"{name}/"
        own = {k.removeprefix(prefix): x for k, x in arrays.items() if k.startswith(prefix)}
        views[name] = View(ScoringConfig(**rule), References(**own), weights, weight)
    return views


def _npz(arrays: Mapping[str, Any]) -> bytes:
    buffer = io.BytesIO()
    # Samples and embeddings hardly shrink, and inflating them would be a third of the reading.
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def _canonical(values: Any) -> bytes:
    return json.dumps(values, sort_keys=True, separators=(",", ":")).encode()


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _is_empty_folder(path: Path) -> bool:
    return path.is_dir() and not any(path.iterdir())
