"""Searching folders: links are followed, and whatever is not read is said."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from asd_edge.audio.search import find


def touch(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def names(root: Path, paths: list[Path]) -> list[str]:
    return [path.relative_to(root).as_posix() for path in paths]


def test_folders_are_searched_and_files_left(tmp_path: Path) -> None:
    touch(tmp_path, "b.WAV", "a/c.flac", "a/notes.txt", "a/README", ".hidden/d.wav", "a/.e.wav")
    found = find([tmp_path, tmp_path / "missing.wav"])
    assert names(tmp_path, found.paths) == ["a/c.flac", "b.WAV", "missing.wav"]
    assert found.note() == "2 entries not read, no sound files (no suffix, .txt)"
    assert found.unread == []


def test_links_are_followed_once(tmp_path: Path) -> None:
    touch(tmp_path, "here/a.wav", "elsewhere/b.wav")
    (tmp_path / "here/linked").symlink_to("../elsewhere")
    (tmp_path / "elsewhere/up").symlink_to("..")
    (tmp_path / "here/self").symlink_to("self")
    (tmp_path / "here/gone.wav").symlink_to("nowhere.wav")
    (tmp_path / "here/circle.wav").symlink_to("circle.wav")
    found = find([tmp_path / "here"])
    assert names(tmp_path / "here", found.paths) == [
        "a.wav",
        "circle.wav",
        "gone.wav",
        "linked/b.wav",
    ]
    assert found.unread == []


def test_empty_and_forbidden_folders_are_named_and_the_rest_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    touch(tmp_path, "a/x.wav", "a/closed/y.wav")
    (tmp_path / "empty").mkdir()
    scandir = os.scandir

    def forbidding(path: Path) -> object:  # root may open everything
        if Path(path).name == "closed":
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", forbidding)
    found = find([tmp_path / "a", tmp_path / "empty"])
    assert names(tmp_path, found.paths) == ["a/x.wav"]
    assert [str(error) for error in found.unread] == [
        f"{tmp_path}/a/closed: cannot be searched (Permission denied)",
        f"{tmp_path}/empty: is a folder without sound files (.wav, .flac, ...)",
    ]


def test_folders_nested_beyond_the_longest_path(tmp_path: Path) -> None:
    touch(tmp_path, "a.wav")
    here = os.open(tmp_path, os.O_RDONLY)
    for _ in range(20):
        os.mkdir(250 * "n", dir_fd=here)
        deeper = os.open(250 * "n", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = deeper
    os.close(here)
    found = find([tmp_path])
    shutil.rmtree(tmp_path / (250 * "n"))
    assert names(tmp_path, found.paths) == ["a.wav"]
    assert "File name too long" in str(found.unread[0])
    assert len(str(found.unread[0])) < 5000


def test_a_fifo_in_a_folder_is_not_waited_for(tmp_path: Path) -> None:
    touch(tmp_path, "a.wav")
    os.mkfifo(tmp_path / "b.wav")
    found = find([tmp_path])
    assert names(tmp_path, found.paths) == ["a.wav"]
    assert found.passed_over == {"pipe or device": 1}
