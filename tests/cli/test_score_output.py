"""What `asd-edge score` prints of recordings, warnings and unfit clips, in its three forms."""

from __future__ import annotations

import csv
import hashlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from helpers import invoke, write_tone

from asd_edge.bundle.format import read_bundle
from asd_edge.cli.main import main

SR = 8000


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    """Forty seconds of section 00 of which 20 to 30 s are a fault."""
    parts = []
    for seed, pitch in ((1, 200), (2, 320), (3, 200)):
        write_tone(tmp_path / "part.wav", pitch, seed, seconds=10 if pitch == 320 else 15)
        parts.append(soundfile.read(tmp_path / "part.wav")[0])
    soundfile.write(tmp_path / "rec.wav", np.concatenate(parts), SR)
    (tmp_path / "part.wav").unlink()
    return tmp_path / "rec.wav"


# Between the normal clips' scores and the fault's, whatever the fixture's network learned.
BETWEEN = ("--threshold", "3")


@pytest.fixture
def normal(tiny_data: Path) -> Path:
    return min((tiny_data / "hummer" / "test").glob("*00*normal*"))


def test_the_table_says_which_windows(recording: Path, tiny_bundle: Path) -> None:
    result = invoke(main, "score", recording, "--bundle", tiny_bundle, "--section", "00")
    (row,) = result.stdout.splitlines()[1:]
    assert "ANOMALOUS  " in row
    assert " of 79 windows (" in row
    assert ", worst " in row
    rows = invoke(
        main, "score", recording, "--bundle", tiny_bundle, "--section", "00", "--windows"
    ).stdout.splitlines()
    assert len(rows) == 1 + 1 + 79
    assert rows[1 + 1 + 34].split()[:2] == ["17.0-18.0", "s"]
    assert rows[1 + 1 + 34].endswith("anomalous")


def test_json_has_times_origin_and_warnings(
    recording: Path, tiny_bundle: Path, tmp_path: Path
) -> None:
    write_tone(tmp_path / "short.wav", 200, 5, seconds=0.3)
    result = invoke(
        main, "score", recording, tmp_path / "short.wav", "--bundle", tiny_bundle, "--json"
    )
    long, short = (json.loads(line) for line in result.stdout.splitlines())
    assert [window["start_s"] for window in long["windows"][:3]] == [0.0, 0.5, 1.0]
    assert long["outcome"] == "anomalous"
    assert long["ratio"] == pytest.approx(long["score"] / long["threshold"])
    assert any(window["anomalous"] for window in long["windows"])
    assert [warning["kind"] for warning in short["warnings"]] == ["length"]
    digest = hashlib.sha256((tiny_bundle / "bundle.json").read_bytes()).hexdigest()
    for row in (long, short):
        assert row["machine"] == read_bundle(tiny_bundle).machine
        assert (row["bundle"], row["bundle_sha256"]) == (str(tiny_bundle), digest)


def test_one_line_for_one_cause(tiny_bundle: Path, tmp_path: Path) -> None:
    for i in range(5):
        write_tone(tmp_path / f"{i}.wav", 200, i, seconds=0.3)
    result = invoke(main, "score", tmp_path, "--bundle", tiny_bundle, "--section", "00")
    assert result.stdout.count("! length") == 5
    (line,) = [x for x in result.stderr.splitlines() if x.startswith("Warning")]
    assert line.endswith("is 0.3 s long, and a window is 1 s (and 4 more like it)")


def test_one_line_for_one_error(tiny_bundle: Path, tmp_path: Path) -> None:
    """The first at once, those with other numbers in one line at the end; another cause apart."""
    for i in range(30):
        write_tone(tmp_path / f"{i:02d}.wav", 200, i, seconds=0.3)
        data = (tmp_path / f"{i:02d}.wav").read_bytes()
        (tmp_path / f"{i:02d}.wav").write_bytes(data[: 1000 + i])
    (tmp_path / "30.wav").write_text("text")
    result = invoke(main, "score", tmp_path, "--bundle", tiny_bundle, "--json", status=1)
    first, other, rest, count = result.stderr.splitlines()
    assert "00.wav: is truncated" in first
    assert "30.wav: cannot be read as sound" in other
    assert rest.startswith("Error: so it is with 29 more (truncated): ")
    assert rest.endswith("20.wav and 9 more")
    assert count == "31 of 31 clips could not be scored."
    assert len(result.stdout.splitlines()) == 31


