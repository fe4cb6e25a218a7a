from __future__ import annotations

import csv
import dataclasses
from pathlib import Path

import pandas as pd
import pytest

from asd_edge.errors import MissingFileError
from asd_training.data.clips import find_clips
from asd_training.errors import DatasetError
from asd_training.evaluation.dcase_files import (
    read_score_folder,
    write_result_csv,
    write_score_folder,
    year_of_clips,
    year_of_score_folder,
)
from asd_training.evaluation.metrics import evaluate

SOURCE = "section_00_source_test"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """One group: AUC 3/4, one hit, one false alarm, one miss."""
    path = tmp_path / "scores"
    path.mkdir()
    (path / f"anomaly_score_fan_{SOURCE}.csv").write_text(
        f"{SOURCE}_normal_0000.wav,0.1\n{SOURCE}_normal_0001.wav,3e-1\n"
        f"{SOURCE}_anomaly_0000.wav,0.2\n{SOURCE}_anomaly_0001.wav,12\n"
    )
    (path / f"decision_result_fan_{SOURCE}.csv").write_text(
        f"{SOURCE}_normal_0000.wav,0\n{SOURCE}_normal_0001.wav,1\n"
        f"{SOURCE}_anomaly_0000.wav,0\n{SOURCE}_anomaly_0001.wav,1\n"
    )
    return path


def score_file(folder: Path) -> Path:
    return folder / f"anomaly_score_fan_{SOURCE}.csv"


def decision_file(folder: Path) -> Path:
    return folder / f"decision_result_fan_{SOURCE}.csv"


def test_reproduces_the_published_result(recordings: Path, tmp_path: Path) -> None:
    published = recordings / "dcase2021_scores" / "autoencoder"
    if not published.is_dir():
        pytest.skip("the recordings hold no dcase2021_scores/autoencoder")
    scores = read_score_folder(published)
    assert len(scores) == sum(
        len(path.read_text().splitlines()) for path in published.glob("anomaly_score_*.csv")
    )
    write_result_csv(evaluate(scores), tmp_path / "result.csv")
    assert (tmp_path / "result.csv").read_bytes() == (published / "result.csv").read_bytes()

    # And once more over our own files.
    write_score_folder(scores, tmp_path / "copy")
    pd.testing.assert_frame_equal(read_score_folder(tmp_path / "copy"), scores)
    names = {path.name for path in published.glob("*_test.csv")}
    assert {path.name for path in (tmp_path / "copy").glob("*.csv")} == names


def test_read(folder: Path) -> None:
    (folder / "result.csv").write_text("fan\n")
    scores = read_score_folder(folder)
    assert list(scores["label"]) == ["normal", "normal", "anomaly", "anomaly"]
    assert list(scores["score"]) == [0.1, 0.3, 0.2, 12.0]
    assert list(scores["anomalous"]) == [False, True, False, True]
    for column, value in {"machine": "fan", "section": "00", "domain": "source"}.items():
        assert set(scores[column]) == {value}
    row = evaluate(scores).rows.loc[0]
    assert tuple(row[["auc", "precision", "recall", "f1"]]) == (0.75, 0.5, 0.5, 0.5)


@pytest.mark.parametrize(
    ("machine", "file_ending", "clip", "expected"),
    [
        ("fan", "id_04.csv", "anomaly_id_04_00000007.wav", ("04", "", "anomaly")),
        ("bandsaw", "section_00_test.csv", "section_00_0003.wav", ("00", "", "unknown")),
        (
            "HairDryer",
            "section_00_test.csv",
            "section_00_target_test_normal_0001_noAttribute.wav",
            ("00", "target", "normal"),
        ),
        (
            "slide_rail_2",
            "section_03_target_test.csv",
            "section_03_target_test_0000.wav",
            ("03", "target", "unknown"),
        ),
        ("my_section_01", "section_00_test.csv", "recording 7.wav", ("00", "", "unknown")),
    ],
)
def test_names_of_all_years(tmp_path: Path, machine, file_ending, clip, expected) -> None:
    (tmp_path / f"anomaly_score_{machine}_{file_ending}").write_text(f"{clip},1.5\n")
    (row,) = read_score_folder(tmp_path).to_dict("records")
    assert row["machine"] == machine
    assert (row["section"], row["domain"], row["label"]) == expected
    assert pd.isna(row["anomalous"])


