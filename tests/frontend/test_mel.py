from __future__ import annotations

import dataclasses
import json
import pickle
import threading
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import ROOT
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from asd_edge.errors import AsdError, ParameterError
from asd_edge.frontend import mel as features
from asd_edge.frontend.mel import (
    MelConfig,
    MelSpectrogram,
    MelStream,
    instruction_set,
    instruction_sets,
    mel_filterbank,
    melspectrogram,
)

GOLDEN = ROOT / "tests" / "golden" / "mel.npz"

SIZES = [64, 100, 128, 400, 480, 512, 882, 1000, 1022, 1024, 2 * 509, 2048, 8192]
FLOOR_DB = -100.0
MAX_RELATIVE = 1e-5

examples = settings(
    suppress_health_check=[
        *settings.default.suppress_health_check,
        HealthCheck.function_scoped_fixture,
    ],
)


@pytest.fixture(autouse=True, params=instruction_sets())
def instructions(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Every test runs on every path that this machine has."""
    monkeypatch.setenv("ASD_EDGE_SIMD", request.param)
    features._cached.cache_clear()
    yield request.param
    features._cached.cache_clear()


def noise(n: int, seed: int = 0, scale: float = 0.1) -> np.ndarray:
    samples = scale * np.random.default_rng(seed).standard_normal(n)
    return samples.astype(np.float32)


def by_librosa(y: np.ndarray, config: MelConfig) -> np.ndarray:
    """The same spectrogram by librosa, in float64 from end to end, without the log."""
    librosa = pytest.importorskip("librosa")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Empty filters detected")
        warnings.filterwarnings("ignore", message="n_fft=.* is too large for input signal")
        mel: np.ndarray = librosa.feature.melspectrogram(
            y=np.asarray(y, dtype=np.float64),
            sr=config.sr,
            n_fft=config.n_fft,
            hop_length=config.hop_length,
            n_mels=config.n_mels,
            fmin=config.fmin,
            fmax=config.fmax,
            power=config.power,
            center=config.center,
            pad_mode=config.pad_mode,
            window="hann",
            htk=False,
            norm="slaney",
            dtype=np.float64,
        )
    return mel


def check(y: np.ndarray, config: MelConfig) -> None:
    """Hold the error contract, and the log's, against librosa."""
    linear = dataclasses.replace(config, log="none")
    reference = by_librosa(y, linear)
    mel = MelSpectrogram(linear)(y)
    assert mel.dtype == np.float32
    assert mel.flags.c_contiguous
    assert mel.shape == reference.shape == (config.n_mels, config.n_frames(len(y)))
    audible = reference > 10 ** (FLOOR_DB / 20 * config.power) * reference.max()
    assert audible.any() or not reference.any()
    np.testing.assert_allclose(mel[audible], reference[audible], rtol=MAX_RELATIVE, atol=0)
    # Below the floor: never above it.
    assert np.all(mel[~audible] <= 10 ** (FLOOR_DB / 20 * config.power) * reference.max() * 1.001)
    if config.log == "db":
        librosa = pytest.importorskip("librosa")
        to_db = librosa.amplitude_to_db if config.power == 1 else librosa.power_to_db
        amin = config.amin or (1e-5 if config.power == 1 else 1e-10)
        expected = to_db(reference, ref=1.0, amin=amin, top_db=None)
        # 1e-5 relative is 8.7e-5 dB of an amplitude; float32 adds 1e-5 at 200 dB.
        np.testing.assert_allclose(
            MelSpectrogram(config)(y)[audible], expected[audible], rtol=0, atol=1e-4
        )


# ---- against librosa ----


@pytest.mark.parametrize("n_fft", SIZES)
@pytest.mark.parametrize(
    ("center", "pad_mode"), [(True, "constant"), (True, "reflect"), (False, "constant")]
)
@pytest.mark.parametrize("power", [1, 2])
@pytest.mark.parametrize("log", ["none", "db"])
def test_equals_librosa(n_fft: int, center: bool, pad_mode: str, power: int, log: str) -> None:
    hop_length = 1 + n_fft // 3
    config = MelConfig(
        n_fft=n_fft,
        hop_length=hop_length,
        n_mels=n_fft // 16,
        power=power,
        log=log,
        center=center,
        pad_mode=pad_mode,
    )
    check(noise(n_fft + 5 * hop_length + 3, seed=n_fft), config)


@st.composite
def configs(draw: st.DrawFn) -> MelConfig:
    sr = draw(st.sampled_from([8000, 16000, 22050, 44100]))
    # At least a quarter of the spectrum, and in steps: a band between two bins, or one whose edge
    # is 1e-9 Hz off a bin, would hold nothing but the rounding of its edges, here and in librosa.
    share = draw(st.integers(0, 7500)) / 10_000
    width = draw(st.integers(2500, 10_000 - round(share * 10_000))) / 10_000
    return MelConfig(
        sr=sr,
        n_fft=draw(st.sampled_from(SIZES) | st.integers(32, 300).map(lambda half: 2 * half)),
        hop_length=draw(st.integers(1, 3000)),
        n_mels=draw(st.integers(1, 200)),
        fmin=share * sr / 2,
        fmax=None if share + width >= 1 else (share + width) * sr / 2,
        power=draw(st.sampled_from([1, 2])),
        log=draw(st.sampled_from(["none", "db"])),
        amin=draw(st.none() | st.floats(1e-12, 1e-2)),
        center=draw(st.booleans()),
        pad_mode=draw(st.sampled_from(["constant", "reflect"])),
    )


@examples
@given(config=configs(), extra=st.integers(0, 5000), seed=st.integers(0, 2**16))
def test_equals_librosa_over_parameters(config: MelConfig, extra: int, seed: int) -> None:
    config = dataclasses.replace(config, hop_length=max(config.hop_length, extra // 20 + 1))
    check(noise(config.min_samples + extra, seed=seed), config)


@pytest.mark.parametrize(
    ("sr", "n_fft", "n_mels", "fmin", "fmax"),
    [(16000, 1024, 128, 0.0, None), (22050, 2048, 256, 0.0, None), (44100, 882, 64, 50.0, 14000.0)],
)
def test_filterbank_equals_librosa(
    sr: int, n_fft: int, n_mels: int, fmin: float, fmax: float | None
) -> None:
    librosa = pytest.importorskip("librosa")
    config = MelConfig(sr=sr, n_fft=n_fft, n_mels=n_mels, fmin=fmin, fmax=fmax)
    expected = librosa.filters.mel(
        sr=sr, n_fft=n_fft, n_mels=n_mels, fmin=fmin, fmax=fmax, dtype=np.float64
    )
    filters = mel_filterbank(config)
    assert filters.shape == (n_mels, 1 + n_fft // 2)
    np.testing.assert_allclose(filters, expected, rtol=0, atol=1e-12 * expected.max())


def test_filters_too_narrow_for_a_bin_are_zero() -> None:
    config = MelConfig(n_fft=64, hop_length=32, n_mels=100)
    reference = by_librosa(noise(1000), config)
    empty = ~reference.any(axis=1)
    assert 10 < empty.sum() < 90
    assert not melspectrogram(noise(1000), n_fft=64, hop_length=32, n_mels=100)[empty].any()


# ---- goldens ----


@pytest.mark.parametrize("case", range(8))
def test_goldens(case: int) -> None:
    with np.load(GOLDEN, allow_pickle=False) as golden:
        y, expected = golden["y"], golden[f"mel_{case}"].astype(np.float64)
        config = MelConfig(**json.loads(str(golden[f"config_{case}"])))
    mel = MelSpectrogram(config)(y)
    assert mel.shape == expected.shape
    if config.log == "db":
        np.testing.assert_allclose(mel, expected, rtol=0, atol=1e-4)
    else:
        audible = expected > 10 ** (FLOOR_DB / 20 * config.power) * expected.max()
        np.testing.assert_allclose(mel[audible], expected[audible], rtol=MAX_RELATIVE, atol=0)
        np.testing.assert_array_equal(mel[expected == 0], 0)
        assert (expected == 0).any()


def test_goldens_cover_every_option() -> None:
    with np.load(GOLDEN, allow_pickle=False) as golden:
        cases = [json.loads(str(golden[name])) for name in golden if name.startswith("config_")]
    assert len(cases) == 8
    assert {case.get("power", 2) for case in cases} == {1, 2}
    assert {case.get("log", "none") for case in cases} == {"none", "db"}
    assert {case.get("center", True) for case in cases} == {True, False}
    assert {case.get("pad_mode", "constant") for case in cases} == {"constant", "reflect"}


def test_published_feature_file(recordings: Path) -> None:
    soundfile = pytest.importorskip("soundfile")
    folder = recordings / "golden_mel"
    y, sr = soundfile.read(folder / "normal_id_01_00000000.wav", dtype="float32")
    published = np.fromfile(folder / "normal_id_01_00000000_hist_librosa.bin", dtype="<f4")
    published = published.reshape(200, 128).T
    config = MelConfig(sr=sr, n_fft=1024, hop_length=512, n_mels=128, log="db")
    mel = MelSpectrogram(config)(y)[:, 50:250]
    np.testing.assert_allclose(mel, published, rtol=0, atol=1e-4)


# ---- the error contract ----

SR, N_FFT, HOP = 16000, 1024, 512


def tone(bin_number: int, amplitude: float, n: int = SR) -> np.ndarray:
    return amplitude * np.sin(2 * np.pi * bin_number * np.arange(n) / N_FFT + 0.3)


@pytest.mark.parametrize("power", [1, 2])
def test_quiet_tone_within_full_scale_frames(power: int) -> None:
    # Both tones lie on a bin, where the Hann window leaks into the two neighbours only.
    y = tone(64, 1.0) + tone(400, 1.5e-5)
    config = MelConfig(power=power, center=False)
    reference = by_librosa(y.astype(np.float32), config)
    band = int(np.argmax(mel_filterbank(config)[:, 400]))
    level = 20 / power * np.log10(reference[band] / reference.max())
    assert np.all((level < -93) & (level > -110))
    mel = MelSpectrogram(config)(y.astype(np.float32))
    np.testing.assert_allclose(mel[band], reference[band], rtol=MAX_RELATIVE, atol=0)


@pytest.mark.parametrize("quiet_first", [True, False])
def test_quiet_tone_beside_full_scale_frames(quiet_first: bool) -> None:
    loud, quiet = tone(64, 1.0, 10 * HOP), tone(64, 1.5e-5, 10 * HOP)
    parts = (quiet, loud) if quiet_first else (loud, quiet)
    check(np.concatenate(parts).astype(np.float32), MelConfig(log="db", amin=1e-30))
    # In frame by frame alternation, too.
    alternating = np.concatenate([loud[:N_FFT], quiet[:N_FFT]] * 6).astype(np.float32)
    config = MelConfig(hop_length=N_FFT, center=False)
    reference = by_librosa(alternating, config)
    mel = MelSpectrogram(config)(alternating)
    band = int(np.argmax(reference[:, 1]))
    np.testing.assert_allclose(mel[band], reference[band], rtol=MAX_RELATIVE, atol=0)
    assert reference[band, 1] < 1e-9 * reference[band, 0]


@pytest.mark.parametrize("n_fft", SIZES)
@pytest.mark.parametrize("power", [1, 2])
def test_silence_is_exactly_zero(n_fft: int, power: int) -> None:
    silence = np.zeros(3 * n_fft, dtype=np.float32)
    mel = melspectrogram(silence, n_fft=n_fft, n_mels=20, power=power)
    assert mel.size
    np.testing.assert_array_equal(mel, 0)
    db = melspectrogram(silence, n_fft=n_fft, n_mels=20, power=power, log="db")
    np.testing.assert_array_equal(db, -100)


def test_silent_frames_beside_full_scale_are_exactly_zero() -> None:
    y = np.concatenate([tone(64, 1.0, 8 * HOP), np.zeros(8 * HOP), tone(99, 1.0, 8 * HOP)])
    mel = melspectrogram(y, center=False)
    np.testing.assert_array_equal(mel[:, 8:15], 0)
    assert np.all(mel[:, [7, 15]].max(axis=0) > 0)


def test_amin_bounds_the_log() -> None:
    db = melspectrogram(np.zeros(2000), log="db", amin=1e-3)
    np.testing.assert_array_equal(db, np.float32(-30))
    db = melspectrogram(np.zeros(2000), log="db", amin=1e-3, power=1)
    np.testing.assert_array_equal(db, np.float32(-60))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("log", ["none", "db"])
def test_non_finite_samples_stay_in_their_frames(value: float, log: str) -> None:
    y = noise(12 * HOP)
    clean = melspectrogram(y, center=False, log=log)
    y[5 * HOP + 100] = value  # in frames 4 and 5
    mel = melspectrogram(y, center=False, log=log)
    assert not np.isfinite(mel[:, 4:6]).any()
    others = [t for t in range(mel.shape[1]) if t not in (4, 5)]
    np.testing.assert_array_equal(mel[:, others], clean[:, others])


SIGNALS = {
    "noise": noise(SR),
    "falling noise": np.cumsum(noise(SR, scale=1e-3)),
    "rising noise": np.diff(noise(SR + 2), 2),
    "chirp": np.sin(2 * np.pi * 3900 * (np.arange(SR) / SR) ** 2),
    "tone": tone(64, 1.0) + 0 * noise(SR),
    "tone off a bin in little noise": tone(1, 1.0) + noise(SR, scale=1e-4),
    "weak tone beside a strong one": tone(64, 1.0) + tone(400, 3e-4),
    "square wave": np.sign(tone(10, 1.0)),
    "clicks": (np.arange(SR) % 1000 == 0).astype(float),
    "offset": 0.5 + noise(SR, scale=1e-3),
}


@pytest.mark.parametrize("name", SIGNALS)
@pytest.mark.parametrize("power", [1, 2])
@pytest.mark.parametrize("n_fft", [64, 256, 1024, 2048])
def test_error_contract(name: str, power: int, n_fft: int) -> None:
    y = SIGNALS[name].astype(np.float32)
    config = MelConfig(n_fft=n_fft, hop_length=n_fft // 4, n_mels=n_fft // 8, power=power)
    check(y, config)


def test_error_contract_on_recordings(recordings: Path) -> None:
    soundfile = pytest.importorskip("soundfile")
    for path in sorted(recordings.glob("machines/dev_data/*/test/*.wav"))[::6]:
        y, sr = soundfile.read(path, dtype="float32")
        check(y, MelConfig(sr=sr))
        check(y, MelConfig(sr=sr, n_fft=2048, n_mels=256))


@pytest.mark.parametrize("level", [1e-30, 1e-20, 1e-12, 1e-6, 1e6, 1e12, 1e16])
@pytest.mark.parametrize("power", [1, 2])
def test_levels_far_from_full_scale(level: float, power: int) -> None:
    y = (level * noise(8000).astype(np.float64)).astype(np.float32)
    config = MelConfig(log="db", amin=1e-90, power=power)
    reference = by_librosa(y, dataclasses.replace(config, log="none"))
    db = MelSpectrogram(config)(y)
    np.testing.assert_allclose(db, 20 / power * np.log10(reference), rtol=1e-6, atol=1e-4)


@pytest.mark.parametrize("power", [1, 2])
def test_log_is_that_of_the_mel(power: int) -> None:
    config = MelConfig(n_fft=64, hop_length=32, n_mels=10, power=power, amin=1e-20)
    y = noise(40_000) * np.float32(10) ** np.linspace(-4, 4, 40_000, dtype=np.float32)
    mel = MelSpectrogram(config)(y).astype(np.float64)
    db = MelSpectrogram(dataclasses.replace(config, log="db"))(y)
    # Half a unit in the last place of the result and of mel, and 3e-7 of the logarithm.
    expected = 20 / power * np.log10(mel)
    assert np.ptp(expected) > 100
    np.testing.assert_allclose(db, expected, rtol=1.5e-7, atol=5e-6)


# ---- int16 ----


@pytest.mark.parametrize("n_fft", [64, 100, 1024, 2048])
@pytest.mark.parametrize("hop_length", [16, 37, 512, 3000])
@pytest.mark.parametrize("pad_mode", ["constant", "reflect"])
def test_pcm16_equals_scaling_first(n_fft: int, hop_length: int, pad_mode: str) -> None:
    rng = np.random.default_rng(n_fft)
    pcm = rng.integers(-32768, 32768, 12_345).astype(np.int16)
    y = pcm.astype(np.float32) / 32768
    mel = MelSpectrogram(
        MelConfig(n_fft=n_fft, hop_length=hop_length, n_mels=10, pad_mode=pad_mode, log="db")
    )
    expected = mel(y)
    np.testing.assert_array_equal(mel(pcm), expected)
    np.testing.assert_array_equal(mel(np.repeat(pcm, 2)[::2]), expected)
    np.testing.assert_array_equal(mel(pcm.astype(">i2")), expected)
    np.testing.assert_array_equal(in_pieces(mel, pcm, [1, 500, 0, 3000]), expected)
    stream = mel.stream()  # of both kinds
    parts = [stream.push(pcm[:700]), stream.push(y[700:5000]), stream.push(pcm[5000:])]
    np.testing.assert_array_equal(np.concatenate([*parts, stream.finish()], axis=1), expected)


@pytest.mark.parametrize("n_fft", [64, 1024, 2048])
@pytest.mark.parametrize("dtype", [np.float32, np.int16])
def test_bits_do_not_tell_where_the_samples_lie(n_fft: int, dtype: type) -> None:
    """Blocks of samples end where cache lines do, wherever in a line the clip begins."""
    mel = MelSpectrogram(MelConfig(sr=SR, n_fft=n_fft, hop_length=n_fft // 2, n_mels=16))
    y = (32768 * noise(20 * n_fft)).astype(np.int16).astype(dtype)
    expected = mel(y)
    for at in range(33):
        moved = np.empty(y.size + at, dtype)[at:]
        moved[:] = y
        np.testing.assert_array_equal(mel(moved), expected)


# ---- instruction sets ----


def test_instruction_set(instructions: str, monkeypatch: pytest.MonkeyPatch) -> None:
    available = instruction_sets()
    assert instruction_set() == instructions
    assert available[-1] == "scalar"
    assert set(available) <= {"avx512", "avx2", "sse2", "neon", "scalar"}
    monkeypatch.delenv("ASD_EDGE_SIMD")
    assert instruction_set() == available[0]
    monkeypatch.setenv("ASD_EDGE_SIMD", "mmx")
    with pytest.raises(ParameterError, match=f"ASD_EDGE_SIMD is 'mmx'.*{available[0]}"):
        MelSpectrogram()


@pytest.mark.parametrize("n_fft", [256, 1024, 2048])
def test_few_frames_equal_many_to_the_bit(n_fft: int) -> None:
    # Few frames may run in a narrower kernel; half of these run in double, too.
    y = np.concatenate([noise(40 * n_fft), tone(64, 1.0)]).astype(np.float32)
    mel = MelSpectrogram(MelConfig(n_fft=n_fft, hop_length=n_fft // 2, center=False, log="db"))
    whole = mel(y)
    for count in range(1, 18):
        for first in (0, 30, whole.shape[1] - count):
            start = first * n_fft // 2
            part = mel(y[start : start + (count + 1) * n_fft // 2])
            np.testing.assert_array_equal(part, whole[:, first : first + count])


@pytest.mark.parametrize("power", [1, 2])
@pytest.mark.parametrize("n_fft", [64, 1024, 2048])
def test_frames_do_not_tell_which_precision_their_neighbours_needed(n_fft: int, power: int) -> None:
    # A tone in noise that comes and goes, so slowly that many frames lie at the very limit of
    # what single precision is trusted with; alone, a frame is tried in single precision first.
    n = 12 * SR
    fading = 10 ** (-4 + 3.5 * np.sin(2 * np.pi * np.arange(n) / (5 * SR)))
    y = np.float32(tone(64, 0.5, n) + 0.1 * fading * noise(n, scale=1.0))
    mel = MelSpectrogram(
        MelConfig(n_fft=n_fft, hop_length=n_fft // 4, n_mels=n_fft // 16, power=power, center=False)
    )
    whole = mel(y)
    for t in range(whole.shape[1]):
        start = t * n_fft // 4
        np.testing.assert_array_equal(mel(y[start : start + n_fft])[:, 0], whole[:, t])


# ---- whole == chunked ----


def in_pieces(mel: MelSpectrogram, y: np.ndarray, sizes: list[int]) -> np.ndarray:
    stream = mel.stream()
    results, at = [], 0
    for size in sizes:
        results.append(stream.push(y[at : at + size]))
        at += size
    results += [stream.push(y[at:]), stream.finish()]
    return np.concatenate(results, axis=1)


@examples
@given(config=configs(), data=st.data())
def test_chunked_equals_whole(config: MelConfig, data: st.DataObject) -> None:
    n = config.min_samples + data.draw(st.integers(0, 3 * config.n_fft), label="extra")
    n_fft, hop = config.n_fft, config.hop_length
    size = st.sampled_from([0, 1, n_fft - 1, n_fft, n_fft // 2, hop, 3 * hop + 1])
    sizes = data.draw(st.lists(size | st.integers(0, 300), max_size=20), label="sizes")
    y = noise(n, seed=n)
    mel = MelSpectrogram(config)
    np.testing.assert_array_equal(in_pieces(mel, y, sizes), mel(y))


@pytest.mark.parametrize(
    ("center", "pad_mode"), [(True, "constant"), (True, "reflect"), (False, "constant")]
)
@pytest.mark.parametrize("hop_length", [1, 30, 64, 65, 200])
def test_sample_by_sample_equals_whole(center: bool, pad_mode: str, hop_length: int) -> None:
    config = MelConfig(
        n_fft=64, hop_length=hop_length, n_mels=8, center=center, pad_mode=pad_mode, log="db"
    )
    mel = MelSpectrogram(config)
    for n in [config.min_samples + i for i in (0, 1, 2, 31, 63, 64, 65, 150)]:
        y = noise(n, seed=n)
        np.testing.assert_array_equal(in_pieces(mel, y, [1] * n), mel(y))


def test_stream_gives_a_frame_as_soon_as_its_samples_are_there() -> None:
    stream = MelSpectrogram(MelConfig(n_fft=64, hop_length=16, n_mels=4)).stream()
    assert stream.push(noise(31)).shape == (4, 0)
    assert stream.push(noise(1)).shape == (4, 1)  # 32 zeros of padding and 32 samples
    assert stream.push(noise(15)).shape == (4, 0)
    assert stream.push(noise(17)).shape == (4, 2)
    assert stream.finish().shape == (4, 2)


@pytest.mark.parametrize("hop_length", [16, 3000])
@pytest.mark.parametrize("pad_mode", ["constant", "reflect"])
@pytest.mark.parametrize("dtype", [np.float32, np.int16])
def test_pieces_longer_than_the_stream_holds(hop_length: int, pad_mode: str, dtype: type) -> None:
    mel = MelSpectrogram(MelConfig(n_fft=64, hop_length=hop_length, n_mels=4, pad_mode=pad_mode))
    y = noise(200_000) if dtype is np.float32 else (1e4 * noise(200_000)).astype(np.int16)
    np.testing.assert_array_equal(in_pieces(mel, y, [70_001, 1, 100_000]), mel(y))


def test_stream_refuses_two_threads_at_once() -> None:
    stream = MelSpectrogram(MelConfig(n_fft=64, hop_length=1, n_mels=4)).stream()
    y, barrier = noise(400_000), threading.Barrier(4)

    def work(_: int) -> str:
        barrier.wait(timeout=30)
        try:
            stream.push(y)
        except ParameterError as e:
            return str(e)
        return ""

    with ThreadPoolExecutor(4) as pool:
        refused = [message for message in pool.map(work, range(4)) if message]
    assert all("another thread" in message for message in refused)
    assert len(refused) < 4


def test_finished_stream_refuses() -> None:
    stream = MelSpectrogram().stream()
    assert isinstance(stream, MelStream)
    stream.push(noise(2000))
    stream.finish()
    with pytest.raises(ParameterError, match="finished"):
        stream.push(noise(10))
    with pytest.raises(ParameterError, match="finished"):
        stream.finish()


@pytest.mark.parametrize(
    ("options", "shortest"),
    [({"center": False}, 64), ({"pad_mode": "reflect"}, 33), ({"pad_mode": "constant"}, 1)],
)
def test_clips_too_short(options: dict[str, Any], shortest: int) -> None:
    config = MelConfig(n_fft=64, hop_length=16, n_mels=4, **options)
    mel = MelSpectrogram(config)
    assert config.min_samples == shortest
    assert mel(noise(shortest)).shape == (4, config.n_frames(shortest))
    with pytest.raises(ParameterError, match=f"at least {shortest}"):
        config.n_frames(shortest - 1)
    with pytest.raises(ParameterError, match=f"at least {shortest}"):
        mel(noise(shortest - 1))
    stream = mel.stream()
    stream.push(noise(shortest - 1))
    with pytest.raises(ParameterError, match=f"at least {shortest}"):
        stream.finish()


# ---- threads ----


def test_threads_share_a_plan() -> None:
    mel = MelSpectrogram(MelConfig(log="db"))
    clips = [noise(16000, seed=i, scale=10.0**-i) for i in range(8)]
    expected = [mel(y) for y in clips]
    barrier = threading.Barrier(8)

    def work(i: int) -> bool:
        barrier.wait(timeout=30)
        return all(np.array_equal(mel(clips[i]), expected[i]) for _ in range(20))

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(work, range(8)))


# ---- the Python side ----


def test_input_forms() -> None:
    y = noise(5000)
    mel = MelSpectrogram()
    expected = mel(y)
    np.testing.assert_array_equal(mel(y.astype(np.float64)), expected)
    np.testing.assert_array_equal(mel(np.repeat(y, 3)[::3]), expected)
    np.testing.assert_array_equal(mel(y[::-1].copy()[::-1]), expected)
    np.testing.assert_array_equal(mel(y.astype(">f4")), expected)
    np.testing.assert_array_equal(mel(y.tolist()), expected)
    unaligned = np.frombuffer(b"?" + y.tobytes(), dtype=np.float32, offset=1)
    assert not unaligned.flags.aligned
    np.testing.assert_array_equal(mel(unaligned), expected)
    y.flags.writeable = False
    np.testing.assert_array_equal(mel(y), expected)
    np.testing.assert_array_equal(melspectrogram(y), expected)


@pytest.mark.parametrize(
    "y",
    [
        np.zeros((2, 5000), dtype=np.float32),
        np.float32(0),
        np.zeros(5000, dtype=np.int32),
        np.zeros(5000, dtype=np.uint16),
        np.zeros(5000, dtype=np.complex64),
        np.array(["a"] * 5000),
    ],
)
def test_input_forms_refused(y: np.ndarray) -> None:
    mel = MelSpectrogram()
    with pytest.raises(ParameterError, match=r"^y is"):
        mel(y)
    with pytest.raises(ParameterError, match=r"^y is"):
        mel.stream().push(y)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("sr", 0),
        ("sr", 16000.0),
        ("sr", True),
        ("n_fft", 62),
        ("n_fft", 1023),
        ("n_fft", 0),
        ("n_fft", -1024),
        ("n_fft", 2**20 + 2),
        ("n_fft", 2**70),
        ("n_fft", "1024"),
        ("hop_length", 0),
        ("hop_length", 2**31),
        ("n_mels", 0),
        ("n_mels", 65537),
        ("fmin", -1.0),
        ("fmin", 8000.0),
        ("fmin", float("nan")),
        ("fmin", None),
        ("fmax", 0.0),
        ("fmax", 8000.1),
        ("fmax", float("inf")),
        ("power", 3),
        ("power", 1.5),
        ("log", "ln"),
        ("log", None),
        ("amin", 0.0),
        ("amin", float("nan")),
        ("center", 1),
        ("pad_mode", "edge"),
        ("nfft", 1024),
    ],
)
def test_parameters_refused(name: str, value: object) -> None:
    with pytest.raises(ParameterError, match=name):
        melspectrogram(noise(5000), **{name: value})


def test_config_is_plain_and_frozen() -> None:
    config = MelConfig(sr=np.int64(22050), fmin=np.float32(20), center=np.bool_(False))
    assert json.loads(json.dumps(dataclasses.asdict(config)))["sr"] == 22050
    assert config == MelConfig(sr=22050, fmin=20.0, center=False)
    assert hash(config) == hash(MelConfig(sr=22050, fmin=20, center=False))
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.sr = 1
    assert issubclass(ParameterError, AsdError)


def test_spectrogram_travels_to_worker_processes() -> None:
    mel = MelSpectrogram(MelConfig(n_mels=32))
    copy = pickle.loads(pickle.dumps(mel))
    assert copy.config == mel.config
    np.testing.assert_array_equal(copy(noise(3000)), mel(noise(3000)))
