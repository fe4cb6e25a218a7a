"""Explanations: known faults are found where they are, and the parts sum to the score."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from helpers import absent, invoke, write_tone

from asd_edge.bundle.format import Golden, read_bundle
from asd_edge.cli.main import main
from asd_edge.detector import Detector
from asd_edge.explanation.attribution import shares
from asd_edge.explanation.explanation import explain
from asd_edge.frontend.bands import mel_frequencies
from asd_edge.frontend.mel import MelConfig
from asd_edge.frontend.windows import FrontEnd
from asd_edge.scoring.calibration import Calibration
from asd_edge.scoring.fit import ViewRule, cross_fit, fit_scorer
from asd_edge.scoring.normals import NormalEmbeddings
from asd_edge.scoring.scorer import Scorer
from asd_edge.scoring.views import References, ScoringConfig, View
from asd_edge.scoring.whitening import whitening

SR = 8000


@pytest.mark.parametrize(
    "config",
    [
        MelConfig(),
        MelConfig(sr=22050, n_fft=2048, n_mels=256),
        MelConfig(sr=8000, n_mels=20, fmin=1200, fmax=3000),
        MelConfig(sr=8000, n_mels=5, fmin=30, fmax=900),
    ],
)
def test_mel_frequencies_are_librosa_s(config: MelConfig) -> None:
    import librosa

    fmax = config.fmax or config.sr / 2
    expected = librosa.mel_frequencies(config.n_mels + 2, fmin=config.fmin, fmax=fmax)
    np.testing.assert_allclose(mel_frequencies(config), expected, rtol=1e-12)


@pytest.mark.parametrize("metric", ["euclidean", "cosine", "whitened"])
@pytest.mark.parametrize("k", [1, 3, None])
@pytest.mark.parametrize("pool", [False, True])
@pytest.mark.parametrize("density", [False, True])
def test_shares_sum_to_the_distance(metric: str, k: int | None, pool: bool, density: bool) -> None:
    rng = np.random.default_rng(0)
    x = (rng.normal(size=(40, 12)) @ rng.normal(size=(12, 12))).astype(np.float32)
    sections = np.array(["00", "01"] * 20)
    view = View(
        ScoringConfig(metric, k, pool, 2 if density else 0),
        References(
            x,
            sections,
            np.full(40, ""),
            np.arange(40).astype(str),
            rng.uniform(1, 2, 40).astype(np.float32) if density else np.empty(0, np.float32),
            whitening(x, sections) if metric == "whitened" else np.empty(0, np.float16),
        ),
    )
    clip = rng.normal(size=12).astype(np.float32)
    parts = shares(clip, view, "01")
    assert (parts >= 0).all()
    expected = Scorer({"v": view}).score({"v": clip[np.newaxis]}, "01").score
    assert parts.sum() == pytest.approx(expected, rel=1e-5)


def test_shares_of_features_without_correlation_are_their_squared_deviations() -> None:
    deviations = np.array([0.5, 1, 2, 4])
    matrix = np.diag(1 / deviations)[np.tri(4, dtype=bool)].astype(np.float16)
    names = np.array(["00"])
    view = View(
        ScoringConfig("whitened"),
        References(np.zeros((1, 4), np.float32), names, names, names, whitening=matrix),
    )
    x = np.array([1, -1, 3, 2], np.float32)
    z = x / deviations
    np.testing.assert_allclose(shares(x, view, "00"), z**2 / np.linalg.norm(z), rtol=1e-6)


class _Bands:
    """A model whose views are the mean of each band, and (learned) smoothed peaks over time."""

    def __init__(self, views: tuple[str, ...]) -> None:
        self.views = views

    def embed(self, mel: np.ndarray) -> dict[str, np.ndarray]:
        both = {
            "statistics": np.concatenate(
                [mel.mean(2), np.abs(np.diff(mel, axis=2)).mean(2)], axis=1
            ),
            "embedding": np.maximum(mel.max(2) - 20 - mel.mean(2), 0) + mel.mean(2) / 10,
        }
        return {name: both[name] for name in self.views}


def noise(seed: int, seconds: float = 2.0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return 0.005 * rng.standard_normal(round(SR * seconds))


VIEWS = [("statistics",), ("embedding",), ("embedding", "statistics")]


@pytest.fixture(params=VIEWS, ids="+".join)
def subject(request: pytest.FixtureRequest) -> tuple[Detector, Golden]:
    """A detector of noise, in 2 s windows, with views of its own."""
    front_end = FrontEnd(MelConfig(SR, 512, 256, 40, log="db"), clip_seconds=2.0)
    model = _Bands(request.param)
    mels = np.stack([front_end.features(noise(i).astype(np.float32)) for i in range(30)])
    views = model.embed(mels)
    names = np.array([f"noise/{i}.wav" for i in range(30)])
    metric = {"statistics": "whitened", "embedding": "euclidean"}
    rules = {name: ViewRule(ScoringConfig(metric[name])) for name in views}
    normals = NormalEmbeddings(views, names, np.full(30, "00"), np.full(30, ""))
    samples = np.round(noise(99) * 32768).astype(np.int16)
    golden = Golden(samples, front_end.features(samples), {}, 0.0, "00")
    scorer, calibration = cross_fit(rules, normals)
    return Detector(front_end, model, scorer, calibration), golden


def write(path: Path, y: np.ndarray) -> Path:
    soundfile.write(path, y, SR, subtype="FLOAT")
    return path


def test_a_tone_is_named(subject: tuple[Detector, Golden], tmp_path: Path) -> None:
    for hertz in (440, 2500):
        y = noise(50)
        y += 0.005 * np.sin(2 * np.pi * hertz * np.arange(len(y)) / SR)
        why = explain(*subject, write(tmp_path / "tone.wav", y), section="00", blocks=(20, 4))
        first = why.stretches[0]
        assert first.low < hertz < first.high
        assert first.high < 2 * first.low
        assert why.time is None, "a tone is there all the time"
        assert "no moment stands out" in why.sentence
        if why.comparison is not None:
            assert why.comparison.level_db > 6
            assert abs(why.comparison.overall_db) < 2
            assert "dB above the nearest normal clip" in why.sentence


def test_a_burst_is_found_in_time(subject: tuple[Detector, Golden], tmp_path: Path) -> None:
    y = noise(51)
    y[round(1.3 * SR) : round(1.4 * SR)] *= 100
    why = explain(*subject, write(tmp_path / "burst.wav", y), section="00", blocks=(4, 10))
    assert why.time is not None
    assert why.time.low <= 1.3 < 1.4 <= why.time.high
    assert why.time.high - why.time.low < 0.7
    assert np.argmax(why.time_drops) == 6
    assert why.drops.sum(axis=0).argmax() == 6
    assert "it stands out most at 1." in why.sentence


def test_the_parts_sum_to_the_score(subject: tuple[Detector, Golden], tmp_path: Path) -> None:
    y = noise(52) + 0.01 * np.sin(np.arange(2 * SR))
    why = explain(*subject, write(tmp_path / "clip.wav", y), section="00", blocks=(3, 3))
    assert why.score == pytest.approx(why.decision.score)
    assert sum(why.views.values()) == pytest.approx(why.score)
    assert why.views.keys() == why.bands.keys() == set(subject[0].scorer.views)
    for view, bands in why.bands.items():
        assert (bands >= 0).all()
        assert bands.shape == (40,)
        assert bands.sum() == pytest.approx(why.views[view], rel=1e-5)
    json.dumps(why.to_dict())


def test_the_worst_window_of_a_long_clip(subject: tuple[Detector, Golden], tmp_path: Path) -> None:
    y = noise(53, 9.0)
    y[5 * SR : 6 * SR] += 0.02 * np.sin(2 * np.pi * 1000 * np.arange(SR) / SR)
    why = explain(*subject, write(tmp_path / "long.wav", y), section="00", blocks=(4, 10))
    assert len(why.decision.windows) > 4
    assert why.start < 5.5 < why.start + why.seconds
    assert why.seconds == 2
    assert why.score == pytest.approx(why.decision.worst.score)
    assert f"at worst {why.score:.3g}, from {why.start:.1f} to" in why.sentence
    if why.time is not None:
        assert 4.5 < why.time.low < why.time.high < 6.5


def test_a_clip_shorter_than_the_window(subject: tuple[Detector, Golden], tmp_path: Path) -> None:
    """It is repeated three times in the window, and its burst with it."""
    y = noise(54, 0.64)
    y[round(0.37 * SR) : round(0.43 * SR)] *= 100
    why = explain(*subject, write(tmp_path / "short.wav", y), section="00", blocks=(2, 4))
    assert why.seconds == pytest.approx(0.64)
    assert why.time is not None
    assert why.time.low <= 0.37 < 0.43 <= why.time.high


def test_the_last_frame_belongs_to_the_last_column(
    subject: tuple[Detector, Golden], tmp_path: Path
) -> None:
    """Its centre may be where the clip ends, as here: 2 s are 80 hops of 200 samples."""
    front_end = FrontEnd(MelConfig(SR, 512, 200, 40, log="db"), clip_seconds=2.0)
    old, golden = subject
    detector = Detector(front_end, old.model, old.scorer, old.calibration)
    samples = np.round(noise(99) * 32768).astype(np.int16)
    golden = Golden(samples, front_end.features(samples), {}, 0.0, "00")
    y = noise(56)
    y[-100:] *= 1000
    path = write(tmp_path / "end.wav", y)
    why = explain(detector, golden, path, section="00", blocks=(2, 10))
    assert why.mel.shape[1] == 81
    assert np.argmax(why.time_drops) == 9
    assert np.abs(why.time_drops[0]) < 0.5 * why.time_drops[9]


def test_a_clip_made_of_itself_does_not_change(
    subject: tuple[Detector, Golden], tmp_path: Path
) -> None:
    path = write(tmp_path / "clip.wav", noise(55) * 2)
    why = explain(*subject, path, section="00", normal=path, blocks=(3, 4))
    assert np.abs(why.drops).max() < 1e-5 * why.score
    assert why.normal.clip == "clip.wav"
    assert why.normal.mel is not None
    np.testing.assert_array_equal(why.normal.mel, why.mel)


def test_the_nearest_clip_is_found_below_a_folder(
    subject: tuple[Detector, Golden], tmp_path: Path
) -> None:
    folder = tmp_path / "recordings" / "deep"
    folder.mkdir(parents=True)
    for i in range(30):
        write(folder / f"{i}.wav", noise(i))
    path = write(tmp_path / "clip.wav", noise(7))
    why = explain(*subject, path, section="00", normal=tmp_path / "recordings", blocks=(2, 2))
    assert why.normal.clip == "noise/7.wav"
    assert why.normal.mel is not None
    np.testing.assert_array_equal(why.normal.mel, why.mel)
    (folder / "7.wav").unlink()
    gone = explain(*subject, path, section="00", normal=tmp_path / "recordings", blocks=(2, 2))
    assert gone.normal.mel is None
    assert "7.wav: no such file; --normal is the folder" in (gone.normal.problem or "")
    assert gone.sentence == explain(*subject, path, section="00", blocks=(2, 2)).sentence


@pytest.mark.parametrize("folder", [True, False])
def test_the_nearest_piece_of_a_recording_is_shown(tmp_path: Path, folder: bool) -> None:
    """Not the recording's first window, which is what every piece was once compared with."""
    front_end = FrontEnd(MelConfig(SR, 512, 256, 40, log="db"), clip_seconds=2.0)
    model = _Bands(("statistics",))
    y = noise(3, seconds=60.0)
    recording = write(tmp_path / "rec.wav", y)
    pieces = [y[i * 2 * SR : (i + 1) * 2 * SR].astype(np.float32) for i in range(30)]
    mels = np.stack([front_end.features(piece) for piece in pieces])
    names = np.array([f"rec.wav@{2 * i}s" for i in range(30)])
    normals = NormalEmbeddings(model.embed(mels), names, np.full(30, "00"), np.full(30, ""))
    rules = {"statistics": ViewRule(ScoringConfig("whitened"))}
    samples = np.round(noise(99) * 32768).astype(np.int16)
    golden = Golden(samples, front_end.features(samples), {}, 0.0, "00")
    detector = Detector(front_end, model, fit_scorer(rules, normals), Calibration({"00": (1, 2)}))
    clip = write(tmp_path / "clip.wav", pieces[17])
    normal = tmp_path if folder else recording
    why = explain(detector, golden, clip, section="00", normal=normal, blocks=(2, 2))
    assert why.normal.clip == "rec.wav@34s"
    assert why.normal.mel is not None
    np.testing.assert_array_equal(why.normal.mel, mels[17])