def test_decisions_are_optional(folder: Path) -> None:
    decision_file(folder).unlink()
    results = evaluate(read_score_folder(folder))
    assert results.rows["auc"][0] == 0.75
    assert results.rows["precision"].isna().all()
    write_result_csv(results, folder / "result.csv")
    lines = (folder / "result.csv").read_text().splitlines()
    assert lines[2].startswith("00,source,0.75,")
    assert lines[2].endswith(",,,")


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("no_comma", "1 fields"),
        ("a.wav,1,2", "3 fields"),
        ("a.wav,high", "'high' is no number"),
        ("a.wav,", "'' is no number"),
        ("a.wav,nan", "not finite"),
        ("a.wav,-inf", "not finite"),
        (f"{SOURCE}_normal_0000.wav,1", "a second time"),
        ("section_00_target_test_normal_0009.wav,1", "domain target"),
        ("section_01_source_test_normal_0009.wav,1", "section 01"),
    ],
)
def test_malformed_score_lines(folder: Path, line: str, reason: str) -> None:
    decision_file(folder).unlink()
    with score_file(folder).open("a") as file:
        file.write(line + "\n")
    with pytest.raises(DatasetError, match=rf"{score_file(folder).name}:5: .*{reason}"):
        read_score_folder(folder)


def test_malformed_decisions(folder: Path) -> None:
    text = decision_file(folder).read_text()
    decision_file(folder).write_text(text.replace("normal_0001.wav,1", "normal_0001.wav,2"))
    with pytest.raises(DatasetError, match=rf"{decision_file(folder).name}:2: decision 2"):
        read_score_folder(folder)
    decision_file(folder).write_text(text.replace("normal_0001", "normal_0009"))
    with pytest.raises(DatasetError, match="has no line for section_00_source_test_normal_000"):
        read_score_folder(folder)


def test_folders_without_scores(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match="no such folder"):
        read_score_folder(tmp_path / "absent")
    with pytest.raises(DatasetError, match="no scores"):
        read_score_folder(tmp_path)
    (tmp_path / "anomaly_score_fan_section_00_test.csv").touch()
    with pytest.raises(DatasetError, match="no scores"):
        read_score_folder(tmp_path)
    (tmp_path / "anomaly_score_fan.csv").touch()
    with pytest.raises(DatasetError, match="expected a name like"):
        read_score_folder(tmp_path)


def test_a_clip_in_two_files(folder: Path) -> None:
    text = score_file(folder).read_text()
    (folder / "anomaly_score_fan_section_00_test.csv").write_text(text)
    with pytest.raises(DatasetError, match="also has a score in"):
        read_score_folder(folder)


def test_windows_line_ends_and_mark(folder: Path) -> None:
    expected = read_score_folder(folder)
    text = score_file(folder).read_text()
    score_file(folder).write_bytes(b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode() + b"\r\n")
    pd.testing.assert_frame_equal(read_score_folder(folder), expected)


