from __future__ import annotations

import os
from pathlib import Path

import pytest

from asd_edge.errors import AsdError
from asd_training.archive.listing import Archive, day_of, machine_of

pytest.importorskip("fsspec", reason="the extra cluster is not installed")


@pytest.mark.parametrize(
    ("name", "day"),
    [
        ("press/2026-11-27/0001.wav", "2026-11-27"),
        ("press/2026/11/27/0830.wav", "2026-11-27"),
        ("press_20261127T083000.wav", "2026-11-27"),
        ("2026-01-01/press_2026-11-27.wav", "2026-11-27"),  # the file's own name comes first
        ("20261127/a.wav", "2026-11-27"),
        ("20261127083000.wav", "2026-11-27"),
        ("press/2026_11_27/a.wav", "2026-11-27"),
        ("2026-02-31/a.wav", ""),
        ("fan/id_00/normal/00000000.wav", ""),
        ("section_00_source_train_normal_0000_att_A.wav", ""),
        ("serial_4202611271.wav", ""),
        ("2026-1127/a.wav", ""),
    ],
)
def test_day(name: str, day: str) -> None:
    assert day_of(name) == day


@pytest.mark.parametrize(
    ("folders", "machine"),
    [
        (["dev_data", "fan", "train"], "fan"),
        (["archive", "press 3", "2026", "11", "27"], "press 3"),
        (["archive", "press", "2026-11-27", "08h30"], "press"),
        (["fan", "id_00", "abnormal"], "fan"),
        (["00"], "machine"),
        ([], "machine"),
    ],
)
def test_machine(folders: list[str], machine: str) -> None:
    assert machine_of(folders) == machine


def test_listing(tmp_path: Path) -> None:
    """Links are followed but not in circles; what is hidden or no sound is left out."""
    root = tmp_path / "archive"
    for name in ("b/2026-01-02/1.wav", "b/2026-01-02/2.wav", "a/x.flac", "a/.x.wav", "a/t.txt"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    os.utime(root / "a/x.flac", (0, 0))
    (root / "a" / "loop").symlink_to("..")
    (root / "c").symlink_to("a")
    with Archive(str(root)) as archive:
        chunks = list(archive.chunks(1))
        items = [(item.machine, item.day, item.name) for _, some in chunks for item in some]
        numbers = [number for number, _ in chunks]
    assert items == [
        ("a", "1970-01-01", "a/x.flac"),
        ("b", "2026-01-02", "b/2026-01-02/1.wav"),
        ("b", "2026-01-02", "b/2026-01-02/2.wav"),
        ("c", "1970-01-01", "c/x.flac"),
    ]
    assert numbers == [0, 0, 1, 0]


def test_no_archive(tmp_path: Path) -> None:
    for url in (str(tmp_path / "none"), str(tmp_path), "nonsense://x"):
        with pytest.raises(AsdError):
            Archive(url)
