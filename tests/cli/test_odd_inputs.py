"""One batch of what people have: files of every kind, odd names and entries, each judged rightly.

Of each clip: the warnings that its score has, or the one kind of error; the rest is scored.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from click.testing import CliRunner
from helpers import invoke, write_tone

from asd_edge.cli.main import main

SR = 8000


@pytest.fixture
def clip(tmp_path: Path) -> np.ndarray:
    """A second of the tiny machine."""
    write_tone(tmp_path / "clip.wav", 200.0, seed=900)
    samples: np.ndarray = soundfile.read(tmp_path / "clip.wav")[0]
    return samples


def files(folder: Path, y: np.ndarray) -> dict[str, list[str] | str]:
    """Write one file of each kind: name -> kinds of warning, or the kind of the error."""
    folder.mkdir()

    def write(name: str, x: np.ndarray, rate: int = SR, subtype: str = "PCM_16") -> Path:
        soundfile.write(folder / name, x, rate, subtype, format=name.split(".")[-1])
        return folder / name

    silent = np.zeros(SR)
    stereo, five_one = np.c_[y, y], np.repeat(y[:, np.newaxis], 6, axis=1)
    five_one[:, 3] = 0
    write("double.wav", y, subtype="DOUBLE")
    write("high.flac", np.repeat(y, 6), 6 * SR, "PCM_24")
    tag = b"ID3\x03\0\0\0\0\0\x0a" + bytes(10)
    (folder / "tagged.flac").write_bytes(tag + write("flac.flac", y).read_bytes())
    (folder / "called.mp3").write_bytes(write("plain.wav", y).read_bytes())
    write("x.mp3", y, subtype="MPEG_LAYER_III").rename(folder / "mp3.wav")
    (folder / "page.wav").write_text("<!DOCTYPE html><html>404</html>")
    (folder / "pointer.wav").write_text("version https://git-lfs.github.com/spec/v1\nsize 320044\n")
    (folder / "packed.wav").write_bytes(gzip.compress((folder / "plain.wav").read_bytes()))
    write("one.wav", y[:1])
    write("two.wav", y[:2])
    write("many.wav", np.repeat(y[:, np.newaxis], 32, axis=1))
    write("surround.wav", five_one)
    write("one_clipped.wav", np.c_[y, np.clip(300 * y, -1, 1)])
    write("one_nan.wav", np.c_[y, np.where(np.arange(SR) == 5, np.nan, y)], subtype="FLOAT")
    write("a_bit_faster.wav", y, SR + 1)
    write("impulse.wav", np.where(np.arange(SR) == 4000, 0.9, 0))
    write("at_the_end.wav", np.r_[silent[: SR * 19 // 20], y[: SR // 20]])
    write("as_percent.wav", 100 * y / np.abs(y).max(), subtype="FLOAT")
    write("lowest.wav", np.full(SR, -1.0))
    write("dropped.wav", np.where(np.arange(SR) // 400 % 2, y, 0))
    write("twice.wav", stereo).write_bytes(2 * (folder / "plain.wav").read_bytes())
    as_it_is = ("double.wav", "high.flac", "tagged.flac", "flac.flac", "called.mp3", "plain.wav")
    return {
        **{name: [] for name in (*as_it_is, "many.wav", "a_bit_faster.wav")},
        "mp3.wav": ["encoding"],
        **dict.fromkeys(["page.wav", "pointer.wav", "packed.wav"], "unreadable"),
        **dict.fromkeys(["one.wav", "lowest.wav"], "silent"),
        "two.wav": "too_short",
        "surround.wav": ["dead_channel"],
        "one_clipped.wav": "overdriven",
        "one_nan.wav": "not_finite",
        **dict.fromkeys(["impulse.wav", "at_the_end.wav"], "mostly_silent"),
        "as_percent.wav": "int16_scale",
        "dropped.wav": ["gaps"],
        "twice.wav": ["more_sound"],
    }


def test_files_of_every_kind(tiny_bundle: Path, tmp_path: Path, clip: np.ndarray) -> None:
    expected = files(tmp_path / "clips", clip)
    result = invoke(main, "score", tmp_path / "clips", "--bundle", tiny_bundle, "--json", status=1)
    rows = {Path(row["clip"]).name: row for row in map(json.loads, result.stdout.splitlines())}
    assert rows.keys() == expected.keys()
    for name, kinds in expected.items():
        found = [warning["kind"] for warning in rows[name].get("warnings", [])]
        assert found == (kinds if isinstance(kinds, list) else [kinds]), name
        assert ("score" in rows[name] and rows[name]["score"] is not None) == isinstance(
            kinds, list
        ), name
    for name in ("tagged.flac", "called.mp3", "many.wav", "twice.wav"):
        assert rows[name]["score"] == pytest.approx(rows["plain.wav"]["score"], rel=1e-6), name
    assert "Traceback" not in result.stderr


NAMES = ["-x.wav", "--json.wav", "a\tb.wav", "end .wav", "\N{FIRE}.wav", "rtl\u202egnp.wav"]
NAMES += ['=cmd|calc,"a".wav', "UP.WAV", "%s%n.wav", "sec'tion\".wav", "a,b;c.wav"]


def test_odd_names(tiny_bundle: Path, tmp_path: Path, clip: np.ndarray) -> None:
    folder = tmp_path / "names"
    folder.mkdir()
    for name in (*NAMES, "x.wav.part", "Thumbs.db", "._apple.wav", ".DS_Store"):
        soundfile.write(folder / name, clip, SR, format="wav")
    result = invoke(main, "score", folder, "--bundle", tiny_bundle, "--json")
    assert {Path(json.loads(line)["clip"]).name for line in result.stdout.splitlines()} == {*NAMES}
    assert "2 entries not read, no sound files (.db, .part)" in result.stderr
    table = invoke(main, "score", folder, "--bundle", tiny_bundle).stdout
    assert len(table.splitlines()) == 1 + len(NAMES)
    assert "\u202e" not in table
    assert "\t" not in table
    rows = csv.DictReader(
        io.StringIO(invoke(main, "score", folder, "--bundle", tiny_bundle, "--csv").stdout)
    )
    assert {Path(row["clip"]).name for row in rows} >= {"a,b;c.wav", '=cmd|calc,"a".wav'}


def test_odd_entries(tiny_bundle: Path, tmp_path: Path, clip: np.ndarray) -> None:
    folder = tmp_path / "entries"
    (folder / "folder.wav").mkdir(parents=True)
    soundfile.write(folder / "folder.wav" / "in.wav", clip, SR)
    (folder / "broken.wav").symlink_to("nowhere.wav")
    (folder / "zero.wav").symlink_to("/dev/zero")
    (folder / "loop").symlink_to(".")
    os.mkfifo(folder / "pipe.wav")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(os.path.relpath(folder / "socket.wav"))
        result = invoke(main, "score", folder, "--bundle", tiny_bundle, "--json", status=1)
    rows = {Path(row["clip"]).name: row for row in map(json.loads, result.stdout.splitlines())}
    assert rows.keys() == {"in.wav", "broken.wav", "zero.wav"}
    assert "broken.wav: no such file" in result.stderr
    assert "zero.wav: is a device, not a sound file" in result.stderr
    assert "2 entries not read, no sound files (pipe or device)" in result.stderr


def test_an_empty_name_is_not_this_folder(
    tiny_bundle: Path, tmp_path: Path, clip: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As of a variable that is not set: `asd-edge score "$CLIP"`."""
    monkeypatch.chdir(tmp_path)
    for arguments in (
        ("score", "", "--bundle", tiny_bundle),
        ("score", "clip.wav", "--bundle", ""),
        ("enroll", "", "-o", "x.asd"),
        ("enroll", "clip.wav", "-o", ""),
        ("explain", ""),
        ("info", ""),
    ):
        result = invoke(main, *arguments, status=2)
        assert "an empty name; is a variable not set?" in result.stderr