def test_round_trip(tmp_path: Path) -> None:
    clips = {
        "section_00_source_test_normal_0000.wav": ("source", "normal"),
        "section_00_source_test_anomaly_0000_a, b.wav": ("source", "anomaly"),
        "section_00_target_test_0000.wav": ("target", "unknown"),
        "section_00_0000.wav": ("", "unknown"),
    }
    values = [0.1 + 0.2, 1e-300, -1.7976931348623157e308, 12345678.9]
    scores = pd.DataFrame(
        [
            (clip, "ToyCar", "00", domain, label, value, value > 0)
            for (clip, (domain, label)), value in zip(clips.items(), values, strict=True)
        ],
        columns=["clip", "machine", "section", "domain", "label", "score", "anomalous"],
    )
    write_score_folder(scores, tmp_path / "new" / "folder")
    assert sorted(path.name for path in (tmp_path / "new" / "folder").glob("*.csv")) == sorted(
        f"{kind}_ToyCar_section_00_{ending}"
        for kind in ("anomaly_score", "decision_result")
        for ending in ("source_test.csv", "target_test.csv", "test.csv")
    )
    again = read_score_folder(tmp_path / "new" / "folder")
    pd.testing.assert_frame_equal(again.astype({"anomalous": bool}), scores)


def test_no_stale_decisions(folder: Path) -> None:
    scores = read_score_folder(folder)
    write_score_folder(scores.drop(columns="anomalous"), folder)
    assert not decision_file(folder).exists()
    assert read_score_folder(folder)["anomalous"].isna().all()


def test_written_lines(folder: Path, tmp_path: Path) -> None:
    write_score_folder(read_score_folder(folder), tmp_path / "copy")
    assert (
        score_file(tmp_path / "copy").read_bytes()
        == (
            f"{SOURCE}_normal_0000.wav,0.1\n{SOURCE}_normal_0001.wav,0.3\n"
            f"{SOURCE}_anomaly_0000.wav,0.2\n{SOURCE}_anomaly_0001.wav,12.0\n"
        ).encode()
    )
    assert decision_file(tmp_path / "copy").read_bytes() == decision_file(folder).read_bytes()


def test_result_layout(folder: Path, tmp_path: Path) -> None:
    write_result_csv(evaluate(read_score_folder(folder)), tmp_path / "result.csv")
    with (tmp_path / "result.csv").open(newline="") as file:
        lines = list(csv.reader(file))
    headings = ["AUC", "pAUC", "precision", "recall", "F1 score"]
    assert lines[0] == ["fan"]
    assert lines[1] == ["section", "domain", *headings]
    assert [line[:2] for line in lines[2:5]] == [
        ["00", "source"],
        ["arithmetic mean", ""],
        ["harmonic mean", ""],
    ]
    assert lines[5] == []
    assert lines[6] == ["", "", *headings]
    for line, mean in zip(lines[7:9], ("arithmetic", "harmonic"), strict=True):
        assert line[0] == f"{mean} mean over all machine types, sections, and domains"
        assert [float(field) for field in line[4:]] == [0.5, 0.5, 0.5]
    assert lines[9:] == [[]]


def two_domains() -> pd.DataFrame:
    return pd.DataFrame(
        [
            (f"section_00_{d}_test_{label}_{i:04d}.wav", "fan", "00", d, label, s + i, i == 1)
            for d, s in (("source", 0.0), ("target", 0.5))
            for label in ("normal", "anomaly")
            for i in range(2)
        ],
        columns=["clip", "machine", "section", "domain", "label", "score", "anomalous"],
    )


def test_names_by_year(tmp_path: Path) -> None:
    """One folder, evaluated by the rules of year after year: no file of another year stays."""
    (tmp_path / "anomaly_score_pump_section_00_test.csv").write_text("a.wav,1\n")
    for year, expected in {
        2021: ["fan_section_00_source_test.csv", "fan_section_00_target_test.csv"],
        2022: ["fan_section_00_test.csv"],
        2025: ["fan_section_00_test.csv"],
        2020: ["fan_id_00.csv"],
    }.items():
        write_score_folder(two_domains(), tmp_path, year)
        for kind in ("anomaly_score_", "decision_result_"):
            names = sorted(p.name for p in tmp_path.glob(f"{kind}fan*"))
            without = year == 2020 and kind == "decision_result_"
            assert names == ([] if without else [kind + name for name in expected])
    assert (tmp_path / "anomaly_score_pump_section_00_test.csv").exists()
    # Domains are told again by the names of the clips.
    write_score_folder(two_domains(), tmp_path / "new", 2023)
    again = read_score_folder(tmp_path / "new").astype({"anomalous": bool})
    pd.testing.assert_frame_equal(again, two_domains())