class _ShapeAndLevel:
    """Views of which one does not change with the level, and the other is the level."""

    views = ("statistics", "level")

    def embed(self, mels: np.ndarray) -> dict[str, np.ndarray]:
        spectrum = mels.mean(2)
        level = spectrum.mean(1, keepdims=True)
        return {"statistics": spectrum - level, "level": level}


@pytest.mark.parametrize(("gain", "words"), [(4.0, "louder"), (0.25, "quieter")])
def test_a_score_that_comes_from_the_level_alone_says_so(
    tmp_path: Path, gain: float, words: str
) -> None:
    front_end = FrontEnd(MelConfig(SR, 512, 256, 40, log="db"), clip_seconds=2.0)
    model = _ShapeAndLevel()
    mels = np.stack([front_end.features(noise(i).astype(np.float32)) for i in range(30)])
    names = np.array([f"noise/{i}.wav" for i in range(30)])
    normals = NormalEmbeddings(model.embed(mels), names, np.full(30, "00"), np.full(30, ""))
    guard = ViewRule(ScoringConfig(k=None, guard=1.0))
    scorer, calibration = cross_fit(
        {"statistics": ViewRule(ScoringConfig("whitened")), "level": guard}, normals
    )
    detector = Detector(front_end, model, scorer, calibration)
    samples = np.round(noise(99) * 32768).astype(np.int16)
    golden = Golden(samples, front_end.features(samples), {}, 0.0, "00")
    why = {
        x: explain(detector, golden, write(tmp_path / f"{x}.wav", x * noise(50)), blocks=(2, 2))
        for x in (1.0, gain)
    }
    assert why[1.0].louder_db is None
    assert "level alone" not in why[1.0].sentence
    assert why[gain].decision.anomalous
    assert why[gain].louder_db == pytest.approx(20 * np.log10(gain), abs=0.1)
    level = f"{abs(why[gain].louder_db or 0):.1f} dB {words} than normal"
    assert f"; the score comes from its level alone, {level}" in why[gain].sentence
    assert "the whole clip" not in why[gain].sentence


