"""asd-edge enroll: from normal clips to a bundle, on the device."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import scipy.stats
import soundfile
from helpers import NOT_ON_THE_DEVICE, absent, invoke, write_tone

from asd_edge.bundle.format import read_bundle
from asd_edge.cli.main import main
from asd_edge.detector import Detector
from asd_edge.enrolment import enrolment as enroll
from asd_edge.enrolment import screening
from asd_edge.enrolment.recordings import Clip
from asd_edge.scoring.folds import folds
from asd_edge.scoring.views import ScoringConfig
from asd_edge.verify import verify


def hum(path: Path, seed: int, pitch: float = 200.0, seconds: float = 1.0) -> Path:
    write_tone(path, pitch, seed, seconds)
    return path


@pytest.fixture
def normal(tmp_path: Path) -> Path:
    for i in range(12):
        hum(tmp_path / "normal" / f"clip_{i:02d}.wav", i)
    return tmp_path / "normal"


def rows(stdout: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in stdout.splitlines()]


def decisions(path: Path, *clips: Path) -> list[bool]:
    result = invoke(main, "score", *clips, "--bundle", path, "--json")
    return [bool(row["anomalous"]) for row in rows(result.stdout)]


def test_from_a_bundle(normal: Path, tiny_bundle: Path, tmp_path: Path) -> None:
    """A learned view keeps its metric and rule, every clip is a reference."""
    out = tmp_path / "mine.asd"
    result = invoke(main, "enroll", normal, "-o", out, "--from", tiny_bundle)
    assert result.stdout == ""
    assert "12 clips, 12 s, 1 section" in result.stderr
    assert "with 12 clips behind a threshold the true rate lies between" in result.stderr
    assert "Warning" not in result.stderr
    contents, source = read_bundle(out), read_bundle(tiny_bundle)
    assert contents.machine == "mine"
    assert contents.model == source.model
    assert contents.front_end == source.front_end
    for name, view in contents.views.items():
        assert view.config == source.views[name].config
        assert view.weight == {"embedding": 0.5, "statistics": 1.0}[name]  # as the preset says
        assert sorted(view.references.clips) == sorted(p.name for p in normal.iterdir())
        assert set(view.standards) == {"00"}
    # Its own whitening, not that of the machine that was trained on.
    whitenings = [c.views["statistics"].references.whitening for c in (contents, source)]
    assert not np.array_equal(*whitenings)
    new = [hum(tmp_path / f"new_{i}.wav", 100 + i) for i in range(5)]
    odd = [hum(tmp_path / f"odd_{i}.wav", 200 + i, pitch=330.0) for i in range(5)]
    assert decisions(out, *new) == [False] * 5
    assert decisions(out, *odd) == [True] * 5


def test_with_the_built_in_model(tmp_path: Path) -> None:
    """Ten-second clips, and only what the base install has."""
    folder = tmp_path / "normal"
    for i in range(6):
        hum(folder / f"{i}.wav", i, seconds=10)
    odd = hum(tmp_path / "odd.wav", 50, pitch=330, seconds=10)
    good = hum(tmp_path / "good.wav", 51, seconds=10)
    out = tmp_path / "mine.asd"
    program = f"""
{absent(*NOT_ON_THE_DEVICE, "asd_training", "asd_export")}
from asd_edge.cli.main import main
main(["enroll", {str(folder)!r}, "-o", {str(out)!r}], standalone_mode=False)
main(["verify", {str(out)!r}], standalone_mode=False)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert list(read_bundle(out).views) == ["statistics", "bands", "band_changes", "level"]
    assert decisions(out, good, odd) == [False, True]


def test_the_golden_clip_is_no_reference(normal: Path, tiny_bundle: Path, tmp_path: Path) -> None:
    """At distance 0 a relative error would be rounding divided by nothing."""
    out = tmp_path / "mine.asd"
    invoke(main, "enroll", normal, "-o", out, "--from", tiny_bundle)
    contents = read_bundle(out)
    assert contents.golden.score > 0.1 * min(contents.calibration.pooled)
    checks = verify(Detector.from_bundle(contents), contents.golden)
    assert all(check.passed for check in checks)


