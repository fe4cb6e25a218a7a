from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import pytest

from asd_edge.errors import AsdError, MissingFileError
from asd_training.data.clips import Clip, copies, equal_clips, find_clips
from asd_training.errors import DatasetError


def touch(root: Path, names: Iterable[str]) -> Path:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return root


def told(clips: list[Clip]) -> dict[str, tuple[str, str, str, str, str]]:
    return {c.name: (c.machine, c.section, c.domain, c.split, c.label) for c in clips}


def test_dcase_2020(tmp_path: Path) -> None:
    touch(
        tmp_path,
        [
            "dev_data/fan/train/normal_id_00_00000000.wav",
            "dev_data/fan/test/normal_id_00_00000001.wav",
            "dev_data/fan/test/anomaly_id_00_00000000.wav",
            "eval_data/fan/test/id_01_00000000.wav",
            "dev_data/ToyConveyor/train/normal_id_01_00000000.wav",
        ],
    )
    clips = find_clips(tmp_path)
    assert told(clips) == {
        "dev_data/ToyConveyor/train/normal_id_01_00000000.wav": (
            *("ToyConveyor", "01", "", "train", "normal"),
        ),
        "dev_data/fan/test/anomaly_id_00_00000000.wav": ("fan", "00", "", "test", "anomaly"),
        "dev_data/fan/test/normal_id_00_00000001.wav": ("fan", "00", "", "test", "normal"),
        "dev_data/fan/train/normal_id_00_00000000.wav": ("fan", "00", "", "train", "normal"),
        "eval_data/fan/test/id_01_00000000.wav": ("fan", "01", "", "test", "unknown"),
    }
    assert [clip.name for clip in clips] == sorted(clip.name for clip in clips)
    assert all(clip.path == tmp_path / clip.name and clip.path.is_file() for clip in clips)
    assert {clip.machine for clip in find_clips(tmp_path)} == {"ToyConveyor", "fan"}
    assert find_clips(tmp_path, "fan") == [clip for clip in clips if clip.machine == "fan"]


# What is told must not depend on where in the tree one points.
@pytest.mark.parametrize("part", ["", "dev_data", "dev_data/fan", "dev_data/fan/source_test"])
def test_dcase_2021_from_any_level(tmp_path: Path, part: str) -> None:
    full = {
        "dev_data/fan/train/section_00_source_train_normal_0000_A1Spd28VMic1.wav": (
            *("fan", "00", "source", "train", "normal"),
        ),
        "dev_data/fan/source_test/section_00_source_test_anomaly_0000.wav": (
            *("fan", "00", "source", "test", "anomaly"),
        ),
        "dev_data/fan/target_test/section_01_target_test_normal_0000.wav": (
            *("fan", "01", "target", "test", "normal"),
        ),
        "dev_data/fan/source_test/section_03_source_test_0000.wav": (
            *("fan", "03", "source", "test", "unknown"),
        ),
    }
    touch(tmp_path, full)
    clips = find_clips(tmp_path / part)
    prefix = f"{part}/" if part else ""
    expected = {n.removeprefix(prefix): v for n, v in full.items() if n.startswith(prefix)}
    assert told(clips) == expected
    attributes = {clip.attributes for clip in clips if clip.split == "train"}
    assert attributes <= {"A1Spd28VMic1"}


def test_the_folder_tells_what_the_name_does_not(tmp_path: Path) -> None:
    touch(
        tmp_path / "fan",
        [
            "target_test/section_03_0000.wav",
            "test/section_00_0001.wav",
            "section_00_0002.wav",
            "test/section_00_source_train_normal_0003.wav",  # the name wins
            "train/section_00_supplement_noise_0000.wav",
            "supplemental/section_00_source_train_normal_0009.wav",
        ],
    )
    assert told(find_clips(tmp_path)) == {
        "fan/target_test/section_03_0000.wav": ("fan", "03", "target", "test", "unknown"),
        "fan/test/section_00_0001.wav": ("fan", "00", "", "test", "unknown"),
        "fan/section_00_0002.wav": ("fan", "00", "", "test", "unknown"),
        "fan/test/section_00_source_train_normal_0003.wav": (
            *("fan", "00", "source", "train", "normal"),
        ),
    }


