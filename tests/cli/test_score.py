"""asd-edge as a user meets it: output, exit status, and one clear line for bad input."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile
from helpers import invoke, write_tone

from asd_edge import Detector
from asd_edge.cli.main import main


def clips(data: Path) -> list[Path]:
    return sorted((data / "hummer" / "test").glob("*.wav"))


def test_json_lines(tiny_bundle: Path, tiny_data: Path) -> None:
    result = invoke(main, "score", tiny_data / "hummer/test", "--bundle", tiny_bundle, "--json")
    rows = [json.loads(line) for line in result.stdout.splitlines()]
    assert [row["clip"] for row in rows] == [str(path) for path in clips(tiny_data)]
    detector = Detector.load(tiny_bundle)
    for row, path in zip(rows, clips(tiny_data), strict=True):
        decision = detector.score(path)
        assert row["score"] == decision.score
        assert row["threshold"] == decision.threshold
        assert row["anomalous"] == (row["score"] >= row["threshold"])
        assert row["section"] == path.name.split("_")[1]
        assert row["section_known"]
        assert 0 < row["p_value"] <= 1
    assert result.stderr == ""


def test_table(tiny_bundle: Path, tiny_data: Path) -> None:
    result = invoke(main, "score", *clips(tiny_data)[:3], "--bundle", tiny_bundle)
    lines = result.stdout.splitlines()
    columns = ["clip", "section", "score", "threshold", "ratio", "p-value", "decision"]
    assert lines[0].split() == columns
    assert len(lines) == 4
    assert all(line.split()[-1] in ("normal", "ANOMALOUS") for line in lines[1:])


def test_arrays_and_files_score_alike(tiny_bundle: Path, tiny_data: Path) -> None:
    detector = Detector.load(tiny_bundle)
    path = clips(tiny_data)[0]
    samples, rate = soundfile.read(path, dtype="int16")
    by_file = detector.score(path)
    by_array = detector.score(samples, rate, section="00")
    stereo = detector.score(np.stack([samples, samples], axis=1), rate, section="00")
    assert by_array.score == stereo.score == by_file.score
    assert by_array.clip == "array"
    with pytest.raises(ValueError, match="sr"):
        detector.score(samples)


def test_an_unknown_section_is_marked(tiny_bundle: Path, tiny_data: Path, tmp_path: Path) -> None:
    normal = tiny_data / "hummer/test/section_00_source_test_normal_0000.wav"
    path = Path(shutil.copy(normal, tmp_path / "recording.wav"))
    invoked = invoke(main, "score", path, "--bundle", tiny_bundle, "--json")
    row = json.loads(invoked.stdout)
    assert not row["section_known"]
    forced = invoke(main, "score", path, "--bundle", tiny_bundle, "--json", "--section", "01")
    assert json.loads(forced.stdout)["section"] == "01"
    assert json.loads(forced.stdout)["score"] > row["score"]
    table = invoke(main, "score", path, "--bundle", tiny_bundle).stdout
    assert f"~{row['section']}" in table


def test_the_decision_can_be_changed(tiny_bundle: Path, tiny_data: Path) -> None:
    path = clips(tiny_data)[0]

    def row(*more: object) -> dict[str, float]:
        result = invoke(main, "score", path, "--bundle", tiny_bundle, "--json", *more)
        return dict(json.loads(result.stdout))

    score = row()["score"]
    assert row("--threshold", score)["anomalous"]
    assert not row("--threshold", score * 1.01)["anomalous"]
    rates = [row("--false-alarm-rate", rate)["threshold"] for rate in (0.001, 0.01, 0.2, 0.5)]
    assert rates == sorted(rates, reverse=True)
    assert len(set(rates)) > 2
    both = ("--threshold", 1, "--false-alarm-rate", 0.1)
    result = invoke(main, "score", path, "--bundle", tiny_bundle, *both, status=2)
    assert "exclude each other" in result.stderr


def test_bad_clips_are_named_and_the_rest_scored(
    tiny_bundle: Path, tiny_data: Path, tmp_path: Path
) -> None:
    good = Path(shutil.copy(clips(tiny_data)[0], tmp_path / "good.wav"))
    bad = {
        "missing.wav": "no such file",
        "empty.wav": "is empty",
        "text.wav": "cannot be read as sound",
        "cut.wav": "is truncated",
        "nan.wav": "NaN",
        "zero.wav": "holds no samples",
        "silent.wav": "is silent",
        "short.wav": "at least 0.032 s",
    }
    (tmp_path / "empty.wav").touch()
    (tmp_path / "text.wav").write_text("not a sound")
    (tmp_path / "cut.wav").write_bytes(good.read_bytes()[:3000])
    y = np.random.default_rng(0).standard_normal(8000)
    for name, samples in {
        "nan.wav": np.where(np.arange(8000) == 5, np.nan, y),
        "zero.wav": y[:0],
        "silent.wav": 0 * y,
        "short.wav": y[:100],
    }.items():
        soundfile.write(tmp_path / name, samples, 8000, subtype="FLOAT")
    paths = [tmp_path / name for name in bad]
    result = invoke(main, "score", *paths, good, "--bundle", tiny_bundle, "--json", status=1)
    rows = [json.loads(line) for line in result.stdout.splitlines()]
    assert [row["clip"] for row in rows] == [*map(str, paths), str(good)]
    assert [row["outcome"] for row in rows] == ["cannot judge"] * len(bad) + [rows[-1]["outcome"]]
    kinds = [
        "missing_file",
        "empty",
        "unreadable",
        "truncated",
        "not_finite",
        "empty",
        "silent",
        "too_short",
    ]
    assert [row["warnings"][0]["kind"] for row in rows[:-1]] == kinds
    for as_text in ((), ("--csv",)):
        shown = invoke(main, "score", *paths, good, "--bundle", tiny_bundle, *as_text, status=1)
        assert shown.stdout.count("cannot judge") == len(bad)
    lines = result.stderr.splitlines()
    assert len(lines) == len(bad) + 1
    for line, (name, reason) in zip(lines, bad.items(), strict=False):
        assert line.startswith(f"Error: {tmp_path / name}")
        assert reason in line
    assert lines[-1] == "8 of 9 clips could not be scored."


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["score"], 2, "Missing argument"),
        (["score", "clip.wav", "--bundle", "none.asd"], 1, "none.asd: no such bundle"),
        (["score", "clip.wav", "--bundle", "B", "--provider", "abacus"], 1, "it has: "),
        (["score", "clip.wav", "--bundle", "B", "--threads", "0"], 2, "--threads"),
        (["score", "clip.wav", "--bundle", "B", "--channel", "left"], 2, "'left'"),
        (["score", "clip.wav", "--bundle", "B", "--section", "77"], 2, "knows 00, 01"),
        (["score", "clip.wav", "--bundle", "B", "--false-alarm-rate", "1"], 2, "rate"),
        (["score", "clip.wav", "--bundle", "B", "--threshold", "nan"], 1, "threshold is nan"),
        (["info", "none.asd"], 1, "no such bundle"),
        (["verify", "none.asd"], 1, "no such bundle"),
    ],
)
def test_wrong_usage(tiny_bundle: Path, arguments: list[str], status: int, message: str) -> None:
    arguments = [str(tiny_bundle) if a == "B" else a for a in arguments]
    result = invoke(main, *arguments, status=status)
    assert message in result.stderr
    assert result.stdout == ""


def test_a_silent_fall_back_is_an_error(tiny_bundle: Path) -> None:
    """Ask for a provider that the build lists but that cannot start, if there is one."""
    import onnxruntime

    listed = onnxruntime.get_available_providers()
    if "CUDAExecutionProvider" in listed:
        pytest.skip("this onnxruntime has CUDA")
    result = invoke(main, "verify", tiny_bundle, "--provider", "cuda", status=1)
    assert "provider 'cuda' is not in this onnxruntime build; it has: " in result.stderr
    assert "pip install 'onnxruntime-gpu[cuda,cudnn]'" in result.stderr


def test_int16_and_floats_score_alike(tiny_bundle: Path, tmp_path: Path) -> None:
    """The file's 16 bits go to the mel kernel as they are; the result is that of the floats."""
    detector = Detector.load(tiny_bundle)
    for seconds in (0.4, 1.0, 2.7):  # repeated, one window, several
        path = tmp_path / "clip.wav"
        write_tone(path, 230.0, seed=3, seconds=seconds)
        y, sr = soundfile.read(path, dtype="float32")
        pcm, _ = soundfile.read(path, dtype="int16")
        of_file = detector.score(path)
        assert of_file.score > 0
        for samples in (y, pcm):
            assert detector.score(samples, sr, name=str(path)) == of_file