def test_a_long_recording_is_cut(tiny_bundle: Path, tmp_path: Path) -> None:
    long = hum(tmp_path / "rec.wav", 0, seconds=12.4)
    pair = hum(tmp_path / "pair.wav", 1, seconds=1.9)
    out = tmp_path / "mine.asd"
    invoke(main, "enroll", long, pair, "-o", out, "--from", tiny_bundle)
    references = read_bundle(out).views["embedding"].references
    names = list(dict.fromkeys(references.clips.tolist()))
    # Below two windows a clip stays whole, with windows that overlap, as it is scored.
    assert names == [f"rec.wav@{i}s" for i in range(12)] + ["pair.wav"]
    assert references.clips.tolist().count("pair.wav") == 3
    samples, rate = soundfile.read(long, dtype="float32")
    whole = Detector.load(out)
    piece = whole.analyse(samples[3 * rate : 4 * rate], rate).embeddings["embedding"][0]
    np.testing.assert_array_equal(references.embeddings[3], piece)


def test_neighbours_of_a_recording_are_left_out_together() -> None:
    nothing = {"v": np.zeros((1, 2), np.float32)}
    places = [("rec.wav", 10.0 * i, False) for i in range(20)]
    places += [(f"clip_{i}.wav", 0.0, True) for i in range(10)]
    clips = [Clip(*place, "00", nothing, 10, 0, 0, np.empty(0)) for place in places]
    fold = folds(enroll._normals(clips), 5)
    recording = fold[:20].tolist()
    assert [recording[i : i + 4] for i in range(0, 20, 4)] == [
        [recording[i]] * 4 for i in range(0, 20, 4)
    ]
    assert np.bincount(fold).tolist() == [6] * 5


def test_adding_is_enrolling_all_at_once(normal: Path, tiny_bundle: Path, tmp_path: Path) -> None:
    paths = sorted(normal.iterdir())
    once, twice = tmp_path / "once.asd", tmp_path / "twice.asd"
    invoke(main, "enroll", *paths, "-o", once, "--from", tiny_bundle)
    invoke(
        main, "enroll", *paths[:7], "-o", twice, "--from", tiny_bundle, "--false-alarm-rate", 0.2
    )
    invoke(main, "enroll", *paths[7:], "--add", twice)
    a, b = read_bundle(once), read_bundle(twice)
    assert b.calibration.false_alarm_rate == 0.2
    assert b.machine == "twice"
    # In units of the thresholds for 0.01 and 0.2: all in one proportion.
    ratio = np.array(b.calibration.scores["00"]) / np.array(a.calibration.scores["00"])
    np.testing.assert_allclose(ratio, ratio[0])
    assert ratio[0] > 1
    for name, view in a.views.items():
        for part, value in vars(view.references).items():
            np.testing.assert_array_equal(getattr(b.views[name].references, part), value)
    facts, others = a.provenance["enrolled"], b.provenance["enrolled"]
    assert facts["level_range_db"] == others["level_range_db"]
    assert facts["lowest_rate"] == others["lowest_rate"] == 8000
    for name in ("clips", "seconds", "median_level_db"):
        assert facts[name] == pytest.approx(others[name], rel=0.01)
    assert invoke(main, "verify", twice).exit_code == 0
    # Again: nothing new.
    result = invoke(main, "enroll", paths[0], "--add", twice, "-o", tmp_path / "third.asd")
    assert "is the same sound as clip_00.wav; left out" in result.stderr
    assert len(read_bundle(tmp_path / "third.asd").views["embedding"].references.clips) == 12


def test_another_recording_of_the_same_name(
    normal: Path, tiny_bundle: Path, tmp_path: Path
) -> None:
    out = tmp_path / "mine.asd"
    invoke(main, "enroll", normal, "-o", out, "--from", tiny_bundle)
    hum(tmp_path / "clip_00.wav", 77)
    invoke(main, "enroll", tmp_path / "clip_00.wav", "--add", out)
    references = read_bundle(out).views["embedding"].references
    assert references.clips[-1] == "clip_00.wav (2)"