def test_amplitude_front_ends_compare_in_db(tmp_path: Path) -> None:
    front_end = FrontEnd(MelConfig(SR, 512, 256, 40, power=1), clip_seconds=2.0)
    model = _Bands(("statistics",))
    mels = np.stack([front_end.features(noise(i).astype(np.float32)) for i in range(30)])
    names = np.arange(30).astype(str)
    normals = NormalEmbeddings(model.embed(mels), names, np.full(30, "00"), np.full(30, ""))
    rules = {"statistics": ViewRule(ScoringConfig("whitened"))}
    samples = np.round(noise(99) * 32768).astype(np.int16)
    golden = Golden(samples, front_end.features(samples), {}, 0.0, "00")
    detector = Detector(front_end, model, fit_scorer(rules, normals), Calibration({"00": (1, 2)}))
    why = explain(detector, golden, write(tmp_path / "x.wav", noise(60) * 2), blocks=(2, 2))
    assert why.comparison is not None
    assert why.comparison.overall_db == pytest.approx(6.02, abs=0.5)


def test_command_line(tiny_bundle: Path, tiny_data: Path, tmp_path: Path) -> None:
    import matplotlib.image

    clip = tiny_data / "hummer/test/section_00_source_test_anomaly_0000.wav"
    common = (clip, "--bundle", tiny_bundle, "--blocks", 4, 5)
    text = invoke(main, "explain", *common, "-o", tmp_path / "why.png").stdout
    assert text.startswith("anomalous: score ")
    assert len(text.splitlines()) == 1
    picture = matplotlib.image.imread(tmp_path / "why.png")
    assert picture.shape[1] == 1200
    values = json.loads(invoke(main, "explain", *common, "--json").stdout)
    assert values["sentence"] == text.strip()
    assert len(values["bands"]) == 32
    assert len(values["times"]) == 5
    given = sum(band[view] for band in values["bands"] for view in ("embedding", "statistics"))
    assert given == pytest.approx(values["score"], rel=1e-4)
    scored = json.loads(
        invoke(main, "score", clip, "--bundle", tiny_bundle, "--json").stdout.splitlines()[0]
    )
    assert {k: scored[k] for k in ("score", "threshold", "p_value", "anomalous")}.items() <= (
        values.items()
    )
    beside = (*common, "--normal", tiny_data, "-o", tmp_path / "both.svg")
    invoke(main, "explain", *beside)
    assert "nearest normal clip: section_00" in (tmp_path / "both.svg").read_text()


