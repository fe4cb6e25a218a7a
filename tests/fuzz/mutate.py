"""Mutations of inputs: bytes anywhere, and values inside a bundle's own structure."""

from __future__ import annotations

import io
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from bundle import forge

_ODD = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
_VALUES: tuple[Any, ...] = (
    *(
        None,
        True,
        False,
        0,
        1,
        -1,
        2,
        0.5,
        -0.5,
        1e-300,
        1e300,
        1e9,
        2**31,
        2**63,
        10**30,
        "",
        "mean",
    ),
    *("../x", "/etc/passwd", "x" * 5000, "\udce4", "a\nb", [], {}, [1], [[]], {"a": 1}),
)


def mutated(data: bytes, rng: np.random.Generator, others: list[bytes]) -> bytes:
    """Change some bytes, most often near the beginning, where headers are."""
    changed = bytearray(data)
    for _ in range(int(rng.integers(1, 5))):
        if not changed:
            return bytes(changed)
        end = min(len(changed), 400) if rng.random() < 0.7 else len(changed)
        at = int(rng.integers(end))
        kind = rng.integers(8)
        if kind == 0:
            changed[at] = int(rng.integers(256))
        elif kind == 1:
            changed[at] ^= 1 << int(rng.integers(8))
        elif kind in (2, 3):
            width = int(rng.choice([1, 2, 4, 8]))
            value = int(rng.choice(_ODD)) & (1 << 8 * width) - 1
            order = "little" if rng.random() < 0.5 else "big"
            changed[at : at + width] = value.to_bytes(width, order)
        elif kind == 4:
            del changed[at : at + int(rng.integers(1, 64))]
        elif kind == 5:
            changed[at:at] = rng.bytes(int(rng.integers(1, 64)))
        elif kind == 6:
            del changed[at:]
        else:
            other = others[int(rng.integers(len(others)))]
            start = int(rng.integers(len(other))) if other else 0
            changed[at:] = other[start : start + int(rng.integers(1, 4000))] + changed[at + 64 :]
    return bytes(changed)


def mutated_bundle(data: bytes, rng: np.random.Generator) -> bytes:
    """Change one of a bundle's files: a value of its JSON, an array, or bytes."""
    files, at = [], 0
    for _ in range(4):
        length = int.from_bytes(data[at : at + 4], "little")
        files.append(data[at + 4 : at + 4 + length])
        at += 4 + length
    for _ in range(int(rng.integers(1, 3))):
        which = int(rng.integers(8))
        if which < 3:
            manifest = json.loads(files[0])
            _change_json(manifest, rng)
            files[0] = json.dumps(manifest).encode()
        elif which < 6:
            i = 2 if rng.random() < 0.6 else 3
            try:
                files[i] = forge.npz(files[i], lambda arrays: _change_array(arrays, rng))
            except Exception:  # it was broken before
                files[i] = mutated(files[i], rng, files)
        else:
            i = int(rng.integers(1, 4))
            files[i] = mutated(files[i], rng, files)
    return b"".join(len(c).to_bytes(4, "little") + c for c in files)


def _change_json(value: Any, rng: np.random.Generator) -> None:
    """Change one value somewhere inside."""
    while True:
        keys = list(value) if isinstance(value, dict) else list(range(len(value)))
        if not keys:
            return
        key = keys[int(rng.integers(len(keys)))]
        inner = value[key]
        if isinstance(inner, (dict, list)) and inner and rng.random() < 0.85:
            value = inner
            continue
        kind = rng.integers(5)
        if kind == 0:
            del value[key]
        elif kind == 1 and isinstance(inner, (int, float)) and not isinstance(inner, bool):
            value[key] = inner * float(rng.choice([-1, 0.5, 2, 10, 1e3, 1e6, 1e-6]))
        elif kind == 2 and isinstance(value, dict):
            value[str(_VALUES[int(rng.integers(len(_VALUES)))])] = inner
        else:
            value[key] = _VALUES[int(rng.integers(len(_VALUES)))]
        return


def _change_array(arrays: dict[str, Any], rng: np.random.Generator) -> None:
    names = sorted(arrays)
    name = names[int(rng.integers(len(names)))]
    x = arrays[name]
    kind = rng.integers(10)
    if kind == 0:
        del arrays[name]
    elif kind == 1:
        arrays[name] = x[: int(rng.integers(len(x) + 1))] if x.ndim else x
    elif kind == 2:
        arrays[name] = x.T[np.newaxis]
    elif kind == 3 and x.dtype.kind in "fiu":
        arrays[name] = x.astype(rng.choice(["f2", "f4", "f8", "i2", "i8", "u1", "c16", "bool"]))
    elif kind == 4 and x.dtype.kind == "f":
        arrays[name] = x * float(rng.choice([0, -1, np.nan, np.inf, 1e30, 1e-30]))
    elif kind == 5 and x.dtype.kind == "f" and x.size:
        x = x.copy()
        x.flat[int(rng.integers(x.size))] = rng.choice([np.nan, np.inf, -np.inf, 1e38, 0])
        arrays[name] = x
    elif kind == 6:
        arrays[name] = arrays[names[int(rng.integers(len(names)))]]
    elif kind == 7:
        arrays[name] = np.repeat(x, 3, axis=0) if x.ndim else x
    elif kind == 8 and x.dtype.kind == "U":
        arrays[name] = np.full(x.shape, str(rng.choice(["", "/x", "../x", "00", "a\0b", "\n"])))
    else:
        arrays[f"{name}x"] = x


def seeds_of_sound() -> list[bytes]:
    """Small files of every kind that libsndfile writes."""
    import soundfile

    y = 0.1 * np.random.default_rng(0).standard_normal((2000, 2))
    seeds = []
    for container in soundfile.available_formats():
        if container in ("RAW", "SD2"):
            continue
        for subtype in soundfile.available_subtypes(container):
            for channels in (1, 2):
                file = io.BytesIO()
                try:
                    soundfile.write(file, y[:, :channels], 16000, subtype, None, container)
                except Exception:  # this kind cannot be written
                    continue
                seeds.append(file.getvalue())
    return seeds


def seed_of_an_enrolment(source: Path) -> bytes:
    """A bundle that was enrolled, whose provenance is computed with."""
    from fuzz import targets

    from asd_edge.api import enroll

    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as name:
        clips = [0.1 * rng.standard_normal(8000) for _ in range(6)]
        enroll(clips, Path(name) / "x.asd", sr=8000, source=source)
        return targets.packed(Path(name) / "x.asd")


def seed_of_a_table() -> bytes:
    """A feature table of three clips, as `asd-data features` writes it."""
    import soundfile

    from asd_edge.frontend.mel import MelConfig
    from asd_edge.frontend.windows import FrontEnd
    from asd_training.data.clips import find_clips
    from asd_training.data.feature_table import update

    front_end = FrontEnd(MelConfig(sr=8000, n_fft=256, hop_length=128, n_mels=8), clip_seconds=0.25)
    with tempfile.TemporaryDirectory() as name:
        for i in range(3):
            path = Path(name) / f"data/fan/train/section_00_source_train_normal_{i:04d}.wav"
            path.parent.mkdir(parents=True, exist_ok=True)
            y = 0.1 * np.random.default_rng(i).standard_normal(2000)
            soundfile.write(path, y, 8000)
        table = Path(name) / "x.parquet"
        update(table, find_clips(Path(name) / "data"), front_end)
        return table.read_bytes()
