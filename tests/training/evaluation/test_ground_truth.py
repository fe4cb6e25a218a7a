"""The organisers' files of labels: made in their forms, read, and what does not fit is named."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from helpers import invoke

from asd_training.cli.evaluate import main
from asd_training.errors import DatasetError
from asd_training.evaluation.ground_truth import GroundTruth, Truth


def write(path: Path, *lines: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n")
    return path


def test_forms(tmp_path: Path) -> None:
    clip = "section_00_0000.wav"
    name = "ground_truth_fan_section_00_test.csv"
    write(tmp_path / "a/ground_truth_data" / name, f"{clip},1", "section_00_0001.wav,0")
    write(tmp_path / "a/ground_truth_domain" / name, f"{clip},1", "section_00_0001.wav,0")
    truth = GroundTruth(tmp_path / "a")
    assert truth.of("fan", f"fan/test/{clip}") == Truth("anomaly", "target")
    assert truth.of("fan", "section_00_0001.wav") == Truth("normal", "source")
    assert truth.of("pump", clip) == Truth()
    long_name = "section_00_target_test_anomaly_0003_att_A.wav"
    write(tmp_path / "b" / name, f"{clip},{long_name}")
    assert GroundTruth(tmp_path / "b").of("fan", clip) == Truth("anomaly", "target")
    listed = write(
        tmp_path / "eval_data_list_2020.csv",
        *("fan,,", "id_01_00000000.wav,anomaly_id_01_00000007.wav,1", ""),
        *("ToyCar", "id_05_00000000.wav,normal_id_05_00000001.wav,0"),
    )
    truth = GroundTruth(listed)
    assert truth.of("fan", "id_01_00000000.wav") == Truth("anomaly")
    assert truth.of("ToyCar", "id_05_00000000.wav") == Truth("normal")


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("section_00_0000.wav,2", "'2' is neither 0, 1 nor the name of a clip"),
        ("section_00_0000.wav", "expected clip,0|1"),
        ("nonsense,1", "expected clip,0|1"),
        ("section_00_0001.wav,1\nsection_00_0001.wav,0", "is normal, and anomaly in another"),
    ],
)
def test_what_does_not_fit(tmp_path: Path, line: str, reason: str) -> None:
    path = write(tmp_path / "ground_truth_fan_section_00_test.csv", line)
    with pytest.raises(DatasetError, match=reason.replace("|", r"\|")):
        GroundTruth(path)


def test_nothing_to_read(tmp_path: Path) -> None:
    write(tmp_path / "attributes_00.csv", "file,car")
    with pytest.raises(DatasetError, match="holds no ground truth"):
        GroundTruth(tmp_path)


def test_an_unlabelled_set_is_judged_like_its_labelled_twin(
    tmp_path: Path, tiny_bundle: Path, tiny_data: Path
) -> None:
    data = tmp_path / "data" / "hummer" / "test"
    data.mkdir(parents=True)
    lines: dict[str, list[str]] = {"00": [], "01": []}
    for i, clip in enumerate(sorted((tiny_data / "hummer/test").glob("*.wav"))):
        section = clip.name.split("_")[1]
        name = f"section_{section}_{i:04d}.wav"
        shutil.copy(clip, data / name)
        lines[section].append(f"{name},{clip.name}")
    for section, own in lines.items():
        write(tmp_path / "truth" / f"ground_truth_hummer_section_{section}_test.csv", *own)
    truth = ("--ground-truth", tmp_path / "truth")
    invoke(main, tiny_bundle, tiny_data, "-o", tmp_path / "labelled")
    invoke(main, tiny_bundle, tmp_path / "data", "-o", tmp_path / "a", *truth)
    expected = (tmp_path / "labelled" / "result.csv").read_text()
    assert (tmp_path / "a" / "result.csv").read_text() == expected
    invoke(main, tiny_bundle, tmp_path / "data", "-o", tmp_path / "scores")
    invoke(main, "--scores", tmp_path / "scores", "-o", tmp_path / "b", *truth)
    assert (tmp_path / "b" / "result.csv").read_text() == expected
    write(data / "ground_truth_hummer_section_00_test.csv", *lines["00"])
    said = invoke(main, tiny_bundle, tmp_path / "data", "-o", tmp_path / "c").stderr
    assert "--ground-truth" in said


def test_an_official_score_without_domains_says_that_it_is_none(
    tmp_path: Path, tiny_bundle: Path, tiny_data: Path
) -> None:
    data = tmp_path / "data" / "hummer" / "test"
    data.mkdir(parents=True)
    labels = []
    for i, clip in enumerate(sorted((tiny_data / "hummer/test").glob("section_00*.wav"))):
        shutil.copy(clip, data / f"section_00_{i:04d}.wav")
        labels.append(f"section_00_{i:04d}.wav,{int('anomaly' in clip.name)}")
    write(tmp_path / "truth" / "ground_truth_hummer_section_00_test.csv", *labels)
    truth = ("--ground-truth", tmp_path / "truth", "--rules", "2023")
    said = invoke(main, tiny_bundle, tmp_path / "data", "-o", tmp_path / "a", *truth).stderr
    assert "compare domains" in said
    assert "ground_truth_domain" in said
    said = invoke(main, tiny_bundle, tiny_data, "-o", tmp_path / "b").stderr
    assert "compare domains" not in said