@pytest.mark.parametrize("above", ["", "6_dB_fan/"])
def test_mimii(tmp_path: Path, above: str) -> None:
    folder = f"{above}fan/id_00"
    touch(tmp_path, [f"{folder}/normal/{i:08d}.wav" for i in range(10)])
    touch(tmp_path, [f"{folder}/abnormal/{i:08d}.wav" for i in range(3)])
    touch(tmp_path, [f"{above}fan/id_02/normal/{i:08d}.wav" for i in range(4)])
    clips = find_clips(tmp_path)
    assert {(c.machine, c.domain) for c in clips} == {("fan", "")}
    assert Counter((c.section, c.split, c.label) for c in clips) == {
        ("00", "test", "normal"): 3,
        ("00", "test", "anomaly"): 3,
        ("00", "train", "normal"): 7,
        ("02", "train", "normal"): 4,
    }
    # The baseline's own rule: the first of the sorted normals are held out.
    held_out = [c.name for c in clips if (c.split, c.label) == ("test", "normal")]
    assert held_out == [f"{folder}/normal/{i:08d}.wav" for i in range(3)]


def test_at_most_half_of_the_normals_are_held_out(tmp_path: Path) -> None:
    touch(tmp_path, [f"fan/id_00/normal/{i:08d}.wav" for i in range(5)])
    touch(tmp_path, [f"fan/id_00/abnormal/{i:08d}.wav" for i in range(50)])
    counts = Counter((c.split, c.label) for c in find_clips(tmp_path))
    assert counts == {("test", "normal"): 2, ("train", "normal"): 3, ("test", "anomaly"): 50}


def test_each_folder_of_a_section_is_split_alone(tmp_path: Path) -> None:
    for level in ("dev_data", "eval_data"):
        touch(tmp_path, [f"{level}/fan/id_00/normal/{i:08d}.wav" for i in range(4)])
        touch(tmp_path, [f"{level}/fan/id_00/abnormal/00000000.wav"])
    held_out = [c.name for c in find_clips(tmp_path) if (c.split, c.label) == ("test", "normal")]
    assert held_out == [
        "dev_data/fan/id_00/normal/00000000.wav",
        "eval_data/fan/id_00/normal/00000000.wav",
    ]


@pytest.mark.parametrize("bad", ["anomaly", "anomalous", "abnormal", "Anomaly"])
def test_plain_folders(tmp_path: Path, bad: str) -> None:
    root = touch(tmp_path / "press", ["normal/a.wav", "normal/b c.flac", f"{bad}/x.mp3"])
    assert told(find_clips(root)) == {
        "normal/a.wav": ("press", "00", "", "test", "normal"),
        "normal/b c.flac": ("press", "00", "", "train", "normal"),
        f"{bad}/x.mp3": ("press", "00", "", "test", "anomaly"),
    }


def test_plain_folders_per_section(tmp_path: Path) -> None:
    root = touch(
        tmp_path / "press", ["slow/normal/a.wav", "fast/normal/a.wav", "fast/anomaly/x.wav"]
    )
    assert {(c.machine, c.section, c.label) for c in find_clips(root)} == {
        ("press", "slow", "normal"),
        ("press", "fast", "normal"),
        ("press", "fast", "anomaly"),
    }
    # The same seen from above, and one of them alone.
    assert {(c.machine, c.section) for c in find_clips(tmp_path)} == {
        ("press", "slow"),
        ("press", "fast"),
    }
    assert {(c.machine, c.section) for c in find_clips(root / "fast")} == {("fast", "00")}
    with pytest.raises(DatasetError, match=r"no machine 'fast'; it has: press .*section of it"):
        find_clips(root, "fast")


def test_plain_folders_with_a_split_of_their_own(tmp_path: Path) -> None:
    names = ["train/normal/a.wav", "test/normal/b.wav", "test/anomaly/c.wav"]
    root = touch(tmp_path / "press", names)
    assert [c.split for c in find_clips(root)] == ["test", "test", "train"]
    assert {c.section for c in find_clips(root)} == {"00"}