def test_json_has_the_time_of_the_recording(tiny_bundle: Path, tmp_path: Path) -> None:
    write_tone(tmp_path / "20261127_031210.wav", 200, 0)
    write_tone(tmp_path / "other.wav", 200, 1)
    (tmp_path / "20261128_031210.wav").write_bytes(b"")
    result = invoke(main, "score", tmp_path, "--bundle", tiny_bundle, "--json", status=1)
    found = [json.loads(line)["recorded_at"] for line in result.stdout.splitlines()]
    assert found == ["2026-11-27T03:12:10", "2026-11-28T03:12:10", None]


def test_what_cannot_be_judged_is_a_row_and_an_error(
    normal: Path, tiny_bundle: Path, tmp_path: Path
) -> None:
    y, _ = soundfile.read(normal)
    soundfile.write(tmp_path / "loud.wav", np.clip(100 * y, -1, 1), SR)
    arguments = ("score", tmp_path / "loud.wav", normal, "--bundle", tiny_bundle, *BETWEEN)
    result = invoke(main, *arguments, status=1)
    loud, good = result.stdout.splitlines()[1:]
    assert loud.endswith("cannot judge  ! overdriven")
    assert good.endswith("normal")
    assert good.index("normal", 80) == loud.index("cannot judge")
    assert "loud.wav: cannot be judged: it is clipped" in result.stderr
    row = json.loads(invoke(main, *arguments, "--json", status=1).stdout.splitlines()[0])
    assert row["outcome"] == "cannot judge"
    assert row["warnings"][0]["kind"] == "overdriven"


def test_csv(recording: Path, normal: Path, tiny_bundle: Path) -> None:
    arguments = ("score", recording, normal, "--bundle", tiny_bundle, *BETWEEN, "--csv")
    rows = list(csv.DictReader(invoke(main, *arguments).stdout.splitlines()))
    assert [row["outcome"] for row in rows] == ["anomalous", "normal"]
    assert rows[0]["clip"] == str(recording)
    windows = list(csv.DictReader(invoke(main, *arguments, "--windows").stdout.splitlines()))
    assert len(windows) == 79 + 1
    assert windows[1]["start_s"] == "0.5"


def test_fail_on_anomaly(recording: Path, normal: Path, tiny_bundle: Path) -> None:
    options = ("--bundle", tiny_bundle, *BETWEEN, "--fail-on-anomaly")
    invoke(main, "score", normal, *options)
    invoke(main, "score", normal, recording, *options, status=3)
    invoke(main, "score", recording, "none.wav", *options, status=1)


def test_jobs_change_nothing_but_the_time(tiny_data: Path, tiny_bundle: Path) -> None:
    arguments = ("score", tiny_data / "hummer" / "test", "--bundle", tiny_bundle, "--json")
    one = invoke(main, *arguments).stdout
    assert len(one.splitlines()) == 16
    assert invoke(main, *arguments, "--jobs", 4).stdout == one


@pytest.mark.parametrize("raw", [False, True])
def test_stdin(normal: Path, tiny_bundle: Path, raw: bool) -> None:
    expected = invoke(main, "score", normal, "--bundle", tiny_bundle, "--section", "00", "--json")
    content = normal.read_bytes()
    options = ["--bundle", str(tiny_bundle), "--section", "00", "--json"]
    if raw:
        content = soundfile.read(normal, dtype="int16")[0].tobytes()
        options += ["--raw", "8000,1"]
    command = [sys.executable, "-m", "asd_edge", "score", "-", *options]
    result = subprocess.run(command, input=content, capture_output=True, check=True)
    got, wanted = json.loads(result.stdout), json.loads(expected.stdout)
    assert got.pop("clip") == "-"
    wanted.pop("clip")
    assert got == wanted


def test_few_clips_behind_a_threshold_are_said(normal: Path, tiny_bundle: Path) -> None:
    result = invoke(main, "score", normal, "--bundle", tiny_bundle)
    assert "clips stand behind this threshold; it can miss what it should catch" in result.stderr