def test_sections(normal: Path, tiny_bundle: Path, tmp_path: Path) -> None:
    out = tmp_path / "mine.asd"
    invoke(main, "enroll", normal, "-o", out, "--from", tiny_bundle, "--section", "slow")
    fast = [hum(tmp_path / "fast" / f"f{i}.wav", 300 + i, pitch=310) for i in range(12)]
    new = hum(tmp_path / "new.wav", 400, pitch=310)
    assert decisions(out, new) == [True]
    invoke(main, "enroll", *fast, "--add", out, "--section", "fast")
    row = rows(invoke(main, "score", new, "--bundle", out, "--json").stdout)[0]
    assert (row["section"], row["anomalous"]) == ("fast", False)
    # Which of the two is not guessed.
    result = invoke(main, "enroll", new, "--add", out, status=2)
    assert "fast, slow" in result.stderr
    # DCASE names tell the section themselves.
    named = tmp_path / "named"
    for i, path in enumerate(fast):
        named.mkdir(exist_ok=True)
        shutil.copy(path, named / f"section_0{i % 2}_source_train_normal_{i:04d}.wav")
    invoke(main, "enroll", named, "-o", tmp_path / "two.asd", "--from", tiny_bundle)
    assert sorted(read_bundle(tmp_path / "two.asd").calibration.scores) == ["00", "01"]
    one = tmp_path / "one.asd"
    invoke(main, "enroll", normal, "-o", one, "--from", tiny_bundle, "--section", "slow")
    invoke(main, "enroll", named, "--add", one)
    assert sorted(read_bundle(one).calibration.scores) == ["00", "01", "slow"]


def test_clips_that_do_not_belong_are_named(
    normal: Path, tiny_bundle: Path, tmp_path: Path
) -> None:
    bad = tmp_path / "bad"
    hum(bad / "odd.wav", 500, pitch=330)
    y, _ = soundfile.read(hum(bad / "clipped.wav", 501))
    soundfile.write(bad / "clipped.wav", np.clip(8 * y, -1, 1), 8000)
    for name, gain in (("quiet.wav", 0.1), ("off.wav", 2e-4)):
        y, _ = soundfile.read(hum(bad / name, 502))
        soundfile.write(bad / name, gain * y, 8000, subtype="FLOAT")
    hum(bad / "short.wav", 503, seconds=0.3)
    y, _ = soundfile.read(hum(bad / "slow.wav", 504))
    soundfile.write(bad / "slow.wav", y[::2], 4000)
    shutil.copy(normal / "clip_03.wav", bad / "twin.wav")
    out = tmp_path / "mine.asd"
    result = invoke(main, "enroll", normal, bad, "-o", out, "--from", tiny_bundle)
    warnings = [line for line in result.stderr.splitlines() if line.startswith("Warning: ")]
    for name, reason in {
        "odd.wav": "is an outlier",
        "clipped.wav": "is clipped",
        "quiet.wav": "dB quieter than the median",
        "off.wav": "is silent",
        "short.wav": "is 0.3 s long",
        "slow.wav": "was recorded at 4000 Hz",
        "twin.wav": "is the same sound as clip_03.wav",
    }.items():
        assert any(f" {name}" in line and reason in line for line in warnings), name
    assert not any("clip_" in line.split(" is ")[0] for line in warnings)
    assert "16 clips, 3 left out" in result.stderr
    dropped = invoke(
        main, "enroll", normal, bad, "-o", out, "--from", tiny_bundle, "--drop-suspects"
    )
    assert "12 clips, 7 left out" in dropped.stderr
    assert sorted(read_bundle(out).views["embedding"].references.clips) == sorted(
        p.name for p in normal.iterdir()
    )


def test_one_sound_is_no_enrolment(normal: Path, tiny_bundle: Path, tmp_path: Path) -> None:
    """However many files it is in."""
    folder = tmp_path / "same"
    folder.mkdir()
    for i in range(6):
        shutil.copy(normal / "clip_03.wav", folder / f"{i}.wav")
    result = invoke(
        main, "enroll", folder, "-o", tmp_path / "x.asd", "--from", tiny_bundle, status=1
    )
    assert "1 normal clips besides 5 of the same sound; at least 5" in result.stderr