def test_hidden_files_and_other_files_are_ignored(tmp_path: Path) -> None:
    touch(
        tmp_path / "fan",
        [
            "train/section_00_source_train_normal_0000.wav",
            "train/._section_00_source_train_normal_0000.wav",
            ".cache/train/section_00_source_train_normal_0001.wav",
            "train/section_00_source_train_normal_0002.txt",
            "attributes_00.csv",
        ],
    )
    assert len(find_clips(tmp_path)) == 1


def test_links_are_followed_once_and_name_the_machine(tmp_path: Path) -> None:
    store = touch(tmp_path / "disk7", ["train/normal_id_00_00000000.wav"])
    data = tmp_path / "data"
    data.mkdir()
    (data / "fan").symlink_to(store)
    (store / "loop").symlink_to(store)
    assert told(find_clips(data)) == {
        "fan/train/normal_id_00_00000000.wav": ("fan", "00", "", "train", "normal")
    }
    assert find_clips(data / "fan")[0].machine == "fan"


def test_relative_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path / "fan", ["train/normal_id_00_00000000.wav"])
    monkeypatch.chdir(tmp_path / "fan" / "train")
    assert told(find_clips("..")) == {
        "train/normal_id_00_00000000.wav": ("fan", "00", "", "train", "normal")
    }
    assert told(find_clips(".")) == {
        "normal_id_00_00000000.wav": ("fan", "00", "", "train", "normal")
    }


def test_unrecognised_among_others_is_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    touch(tmp_path / "fan", ["train/normal_id_00_00000000.wav", "train/odd.wav", "train/odd2.wav"])
    with caplog.at_level(logging.WARNING):
        assert len(find_clips(tmp_path)) == 1
    assert "2 of 3" in caplog.text
    assert "fan/train/odd.wav" in caplog.text


def test_errors_say_what_is_there(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match="no such folder"):
        find_clips(tmp_path / "absent")
    with pytest.raises(DatasetError, match="no audio files"):
        find_clips(tmp_path)
    touch(tmp_path, ["recordings/monday.wav"])
    with pytest.raises(DatasetError, match=r"recordings/monday\.wav .*expected DCASE names"):
        find_clips(tmp_path)
    touch(tmp_path, ["fan/train/normal_id_00_0.wav", "pump/train/normal_id_00_0.wav"])
    with pytest.raises(DatasetError, match="no machine 'valve'; it has: fan, pump"):
        find_clips(tmp_path, "valve")
    assert issubclass(DatasetError, AsdError)


def test_real_recordings(recordings: Path) -> None:
    root = recordings / "machines"
    clips = find_clips(root)
    assert {clip.machine for clip in find_clips(root)} == {"fan", "motor"}
    fan = Counter((c.section, c.split, c.label) for c in clips if c.machine == "fan")
    # The counts are those of the folder's README.
    assert fan == {
        ("00", "train", "normal"): 12,
        ("00", "test", "normal"): 4,
        ("00", "test", "anomaly"): 10,
        ("01", "train", "normal"): 50,
        ("01", "test", "normal"): 12,
        ("01", "test", "anomaly"): 1,
    }
    motor = Counter(c.section for c in clips if (c.machine, c.split) == ("motor", "train"))
    assert motor == {"00": 6, "01": 6, "02": 4}
    assert {c.domain for c in clips} == {"source"}


