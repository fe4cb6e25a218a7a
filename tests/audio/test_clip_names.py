from __future__ import annotations

from pathlib import Path

import pytest

from asd_edge.audio.clip_names import (
    ClipName,
    is_audio_name,
    parse_clip_name,
    relative_name,
    section_of,
)

# Names as published: DCASE Task 2 data sets, the baselines' READMEs and evaluation lists.
PUBLISHED = {
    "normal_id_00_00000000.wav": ClipName("00", "", "", "normal"),
    "anomaly_id_04_00000123.wav": ClipName("04", "", "", "anomaly"),
    "id_05_00000400.wav": ClipName("05"),
    "section_00_source_train_normal_0025_A1Spd28VMic1.wav": ClipName(
        "00", "source", "train", "normal", "A1Spd28VMic1"
    ),
    "section_00_source_train_normal_0000_0_g_25_mm_2000_mV_none.wav": ClipName(
        "00", "source", "train", "normal", "0_g_25_mm_2000_mV_none"
    ),
    "section_03_source_train_normal_0004_serial_no_030_water.wav": ClipName(
        "03", "source", "train", "normal", "serial_no_030_water"
    ),
    "section_00_source_test_anomaly_0090.wav": ClipName("00", "source", "test", "anomaly"),
    "section_05_target_test_0162.wav": ClipName("05", "target", "test"),
    "section_03_0000.wav": ClipName("03"),
    "section_03_target_test_anomaly_0001_vel_25.wav": ClipName(
        "03", "target", "test", "anomaly", "vel_25"
    ),
    "section_01_target_train_normal_0000_f-n_C.wav": ClipName(
        "01", "target", "train", "normal", "f-n_C"
    ),
    "section_00_source_train_normal_0000_pro_A_vel_12_loc_B.wav": ClipName(
        "00", "source", "train", "normal", "pro_A_vel_12_loc_B"
    ),
    "section_00_source_train_normal_0765_noAttribute.wav": ClipName(
        "00", "source", "train", "normal", "noAttribute"
    ),
    "section_00_target_train_normal_0000_.wav": ClipName("00", "target", "train", "normal"),
    "section_00_supplement_noise_0000.wav": ClipName("00", supplement=True),
    "section_00_machine_source_0000_noAttribute.wav": ClipName(
        "00", "source", attributes="noAttribute", supplement=True
    ),
    "section_00_source_supplemental_machine_0000.wav": ClipName("00", "source", supplement=True),
    "section_00_noise_supplemental_normal_0000.wav": ClipName("00", supplement=True),
}


@pytest.mark.parametrize(("name", "told"), PUBLISHED.items())
def test_published_names(name: str, told: ClipName) -> None:
    assert parse_clip_name(name) == told


@pytest.mark.parametrize(
    "attributes",
    ["noAttirbute", "velocitiy_12", "m-n_W", "spd_3.1V", "normal_1", "test_anomaly_0001", "Ω 5"],
)
def test_attributes_are_raw_text(attributes: str) -> None:
    told = parse_clip_name(f"section_02_target_train_normal_0007_{attributes}.wav")
    assert told == ClipName("02", "target", "train", "normal", attributes)
    assert parse_clip_name(f"section_02_target_train_normal_0007_{attributes}") == told


@pytest.mark.parametrize("name", ["fan/test/section_00_0001.WAV", "a/b/section_00_0001.flac"])
def test_folders_and_suffixes_do_not_matter(name: str) -> None:
    assert parse_clip_name(name) == ClipName("00")


@pytest.mark.parametrize(
    "name",
    [
        *("00000000.wav", "recording.wav", "normal.wav", "section_00.wav", "section_xx_0000.wav"),
        "section_00_source_validation_normal_0000.wav",
        "section_00_source_train_broken_0000.wav",
        "section_00_train_source_normal_0000.wav",
        "fm0_section_00_source_train_normal_0000.wav",
        "normal_id_00.wav",
        "normal_id_00_00000000_hist_librosa.bin",
        "",
    ],
)
def test_other_names_are_none(name: str) -> None:
    assert parse_clip_name(name) is None


def test_section_of() -> None:
    assert section_of("normal_id_02_00000000.wav") == "02"
    assert section_of("6_dB_fan/fan/id_04/abnormal/00000011.wav") == "04"
    assert section_of("id_04/section_01_0000.wav") == "01"
    assert section_of("data/section_03/normal/x.wav") == "03"
    assert section_of("fan/normal/00000011.wav") is None


def test_audio_names() -> None:
    assert all(map(is_audio_name, ["a.wav", "a.WAV", "b.Flac", "c.mp3", "d.aiff", "e.ogg"]))
    assert not any(map(is_audio_name, [".a.wav", "._a.wav", "a.txt", "wav", "a.wav.part", ""]))


def test_names_that_a_bundle_may_store() -> None:
    for path in ("/a/x.wav", "../../a/x.wav", "./a/../x.wav", "a/x.wav"):
        name = relative_name(Path(path))
        assert not name.startswith("/")
        assert ".." not in name.split("/")
        assert name.endswith("x.wav")