def test_a_score_that_is_no_number_is_an_error(tiny_bundle: Path, tiny_data: Path) -> None:
    """NaN >= threshold is false: without the error a broken clip would pass as normal."""
    detector = Detector.load(tiny_bundle)
    embed = detector.model.embed
    detector.model.embed = lambda mel: {v: x * np.nan for v, x in embed(mel).items()}
    with pytest.raises(ValueError, match="has the score nan"):
        detector.score(clips(tiny_data)[0])


def test_info(tiny_bundle: Path) -> None:
    text = invoke(main, "info", tiny_bundle).stdout
    for word in ("hummer", "n_mels", "threshold", "tiny"):
        assert word in text
    values = json.loads(invoke(main, "info", tiny_bundle, "--json").stdout)
    assert values["machine"] == "hummer"
    assert values["mel"]["sr"] == 8000
    assert values["sections"].keys() == {"00", "01"}
    assert values["instruction_set"] in ("avx512", "avx2", "sse2", "neon", "scalar")


def test_verify(tiny_bundle: Path, tmp_path: Path) -> None:
    result = invoke(main, "verify", tiny_bundle, "--json")
    checks = [json.loads(line) for line in result.stdout.splitlines()]
    assert [check["stage"] for check in checks] == ["mel", "embedding", "statistics", "score"]
    assert all(check["passed"] for check in checks)


