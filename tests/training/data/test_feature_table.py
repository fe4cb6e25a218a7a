"""The feature table is complete, resumable and never stale."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile
from helpers import write_tone

from asd_edge import Detector
from asd_edge.enrolment.recordings import Clip, embed_recording
from asd_edge.errors import MissingFileError
from asd_edge.frontend.mel import MelConfig
from asd_edge.frontend.windows import FrontEnd
from asd_training.data import feature_table
from asd_training.data.clips import find_clips
from asd_training.data.feature_table import load, update
from asd_training.errors import DatasetError

FRONT_END = FrontEnd(MelConfig(sr=8000, n_fft=256, hop_length=128, n_mels=16), clip_seconds=0.6)


@pytest.fixture
def data(tmp_path: Path, tiny_data: Path) -> Path:
    return Path(shutil.copytree(tiny_data, tmp_path / "data"))


def test_rows_are_what_the_front_end_gives(tmp_path: Path, data: Path) -> None:
    path = tmp_path / "features.parquet"
    clips = find_clips(data)
    assert update(path, clips, FRONT_END).computed == len(clips)
    table = load(path)
    assert table.front_end == FRONT_END
    assert table.clips["clip"].tolist() == [clip.name for clip in clips]
    assert table.features.shape == (3 * len(clips), *FRONT_END.shape)
    for row in (0, 7, len(clips) - 1):
        y, _ = soundfile.read(clips[row].path, dtype="float32")
        np.testing.assert_array_equal(table.windows(row), FRONT_END.all_features(y))
        for name in ("machine", "section", "domain", "split", "label", "attributes"):
            assert table.clips[name][row] == getattr(clips[row], name)
    subset = table.take(table.clips["section"] == "01")
    row = int(np.flatnonzero(table.clips["section"] == "01")[4])
    np.testing.assert_array_equal(subset.windows(4), table.windows(row))


def test_only_what_changed_is_computed_again(tmp_path: Path, data: Path) -> None:
    path = tmp_path / "features.parquet"
    clips = find_clips(data)
    update(path, clips, FRONT_END)
    before = path.stat().st_mtime_ns
    again = update(path, clips, FRONT_END)
    assert (again.computed, again.kept) == (0, len(clips))
    assert path.stat().st_mtime_ns == before

    # Another sound of the same size and time stamp, one clip less, one more.
    changed, gone = clips[3], clips[5]
    stamp = changed.path.stat()
    write_tone(changed.path, 777, seed=9)
    assert changed.path.stat().st_size == stamp.st_size
    os.utime(changed.path, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    gone.path.unlink()
    write_tone(changed.path.with_name("section_00_source_train_normal_0099.wav"), 200, seed=99)
    clips = find_clips(data)
    third = update(path, clips, FRONT_END)
    assert (third.computed, third.kept) == (2, len(clips) - 2)
    table = load(path)
    assert table.clips["clip"].tolist() == [clip.name for clip in clips]
    for row in range(len(clips)):
        y, _ = soundfile.read(clips[row].path, dtype="float32")
        np.testing.assert_array_equal(table.windows(row), FRONT_END.all_features(y))


def test_another_front_end_or_version_makes_all_anew(
    tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "features.parquet"
    clips = find_clips(data)
    update(path, clips, FRONT_END)
    other = FrontEnd(FRONT_END.mel, clip_seconds=0.25)
    assert update(path, clips, other).computed == len(clips)
    assert load(path).front_end == other
    monkeypatch.setattr("asd_edge.frontend.windows.VERSION", 2)
    assert update(path, clips, other).computed == len(clips)


def test_an_interrupted_update_goes_on_where_it_stopped(
    tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "features.parquet"
    clips = find_clips(data)
    monkeypatch.setattr(feature_table, "_PART_CLIPS", 5)
    done = 0

    def stop_after_12(count: int) -> None:
        nonlocal done
        done += count
        if done > 12:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        update(path, clips, FRONT_END, advance=stop_after_12)
    assert not path.exists()
    result = update(path, clips, FRONT_END)
    assert (result.computed, result.kept) == (len(clips) - 15, 15)
    whole = tmp_path / "whole.parquet"
    update(whole, clips, FRONT_END)
    np.testing.assert_array_equal(load(path).features, load(whole).features)
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "data",
        "features.parquet",
        "whole.parquet",
    ]


def test_a_clip_that_moves_to_another_split_is_told_anew(tmp_path: Path, data: Path) -> None:
    path = tmp_path / "features.parquet"
    clips = find_clips(data)
    update(path, clips, FRONT_END)
    moved = [replace(clips[0], split="train", label="unknown"), *clips[1:]]
    assert update(path, moved, FRONT_END).computed == 0
    rows = load(path).clips
    assert (rows["split"][0], rows["label"][0]) == ("train", "unknown")


def test_unreadable_clips_are_reported_and_the_rest_kept(tmp_path: Path, data: Path) -> None:
    path = tmp_path / "features.parquet"
    clips = find_clips(data)
    clips[2].path.write_bytes(b"junk")
    result = update(path, clips, FRONT_END)
    assert [str(clips[2].path) in str(failure) for failure in result.failures] == [True]
    assert len(load(path)) == len(clips) - 1


def test_parquet_is_plain(tmp_path: Path, data: Path) -> None:
    """Anyone can read it: one row a clip, features as a list of float."""
    path = tmp_path / "features.parquet"
    clips = find_clips(data)
    update(path, clips, FRONT_END)
    table = pq.read_table(path)
    assert table.num_rows == len(clips)
    row = table.slice(0, 1).to_pylist()[0]
    assert len(row["features"]) == row["n_windows"] * np.prod(FRONT_END.shape)


def test_wrong_files(tmp_path: Path, data: Path) -> None:
    with pytest.raises(MissingFileError):
        load(tmp_path / "none.parquet")
    (tmp_path / "junk.parquet").write_bytes(b"junk")
    with pytest.raises(DatasetError, match="not a feature table"):
        load(tmp_path / "junk.parquet")
    update(tmp_path / "features.parquet", find_clips(data), FRONT_END)
    with pytest.raises(DatasetError, match="no training clips of machine 'pump'"):
        load(tmp_path / "features.parquet", "pump", "train")


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("machine", "../outside", "no name of a folder"),
        ("machine", "/etc", "no name of a folder"),
        ("split", "trian", "value 'trian'"),
        ("label", "broken", "value 'broken'"),
        ("n_windows", 2, "features in its 2 windows"),
        ("n_windows", -1, "no numbers from 1"),
        ("section", None, "no text"),
        ("clip", "same", "there twice"),
    ],
)
def test_a_table_is_checked_like_any_outside_input(
    tmp_path: Path, data: Path, column: str, value: object, message: str
) -> None:
    path = tmp_path / "features.parquet"
    update(path, find_clips(data), FRONT_END)
    table = pq.read_table(path)
    i = table.schema.get_field_index(column)
    values = pa.array([value] * len(table), table.schema.field(i).type)
    pq.write_table(table.set_column(i, table.schema.field(i), values), path)
    with pytest.raises(DatasetError, match=message):
        load(path)


def test_features_that_are_not_finite_and_columns_that_are_missing(
    tmp_path: Path, data: Path
) -> None:
    path = tmp_path / "features.parquet"
    update(path, find_clips(data), FRONT_END)
    table = pq.read_table(path)
    pq.write_table(table.drop(["digest"]), path)
    with pytest.raises(DatasetError, match="column digest: is missing"):
        load(path)
    rows = [[float("nan")] * len(row) for row in table["features"].to_pylist()]
    nan = pa.array(rows, table.schema.field("features").type)
    pq.write_table(
        table.set_column(table.schema.get_field_index("features"), "features", nan), path
    )
    with pytest.raises(DatasetError, match="NaN or infinite"):
        load(path)


def test_two_processes_update_one_table_in_turn(tmp_path: Path, data: Path) -> None:
    path = tmp_path / "features.parquet"
    program = f"""
