"""Files and folders are written whole or not at all, whatever fails or is killed in between."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import pytest

from asd_edge import atomic_files
from asd_edge.atomic_files import atomic_folder, atomic_path


@pytest.fixture(autouse=True)
def untidied(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(atomic_files, "_tidied", set())
    monkeypatch.setattr(atomic_files, "_YOUNG", 0.0)


def fill(folder: Path, text: str) -> None:
    for name in ("a", "b"):
        (folder / name).write_text(text)


def contents(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.iterdir()}


def test_a_file_is_replaced_or_untouched(tmp_path: Path) -> None:
    target = tmp_path / "x.json"
    for text in ("1", "2"):
        with atomic_path(target) as temporary:
            assert temporary.suffix == ".json"
            temporary.write_text(text)
        assert target.read_text() == text

    def fail(error: BaseException) -> None:
        with atomic_path(target) as temporary:
            temporary.write_text("3")
            raise error

    for error in (ValueError(), KeyboardInterrupt()):
        with pytest.raises(type(error)):
            fail(error)
    assert contents(tmp_path) == {"x.json": "2"}
    (tmp_path / "plain").touch()
    assert target.stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_no_link_is_followed_and_names_are_not_guessed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "precious").write_text("thesis")
    monkeypatch.setattr(atomic_files.secrets, "token_hex", lambda n: "0" * 2 * n)
    (tmp_path / f".x.{'0' * 16}.tmp.json").symlink_to("precious")
    with pytest.raises(FileExistsError), atomic_path(tmp_path / "x.json"):
        pass
    assert (tmp_path / "precious").read_text() == "thesis"


def test_names_as_long_as_can_be(tmp_path: Path) -> None:
    for stem in ("x" * 250, "ä" * 125):
        with atomic_path(tmp_path / f"{stem}.json") as temporary:
            temporary.write_text("1")
        with atomic_folder(tmp_path / f"{stem}.asd") as folder:
            fill(folder, "1")
    assert len(list(tmp_path.iterdir())) == 4


@pytest.mark.parametrize("can_exchange", [True, False])
@pytest.mark.parametrize("failing", ["first", "second", "check", "interrupt"])
def test_a_folder_is_replaced_or_untouched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, can_exchange: bool, failing: str
) -> None:
    target = tmp_path / "x.asd"
    if not can_exchange:
        monkeypatch.setattr(atomic_files, "_exchanged", lambda a, b: False)
    for text in ("1", "2"):
        with atomic_folder(target) as folder:
            fill(folder, text)
        assert contents(target) == {"a": text, "b": text}
    rename, calls = Path.rename, []

    def fails(path: Path, other: Path) -> Path:
        calls.append(path)
        if len(calls) == {"first": 1, "second": 2}.get(failing):
            raise OSError(errno.EIO, "Input/output error", str(path))
        return rename(path, other)

    def check() -> None:
        if failing == "check":
            raise OSError(errno.EIO, "changed")

    monkeypatch.setattr(Path, "rename", fails)
    if failing in ("first", "second") and can_exchange:
        return  # there is no rename that could fail

    def write() -> None:
        with atomic_folder(target, check) as folder:
            fill(folder, "3")
            if failing == "interrupt":
                raise KeyboardInterrupt

    with pytest.raises((OSError, KeyboardInterrupt)):
        write()
    assert contents(target) == {"a": "2", "b": "2"}
    assert [path.name for path in tmp_path.iterdir()] == ["x.asd"]


def test_exchange_is_real_here(tmp_path: Path) -> None:
    """Without it the tests above would show less than they say."""
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    (tmp_path / "a" / "x").touch()
    if not atomic_files._exchanged(tmp_path / "a", tmp_path / "b"):
        pytest.skip("this file system cannot exchange two names")
    assert (tmp_path / "b" / "x").exists()


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    fill_here = tmp_path / "real"
    fill_here.mkdir()
    (tmp_path / "link.asd").symlink_to("real")
    with atomic_folder(tmp_path / "link.asd") as folder:
        fill(folder, "1")
    assert (tmp_path / "link.asd").is_symlink()
    assert contents(fill_here) == {"a": "1", "b": "1"}


def killed_writer(code: str, folder: Path) -> None:
    """Run code that prints a line and then waits; kill it there."""
    program = "import sys, time; from pathlib import Path\n" + textwrap.dedent(code)
    process = subprocess.Popen([sys.executable, "-c", program, folder], stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()


def test_what_killed_processes_leave_is_removed(tmp_path: Path) -> None:
    killed_writer(
        """
        from asd_edge.atomic_files import atomic_folder, atomic_path
        with atomic_path(Path(sys.argv[1]) / "x.json"), atomic_folder(Path(sys.argv[1]) / "x.asd"):
            print("ready", flush=True); time.sleep(60)""",
        tmp_path,
    )
    assert len(list(tmp_path.iterdir())) == 2
    other = tmp_path / ".notes.tmp"  # of another program
    other.touch()
    with atomic_path(tmp_path / "y.json") as alive:
        atomic_files._tidied.clear()
        with atomic_path(tmp_path / "x.json"):
            assert alive.exists()  # of a living process
    assert {path.name for path in tmp_path.iterdir()} == {".notes.tmp", "x.json", "y.json"}


def test_killed_between_two_renames(tmp_path: Path) -> None:
    """Where two names cannot be exchanged, the old folder waits in the temporary."""
    killed_writer(
        """
        from asd_edge import atomic_files
        atomic_files._exchanged = lambda a, b: False
        target = Path(sys.argv[1]) / "x.asd"
        target.mkdir(); (target / "a").write_text("old")
        rename, calls = Path.rename, []
        def wait(path, other):
            calls.append(path)
            if len(calls) == 2:
                print("ready", flush=True); time.sleep(60)
            return rename(path, other)
        Path.rename = wait
        with atomic_files.atomic_folder(target) as folder:
            (folder / "a").write_text("new")""",
        tmp_path,
    )
    assert not (tmp_path / "x.asd").exists()
    with atomic_path(tmp_path / "other.json"):
        pass
    assert contents(tmp_path / "x.asd") == {"a": "old"}
    assert {path.name for path in tmp_path.iterdir()} == {"x.asd", "other.json"}


def test_young_temporaries_are_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(atomic_files, "_YOUNG", 60.0)
    stale = tmp_path / f".x.{'0' * 16}.tmp.json"
    stale.touch()
    with atomic_path(tmp_path / "x.json"):
        pass
    assert stale.exists()
    os.utime(stale, (time.time() - 100,) * 2)
    atomic_files._tidied.clear()
    with atomic_path(tmp_path / "x.json"):
        pass
    assert not stale.exists()


@pytest.mark.parametrize("code", [errno.EINVAL, errno.ENOTSUP])
def test_a_file_system_without_fsync(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    def fails(descriptor: int) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "fsync", fails)
    with atomic_path(tmp_path / "x.json") as temporary:
        temporary.write_text("1")
    with atomic_folder(tmp_path / "x.asd") as folder:
        fill(folder, "1")
    assert (tmp_path / "x.json").read_text() == "1"


def test_a_full_disk_names_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for error in (OSError(errno.ENOSPC, "No space left on device"), RuntimeError("write failed")):
        monkeypatch.setattr(atomic_files, "_is_full", lambda folder: True)
        with pytest.raises(OSError, match="No space") as caught, atomic_path(tmp_path / "x.json"):
            raise error
        assert caught.value.errno == errno.ENOSPC
        assert caught.value.filename == str(tmp_path / "x.json")
    monkeypatch.setattr(atomic_files, "_is_full", lambda folder: False)
    with pytest.raises(RuntimeError), atomic_path(tmp_path / "x.json"):
        raise RuntimeError


@pytest.mark.parametrize("way", [atomic_path, atomic_folder, atomic_files.check_writable])
def test_errors_name_the_target(way: Any, tmp_path: Path) -> None:
    """Not the temporary beside it; and a file where a folder is needed by what it is not."""

    def attempt(target: Path) -> OSError:
        try:
            with way(target) or contextlib.nullcontext():
                pass
        except OSError as error:
            return error
        raise AssertionError("written")

    assert attempt(Path("/proc/x.asd")).filename == "/proc/x.asd"
    (tmp_path / "file").touch()
    error = attempt(tmp_path / "file" / "x.asd")
    assert (error.errno, error.filename) == (errno.ENOTDIR, str(tmp_path / "file"))


def test_whether_something_can_be_written_leaves_nothing(tmp_path: Path) -> None:
    atomic_files.check_writable(tmp_path / "new" / "deeper" / "x.asd")
    (tmp_path / "x.asd").mkdir()
    atomic_files.check_writable(tmp_path / "x.asd")
    assert contents_of(tmp_path) == ["x.asd"]


def contents_of(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())
