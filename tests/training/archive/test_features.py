"""Features computed by workers in processes of their own are those of threads in this one."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from archive_rigs import Processes
from helpers import invoke, write_tone

from asd_training import presets
from asd_training.cli.data import main
from asd_training.data import feature_table
from asd_training.data.clips import find_clips
from asd_training.data.feature_rows import Computed, Wanted
from asd_training.data.feature_table import load, update

pytest.importorskip("distributed", reason="the extra cluster is not installed")


@pytest.fixture
def data(tmp_path: Path, tiny_data: Path) -> Path:
    """The tiny data set with a long recording and a damaged one."""
    root = Path(shutil.copytree(tiny_data, tmp_path / "data"))
    train = root / "hummer" / "train"
    write_tone(train / "section_00_source_train_normal_0050.wav", 200, seed=50, seconds=3.5)
    (train / "section_00_source_train_normal_0051.wav").write_bytes(b"junk")
    return root


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[Processes]:
    running = Processes(tmp_path)
    yield running
    running.close()


def same(path: Path, other: Path) -> None:
    a, b = load(path), load(other)
    assert a.front_end == b.front_end
    assert a.clips.keys() == b.clips.keys()
    for name, values in a.clips.items():
        np.testing.assert_array_equal(values, b.clips[name])
    np.testing.assert_array_equal(a.features, b.features)
    assert [(f.clip, f.reason) for f in a.failures] == [(f.clip, f.reason) for f in b.failures]
    assert pq.read_schema(path).equals(pq.read_schema(other), check_metadata=True)


def test_a_cluster_makes_the_same_table(
    tmp_path: Path,
    data: Path,
    tiny_preset: Path,
    processes: Processes,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With a worker that is killed in the middle; the second time nothing is computed."""
    here, path = tmp_path / "here.parquet", tmp_path / "features.parquet"
    clips = find_clips(data)
    update(here, clips, presets.load(str(tiny_preset)).front_end)
    monkeypatch.setattr(feature_table, "_PART_CLIPS", 2)
    address = processes.scheduler()
    victim, _ = processes.worker(address), processes.worker(address)

    arguments = ("features", data, "-o", path, "--preset", tiny_preset, "--scheduler", address)
    save = feature_table._Updating._save

    def kill_and_save(*given: Any) -> None:
        victim.kill()
        save(*given)

    monkeypatch.setattr(feature_table._Updating, "_save", kill_and_save)
    said = invoke(main, *arguments, status=1).stderr
    assert victim.wait() == -signal.SIGKILL
    same(path, here)
    assert f"{len(clips) - 1} clips computed, 0 unchanged" in said
    assert f"Error: {data}/hummer/train/section_00_source_train_normal_0051.wav: cannot be" in said
    assert f"1 of {len(clips)} clips could not be used" in said
    assert (
        f"0 clips computed, {len(clips) - 1} unchanged" in invoke(main, *arguments, status=1).stderr
    )
    same(path, here)


def test_a_clip_that_kills_every_worker(
    tmp_path: Path, data: Path, tiny_preset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It alone gets a row that says so, is tried again the next time, and then is there."""
    shutil.rmtree(data / "hummer" / "test")
    deadly = "hummer/train/section_01_source_train_normal_0003_rpm_1000.wav"
    path = tmp_path / "features.parquet"
    arguments = ("features", data, "-o", path, "--preset", tiny_preset, "--workers", 1)
    with monkeypatch.context() as patch:
        patch.setattr(feature_table, "compute", _die_at(deadly))
        invoke(main, *arguments, status=1)
    died = {failure.clip: failure.kind for failure in load(path).failures}
    assert died[deadly] == "worker_died"
    assert len(died) == 2
    assert "1 clips computed" in invoke(main, *arguments, status=1).stderr
    assert deadly in load(path).clips["clip"].tolist()


def _die_at(name: str) -> Any:
    def compute(front_end: Any, batch: Sequence[Wanted]) -> Computed:
        from asd_training.data.feature_rows import compute

        if any(wanted.clip.name == name for wanted in batch):
            os._exit(1)
        return compute(front_end, batch)

    return compute


def test_from_s3(
    tmp_path: Path,
    data: Path,
    tiny_preset: Path,
    processes: Processes,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    s3fs = pytest.importorskip("s3fs")
    pytest.importorskip("moto.server")
    fs = s3fs.S3FileSystem(endpoint_url=processes.s3_for(monkeypatch))
    fs.mkdir("plant")
    fs.put(str(data), "plant/data", recursive=True)
    here, path = tmp_path / "here.parquet", tmp_path / "features.parquet"
    update(here, find_clips(data), presets.load(str(tiny_preset)).front_end)
    arguments = ("features", "s3://plant/data", "-o", path, "--preset", tiny_preset)
    said = invoke(main, *arguments, "--workers", 1, status=1).stderr
    assert "Error: s3://plant/data/hummer/train/section_00_source_train_normal_0051.wav" in said
    same(path, here)


def test_a_server_that_is_not_there(
    tmp_path: Path, tiny_preset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One line names it, for the archive and for the scores."""
    s3fs = pytest.importorskip("s3fs")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "x")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    s3fs.S3FileSystem.clear_instance_cache()
    for url in ("s3://plant/data", "http://127.0.0.1:9/data/"):
        said = invoke(main, "features", url, "-o", tmp_path / "f.parquet", status=1).stderr
        assert "cannot be reached" in said
        assert len(said.splitlines()) == 1


def test_a_protocol_whose_package_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One line names the package and how to get it."""
    import fsspec

    def missing(url: str, **options: Any) -> None:
        raise ImportError("Install s3fs to access S3")

    monkeypatch.setattr(fsspec.core, "url_to_fs", missing)
    for url, package in (("s3://b/x", "s3fs"), ("sftp://h/x", "paramiko")):
        said = invoke(main, "features", url, "-o", tmp_path / "f.parquet", status=1).stderr
        assert f"{package} is not installed; to install it:" in said
        assert "asd-edge[cluster]" in said
        assert len(said.splitlines()) == 1
