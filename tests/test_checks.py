"""Checks of a clip: what was once scored without a word is said, or refused."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import soundfile

from asd_edge import checks
from asd_edge.checks import EnrolledRange
from asd_edge.detector import Detector
from asd_edge.errors import UnfitError
from asd_edge.frontend.windows import FrontEnd

SR = 8000
ENROLLED = EnrolledRange(-24.0, -22.0, 8000, 1.0)


@pytest.fixture
def detector(tiny_bundle: Path) -> Detector:
    """A detector of 1 s windows at 8 kHz, taught with clips of -24 to -22 dBFS."""
    detector = Detector.load(tiny_bundle)
    detector.enrolled = ENROLLED
    return detector


def hum(seconds: float = 1.0, level_db: float = -23.0) -> np.ndarray:
    rng = np.random.default_rng(0)
    t = np.arange(round(SR * seconds)) / SR
    y = np.sin(2 * np.pi * 200 * t) + 0.1 * rng.standard_normal(t.size)
    return y / y.std() * 10 ** (level_db / 20)


def test_levels_are_those_of_numpy() -> None:
    y = hum(3.0)
    for offset in (0.0, 0.25):
        levels = checks.measure((y + offset).astype(np.float32))
        assert levels.level_db == pytest.approx(20 * np.log10(y.std()), abs=1e-4)
        assert levels.offset == pytest.approx(y.mean() + offset, abs=1e-6)
        assert levels.leading == 0
    pcm = np.round(y * 32768).astype(np.int16)
    assert checks.measure(pcm).level_db == pytest.approx(levels.level_db, abs=1e-3)
    dead = checks.measure(np.full(9000, 0.25, np.float32))
    assert (dead.level_db, dead.offset, dead.leading) == (-np.inf, 0.25, 8999)
    assert (dead.trailing, dead.held) == (8999, 1.0)


def test_levels_of_a_long_clip_are_those_of_samples_spread_over_it() -> None:
    y = hum(20.0).astype(np.float32)
    taken = y[: y.size // 2048 * 2048].reshape(-1, 2048)[:, :128]
    levels = checks.measure(y)
    assert levels.level_db == pytest.approx(20 * np.log10(taken.std()), abs=1e-4)
    assert levels.level_db == pytest.approx(20 * np.log10(y.std()), abs=0.1)


@pytest.mark.parametrize("scale", [1e10, 1e30, 3e38])
def test_floats_far_beyond_full_scale_have_a_high_level(scale: float) -> None:
    y = np.random.default_rng(0).uniform(-1, 1, 9000).astype(np.float32)
    levels = checks.measure(y * np.float32(scale))
    assert levels.level_db > 190
    assert np.isfinite(levels.offset)


def test_levels_of_a_view_are_those_of_its_copy() -> None:
    y = hum(3.0).astype(np.float32)
    for view in (y[::-1], y[::3], np.stack([y, y], axis=1)[:, 1]):
        assert checks.measure(view) == checks.measure(view.copy())


def test_a_click_and_an_offset_leave_the_level_of_soft_sound() -> None:
    """Sums of squares in single precision would give -64 dB."""
    y = hum(2.0, level_db=-90.0)
    assert checks.measure((0.5 + y).astype(np.float32)).level_db == pytest.approx(-90, abs=0.1)
    y[0] = 0.001
    expected = 20 * np.log10(y.std())
    assert checks.measure(y.astype(np.float32)).level_db == pytest.approx(expected, abs=1e-3)


def test_a_sound_clip_has_no_warning(detector: Detector) -> None:
    assert detector.score(hum(), SR).warnings == ()
    assert detector.score(hum(30.0), SR).warnings == ()


def noise_of_the_last_bit() -> np.ndarray:
    rng = np.random.default_rng(0)
    return 0.01 + np.round(rng.normal(0, 0.5, SR)) / 32768


def with_zeros(seconds: float) -> np.ndarray:
    y = hum()
    y[: round(SR * seconds)] = 0
    return y


def with_last_bit(seconds: float) -> np.ndarray:
    """A muted input in front: values of one step up and down, about an offset."""
    y = hum()
    n = round(SR * seconds)
    y[:n] = 0.0015 + np.random.default_rng(0).integers(-1, 2, n) / 32768
    return y


def with_gaps() -> np.ndarray:
    y = hum()
    for start in range(1024, 7000, 1024):
        y[start : start + 256] = 0
    return y


def test_soft_sound_has_zeros_and_no_gaps(detector: Detector) -> None:
    """Blows over the noise of the last bit: a third of the samples are 0."""
    y = np.round(0.6 * np.random.default_rng(0).standard_normal(SR)) / 32768
    y[2000:2400] += hum()[2000:2400]
    assert np.mean(y == 0) > 0.3
    levels = checks.measure(y.astype(np.float32))
    assert checks.check_levels("clip", levels, detector.front_end) == []


def held(seconds: float) -> np.ndarray:
    """One value in the middle, as of a driver that gives the last sample again."""
    y = hum()
    n = round(SR * seconds)
    y[4000 : 4000 + n] = y[4000]
    return y


def muted(seconds: float) -> np.ndarray:
    """A dropout of the microphone in the middle: values of one step up and down."""
    y = hum()
    n = round(SR * seconds)
    y[1600 : 1600 + n] = np.random.default_rng(0).integers(-1, 2, n) / 32768
    return y


def with_peaks(count: int) -> np.ndarray:
    y = hum()
    y[100 : 100 + count] = 1.0
    return y


@pytest.mark.parametrize(
    ("y", "kind", "words"),
    [
        (noise_of_the_last_bit(), "silent", "is silent (-95 dBFS, with an offset of 0.01)"),
        (32768 * hum(), "int16_scale", "full scale 1"),
        (np.clip(100 * hum(), -1, 1), "overdriven", "samples are at full scale"),
        (np.r_[hum()[:-1], 1e4], "int16_scale", "samples of up to 1e+04"),
        (np.sign(hum()), "overdriven", "is clipped: 100 % of its samples"),
        (hum(0.08), "too_short", "is 0.08 s long, and a window is 1 s"),
        (muted(0.3), "mostly_silent", "has gaps in 29 % of it, the first at 0.2 s: one value"),
        (muted(0.7), "mostly_silent", "has gaps in 69 % of it, the first at 0.2 s: one value"),
        (with_zeros(0.2), "mostly_silent", "begins with 0.2 s without any sound"),
        (with_zeros(0.2)[::-1], "mostly_silent", "ends with 0.2 s without any sound"),
    ],
)
def test_what_cannot_be_judged(detector: Detector, y: np.ndarray, kind: str, words: str) -> None:
    with pytest.raises(UnfitError, match="clip: cannot be judged: it ") as refused:
        detector.score(y, SR, name="clip")
    assert refused.value.kind == kind
    assert words in str(refused.value)


@pytest.mark.parametrize(
    ("y", "kind", "words"),
    [
        (hum(level_db=-10.0), "level", "is 12 dB louder than the loudest clip enrolled"),
        (hum(level_db=-36.0), "level", "is 12 dB quieter than the quietest clip enrolled"),
        (hum() + 0.2, "offset", "has an offset of 0.2 of full scale"),
        (with_peaks(10), "clipping", "is clipped: 0.12 % of its samples"),
        (hum(0.4), "length", "is 0.4 s long"),
        (with_last_bit(0.2), "leading_silence", "begins with 0.2 s of no more than the noise"),
        (with_last_bit(0.2)[::-1], "trailing_silence", "ends with 0.2 s of no more than the noise"),
        (held(0.05), "gaps", "has gaps in 3 % of it, the first at 0.5 s: one value"),
        (muted(0.1), "gaps", "has gaps in 8 % of it, the first at 0.2 s: one value or the last"),
        (with_gaps(), "gaps", "has gaps in 19 % of it, the first at 0.1 s: one"),
    ],
)
def test_what_is_judged_with_a_warning(
    detector: Detector, y: np.ndarray, kind: str, words: str
) -> None:
    (warning,) = detector.score(y, SR, name="clip").warnings
    assert (warning.clip, warning.kind) == ("clip", kind)
    assert words in warning.reason


def test_another_rate(detector: Detector) -> None:
    """A bundle that says at which rate it was taught cannot judge less; another one warns."""
    y = hum()[::2]
    with pytest.raises(UnfitError, match="there is nothing above 2000 Hz") as refused:
        detector.score(y, SR // 2)
    assert refused.value.kind == "lower_rate"
    detector.enrolled = EnrolledRange(-24.0, -22.0, 4000, 1.0)
    assert detector.score(y, SR // 2).warnings == ()
    (warning,) = detector.score(hum(), SR).warnings
    assert warning.kind == "rate"
    assert "clips enrolled at 4000 Hz hold nothing above 2000 Hz" in warning.reason
    detector.enrolled = None
    assert [w.kind for w in detector.score(y, SR // 2).warnings] == ["rate"]


@pytest.mark.parametrize(
    ("container", "subtype", "encoding"),
    [
        ("MP3", "MPEG_LAYER_III", "MP3"),
        ("OGG", "VORBIS", "Vorbis"),
        ("OGG", "OPUS", "Opus"),
        ("FLAC", "PCM_16", "PCM"),
        ("WAV", "ULAW", "PCM"),
        ("WAV", "IMA_ADPCM", "PCM"),
    ],
)
def test_a_lossy_format_is_said_unless_it_was_enrolled(
    detector: Detector, tmp_path: Path, container: str, subtype: str, encoding: str
) -> None:
    path = tmp_path / "clip"
    soundfile.write(path, hum(3.0), SR, subtype, format=container)
    own = f"is {encoding}, and the clips enrolled are not"
    for enrolled in (None, ENROLLED, ENROLLED._replace(encodings=("MP3",))):
        detector.enrolled = enrolled
        usual = ("PCM",) if enrolled is None else enrolled.encodings
        found = [w.reason for w in detector.score(path).warnings if w.kind == "encoding"]
        if encoding in usual:
            assert found == []
        else:
            (reason,) = found
            assert (own if encoding != "PCM" else "the clips enrolled are (MP3)") in reason
            assert "record WAV or FLAC" in reason


def test_another_channel_than_the_bundles(detector: Detector) -> None:
    y = np.c_[hum(), 0.9 * hum()]
    assert detector.score(y, SR, channel=0).warnings == ()
    detector.front_end = dataclasses.replace(detector.front_end, channel=1)
    for clip, channel in ((y, None), (y, 1), (y, "mean"), (y[:, 0], None), (y[:, 0], 0)):
        assert detector.score(clip, SR, channel=channel).warnings == ()
    (warning,) = detector.score(y, SR, channel=0).warnings
    assert warning.kind == "channel"
    assert "is judged by channel 0, and the bundle is about channel 1" in warning.reason


@pytest.mark.parametrize("offset", [0.02, 0.2, -0.4])
@pytest.mark.parametrize("seconds", [0.5, 1.0, 30.0])
def test_an_offset_does_not_move_the_score(
    detector: Detector, offset: float, seconds: float
) -> None:
    y = hum(seconds)
    clean, moved = (detector.score(x, SR, section="00") for x in (y, y + offset))
    assert moved.score == pytest.approx(clean.score, rel=0.02)


def test_a_small_offset_is_left_as_it_is() -> None:
    y = np.round(32768 * (hum() + 0.001)).astype(np.int16)
    assert checks.centred(y, checks.measure(y)) is y


def test_short_clips_are_judged_beside_those_enrolled(detector: Detector) -> None:
    """A machine that was taught by clips of 50 ms is heard in clips of 50 ms."""
    detector.enrolled = EnrolledRange(-24.0, -22.0, 8000, 0.05)
    assert detector.score(hum(0.05), SR).warnings == ()
    detector.enrolled = None
    with pytest.raises(UnfitError, match=r"0\.05 s long, and a window is 1 s"):
        detector.score(hum(0.05), SR)


def test_windows_without_sound_are_left_out(detector: Detector) -> None:
    y = hum(30.0)
    y[5 * SR : 8 * SR] = 0
    decision = detector.score(y, SR, section="00")
    silence, gaps = decision.warnings
    assert (silence.kind, gaps.kind) == ("silent_windows", "gaps")
    assert "has 5 of 59 windows without sound, the first at 5 s" in silence.reason
    assert "has gaps in 2 of 59 windows, the first at 4.5 s" in gaps.reason
    assert gaps.reason.endswith("; left out")
    out = [window.start_s for window in decision.windows if not window.valid]
    assert out == [4.5, 5.0, 5.5, 6.0, 6.5, 7.0, 7.5]
    assert not any(window.anomalous for window in decision.windows if not window.valid)


def test_the_range_is_read_from_the_provenance() -> None:
    facts = {"level_range_db": [-30, -20.5], "lowest_rate": 16000, "clips": 4, "seconds": 2.0}
    expected = EnrolledRange(-30.0, -20.5, 16000, 0.5)
    assert EnrolledRange.of_provenance({"enrolled": facts}) == expected
    more = {"enrolled": facts | {"encodings": ["MP3", "PCM"]}}
    assert EnrolledRange.of_provenance(more) == expected._replace(encodings=("MP3", "PCM"))
    assert EnrolledRange.of_provenance({"enrolled": {"clips": 3}}) is None
    assert EnrolledRange.of_provenance({}) is None


@pytest.mark.parametrize("seconds", [1.0, 1.4, 1.9])
def test_where_a_gap_is_in_a_clip_of_less_than_two_windows(
    detector: Detector, seconds: float
) -> None:
    y = hum(seconds)
    at = round((seconds - 0.2) * SR)
    y[at : at + 800] = 0
    (warning,) = detector.score(y, SR).warnings
    assert f"the first at {at / SR:.1f} s: one value" in warning.reason


@pytest.mark.parametrize("dtype", [np.int16, np.float32])
def test_a_muted_stretch_of_a_recording_decides_nothing(detector: Detector, dtype: type) -> None:
    y = hum(30.0)
    n = round(1.7 * SR)
    y[5 * SR : 5 * SR + n] = np.random.default_rng(0).integers(-1, 2, n) / 32768
    x = np.round(32768 * y).astype(np.int16) if dtype is np.int16 else y.astype(np.float32)
    decision = detector.score(x, SR, section="00")
    out = [window.start_s for window in decision.windows if not window.valid]
    assert out == [4.5, 5.0, 5.5, 6.0, 6.5]
    assert {w.kind for w in decision.warnings} == {"silent_windows", "gaps"}


def test_pauses_of_a_soft_recorder_are_no_gaps() -> None:
    """Most of the clip is the noise of the last bit, between blows."""
    rng = np.random.default_rng(0)
    pcm = rng.integers(-1, 2, 4 * SR)
    for at in range(0, len(pcm), SR // 2):
        pcm[at : at + 1000] = rng.normal(0, 3000, 1000)
    levels = checks.measure(pcm.astype(np.int16))
    assert levels.level_db > -40
    assert levels.held == 0


def test_a_window_with_a_gap_decides_nothing(detector: Detector) -> None:
    """A file that was made at its full length, of which a power cut left the rest zeros."""
    y = hum(30.0)
    expected = detector.score(y[: round(10.6 * SR)], SR, section="00")
    y[round(10.7 * SR) :] = 0
    decision = detector.score(y, SR, section="00")
    assert decision.score == pytest.approx(expected.score, rel=0.1)
    assert [w.kind for w in decision.warnings] == ["silent_windows", "gaps"]


@pytest.mark.parametrize("seconds", [1.2, 1.9])
def test_a_clip_of_less_than_two_windows_is_checked_at_its_ends(
    detector: Detector, seconds: float
) -> None:
    for ends in (1, -1):
        y = hum(seconds)[::ends]
        y[:SR] = 0
        with pytest.raises(UnfitError, match=r"with 1\.0 s without any sound") as refused:
            detector.score(y[::ends], SR)
        assert refused.value.kind == "mostly_silent"


@pytest.mark.parametrize("dtype", [np.int16, np.float32])
def test_ends_within_two_steps_of_16_bits(dtype: type) -> None:
    unit = 1 if dtype is np.int16 else 1 / 32768
    y = np.array([5, 6, 7, 5, 7, 8, 100, 3, 1, 2, 3], dtype) * dtype(unit)
    levels = checks.measure(y)
    assert (levels.faint_leading, levels.faint_trailing) == (4, 3)
    assert (levels.leading, levels.trailing) == (0, 0)
    same = checks.measure(np.full(9000, 7 * unit, dtype))
    assert (same.faint_leading, same.faint_trailing) == (8999, 8999)


@pytest.mark.parametrize(
    ("seconds", "enrolled", "kind"),
    [
        (1.0, 0.5, None),
        (1.1, 0.5, "longer"),
        (60.0, 4.0, "longer"),  # in windows of 10 s
        (60.0, 5.0, None),
        (60.0, 0.9, "too_long"),
        (9.1, 0.9, "too_long"),
        (8.9, 0.9, "longer"),
        (4.9, 10.0, "length"),
        (0.9, 10.0, "too_short"),
        (0.4, 1.0, "length"),
    ],
)
def test_length_beside_that_of_the_clips_enrolled(
    seconds: float, enrolled: float, kind: str | None
) -> None:
    taught = EnrolledRange(-24.0, -22.0, 16000, enrolled)
    found = checks.check_length("clip", seconds, FrontEnd(), taught)
    assert [warning.kind for warning in found] == ([] if kind is None else [kind])


def test_a_recording_beside_clips_of_a_twentieth_of_a_window(detector: Detector) -> None:
    detector.enrolled = EnrolledRange(-24.0, -22.0, 8000, 0.05)
    with pytest.raises(UnfitError, match="is judged by 1 s at once") as refused:
        detector.score(hum(30.0), SR)
    assert refused.value.kind == "too_long"


def test_gaps_everywhere_are_how_a_machine_is_recorded(detector: Detector) -> None:
    y = hum(20.0)
    for start in range(0, len(y), 2048):
        y[start : start + 256] = 0
    decision = detector.score(y, SR, section="00")
    assert all(window.valid for window in decision.windows)
    (warning,) = decision.warnings
    assert warning.kind == "gaps"
    assert not warning.reason.endswith("left out")