def test_the_formats_enrolled_are_kept(normal: Path, tiny_bundle: Path, tmp_path: Path) -> None:
    """Clips of another format are named, here and when they are scored."""
    lossy = [tmp_path / f"lossy/{i}.mp3" for i in range(6)]
    for i, path in enumerate(lossy):
        y, sr = soundfile.read(hum(tmp_path / f"{i}.wav", 600 + i))
        path.parent.mkdir(exist_ok=True)
        soundfile.write(path, y, sr)
    out, all_lossy = tmp_path / "mine.asd", tmp_path / "lossy.asd"
    result = invoke(main, "enroll", normal, lossy[0], "-o", out, "--from", tiny_bundle)
    assert "0.mp3 is MP3, the others are PCM" in result.stderr
    assert read_bundle(out).provenance["enrolled"]["encodings"] == ["MP3", "PCM"]
    result = invoke(main, "enroll", normal, "-o", out, "--from", tiny_bundle)
    assert "MP3" not in result.stderr
    (row,) = rows(invoke(main, "score", lossy[1], "--bundle", out, "--json").stdout)
    assert "encoding" in [warning["kind"] for warning in row["warnings"]]
    result = invoke(main, "enroll", lossy[1], "--add", out)
    assert "1.mp3 is MP3, the others are PCM" in result.stderr
    assert read_bundle(out).provenance["enrolled"]["encodings"] == ["MP3", "PCM"]
    result = invoke(main, "enroll", *lossy, "-o", all_lossy, "--from", tiny_bundle)
    assert "MP3" not in result.stderr
    assert read_bundle(all_lossy).provenance["enrolled"]["encodings"] == ["MP3"]


def test_unreadable_files_are_named_and_the_rest_is_enrolled(
    normal: Path, tiny_bundle: Path, tmp_path: Path
) -> None:
    (normal / "text.wav").write_text("not a sound")
    soundfile.write(normal / "zero.wav", np.zeros(8000), 8000)
    out = tmp_path / "mine.asd"
    result = invoke(main, "enroll", normal, "-o", out, "--from", tiny_bundle, status=1)
    assert "text.wav: cannot be read as sound" in result.stderr
    assert "zero.wav: is silent" in result.stderr
    assert "2 of 14 files could not be enrolled." in result.stderr
    assert len(set(read_bundle(out).views["embedding"].references.clips)) == 12


