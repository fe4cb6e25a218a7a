"""Archives scored by real schedulers and workers in processes of their own."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from archive_rigs import Processes, killed_when, sftp
from helpers import invoke, write_tone

from asd_edge import Detector
from asd_training.archive import scoring
from asd_training.cli.data import main

distributed = pytest.importorskip("distributed", reason="the extra cluster is not installed")
pd = pytest.importorskip("pandas")

CLIPS = 120


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two machines, days in folders; one clip is damaged."""
    root = tmp_path_factory.mktemp("archive")
    store = root.parent / f"{root.name}-store"
    for i in range(4):
        write_tone(store / f"{i}.wav", 200.0 + 60 * (i == 3), seed=i)
    for i in range(CLIPS):
        path = (
            root / ("fan", "fan 2")[i % 2] / f"2026-11-{1 + i % 3:02d}" / f"section_00_{i:04d}.wav"
        )
        path.parent.mkdir(parents=True, exist_ok=True)
        os.link(store / f"{i % 4}.wav", path)
    bad = root / "fan" / "2026-11-01" / "section_00_0000.wav"
    bad.unlink()
    bad.write_bytes(b"junk")
    return root


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[Processes]:
    running = Processes(tmp_path)
    yield running
    running.close()


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scoring, "PART_CLIPS", 4)


def rows_of(folder: Path) -> Any:
    return pd.read_parquet(folder).sort_values("clip", ignore_index=True)


def check(rows: Any, archive: Path, bundle: Path) -> None:
    """Every clip is there once, with what `Detector.score` says of it."""
    names = sorted(path.relative_to(archive).as_posix() for path in archive.rglob("*.wav"))
    assert rows["clip"].tolist() == names
    bad = rows[rows["outcome"] == "unreadable"]
    assert bad["clip"].tolist() == ["fan/2026-11-01/section_00_0000.wav"]
    assert "cannot be read as sound" in bad["reason"].iloc[0]
    assert set(rows["machine"]) == {"fan", "fan 2"}
    assert set(rows["section"]) == {"00", ""}  # text
    detector = Detector.load(bundle)
    for row in rows[rows["outcome"] != "unreadable"].iloc[::17].itertuples():
        decision = detector.score(archive / row.clip)
        assert (row.score, row.anomalous) == (decision.score, decision.anomalous)
        assert row.day == Path(row.clip).parent.name


def test_this_computer_and_again(tmp_path: Path, archive: Path, tiny_bundle: Path) -> None:
    """The second time nothing is computed; a changed clip is, and a removed one goes."""
    own, out = tmp_path / "own", tmp_path / "scores"
    shutil.copytree(archive, own)
    arguments = ("score", own, "--bundle", tiny_bundle, "-o", out, "--workers", 1)
    said = invoke(main, *arguments, status=1).stderr
    assert f"{CLIPS} clips in 6 parts;" in said
    assert f"1 of {CLIPS} clips could not be scored" in said
    check(rows_of(out), own, tiny_bundle)
    said = invoke(main, *arguments, status=1).stderr
    assert f"{CLIPS} clips in 6 parts, of which 6 were there already" in said
    shutil.copy(
        own / "fan/2026-11-03/section_00_0002.wav", own / "fan/2026-11-01/section_00_0000.wav"
    )
    (own / "fan 2/2026-11-01/section_00_0003.wav").unlink()
    said = invoke(main, *arguments).stderr
    assert f"{CLIPS - 1} clips in 6 parts, of which 4 were there already" in said
    assert len(rows_of(out)) == CLIPS - 1