@pytest.mark.parametrize(
    ("url", "advice"),
    [
        ("https://example.org/a.wav", "download it"),
        ("s3://bucket/a.wav", "download it"),
        ("file:///data/a.wav", "give the path"),
    ],
)
def test_urls_are_not_read(tiny_bundle: Path, url: str, advice: str) -> None:
    words = f"URLs are not read: {advice}"
    assert words in invoke(main, "score", url, "--bundle", tiny_bundle, status=1).stderr
    assert words in invoke(main, "explain", url, "--bundle", tiny_bundle, status=1).stderr
    assert words in invoke(main, "info", url.replace("wav", "asd"), status=1).stderr
    missing = invoke(main, "score", "C:/a.wav", "--bundle", tiny_bundle, status=1).stderr
    assert "URLs" not in missing


def test_a_machine_s_name_is_as_long_as_a_bundle_can_have(
    tiny_bundle: Path, tmp_path: Path
) -> None:
    """An enrolment once wrote a bundle that could not be read."""
    for i in range(6):
        y = np.random.default_rng(i).normal(0, 0.1, 2 * SR)
        soundfile.write(tmp_path / f"{i}.wav", y, SR)
    arguments = ("enroll", tmp_path, "--from", tiny_bundle, "-o", tmp_path / "x.asd", "--machine")
    result = invoke(main, *arguments, 1000 * "a", status=1)
    assert "machine is 'a name of 1000 characters'; expected fewer than 1000" in result.stderr
    assert not (tmp_path / "x.asd").exists()
    invoke(main, *arguments, 999 * "a")
    invoke(main, "info", tmp_path / "x.asd")