def test_a_silent_part_of_a_recording_is_left_out(tiny_bundle: Path, tmp_path: Path) -> None:
    y, _ = soundfile.read(hum(tmp_path / "rec.wav", 0, seconds=10))
    y[3 * 8000 : 5 * 8000] = 0
    soundfile.write(tmp_path / "rec.wav", y, 8000)
    out = tmp_path / "mine.asd"
    result = invoke(main, "enroll", tmp_path / "rec.wav", "-o", out, "--from", tiny_bundle)
    clips = set(read_bundle(out).views["embedding"].references.clips.tolist())
    assert clips == {f"rec.wav@{i}s" for i in (0, 1, 2, 5, 6, 7, 8, 9)}
    assert (
        "Warning: rec.wav@3s is silent (no sound at all); left out; so is 1 more: rec.wav@4s\n"
        in result.stderr
    )


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["CLIPS"], 2, "-o NAME.asd"),
        (["CLIPS", "-o", "mine"], 2, "NAME.asd"),
        (["CLIPS", "-o", "o.asd", "--from", "none.asd"], 1, "none.asd: no such bundle"),
        (["CLIPS", "--add", "none.asd"], 1, "none.asd: no such bundle"),
        (["CLIPS", "--add", "a.asd", "--from", "B"], 2, "exclude each other"),
        (["FEW", "-o", "o.asd", "--from", "B"], 1, "4 normal clips; at least 5"),
        (["none", "-o", "o.asd", "--from", "B"], 1, "0 normal clips; at least 5"),
        (["CLIPS", "-o", "o.asd", "--from", "B", "--false-alarm-rate", "0"], 2, "rate"),
    ],
)
def test_wrong_usage(
    normal: Path,
    tiny_bundle: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    status: int,
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    few = tmp_path / "few"
    few.mkdir()
    for path in sorted(normal.iterdir())[:4]:
        shutil.copy(path, few)
    words = {"CLIPS": str(normal), "FEW": str(few), "B": str(tiny_bundle)}
    result = invoke(main, "enroll", *(words.get(a, a) for a in arguments), status=status)
    assert message in result.stderr
    assert not list(tmp_path.glob("*.asd"))


def test_a_section_of_one_clip_is_refused(normal: Path, tiny_bundle: Path, tmp_path: Path) -> None:
    out = tmp_path / "mine.asd"
    invoke(main, "enroll", normal, "-o", out, "--from", tiny_bundle)
    before = read_bundle(out).calibration
    one = hum(tmp_path / "one.wav", 99)
    result = invoke(main, "enroll", one, "--add", out, "--section", "night", status=1)
    assert "section night has one clip" in result.stderr
    assert read_bundle(out).calibration == before


def test_upper_outliers() -> None:
    """Rosner's rule: the stated rate on clean sets, and two that would hide each other found."""
    rng = np.random.default_rng(0)
    for n in (8, 30, 100):
        clean = sum(
            bool(screening.upper_outliers(np.exp(rng.normal(0, 0.3, n)))) for _ in range(2000)
        )
        low, high = scipy.stats.binom.interval(0.999, 2000, screening._OUTLIER_RATE)
        assert low <= clean <= high
    scores = np.exp(rng.normal(0, 0.1, 30))
    scores[[4, 17]] = (3.0, 3.1)
    assert sorted(screening.upper_outliers(scores)) == [4, 17]
    assert screening.upper_outliers(np.ones(10)) == []


@pytest.mark.parametrize(("n", "rate"), [(6, 0.05), (12, 0.01), (40, 0.01), (199, 0.02)])
def test_the_realised_false_alarm_rate(n: int, rate: float) -> None:
    """Drawn embeddings, many enrolments: at most as often as stated, and at least half as often.

    It is less, because the tails of normal values are shorter than the threshold takes them to be.
    With few clips also because the references of a fold are of fewer clips than the final ones.
    """
    view = SimpleNamespace(config=ScoringConfig("whitened"), weight=1.0)
    contents = SimpleNamespace(views={"statistics": view})
    rng = np.random.default_rng(n)
    dimensions, sets, tested = 6, 60, 50
    rates = []
    for _ in range(sets):
        embeddings = rng.normal(0, 1, (n + tested, dimensions)).astype(np.float32)
        clips = [
            Clip(f"{i:03d}", 0.0, True, "00", {"statistics": x[np.newaxis]}, 10, 0, -30, x)
            for i, x in enumerate(embeddings)
        ]
        scorer, calibration, _ = enroll._fit(contents, clips[:n], rate, lambda: None)
        threshold = calibration.threshold("00").value
        scores = [scorer.score(clip.embeddings).score for clip in clips[n:]]
        rates.append(float((np.array(scores) >= threshold).mean()))
    # The clips of a set share its threshold: the spread of the sets is what counts.
    deviation = max(float(np.std(rates, ddof=1)), np.sqrt(rate * (1 - rate) / tested)) / sets**0.5
    assert np.mean(rates) < rate + 3 * deviation
    if n >= 40:
        assert np.mean(rates) > rate / 2 - 2 * deviation


def test_synthetic_machines(tmp_path: Path) -> None:
    """ToyCar-like clips through the built-in model: normals pass, faults are flagged."""
    from asd_training.synth.scene import ClipSpec, render

    train = tmp_path / "train"
    train.mkdir()

    def clip(split: str, label: str, i: int) -> np.ndarray:
        return render(ClipSpec("ToyCar", 0, "source", split, label, i), 10.0, 0)

    for i in range(60):
        soundfile.write(train / f"{i:02d}.wav", clip("train", "normal", i), 16000)
    out = tmp_path / "car.asd"
    result = invoke(main, "enroll", train, "-o", out, "--false-alarm-rate", 0.05)
    assert "extrapolated" not in result.stderr
    detector = Detector.load(out)
    passed = sum(not detector.score(clip("test", "normal", i), 16000).anomalous for i in range(20))
    flagged = sum(detector.score(clip("test", "anomaly", i), 16000).anomalous for i in range(20))
    # At most so many false alarms in 20 at 1 in 20, but for one draw in a thousand.
    assert 20 - passed <= scipy.stats.binom.ppf(0.999, 20, 0.05)
    assert flagged >= 10


@pytest.mark.parametrize(("machine", "section"), [("motor", "00"), ("fan", "01")])
def test_real_machines(recordings: Path, tmp_path: Path, machine: str, section: str) -> None:
    data = recordings / "machines" / "dev_data" / machine
    out = tmp_path / "mine.asd"
    invoke(main, "enroll", *data.glob(f"train/section_{section}_*"), "-o", out)
    tests = sorted(data.glob(f"test/section_{section}_*"))
    expected = ["anomaly" in path.name for path in tests]
    assert decisions(out, *tests) == expected