def test_what_may_make_the_score_worthless_is_said(tiny_bundle: Path, tmp_path: Path) -> None:
    y = np.resize(np.random.default_rng(0).normal(0, 0.1, 800), 8000)
    soundfile.write(tmp_path / "stuck.wav", y, 8000)
    done = invoke(main, "explain", tmp_path / "stuck.wav", "--bundle", tiny_bundle)
    assert "stuck.wav plays the same 0.1 s again and again from 0 to 1 s" in done.stderr
    assert len(done.stdout.splitlines()) == 1


@pytest.mark.parametrize("name", ["$x^2_{$", "new\nline", "geh\udce4use", "\\frac{"])
def test_a_picture_of_a_clip_with_any_name(
    tiny_bundle: Path, tiny_data: Path, tmp_path: Path, name: str
) -> None:
    """Dollars were read as a formula: a traceback after all the work."""
    normal = tmp_path / "normal"
    for folder in (tmp_path, normal):
        folder.mkdir(exist_ok=True)
        path = folder / f"{name}.wav"
        path.write_bytes(
            (tiny_data / "hummer/test/section_00_source_test_normal_0000.wav").read_bytes()
        )
    common = (tmp_path / f"{name}.wav", "--bundle", tiny_bundle, "--section", "00")
    shown = (*common, "--normal", normal / f"{name}.wav", "--blocks", 2, 2)
    invoke(main, "explain", *shown, "-o", tmp_path / "x.png")
    assert (tmp_path / "x.png").stat().st_size > 10_000