def test_explain_reads_stdin(tiny_bundle: Path, tmp_path: Path, clip: np.ndarray) -> None:
    soundfile.write(tmp_path / "clip.wav", clip, 8000)
    command = [sys.executable, "-m", "asd_edge", "explain"]
    said = []
    for name in ("-", str(tmp_path / "clip.wav")):
        with (tmp_path / "clip.wav").open("rb") as stdin:
            done = subprocess.run(
                [*command, name, "--bundle", str(tiny_bundle), "--blocks", "2", "2"],
                stdin=stdin, capture_output=True, text=True, check=True,
            )  # fmt: skip
        said.append(done.stdout)
    assert said[0] == said[1] != ""


@pytest.mark.parametrize(
    ("options", "cut", "status", "words"),
    [
        (("--raw", "8000,1"), slice(44, None), 0, ""),
        (("--raw", "8000,1"), slice(44, -1), 0, "has 1 bytes behind its last whole frame"),
        (("--raw", "8000,1025"), slice(44, None), 2, "the number of channels is at most 1024"),
        (("--raw", "8000,3"), slice(44, None), 0, "of 3 16-bit channel(s)"),
        (("--raw", "8000,1"), slice(None), 1, "has a header; leave out --raw"),
        ((), slice(None), 0, ""),
        ((), slice(0, 8000), 1, "is truncated"),
        ((), slice(0, 0), 1, "is empty"),
    ],
)
def test_what_comes_by_a_pipe(
    tiny_bundle: Path,
    tmp_path: Path,
    clip: np.ndarray,
    options: tuple[str, ...],
    cut: slice,
    status: int,
    words: str,
) -> None:
    content = (tmp_path / "clip.wav").read_bytes()[cut]
    arguments = ["score", "-", *options, "--bundle", str(tiny_bundle), "--section", "00"]
    result = CliRunner().invoke(main, arguments, input=content)
    assert result.exit_code == status, result.output
    assert words in result.stderr
    assert words or "Warning" not in result.stderr


def test_a_place_that_cannot_be_written_is_said_before_the_work(
    tmp_path: Path, clip: np.ndarray
) -> None:
    soundfile.write(tmp_path / "clip.wav", clip, SR)
    (tmp_path / "taken.asd").write_text("precious")
    for place, words in (
        (tmp_path / "taken.asd", "taken.asd: the place is taken"),
        (tmp_path / "clip.wav" / "x.asd", "clip.wav: Not a directory"),
        (Path("/proc/x.asd"), "Error: /proc/x.asd: No such file or directory"),
    ):
        result = invoke(main, "enroll", tmp_path / "missing.wav", "-o", place, status=1)
        assert words in result.stderr
        assert "missing.wav" not in result.stderr