def test_tasks_get_smaller(
    tmp_path: Path, archive: Path, tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that workers end together: none waits for another's last task of a thousand clips."""
    sizes = list[int]()
    submit = scoring.Pool.submit

    def watched(pool: Any, part: Any, items: Any, most: int) -> None:
        sizes.append(most)
        submit(pool, part, items, most)

    monkeypatch.setattr(scoring.Pool, "submit", watched)
    monkeypatch.setattr(scoring, "_LEAST", 2)
    arguments = ("score", archive, "--bundle", tiny_bundle, "-o", tmp_path / "scores")
    invoke(main, *arguments, "--workers", 1, status=1)
    assert sizes == [30, 25, 20, 15, 10, 5]  # a quarter of 120, 100, ... clips
    assert len(rows_of(tmp_path / "scores")) == CLIPS


def test_a_worker_is_killed(
    tmp_path: Path, archive: Path, tiny_bundle: Path, processes: Processes, small_parts: None
) -> None:
    """Nothing is lost and nothing is there twice."""
    address, out = processes.scheduler(), tmp_path / "scores"
    victim, _ = processes.worker(address), processes.worker(address)

    arguments = ("score", archive, "--bundle", tiny_bundle, "-o", out, "--scheduler", address)
    with killed_when(lambda: any(out.rglob("part-*.parquet")), victim):
        invoke(main, *arguments, status=1)
    check(rows_of(out), archive, tiny_bundle)


def test_a_clip_that_kills_every_worker(
    tmp_path: Path,
    archive: Path,
    tiny_bundle: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It gets a row that says so, the clips beside it their scores."""
    folder, deadly = archive / "fan" / "2026-11-01", "section_00_0006.wav"
    monkeypatch.setattr(scoring, "PART_CLIPS", 2)
    monkeypatch.setattr(scoring, "score_clips", _die_at(deadly))
    out = tmp_path / "scores"
    arguments = ("score", folder, "--bundle", tiny_bundle, "-o", out, "--workers", 1)
    invoke(main, *arguments, status=1)
    rows = rows_of(out)
    assert len(rows) == CLIPS // 6
    failed = rows[rows["outcome"] == "failed"]
    assert failed["clip"].tolist() == [deadly]
    assert failed["kind"].tolist() == ["worker_died"]


def _die_at(name: str) -> Any:
    def score_clips(job: Any, clips: Any) -> Any:
        import os

        from asd_training.archive.worker import score_clips

        if any(clip.name == name for clip in clips):
            os._exit(1)
        return score_clips(job, clips)

    return score_clips


def test_s3_to_s3(
    archive: Path, tiny_bundle: Path, processes: Processes, monkeypatch: pytest.MonkeyPatch
) -> None:
    s3fs = pytest.importorskip("s3fs")
    pytest.importorskip("moto.server")
    endpoint = processes.s3_for(monkeypatch)
    fs = s3fs.S3FileSystem(endpoint_url=endpoint)
    fs.mkdir("recordings")
    fs.put(f"{archive}/fan", "recordings/fan", recursive=True)
    arguments = ("score", "s3://recordings", "--bundle", tiny_bundle, "--workers", 1)
    invoke(main, *arguments, "-o", "s3://recordings/scores", status=1)
    said = invoke(main, *arguments, "-o", "s3://recordings/scores", status=1).stderr
    assert f"{CLIPS // 2} clips in 3 parts, of which 3 were there already" in said
    fs.invalidate_cache()
    rows = pd.read_parquet("s3://recordings/scores", storage_options={"endpoint_url": endpoint})
    local = Detector.load(tiny_bundle).score(archive / "fan/2026-11-03/section_00_0002.wav")
    here = rows[rows["clip"] == "fan/2026-11-03/section_00_0002.wav"].iloc[0]
    assert here["score"] == local.score
    assert np.isnan(rows.loc[rows["outcome"] == "unreadable", "score"]).all()


def assert_fan_is_scored(out: Path, archive: Path, bundle: Path) -> None:
    """Every clip of the fan has its row, and a clip that came from far its score."""
    rows = rows_of(out)
    assert len(rows) == CLIPS // 2
    assert rows.loc[rows["outcome"] == "unreadable", "clip"].tolist() == [
        "2026-11-01/section_00_0000.wav"
    ]
    here = rows[rows["clip"] == "2026-11-03/section_00_0002.wav"].iloc[0]
    local = Detector.load(bundle).score(archive / "fan/2026-11-03/section_00_0002.wav")
    assert here["score"] == local.score


def test_from_http(tmp_path: Path, archive: Path, tiny_bundle: Path, processes: Processes) -> None:
    pytest.importorskip("aiohttp")
    address, out = processes.http(archive), tmp_path / "scores"
    arguments = ("score", f"{address}/fan/", "--bundle", tiny_bundle, "-o", out, "--workers", 1)
    invoke(main, *arguments, status=1)
    assert_fan_is_scored(out, archive, tiny_bundle)


def test_from_sftp(tmp_path: Path, archive: Path, tiny_bundle: Path) -> None:
    pytest.importorskip("paramiko")
    out = tmp_path / "scores"
    with sftp(archive) as url:
        arguments = ("--bundle", tiny_bundle, "-o", out, "--workers", 1)
        invoke(main, "score", f"{url}/fan", *arguments, status=1)
        again = invoke(main, "score", f"{url}/fan", *arguments, status=1).stderr
        wrong = url.replace("secret", "guess")
        refused = invoke(main, "score", f"{wrong}/fan", *arguments, status=1).stderr
    assert "3 parts, of which 3 were there already" in again
    assert refused.count("\n") == 1
    assert "Authentication failed" in refused
    assert_fan_is_scored(out, archive, tiny_bundle)
    assert "secret" not in (out / "_scores.json").read_text()


def test_what_is_refused(tmp_path: Path, archive: Path, tiny_bundle: Path) -> None:
    """Scores of two settings are never mixed, and a folder of somebody else is left alone."""
    folder, out = archive / "fan 2" / "2026-11-01", tmp_path / "scores"
    common = ("score", folder, "--bundle", tiny_bundle, "-o")
    invoke(main, *common, out, "--workers", 1)
    said = invoke(main, *common, out, "--false-alarm-rate", 0.1, status=1).stderr
    assert "holds scores of another false alarm rate" in said
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").touch()
    said = invoke(main, *common, tmp_path / "mine", status=1).stderr
    assert "is no data set of scores and not empty" in said
    nobody = ("--scheduler", "tcp://127.0.0.1:9")
    said = invoke(main, *common, tmp_path / "x", *nobody, status=1).stderr
    assert "the scheduler does not answer" in said
    assert len(said.splitlines()) == 1