def test_year_of_a_data_set(tmp_path: Path) -> None:
    for year, names in {
        2020: ["fan/test/normal_id_00_00000000.wav"],
        2021: ["fan/train/section_00_source_train_normal_0000_m.wav",
               "fan/source_test/section_00_source_test_normal_0000.wav"],
        2022: ["fan/test/section_00_source_test_normal_0000_m.wav"],
    }.items():  # fmt: skip
        root = tmp_path / str(year)
        for name in names:
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).touch()
        assert year_of_clips(find_clips(root))[0] == year
    for year in (2020, 2021, 2022):
        write_score_folder(two_domains(), tmp_path / f"scores{year}", year)
        assert year_of_score_folder(tmp_path / f"scores{year}")[0] == year


# The autoencoder's results for one machine, README of nttcslab/dcase2025_task2_evaluator.
PUBLISHED_2025 = """\
AutoTrash
section,AUC (all),AUC (source),AUC (target),pAUC,precision (source),precision (target),\
recall (source),recall (target),F1 score (source),F1 score (target)
00,0.5769000000000001,0.8102,0.3436,0.5421052631578948,0.5119047619047619,0.5,0.86,1.0,\
0.6417910447761195,0.6666666666666666
,,AUC,pAUC,precision,recall,F1 score
arithmetic mean,,0.5769,0.5421052631578948,0.5059523809523809,0.9299999999999999,0.6542288557213931
harmonic mean,,0.48255281677933787,0.5421052631578948,0.5058823529411764,0.9247311827956988,\
0.6539923954372623
source harmonic mean,,0.8102,0.5421052631578948,0.5119047619047619,0.86,0.6417910447761195
target harmonic mean,,0.3436,0.5421052631578948,0.5,1.0,0.6666666666666666
"""


def test_result_of_2022_and_later(tmp_path: Path) -> None:
    """The organisers' figures of one machine, laid out as they print them."""
    results = evaluate(two_domains(), year=2025)
    rows = pd.DataFrame(
        {
            "machine": "AutoTrash",
            "section": "00",
            "domain": ["source", "target"],
            "auc_all": 0.5769000000000001,
            "auc": [0.8102, 0.3436],
            "pauc": 0.5421052631578948,
            "precision": [0.5119047619047619, 0.5],
            "recall": [0.86, 1.0],
            "f1": [0.6417910447761195, 0.6666666666666666],
        }
    )
    path = tmp_path / "result.csv"
    write_result_csv(dataclasses.replace(results, rows=rows, official_score=0.5), path)
    lines = list(csv.reader(path.read_text().splitlines()))
    expected = list(csv.reader(PUBLISHED_2025.splitlines()))
    for line, published in zip(lines, expected, strict=False):
        assert len(line) == len(published)
        for field, text in zip(line, published, strict=True):
            try:
                assert float(field) == pytest.approx(float(text), rel=1e-14)
            except ValueError:
                assert field == text
    # One machine: the means over all are its own.
    assert [line[2:] for line in lines[10:14]] == [line[2:] for line in lines[4:8]]
    assert lines[10][0] == "arithmetic mean over all machine types, sections, and domains"
    assert lines[12][0].startswith("source harmonic mean over all")
    assert lines[15] == ["official score", "", "0.5"]


def test_result_of_2022_without_a_domain(tmp_path: Path) -> None:
    scores = two_domains().query("domain == 'source'")
    write_result_csv(evaluate(scores, year=2022), tmp_path / "result.csv")
    lines = list(csv.reader((tmp_path / "result.csv").read_text().splitlines()))
    row = dict(zip(lines[1], lines[2], strict=True))
    assert row["AUC (all)"] == row["AUC (source)"] == "0.5"
    assert row["AUC (target)"] == row["recall (target)"] == ""


