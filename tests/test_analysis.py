"""The one path: stages are computed once and on demand, and agree with each other."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import soundfile

from asd_edge import analysis as module
from asd_edge.analysis import Analysis
from asd_edge.detector import Detector
from asd_edge.errors import AudioError, ParameterError
from asd_edge.frontend.mel import MelSpectrogram

SR = 8000


@pytest.fixture
def detector(tiny_bundle: Path) -> Detector:
    """A detector of 1 s windows at 8 kHz that overlap by half."""
    return Detector.load(tiny_bundle)


def hum(seconds: float, seed: int = 0, pitch: float = 200.0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    t = np.arange(round(SR * seconds)) / SR
    y = 0.1 * np.sin(2 * np.pi * pitch * t) + 0.01 * rng.standard_normal(t.size)
    return np.round(32768 * y).astype(np.int16)


@pytest.mark.parametrize("seconds", [0.4, 1.0, 1.7, 3.0, 9.3, 70.3])
def test_every_stage_is_that_of_the_windows_one_by_one(detector: Detector, seconds: float) -> None:
    """Each window is cut, transformed, embedded and scored by hand here, and by the analysis."""
    y = hum(seconds)
    analysis = detector.analyse(y, SR, section="00")
    spectrogram = MelSpectrogram(detector.front_end.mel)
    scores = []
    for i, window in enumerate(analysis.windows):
        start = round(window.start_s * SR)
        samples = y[start : start + SR] if len(y) >= SR else np.resize(y, SR)
        mel = spectrogram(samples)
        np.testing.assert_array_equal(analysis.mels[i], mel)
        embeddings = detector.model.embed(mel[np.newaxis])
        for view, x in embeddings.items():
            np.testing.assert_allclose(analysis.embeddings[view][i], x[0], rtol=2e-5, atol=2e-6)
        scores.append(detector.scorer.score(embeddings, "00").score)
        assert window.score == pytest.approx(scores[-1], rel=1e-4)
    assert len(analysis.mels) == len(scores) == len(detector.front_end.starts(len(y)))
    assert analysis.windows[0].start_s == 0
    assert analysis.windows[-1].end_s == pytest.approx(seconds)
    assert analysis.worst == int(np.argmax(scores))
    whole = max(scores) if seconds >= 2 else np.mean(scores)
    assert analysis.decision.score == pytest.approx(whole, rel=1e-4)
    assert detector.score(y, SR, section="00") == analysis.decision


def test_every_stage_is_computed_once(detector: Detector, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: Counter[str] = Counter()
    for owner, name in (
        (detector.front_end.__class__, "features"),
        (detector.model, "embed"),
        (detector.scorer, "score"),
    ):
        inner = getattr(owner, name)

        def counted(*args: object, name: str = name, inner: object = inner) -> object:
            calls[name] += 1
            return inner(*args)

        monkeypatch.setattr(owner, name, counted)
    analysis = detector.analyse(hum(3.0), SR)
    assert not calls, "nothing is computed before it is asked for"
    for _ in range(2):
        assert analysis.mels.shape == (5, *detector.front_end.shape)
        assert analysis.mel(2) is not None
        assert analysis.decision.windows == analysis.windows
    assert calls == {"features": 5, "embed": 1, "score": 1}


def test_a_long_clip_keeps_no_spectrogram(
    detector: Detector, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = []
    inner = detector.model.embed
    monkeypatch.setattr(detector.model, "embed", lambda mel: sizes.append(len(mel)) or inner(mel))
    analysis = detector.analyse(hum(20.0), SR)
    assert analysis.decision
    assert "mels" not in vars(analysis)
    assert max(sizes) <= module.BATCH
    assert sum(sizes) == len(analysis.windows) == 39


def test_int16_gives_what_float_gives(detector: Detector) -> None:
    y = hum(3.0)
    exact = detector.analyse(y, SR, section="01")
    scaled = detector.analyse(y / np.float32(32768), SR, section="01")
    assert exact.samples.dtype == np.int16
    assert exact.decision == scaled.decision


def test_pieces_are_clips_end_to_end(detector: Detector) -> None:
    y = hum(3.4)
    pieces = list(detector.analyse(y, SR, section="00", name="rec").pieces())
    assert [(piece.clip, piece.start_s) for piece in pieces] == [("rec", 0), ("rec", 1), ("rec", 2)]
    for piece in pieces:
        start = round(SR * piece.start_s)
        np.testing.assert_array_equal(piece.samples, y[start : start + SR])
        alone = detector.score(y[start : start + SR], SR, section="00", name="rec")
        assert piece.decision == alone
    whole = detector.analyse(hum(1.9), SR)
    assert list(whole.pieces()) == [whole]


def test_a_long_recording_is_never_held(detector: Detector, tmp_path: Path) -> None:
    """Scores, windows and pieces are those of the samples in memory."""
    y = hum(70.3)
    soundfile.write(tmp_path / "long.wav", y, SR)
    with detector.analyse(tmp_path / "long.wav", section="00") as streamed:
        pieces = [(piece.start_s, piece.samples.copy()) for piece in streamed.pieces()]
        assert streamed.decision.windows
        assert "samples" not in vars(streamed)
    held = Analysis(y, detector.front_end, detector.model, section="00", detector=detector)
    assert [w.start_s for w in streamed.windows] == [w.start_s for w in held.windows]
    np.testing.assert_allclose(
        [w.score for w in streamed.windows], [w.score for w in held.windows], rtol=1e-5
    )
    assert streamed.decision.p_value == pytest.approx(held.decision.p_value, rel=1e-3)
    assert len(pieces) == 70
    for start_s, samples in pieces:
        start = round(SR * start_s)
        np.testing.assert_array_equal(samples, y[start : start + SR])


def test_other_spectrograms_in_the_place_of_the_windows(detector: Detector) -> None:
    analysis = detector.analyse(hum(1.0), SR)
    other = detector.analyse(hum(1.0, seed=3, pitch=330.0), SR, section="00")
    assert analysis.decision.section == "00"
    swapped = analysis.with_mels(np.concatenate([other.mels, analysis.mels]))
    assert swapped.scores.windows == pytest.approx([other.decision.score, analysis.decision.score])
    assert swapped.scores.section_known


def test_without_a_detector_it_only_embeds(detector: Detector) -> None:
    y = hum(1.0)
    analysis = Analysis(y, detector.front_end, detector.model)
    expected = detector.analyse(y, SR).embeddings
    np.testing.assert_array_equal(analysis.embeddings["statistics"], expected["statistics"])
    with pytest.raises(ParameterError, match="only embeds"):
        _ = analysis.decision


def test_a_clip_that_is_too_short_is_refused_at_once(detector: Detector) -> None:
    with pytest.raises(AudioError, match=r"tiny: is 0\.031 s long; at least 0\.032 s") as refused:
        detector.analyse(hum(1.0)[:250], SR, name="tiny")
    assert refused.value.kind == "too_short"


def test_analyses_that_are_kept_hold_no_descriptor(tmp_path: Path, detector: Detector) -> None:
    """An export in lower precision analyses every clip of the data set."""
    path = tmp_path / "clip.wav"
    soundfile.write(path, hum(1.5), SR, subtype="PCM_16")
    before = sum(1 for _ in Path("/dev/fd").iterdir())
    kept = [detector.analyse(path) for _ in range(5)]
    assert sum(1 for _ in Path("/dev/fd").iterdir()) == before
    for analysis in kept:
        assert analysis.decision == kept[0].decision
        analysis.close()