def test_labelled_twins_replace_the_unlabelled_test_clips(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The organisers' script copies an evaluation set to test_rename, with labels in the names."""
    names = [f"{machine}/train/section_00_source_train_normal_0000.wav" for machine in "ab"]
    names += [f"{machine}/test/section_00_{i:04d}.wav" for machine in "ab" for i in range(2)]
    twins = [
        f"{machine}/test_rename/section_00_source_test_{label}_0000.wav"
        for machine in "ab"
        for label in ("normal", "anomaly")
    ]
    for root in (tmp_path / "data", tmp_path / "test_rename"):  # the root may have any name
        touch(root, [*names, *twins])
        assert told(find_clips(root)) == {
            **{name: (name[0], "00", "source", "train", "normal") for name in names[:2]},
            **{name: (name[0], "00", "source", "test", name.split("_")[5]) for name in twins},
        }
    assert not caplog.records
    assert len(find_clips(tmp_path / "data/a/test_rename")) == 2


@pytest.mark.parametrize("folder", ["fan/old", "fan/train/more"])
def test_an_unknown_folder_in_a_machine_is_named_and_no_machine(
    tmp_path: Path, folder: str, caplog: pytest.LogCaptureFixture
) -> None:
    touch(tmp_path, ["fan/train/section_00_source_train_normal_0000.wav"])
    touch(tmp_path, [f"{folder}/section_00_source_train_normal_0001.wav"])
    assert {clip.machine for clip in find_clips(tmp_path)} == {"fan"}
    assert f"({folder}/section_00_source_train_normal_0001.wav)" in caplog.text
    assert "no known meaning" in caplog.text


def test_a_machine_in_two_places_is_an_error_that_names_both(tmp_path: Path) -> None:
    for year in ("dcase2020t2", "dcase2022t2"):
        touch(tmp_path / "years" / year, ["fan/train/section_00_source_train_normal_0000.wav"])
    with pytest.raises(DatasetError, match="'fan' in 2 places, dcase2020t2/fan and dcase2022t2"):
        find_clips(tmp_path / "years")
    assert len(find_clips(tmp_path / "years/dcase2020t2")) == 1
    for snr in ("0_dB_fan", "6_dB_fan"):
        touch(tmp_path / "mimii" / snr, ["fan/id_00/normal/00000000.wav"])
    with pytest.raises(DatasetError, match="0_dB_fan/fan and 6_dB_fan/fan"):
        find_clips(tmp_path / "mimii")
    touch(tmp_path / "mimii", ["0_dB_pump/pump/id_00/normal/00000000.wav"])
    assert len(find_clips(tmp_path / "mimii", "pump")) == 1  # the one that is asked for is not


def test_second_copies_of_a_name_are_dropped_or_refused(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The tree of 2021 has some clips in source_test and in test."""
    name = "section_00_source_test_normal_0000.wav"
    touch(tmp_path, [f"fan/source_test/{name}", f"fan/test/{name}"])
    (clip,) = find_clips(tmp_path)
    assert clip.name == f"fan/source_test/{name}"
    assert f"(fan/test/{name})" in caplog.text
    (tmp_path / "fan/test" / name).write_bytes(b"other")
    with pytest.raises(DatasetError, match="two different clips of one name"):
        find_clips(tmp_path)


def test_links_are_followed_each_time_but_not_in_circles(tmp_path: Path) -> None:
    touch(tmp_path / "store", ["train/section_00_source_train_normal_0000.wav"])
    data = tmp_path / "data"
    data.mkdir()
    for machine in ("fanA", "fanB"):
        (data / machine).symlink_to(tmp_path / "store")
    (tmp_path / "store" / "again").symlink_to(data)
    assert sorted(clip.machine for clip in find_clips(data)) == ["fanA", "fanB"]


def test_a_file_name_that_is_no_utf_8(tmp_path: Path) -> None:
    folder = tmp_path / "fan" / "normal"
    folder.mkdir(parents=True)
    path = folder / os.fsdecode(b"k\xfchler.wav")
    path.touch()
    (clip,) = find_clips(tmp_path)
    assert clip.name == "fan/normal/k\\xfchler.wav"
    assert clip.path == path


def test_equal_clips(tmp_path: Path) -> None:
    touch(tmp_path, ["fan/train/section_00_source_train_normal_0000.wav"])
    touch(tmp_path, [f"fan/test/section_00_source_test_normal_{i:04d}.wav" for i in range(3)])
    clips = find_clips(tmp_path)
    contents = (b"a" * 9999, b"b" * 9999, b"a" * 9998 + b"c", b"a" * 9999)
    for clip, content in zip(clips, contents, strict=True):
        clip.path.write_bytes(content)
    test = [clip for clip in clips if clip.split == "test"]
    train = [clip for clip in clips if clip.split == "train"]
    # Sorted by name: the test clips are first; the third differs in its last byte alone.
    assert equal_clips(train, test) == [(train[0], test[0])]
    assert equal_clips(test, train) == [(test[0], train[0])]
    assert copies(clips) == [(train[0], test[0])]
    assert copies(test) == []
