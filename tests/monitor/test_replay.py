"""Recordings in the place of a microphone: the same result every time, and after every kill.

ASD_EDGE_KILLS=100 (make test-monitor-long) kills more often.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
from helpers import invoke, write_tone

from asd_edge.cli.main import main
from asd_edge.monitor.history.read import History
from asd_edge.monitor.replay import read_files

KILLS = int(os.environ.get("ASD_EDGE_KILLS", "8"))


def configure(folder: Path, bundle: Path, name: str = "m") -> Path:
    path = folder / f"{name}.toml"
    path.write_text(
        f'[machines.fan]\nbundle = "{bundle}"\ndevice = "none"\nrate = 8000\n'
        'section = "00"\nfalse_alarm_rate = 0.0001\n'
        f'[history]\nfolder = "{name}"\nfree_space_mb = 0\n'
    )
    return path


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five minutes with three stretches off pitch, a dead stretch and much that is normal."""
    folder = tmp_path_factory.mktemp("recording")
    parts = [(200, 40), (320, 12), (200, 60), (330, 15), (0, 20), (200, 60), (310, 30), (200, 60)]
    blocks = []
    for i, (pitch, seconds) in enumerate(parts):
        write_tone(folder / "part.wav", pitch or 200, seed=70 + i, seconds=seconds)
        block, _ = soundfile.read(folder / "part.wav", dtype="int16")
        blocks.append(block if pitch else np.zeros_like(block))
    soundfile.write(folder / "all.wav", np.concatenate(blocks), 8000, subtype="PCM_16")
    return folder / "all.wav"


def contents(folder: Path) -> tuple[list[object], ...]:
    """What must not depend on kills: windows, and when and why alarms came and went."""
    history = History(folder / "replay")
    windows = [(w.first_sample, w.validity, w.score) for w in history.each_window()]
    events = [(e.id, e.at, e.action, e.episode.id) for e in history.events()]
    clips = [(c.id, c.role, c.seconds, c.windows) for e in range(1, 20) for c in history.clips(e)]
    return windows, events, clips


def test_a_replay_is_the_same_every_time_and_its_clips_score_the_same(
    tmp_path: Path, hum_bundle: Path, recording: Path
) -> None:
    first, second = (configure(tmp_path, hum_bundle, name) for name in ("a", "b"))
    said = invoke(main, "monitor", first, "--replay", recording).output
    assert "raise  sound" in said
    invoke(main, "monitor", second, "--replay", recording)
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
    windows, events, clips = contents(tmp_path / "a")
    assert [w[0] for w in windows] == list(range(0, 297 * 8000, 8000))
    assert [e[2] for e in events].count("raise") >= 3
    assert sum(w[1] == "dead" for w in windows) == 20
    assert clips
    for clip in (c for e in range(1, 9) for c in History(tmp_path / "a" / "replay").clips(e)):
        samples, rate = soundfile.read(clip.path, dtype="int16", always_2d=True)
        start, n, score, _ = clip.windows[-1]
        soundfile.write(tmp_path / "w.wav", samples[start : start + n], rate, subtype="PCM_16")
        options = (
            "--false-alarm-rate",
            0.0001,
            "--bundle",
            hum_bundle,
            "--section",
            "00",
            "--json",
        )
        result = invoke(main, "score", tmp_path / "w.wav", *options, status=0)
        assert f'"score": {score!r}' in result.output


def test_kills_at_random_moments_lose_and_double_nothing(
    tmp_path: Path, hum_bundle: Path, recording: Path
) -> None:
    whole = configure(tmp_path, hum_bundle, "whole")
    began = time.monotonic()
    command = [sys.executable, "-m", "asd_edge", "monitor"]
    subprocess.run([*command, str(whole), "--replay", str(recording)], check=True)
    seconds = time.monotonic() - began
    rng = random.Random(4)
    kills = rounds = 0
    while kills < KILLS:
        rounds += 1
        name = f"killed{rounds}"
        path = configure(tmp_path, hum_bundle, name)
        for _ in range(6):
            process = subprocess.Popen(
                [*command, str(path), "--replay", str(recording)],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            try:
                process.wait(rng.uniform(0.2, 1.0) * seconds)
                break
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(10)
                kills += 1
        result = subprocess.run(
            [*command, str(path), "--replay", str(recording)], capture_output=True, text=True
        )
        assert result.returncode == 0, result.stderr
        assert "malformed" not in result.stderr
        got, wanted = contents(tmp_path / name), contents(tmp_path / "whole")
        assert got[:2] == wanted[:2]
        files = list((tmp_path / name / "replay" / "clips").iterdir())
        assert sorted(f.name.split("_")[0] for f in files) == sorted(
            f"{clip[0]:06d}" for clip in got[2]
        )
        for file in files:
            soundfile.read(file)


def test_exports(tmp_path: Path, hum_bundle: Path, recording: Path) -> None:
    import json

    path = configure(tmp_path, hum_bundle)
    invoke(main, "monitor", path, "--replay", recording)
    folder = ("--folder", tmp_path / "m" / "replay")
    lines = invoke(main, "history", *folder, "--kind", "windows", "--format", "jsonl").output
    rows = [json.loads(line) for line in lines.splitlines()]
    assert len(rows) == 297
    assert rows[0]["start"] == "2000-01-01T00:00:00.000Z"
    table = invoke(main, "history", *folder, "--kind", "windows", "--format", "csv").output
    assert len(table.splitlines()) == 298
    assert "sound" in invoke(main, "history", *folder).output
    out = tmp_path / "w.parquet"
    invoke(main, "history", *folder, "--kind", "windows", "--format", "parquet", "-o", out)
    parquet = pytest.importorskip("pyarrow.parquet")
    assert parquet.read_table(out).num_rows == 297


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["none.wav"], 1, "no such file"),
        (["stereo.wav"], 1, "has 8000 Hz and 2 channel(s)"),
        (["text.wav"], 1, "cannot be read as sound"),
        (["cut.wav"], 1, "is truncated: 8000 of 16000 bytes of sound are there"),
        (["."], 1, "is a folder, not a sound file"),
    ],
)
def test_recordings_that_cannot_be_played(
    tmp_path: Path, hum_bundle: Path, arguments: list[str], status: int, message: str
) -> None:
    soundfile.write(tmp_path / "stereo.wav", np.zeros((8000, 2)), 8000)
    (tmp_path / "text.wav").write_text("no sound")
    soundfile.write(tmp_path / "cut.wav", np.full(8000, 0.1), 8000)
    (tmp_path / "cut.wav").write_bytes((tmp_path / "cut.wav").read_bytes()[:-8000])
    path = configure(tmp_path, hum_bundle)
    files = [tmp_path / name for name in arguments]
    assert message in invoke(main, "monitor", path, "--replay", *files, status=status).output


def test_floats_are_played_as_a_microphone_would_give_them(tmp_path: Path) -> None:
    y = np.array([0.5, -0.25, 1.5, -2.0, 0.1], np.float32)
    soundfile.write(tmp_path / "x.wav", y, 8000, "FLOAT")
    block, end = read_files([tmp_path / "x.wav"], 8000, 1)
    assert end is None
    assert block is not None
    assert block.dtype == np.int16
    assert block[:, 0].tolist() == [16384, -8192, 32767, -32768, 3277]
