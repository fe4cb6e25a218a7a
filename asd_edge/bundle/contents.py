"""The bundle: a folder `NAME.asd/` with everything a device needs to score.

    bundle.json      schema version, machine, front end, scoring, calibration,
                     provenance, digests
    model.onnx       mel -> embeddings, one output a view
    references.npz   of each view: embeddings, sections, domains, clips, density, whitening, and
                     the last two of its parts
    golden.npz       a clip with the mel, embeddings and score that the export saw

`bundle.json` holds the SHA-256 of every other file and of its own front end,
scoring and calibration, so that damage is named, and a checksum of itself. `read_bundle.read`
checks all of them, and that the parts fit each other, before anything is used.
"""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from asd_edge.errors import BundleError, ParameterError
from asd_edge.frontend.windows import FrontEnd
from asd_edge.scoring.calibration import Calibration
from asd_edge.scoring.views import View

SCHEMA_VERSION = 5
MANIFEST = "bundle.json"
LONGEST_NAME = 1000  # characters of a machine's name, and one
MODEL, REFERENCES, GOLDEN = "model.onnx", "references.npz", "golden.npz"
FILES = (MODEL, REFERENCES, GOLDEN)
PARTS = ("front_end", "scoring", "calibration")
NO_CHECKSUM = "0" * 64
EMBEDDING = "embedding/"


class Golden(NamedTuple):
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


@dataclass(frozen=True, eq=False, repr=False)  # arrays: no one answer to ==, long to print
class Bundle:
    """A bundle in memory.

    Attributes:
        machine: what it is a bundle of.
        front_end: from samples to the model's input.
        views: output of the model -> references and how they are scored.
        calibration: from scores to decisions.
        golden: a clip and what the export made of it.
        model: the ONNX file's content.
        provenance: how it came about; plain values.
        checksum: of the bundle that was read; empty for one that was made here.
    """

    machine: str
    front_end: FrontEnd
    views: Mapping[str, View]
    calibration: Calibration
    golden: Golden
    model: bytes
    provenance: dict[str, Any]
    checksum: str = ""

    def write(self, path: str | Path, *, replaces: str | None = None) -> None:
        """Write the bundle to the folder `path`, whole or not at all; a bundle there is replaced.

        Args:
            path: the folder; a link to one stays a link.
            replaces: the checksum of the bundle that this one was made from and takes the place
                of; None replaces any.

        Raises:
            BundleError: something else than a bundle is in the place, or another bundle than
                `replaces` says: somebody else has written it meanwhile.
        """
        check_machine(self.machine)
        path = Path(path)
        check_place(path)
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
                | {f"{EMBEDDING}{name}": x for name, x in self.golden.embeddings.items()}
            ),
        }
        parts: dict[str, Any] = {
            "front_end": self.front_end.to_dict(),
            "scoring": {
                name: {
                    **dataclasses.asdict(view.config),
                    "standards": {
                        section: standard._asdict() for section, standard in view.standards.items()
                    },
                    "weight": view.weight,
                }
                for name, view in self.views.items()
            },
            "calibration": self.calibration.to_dict(),
        }
        digests = {name: sha256(content) for name, content in contents.items()}
        digests |= {name: sha256(canonical(values)) for name, values in parts.items()}
        manifest = {
            "schema_version": SCHEMA_VERSION,
            "checksum": NO_CHECKSUM,
            "machine": self.machine,
            **parts,
            "provenance": self.provenance,
            "sha256": digests,
        }
        text = json.dumps(manifest, indent=2, ensure_ascii=False, allow_nan=False).encode() + b"\n"
        checksum = sha256(text).encode()
        contents[MANIFEST] = text.replace(NO_CHECKSUM.encode(), checksum, 1)
        from asd_edge.atomic_files import atomic_folder  # here, because a device only reads

        def check() -> None:
            if replaces is not None and _checksum_at(path) != replaces:
                raise BundleError(path, MANIFEST, "was changed by another process; run again")

        with atomic_folder(path, check) as folder:
            for name, content in contents.items():
                (folder / name).write_bytes(content)


def _npz(arrays: Mapping[str, Any]) -> bytes:
    buffer = io.BytesIO()
    # Samples and embeddings hardly shrink, and inflating them would be a third of the reading.
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def canonical(values: Any) -> bytes:
    return json.dumps(values, sort_keys=True, separators=(",", ":")).encode()


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _checksum_at(path: Path) -> str:
    try:
        return str(json.loads((path / MANIFEST).read_bytes())["checksum"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def check_machine(name: str) -> None:
    """Refuse a machine's name that a bundle could not be read with.

    Raises:
        ParameterError: it is too long.
    """
    if len(name) >= LONGEST_NAME:
        wanted = f"fewer than {LONGEST_NAME} characters"
        raise ParameterError("machine", f"a name of {len(name)} characters", wanted)


def check_place(path: Path) -> None:
    """Refuse a place where something else than a bundle is.

    Raises:
        BundleError: it is neither a bundle nor an empty folder.
    """
    if path.exists() and not (path / MANIFEST).is_file() and not _is_empty_folder(path):
        raise BundleError(path, "the place", "is taken by something that is not a bundle")


def _is_empty_folder(path: Path) -> bool:
    return path.is_dir() and not any(path.iterdir())
