"""Bundles changed and given right digests again, as an attacker or a broken tool would."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

Manifest = dict[str, Any]
FILES = ("model.onnx", "references.npz", "golden.npz")
PARTS = ("front_end", "scoring", "calibration")


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def write(path: Path, manifest: Manifest, files: dict[str, bytes]) -> Path:
    """Write a bundle with digests and checksum that are right, whatever is in it."""
    path.mkdir(parents=True, exist_ok=True)
    digests = {name: sha256(content) for name, content in files.items()}
    for name in PARTS:
        part = json.dumps(manifest.get(name), sort_keys=True, separators=(",", ":"))
        digests[name] = sha256(part.encode())
    manifest = {**manifest, "sha256": digests, "checksum": "0" * 64}
    text = json.dumps(manifest, indent=2, ensure_ascii=False).encode(errors="surrogatepass")
    checksum = sha256(text).encode()
    (path / "bundle.json").write_bytes(text.replace(b"0" * 64, checksum, 1))
    for name, content in files.items():
        (path / name).write_bytes(content)
    return path


def load(path: Path) -> tuple[Manifest, dict[str, bytes]]:
    manifest = json.loads((path / "bundle.json").read_bytes())
    return manifest, {name: (path / name).read_bytes() for name in FILES}


def npz(content: bytes, change: Callable[[dict[str, Any]], object]) -> bytes:
    """Change the arrays of an archive."""
    with np.load(io.BytesIO(content)) as archive:
        arrays = dict(archive)
    change(arrays)
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()
