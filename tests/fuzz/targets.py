"""What is fuzzed: a function of bytes for each kind of input.

A target returns normally or raises an error of the project's own; anything else is a finding. The
bounds on time and memory are the runner's (`run.py`).
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import tempfile
import unicodedata
from collections.abc import Callable
from pathlib import Path

import numpy as np
from bundle import forge

from asd_edge.audio.clip_names import parse_clip_name, section_of
from asd_edge.audio.recording import open_recording
from asd_edge.bundle.format import read_bundle
from asd_edge.cli.display import harmless
from asd_edge.detector import Detector
from asd_edge.errors import AsdError
from asd_edge.verify import verify

SCRATCH = Path(tempfile.gettempdir()) / f"asd-edge-fuzz-{os.getpid()}"


def sound(data: bytes) -> None:
    """A sound file: read to its end, block by block, and by pieces."""
    path = SCRATCH / "clip"
    path.write_bytes(data)
    with contextlib.suppress(AsdError), open_recording(path, 16000) as recording:
        n = 0
        for block in recording.blocks():
            assert block.ndim == 1
            assert block.dtype == recording.dtype
            n += len(block)
            if n > 60 * 16000:  # a small file may rightly be long; that much shows enough
                return
        assert n == recording.n_samples > 0
        tail = recording.read(n - min(n, 100), 200)
        assert len(tail) == min(n, 100)


def stream(data: bytes) -> None:
    """The same bytes on stdin, and as raw samples."""
    for raw in (None, (16000, 1), (48000, 3)):
        with (
            contextlib.suppress(AsdError),
            open_recording(io.BytesIO(data), 16000, raw=raw) as recording,
        ):
            recording.read(0, 16000)


def bundle(data: bytes) -> None:
    """The four files of a bundle, each behind its length; its digests are made right."""
    files, at = [], 0
    for _ in range(4):
        length = int.from_bytes(data[at : at + 4], "little")
        files.append(data[at + 4 : at + 4 + length])
        at += 4 + length
    path = SCRATCH / "x.asd"
    path.mkdir(exist_ok=True)
    try:
        manifest = json.loads(files[0])
    except (ValueError, RecursionError):
        manifest = None
    if isinstance(manifest, dict):
        with contextlib.suppress(ValueError, RecursionError):
            forge.write(path, manifest, dict(zip(forge.FILES, files[1:], strict=True)))
            load(path)
            return
    for name, content in zip(("bundle.json", *forge.FILES), files, strict=True):
        (path / name).write_bytes(content)
    load(path)


def load(path: Path) -> None:
    """Load a bundle, replay its golden clip and score a clip with it."""
    with contextlib.suppress(AsdError):
        contents = read_bundle(path)
        detector = Detector.from_bundle(contents, path=path)
        verify(detector, contents.golden)
        sr = contents.front_end.mel.sr
        decision = detector.score(CLIP[: 4 * sr], sr)
        assert decision.score >= 0
        json.dumps(decision.score, allow_nan=False)


CLIP = np.random.default_rng(0).standard_normal(1 << 17).astype(np.float32) * 0.1


def packed(path: Path) -> bytes:
    """Give a bundle as the bytes that `bundle` takes."""
    names = ("bundle.json", *forge.FILES)
    contents = [(path / name).read_bytes() for name in names]
    return b"".join(len(c).to_bytes(4, "little") + c for c in contents)


def name(data: bytes) -> None:
    """A file name: what it says, and how it is shown."""
    text = os.fsdecode(data)
    parse_clip_name(text)
    section_of(text)
    shown = harmless(text)
    assert all(c.isprintable() or unicodedata.category(c) == "Zs" for c in shown)
    with contextlib.suppress(AsdError):
        open_recording(SCRATCH / "none" / text.replace("/", "_"), 16000)


def arguments(data: bytes) -> None:
    """A command line: a result, or a line and a status."""
    from click.testing import CliRunner

    from asd_edge.cli.main import main

    words = [os.fsdecode(word) for word in data.split(b"\0") if word]
    with tempfile.TemporaryDirectory(dir=SCRATCH) as folder, contextlib.chdir(folder):
        if any(word.startswith(("/", "..")) or word in _WAIT for word in words):
            return
        result = CliRunner().invoke(main, words)
    clean = result.exception is None or isinstance(result.exception, SystemExit)
    if not clean:
        raise result.exception
    assert result.exit_code in (0, 1, 2, 3)


_WAIT = {"monitor", "bench"}  # commands that take their time


def score_csv(data: bytes) -> None:
    """A file of scores in DCASE's format."""
    from asd_training.evaluation.dcase_files import read_score_folder

    folder = SCRATCH / "scores"
    folder.mkdir(exist_ok=True)
    (folder / "anomaly_score_fan_section_00_source_test.csv").write_bytes(data)
    with contextlib.suppress(AsdError):
        read_score_folder(folder)


def feature_table(data: bytes) -> None:
    """A table of features: a parquet file."""
    from asd_training.data.feature_table import load as load_table

    path = SCRATCH / "features.parquet"
    path.write_bytes(data)
    with contextlib.suppress(AsdError):
        load_table(path)


TARGETS: dict[str, Callable[[bytes], None]] = {
    "sound": sound,
    "stream": stream,
    "bundle": bundle,
    "name": name,
    "arguments": arguments,
    "score_csv": score_csv,
    "feature_table": feature_table,
}