def test_wrong_use(tiny_bundle: Path, tiny_data: Path, tmp_path: Path) -> None:
    clip = tiny_data / "hummer/test/section_00_source_test_anomaly_0000.wav"

    def message(*arguments: object, status: int = 1) -> str:
        result = invoke(main, "explain", *arguments, "--bundle", tiny_bundle, status=status)
        assert result.stdout == ""
        return result.stderr

    assert ".png, .svg, .pdf" in message(clip, "-o", tmp_path / "why.gif", status=2)
    assert "no such file" in message(tmp_path / "none.wav")
    assert "knows 00, 01" in message(clip, "--section", "77", status=2)
    assert "--blocks" in message(clip, "--blocks", 0, 3, status=2)


def test_the_sentence_comes_without_the_normal_clip(
    tiny_bundle: Path, tiny_data: Path, tmp_path: Path
) -> None:
    clip = tiny_data / "hummer/test/section_00_source_test_anomaly_0000.wav"
    arguments = ("explain", clip, "--bundle", tiny_bundle, "--normal", tmp_path)
    result = invoke(main, *arguments, status=1)
    assert result.stdout.startswith("anomalous: score")
    assert "--normal is the folder" in result.stderr


def test_only_pictures_need_matplotlib(tiny_bundle: Path, tmp_path: Path) -> None:
    write_tone(tmp_path / "clip.wav", 250, 1)
    program = f"""
{absent("matplotlib")}
from asd_edge.cli.main import main
main(["explain", {str(tmp_path / "clip.wav")!r}, "--bundle", {str(tiny_bundle)!r}, *sys.argv[1:]])
"""

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", program, *arguments], capture_output=True, text=True
        )

    plain = run("--json")
    assert plain.returncode == 0, plain.stderr
    assert "score" in json.loads(plain.stdout)
    drawn = run("-o", str(tmp_path / "why.png"))
    assert drawn.returncode == 1
    assert drawn.stdout == ""
    assert len(drawn.stderr.splitlines()) == 1
    assert "pip install 'asd-edge[plot]'" in drawn.stderr
    assert not (tmp_path / "why.png").exists()


def test_the_golden_of_another_section_does_not_pass_as_normal(
    tiny_bundle: Path, tiny_data: Path
) -> None:
    """Occluding with another section's spectrum would raise the score of every block."""
    contents = read_bundle(tiny_bundle)
    other = {"00": "01", "01": "00"}[contents.golden.section]
    clip = tiny_data / f"hummer/test/section_{other}_source_test_anomaly_0000.wav"
    why = explain(Detector.from_bundle(contents), contents.golden, clip, blocks=(1, 1))
    assert why.drops[0, 0] > 0.5 * why.score