def test_verify_fails_on_a_device_that_computes_otherwise(
    tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from asd_edge.frontend.windows import FrontEnd

    features = FrontEnd.features
    monkeypatch.setattr(FrontEnd, "features", lambda *a, **k: features(*a, **k) * 1.001)
    result = invoke(main, "verify", tiny_bundle, status=1)
    assert "DIFFERS" in result.stdout
    assert "does not give on this device" in result.stderr


def test_long_clips_are_scored_by_windows(tiny_bundle: Path, tmp_path: Path) -> None:
    """A fault in the last quarter shows in its windows, which make the recording anomalous."""
    detector = Detector.load(tiny_bundle)
    write_tone(tmp_path / "a.wav", 200, 1, seconds=30)
    write_tone(tmp_path / "b.wav", 320, 2, seconds=10)
    steady, _ = soundfile.read(tmp_path / "a.wav", dtype="float32")
    fault, _ = soundfile.read(tmp_path / "b.wav", dtype="float32")
    decision = detector.score(np.concatenate([steady, fault]), 8000, section="00")
    scores = [window.score for window in decision.windows]
    n = len(scores)
    assert n == 1 + 2 * 39
    assert min(scores[-n // 5 :]) > max(scores[: n // 2])
    assert decision.anomalous
    assert decision.score == max(scores) == decision.worst.score
    named = {window.start_s for window in decision.windows if window.anomalous}
    assert named >= {29.5 + i / 2 for i in range(20)}
    again = detector.score(steady[:1600], 8000, section="00")  # shorter than the input
    assert len(again.windows) == 1