from asd_training.data.clips import find_clips
from asd_training.data.feature_table import update
from asd_edge.frontend.mel import MelConfig
from asd_edge.frontend.windows import FrontEnd
front_end = {FRONT_END!r}
for i in range(6):  # each time other rows, so that each time the table is written
    update({str(path)!r}, find_clips({str(data)!r})[i % 2 :: 2], front_end)
update({str(path)!r}, find_clips({str(data)!r}), front_end)
"""
    running = [
        subprocess.Popen([sys.executable, "-c", program], stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    for process in running:
        _, errors = process.communicate()
        assert process.returncode == 0, errors
    assert len(load(path)) == len(find_clips(data))
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".")] == []


def test_a_long_training_recording_is_cut_as_enrolment_cuts_it(
    tmp_path: Path, tiny_bundle: Path
) -> None:
    """Of 3.5 windows there are three clips; a test recording stays whole, and so does a short."""
    detector = Detector.load(tiny_bundle)
    front_end = detector.front_end
    name = "section_00_source_{}_normal_0000.wav".format
    train = tmp_path / "data" / "hummer" / "train" / name("train")
    test = tmp_path / "data" / "hummer" / "test" / name("test")
    write_tone(train, 200, seed=1, seconds=3.5)
    write_tone(test, 200, seed=2, seconds=3.5)
    write_tone(train.with_name("section_00_source_train_normal_0001.wav"), 200, seed=3, seconds=1.9)
    path = tmp_path / "features.parquet"
    update(path, find_clips(tmp_path / "data"), front_end)
    rows = pd.DataFrame(dict(load(path).clips))
    enrolled = [clip for clip in embed_recording(detector, train, "00") if isinstance(clip, Clip)]
    pieces = rows[rows["recording"] == f"hummer/train/{train.name}"]
    assert pieces["clip"].tolist() == [f"hummer/train/{clip.name}" for clip in enrolled]
    assert pieces["start_s"].tolist() == [clip.start_s for clip in enrolled] == [0.0, 1.0, 2.0]
    assert pieces["level_db"].tolist() == [clip.level_db for clip in enrolled]
    y, sr = soundfile.read(train, dtype="float32")
    for row, piece in pieces.iterrows():
        start = round(piece["start_s"] * sr)
        expected = front_end.features(y[start : start + front_end.n_samples])
        np.testing.assert_array_equal(load(path).windows(row), expected[np.newaxis])
    whole = rows[~rows.index.isin(pieces.index)]
    assert (whole["clip"] == whole["recording"]).all()
    assert whole["n_windows"].tolist() == [6, 3]

    # Moved to the other split, it is computed anew: there it is another set of clips.
    moved = [replace(clip, split="test") for clip in find_clips(tmp_path / "data")]
    assert update(path, moved, front_end).computed == 1
    assert load(path).clips["clip"].tolist() == [clip.name for clip in moved]


def test_a_clip_without_features_is_a_row_with_the_reason(tmp_path: Path, data: Path) -> None:
    path = tmp_path / "features.parquet"
    clips = find_clips(data)
    clips[2].path.write_bytes(b"junk")
    write_tone(clips[4].path, 200, seed=1, seconds=0.02)
    first = update(path, clips, FRONT_END)
    rows = pq.read_table(path).to_pandas().set_index("clip")
    assert rows.loc[clips[2].name, "reason"].startswith("cannot be read as sound")
    assert rows.loc[clips[4].name, "kind"] == "too_short"
    assert len(rows) == len(clips)
    assert (rows["n_windows"] == 0).sum() == len(load(path).failures) == 2
    before = path.stat().st_mtime_ns
    again = update(path, clips, FRONT_END)
    assert (first.computed, again.computed, again.kept) == (len(clips) - 2, 0, len(clips) - 2)
    assert again.failures == first.failures
    assert path.stat().st_mtime_ns == before  # what failed by its content is not tried again
    write_tone(clips[2].path, 200, seed=2)
    assert update(path, clips, FRONT_END).computed == 1
    assert [failure.clip for failure in load(path).failures] == [clips[4].name]
