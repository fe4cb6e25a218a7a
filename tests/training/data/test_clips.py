from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import pytest

from asd_edge.errors import AsdError, MissingFileError
from asd_training.data.clips import Clip, find_clips, machines
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
    assert machines(tmp_path) == ["ToyConveyor", "fan"]
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
    for level in ("-6_dB_fan", "0_dB_fan"):
        touch(tmp_path, [f"{level}/fan/id_00/normal/{i:08d}.wav" for i in range(4)])
        touch(tmp_path, [f"{level}/fan/id_00/abnormal/00000000.wav"])
    held_out = [c.name for c in find_clips(tmp_path) if (c.split, c.label) == ("test", "normal")]
    assert held_out == [
        "-6_dB_fan/fan/id_00/normal/00000000.wav",
        "0_dB_fan/fan/id_00/normal/00000000.wav",
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
    assert machines(root) == ["fan", "motor"]
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
