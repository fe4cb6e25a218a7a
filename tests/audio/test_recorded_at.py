"""When a recording was made: by what writers of files state, and by the names of recorders."""

from __future__ import annotations

import os
import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile

from asd_edge.audio.recorded_at import recorded_at

MOMENT = "2026-11-27T03:12:10"


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg"])
@pytest.mark.parametrize("stated", [MOMENT, "2026-11-27 03:12:10", "2026:11:27 03:12:10"])
def test_what_libsndfile_writes(tmp_path: Path, suffix: str, stated: str) -> None:
    path = tmp_path / f"20200101_000000.{suffix}"
    with soundfile.SoundFile(path, "w", 16000, 1) as file:
        file.date = stated
        file.write(np.zeros(1600))
    assert recorded_at(path) == MOMENT


@pytest.mark.parametrize("zone", ["Z", "+00:00"])
def test_a_zone_is_kept(tmp_path: Path, zone: str) -> None:
    path = tmp_path / "a.flac"
    with soundfile.SoundFile(path, "w", 16000, 1) as file:
        file.date = MOMENT + zone
        file.write(np.zeros(1600))
    assert recorded_at(path) == MOMENT + "+00:00"


@pytest.mark.parametrize("separators", ["-:", "_-", ".."])
def test_broadcast_wav(tmp_path: Path, separators: str) -> None:
    """EBU Tech 3285: 256 + 32 + 32 bytes, then yyyy-mm-dd and hh:mm:ss with any separator."""
    day, time = separators
    content = bytes(320) + f"2026{day}11{day}27".encode() + f"03{time}12{time}10".encode()
    content += bytes(602 - len(content))
    head = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, 16000, 32000, 2, 16)
    chunks = head + struct.pack("<4sI", b"bext", 602) + content + struct.pack("<4sI", b"data", 4)
    wav = struct.pack("<4sI4s", b"RIFF", len(chunks) + 8, b"WAVE") + chunks + bytes(4)
    (tmp_path / "a.wav").write_bytes(wav)
    assert recorded_at(tmp_path / "a.wav") == MOMENT


@pytest.mark.parametrize(
    ("name", "moment"),
    [
        ("20261127_031210.WAV", MOMENT),
        ("pump_2026-11-27T03-12-10.flac", MOMENT),
        ("pump 2026-11-27 03.12.10 left.wav", MOMENT),
        ("SMA00001_20261127_0312.wav", "2026-11-27T03:12:00"),
        ("20261327_031210.wav", None),
        ("20260231_031210.wav", None),
        ("section_00_source_train_normal_0000_strength_1_ambient.wav", None),
        ("120261127_0312109.wav", None),
        ("a.wav", None),
        ("-", None),
        ("geh\udce4use_20261127_031210.wav", MOMENT),
    ],
)
def test_names(name: str, moment: str | None) -> None:
    assert recorded_at(name) == moment


def test_nothing_ends_in_an_exception(tmp_path: Path) -> None:
    for name, content in {
        "a.wav": b"RIFF",
        "b.flac": b"fLaC",
        "c.ogg": b"",
        "d\n.mp3": b"x",
    }.items():
        (tmp_path / name).write_bytes(content)
        assert recorded_at(tmp_path / name) is None
    os.mkfifo(tmp_path / "f.wav")
    assert recorded_at(tmp_path / "f.wav") is None
    assert recorded_at(tmp_path) is None
    assert recorded_at("a\0b.wav") is None
