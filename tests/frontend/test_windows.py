"""Windows of clips that are longer or shorter than the model's input."""

from __future__ import annotations

import json

import librosa
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asd_edge.errors import AudioError, ParameterError
from asd_edge.frontend.mel import MelConfig
from asd_edge.frontend.windows import FrontEnd

SMALL = FrontEnd(MelConfig(sr=8000, n_fft=256, hop_length=128, n_mels=20), clip_seconds=0.5)


@given(n=st.integers(1, 60_000), overlap=st.floats(0, 0.9))
def test_windows_cover_the_clip_with_the_overlap_asked_for(n: int, overlap: float) -> None:
    front_end = FrontEnd(SMALL.mel, clip_seconds=0.5, overlap=overlap)
    starts = front_end.starts(n)
    length = front_end.n_samples
    assert starts[0] == 0
    assert starts == sorted(set(starts))
    if n <= length:
        assert starts == [0]
    else:
        assert starts[-1] + length == n
        steps = np.diff(starts)
        assert steps.max() <= length * (1 - overlap) + 1  # rounding to whole samples


def test_a_window_is_what_librosa_makes_of_that_stretch() -> None:
    y = np.random.default_rng(0).standard_normal(10_000).astype(np.float32)
    features = SMALL.all_features(y)
    assert features.shape == (len(SMALL.starts(10_000)), *SMALL.shape)
    for start, mel in zip(SMALL.starts(10_000), features, strict=True):
        stretch = y[start : start + 4000].astype(np.float64)
        expected = librosa.feature.melspectrogram(
            y=stretch, sr=8000, n_fft=256, hop_length=128, n_mels=20
        )
        np.testing.assert_allclose(mel, expected, rtol=1e-5)


def test_a_short_clip_is_repeated() -> None:
    y = np.random.default_rng(0).standard_normal(1500).astype(np.float32)
    whole = np.concatenate([y, y, y])[:4000]
    np.testing.assert_array_equal(SMALL.features(y), SMALL.features(whole))


def test_too_short_for_one_frame() -> None:
    with pytest.raises(AudioError, match=r"\(255 of 256 samples at 8000 Hz\)"):
        SMALL.features(np.zeros(255, np.float32))


def test_the_report_input() -> None:
    mel = MelConfig(sr=22050, n_fft=2048, hop_length=512, n_mels=256, power=1)
    assert FrontEnd(mel, clip_seconds=10.0).shape == (256, 431)


def test_json_round_trip() -> None:
    front_end = FrontEnd(MelConfig(sr=11025, fmax=4000.0, power=1), 3.5, 0.25, channel=2)
    assert FrontEnd.from_dict(json.loads(json.dumps(front_end.to_dict()))) == front_end


@pytest.mark.parametrize(
    "wrong", [{"overlap": 1.0}, {"overlap": -0.1}, {"clip_seconds": 0.01}, {"channel": -1}]
)
def test_senseless_values_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ParameterError, match=next(iter(wrong))):
        FrontEnd(**wrong)