def test_result_of_2020(tmp_path: Path) -> None:
    write_result_csv(evaluate(two_domains(), year=2020), tmp_path / "result.csv")
    lines = list(csv.reader((tmp_path / "result.csv").read_text().splitlines()))
    assert lines[:2] == [["fan"], ["id", "AUC", "pAUC"]]
    assert [line[0] for line in lines[2:4]] == ["00", "Average"]
    assert lines[2][1:] == lines[3][1:]
    assert lines[4:] == [[]]


def clips_of(names: list[str]) -> pd.DataFrame:
    """Scores of clips that lie in folders normal/ and abnormal/ of a section."""
    rows = []
    for i, name in enumerate(names):
        label = "anomaly" if "abnormal" in name else "normal"
        section = name.split("/")[1]
        rows.append(
            {
                "clip": name,
                "machine": "fan [new]",
                "section": section,
                "domain": "",
                "label": label,
                "score": float(i),
                "anomalous": i % 2 == 0,
            }
        )
    return pd.DataFrame(rows).astype({"anomalous": "boolean"})


@pytest.mark.parametrize("year", [2020, 2021, 2024])
@pytest.mark.parametrize("section", ["id_00", "night shift", "a_source", "50%", "sec_section_1"])
def test_bare_names_and_odd_sections_come_back(tmp_path: Path, section: str, year: int) -> None:
    names = [f"fan/{section}/{label}/0.wav" for label in ("normal", "abnormal")]
    scores = clips_of([*names, *(name.replace("/0.", "/1.") for name in names)])
    write_score_folder(scores, tmp_path, year)
    columns = ["clip", "machine", "section", "label", "score"]
    found = read_score_folder(tmp_path)
    pd.testing.assert_frame_equal(found[columns], scores[columns])
    assert evaluate(found).rows["auc"].tolist() == evaluate(scores).rows["auc"].tolist()


def test_a_label_that_only_the_data_set_knew_is_kept(tmp_path: Path) -> None:
    scores = clips_of(["fan/00/normal/a.wav", "fan/00/abnormal/b.wav"])
    scores["clip"] = ["a.wav", "b.wav"]
    write_score_folder(scores, tmp_path)
    found = read_score_folder(tmp_path)
    assert found["clip"].tolist() == ["normal/a.wav", "anomaly/b.wav"]
    assert found["label"].tolist() == ["normal", "anomaly"]


def test_only_own_files_are_removed(tmp_path: Path, folder: Path) -> None:
    scores = read_score_folder(folder)
    others = {path.name: path.read_bytes() for path in folder.iterdir()}
    write_score_folder(scores, folder, 2024)  # other names: nothing of the folder is overwritten
    assert {name: (folder / name).read_bytes() for name in others} == others
    write_score_folder(scores, tmp_path / "new", 2021)
    changed = tmp_path / "new" / f"anomaly_score_fan_{SOURCE}.csv"
    changed.write_text(changed.read_text() + "edited by hand,1\n")
    write_score_folder(scores, tmp_path / "new", 2024)
    names = {path.name for path in (tmp_path / "new").glob("*.csv")}
    assert names == {
        changed.name,
        "anomaly_score_fan_section_00_test.csv",
        "decision_result_fan_section_00_test.csv",
    }


@pytest.mark.parametrize(
    "name",
    [
        "bandsaw_section_00_test_seed13711_id(0_)_Eval.csv",
        "bandsaw_section_00_test_seed13711.csv",
        "bandsaw_section_00_test_seed13711_Eval.csv",
    ],
)
def test_names_of_the_baselines_since_2023(tmp_path: Path, name: str) -> None:
    (tmp_path / f"anomaly_score_{name}").write_text("section_00_0000.wav,1.5\n")
    (tmp_path / f"decision_result_{name}").write_text("section_00_0000.wav,1\n")
    (row,) = read_score_folder(tmp_path).to_dict("records")
    assert (row["machine"], row["section"], row["domain"]) == ("bandsaw", "00", "")
    assert row["anomalous"]
