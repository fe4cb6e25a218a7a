"""Reading what users have: formats, rates, channels, and files that are no sound."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile

from asd_edge.audio import decoding
from asd_edge.audio.containers import Header
from asd_edge.audio.decoding import examine
from asd_edge.audio.recording import Channel, Samples, open_recording
from asd_edge.errors import AsdError, AudioError, ParameterError


def read_pcm(path: Path, sr: int, channel: Channel = "mean") -> Samples:
    with open_recording(path, sr, channel) as recording:
        return recording.samples()


def from_array(y: np.ndarray, rate: int, sr: int) -> np.ndarray:
    with open_recording(y, sr, rate=rate) as recording:
        return as_float(recording.samples())


def read(path: Path, sr: int, channel: Channel = "mean") -> np.ndarray:
    return as_float(read_pcm(path, sr, channel))


def as_float(y: Samples) -> np.ndarray:
    return y / np.float32(32768) if y.dtype == np.int16 else y


def noise(n: int, channels: int = 1, seed: int = 0) -> np.ndarray:
    y = 0.2 * np.random.default_rng(seed).standard_normal((n, channels))
    return np.clip(y, -0.99, 0.99).astype(np.float32)


@pytest.mark.parametrize(
    ("suffix", "subtype", "tolerance"),
    [
        ("wav", "PCM_16", 2**-15),
        ("wav", "PCM_24", 2**-23),
        ("wav", "PCM_U8", 2**-7),
        ("wav", "FLOAT", 0.0),
        ("flac", "PCM_16", 2**-15),
        ("aiff", "PCM_16", 2**-15),
        ("w64", "PCM_16", 2**-15),
        ("caf", "PCM_16", 2**-15),
    ],
)
def test_formats(tmp_path: Path, suffix: str, subtype: str, tolerance: float) -> None:
    y = noise(4000)
    path = tmp_path / f"clip.{suffix}"
    soundfile.write(path, y, 8000, subtype=subtype)
    got = read(path, 8000)
    assert got.dtype == np.float32
    assert got.flags.c_contiguous
    np.testing.assert_allclose(got, y[:, 0], rtol=0, atol=tolerance)


@pytest.mark.parametrize(
    ("channels", "rate", "subtype", "kept"),
    [
        (1, 8000, "PCM_16", True),
        (1, 8000, "PCM_24", False),
        (1, 8000, "FLOAT", False),
        (1, 16000, "PCM_16", False),  # resampled
        (2, 8000, "PCM_16", False),  # mixed
    ],
)
def test_read_pcm_keeps_16_bits_that_need_nothing(
    tmp_path: Path, channels: int, rate: int, subtype: str, kept: bool
) -> None:
    path = tmp_path / "clip.wav"
    soundfile.write(path, noise(4000, channels), rate, subtype=subtype)
    y, pcm = read(path, 8000), read_pcm(path, 8000)
    assert y.dtype == np.float32
    assert pcm.dtype == (np.int16 if kept else np.float32)
    np.testing.assert_array_equal(pcm / np.float32(32768) if kept else pcm, y)
    expected, _ = soundfile.read(path, dtype="float32", always_2d=True)
    if rate == 8000:
        np.testing.assert_array_equal(y, expected.mean(axis=1, dtype=np.float32))
    with pytest.raises(AudioError, match=f"has {channels} channel"):
        read_pcm(path, 8000, channels)


def test_int16_is_resampled_as_floats_are() -> None:
    pcm = np.round(noise(4000)[:, 0] * 32768).astype(np.int16)
    expected = from_array(pcm / np.float32(32768), 16000, 8000)
    np.testing.assert_array_equal(from_array(pcm, 16000, 8000), expected)


def test_a_silent_16_bit_file_names_its_value_in_full_scale(tmp_path: Path) -> None:
    path = tmp_path / "clip.wav"
    soundfile.write(path, np.full(4000, 8192, np.int16), 8000, subtype="PCM_16")
    with pytest.raises(AudioError, match=r"all 4000 samples are 0\.25$"):
        read(path, 8000)


@pytest.mark.parametrize("suffix", ["ogg", "mp3"])
def test_lossy_formats(tmp_path: Path, suffix: str) -> None:
    t = np.arange(44100) / 44100
    path = tmp_path / f"clip.{suffix}"
    soundfile.write(path, 0.5 * np.sin(2 * np.pi * 440 * t), 44100)
    y = read(path, 44100)
    spectrum = np.abs(np.fft.rfft(y[:44100]))
    assert np.argmax(spectrum) == pytest.approx(440, abs=1)


def test_mean_and_single_channels(tmp_path: Path) -> None:
    y = noise(1000, channels=8)
    path = tmp_path / "array.wav"
    soundfile.write(path, y, 16000, subtype="FLOAT")
    np.testing.assert_allclose(read(path, 16000), y.mean(axis=1), atol=1e-7)
    for channel in (0, 7):
        np.testing.assert_array_equal(read(path, 16000, channel), y[:, channel])
    with pytest.raises(AudioError, match=r"array\.wav: has 8 channel.*asked for 8"):
        read(path, 16000, 8)


@pytest.mark.parametrize("rate", [8000, 11025, 22050, 44100, 48000, 96000])
def test_resampling_keeps_a_tone(tmp_path: Path, rate: int) -> None:
    def tone(sr: int) -> np.ndarray:
        return 0.5 * np.sin(2 * np.pi * 1000 * np.arange(sr) / sr)

    path = tmp_path / "tone.wav"
    soundfile.write(path, tone(rate), rate, subtype="FLOAT")
    y = read(path, 16000)
    assert abs(len(y) - 16000) <= 1
    inner = slice(1000, 15000)  # the filter has no samples beyond the ends
    np.testing.assert_allclose(y[inner], tone(16000)[inner], atol=1e-4)


def test_resampling_removes_what_would_alias() -> None:
    t = np.arange(48000) / 48000
    y = from_array(np.sin(2 * np.pi * 12000 * t), 48000, 16000)
    assert np.abs(y[1000:-1000]).max() < 1e-4


def test_integer_arrays_have_the_scale_of_their_file(tmp_path: Path) -> None:
    y = (noise(500) * 32768).astype(np.int16)
    path = tmp_path / "clip.wav"
    soundfile.write(path, y, 16000, subtype="PCM_16")
    np.testing.assert_array_equal(from_array(y, 16000, 16000), read(path, 16000))


def broken_files(folder: Path) -> dict[str, tuple[bytes, str]]:
    good = folder / "good.wav"
    soundfile.write(good, noise(8000), 8000, subtype="PCM_16")
    wav = good.read_bytes()
    soundfile.write(folder / "good.flac", noise(8000), 8000)
    flac = (folder / "good.flac").read_bytes()
    soundfile.write(folder / "good.aiff", noise(8000), 8000, subtype="PCM_16")
    aiff = (folder / "good.aiff").read_bytes()
    soundfile.write(good, np.zeros((0, 1)), 8000, subtype="PCM_16")
    zero_length = good.read_bytes()
    soundfile.write(good, np.zeros(8000), 8000, subtype="PCM_16")
    silent = good.read_bytes()
    soundfile.write(good, np.full(8000, 0.25), 8000, subtype="PCM_16")
    stuck = good.read_bytes()
    bad = noise(8000)
    bad[4000:4003] = np.nan
    soundfile.write(good, bad, 8000, subtype="FLOAT")
    nan = good.read_bytes()
    soundfile.write(good, np.full(8000, np.inf), 8000, subtype="FLOAT")
    infinite = good.read_bytes()
    return {
        "empty.wav": (b"", "is empty"),
        "text.wav": (b"no sound in here, just words\n" * 100, "cannot be read as sound"),
        "cut_header.wav": (wav[:30], "cannot be read as sound"),
        "cut.wav": (wav[:5000], r"truncated: 4956 of 16000 bytes"),
        "cut.aiff": (aiff[:9000], r"truncated: \d+ of 16008 bytes"),
        "cut.flac": (flac[: len(flac) // 2], r"is cut off or damaged \(flac decoder lost sync\)"),
        "zero_length.wav": (zero_length, "holds no samples"),
        "silent.wav": (silent, "is silent: all 8000 samples are 0"),
        "stuck.wav": (stuck, r"is silent: all 8000 samples are 0\.25"),
        "nan.wav": (nan, r"3 samples that are NaN or infinite, the first at 0\.500 s"),
        "infinite.wav": (infinite, r"8000 samples that are NaN or infinite, the first at 0\.000"),
    }


def test_broken_files_are_named_with_the_reason(tmp_path: Path) -> None:
    for name, (content, reason) in broken_files(tmp_path).items():
        path = tmp_path / name
        path.write_bytes(content)
        with pytest.raises(AudioError, match=reason) as caught:
            read(path, 8000)
        message = str(caught.value)
        assert message.startswith(str(path))
        assert "\n" not in message


def test_missing_file_and_folder(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no such file") as caught:
        read(tmp_path / "none.wav", 8000)
    assert isinstance(caught.value, AsdError)
    with pytest.raises(AudioError, match="is a folder"):
        read(tmp_path, 8000)


def test_wav_from_a_pipe_has_no_length(tmp_path: Path) -> None:
    """Recorders that cannot seek back leave a huge length; the sound is whole all the same."""
    y = noise(2000)
    path = tmp_path / "pipe.wav"
    soundfile.write(path, y, 8000, subtype="PCM_16")
    content = bytearray(path.read_bytes())
    at = content.index(b"data") + 4
    content[at : at + 4] = (0xFFFFFFFF).to_bytes(4, "little")
    content[4:8] = (0xFFFFFFFF).to_bytes(4, "little")
    path.write_bytes(content)
    assert len(read(path, 8000)) == 2000


def chunk(name: bytes, content: bytes) -> bytes:
    return name + struct.pack("<I", len(content)) + content + b"\0" * (len(content) % 2)


@pytest.mark.parametrize("extensible", [False, True])
@pytest.mark.parametrize("around", [b"", b"INFOmade by a recorder"])
def test_wav_of_16_bits_in_all_its_shapes(tmp_path: Path, extensible: bool, around: bytes) -> None:
    """Files of the commonest kind go past libsndfile; what it reads is the reference."""
    pcm = np.round(noise(3000)[:, 0] * 32768).astype("<i2")
    form = struct.pack("<HHIIHH", 0xFFFE if extensible else 1, 1, 8000, 16000, 2, 16)
    if extensible:  # size, valid bits, speakers, sub-format
        guid = bytes.fromhex("0100000000001000800000aa00389b71")
        form += struct.pack("<HHI", 22, 16, 4) + guid
    text = chunk(b"LIST", around) if around else b""
    body = b"WAVE" + chunk(b"fmt ", form) + text + chunk(b"data", pcm.tobytes()) + text
    path = tmp_path / "clip.wav"
    path.write_bytes(chunk(b"RIFF", body))
    expected, _ = soundfile.read(path, dtype="int16")
    np.testing.assert_array_equal(expected, pcm)
    got = read_pcm(path, 8000)
    assert got.dtype == np.int16
    np.testing.assert_array_equal(got, pcm)


def test_a_wav_with_a_broken_header_is_what_libsndfile_makes_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bytes of the header changed at random: the same samples or an error, by both ways."""
    rng = np.random.default_rng(0)
    path = tmp_path / "clip.wav"
    soundfile.write(path, noise(3000), 8000, subtype="PCM_16")
    plain = path.read_bytes()
    listed = plain[:36] + chunk(b"LIST", b"INFOodd") + plain[36:]  # and RIFF's length is too small

    def without_pcm(*arguments: object) -> Header:
        return examine(*arguments)._replace(pcm=None)

    def outcome() -> bytes | None:
        try:
            return read(path, 8000).tobytes()
        except AudioError:
            return None

    for _ in range(500):
        content = bytearray(plain if rng.random() < 0.5 else listed)
        for at in rng.integers(0, 64, rng.integers(1, 3)):
            content[at] = rng.choice([0, 1, 2, 3, 16, 127, 128, 255, rng.integers(256)])
        path.write_bytes(content)
        got = outcome()
        with monkeypatch.context() as patch:
            patch.setattr(decoding, "examine", without_pcm)
            assert outcome() == got, bytes(content[:48])


def test_arrays_are_checked() -> None:
    with pytest.raises(ParameterError, match="shape"):
        from_array(np.zeros((2, 2, 2)), 8000, 8000)
    with pytest.raises(ParameterError, match="dtype"):
        from_array(np.array(["a"]), 8000, 8000)
    with pytest.raises(ParameterError, match="rate"):
        from_array(noise(10), 0, 8000)
    with pytest.raises(AudioError, match="no samples"):
        from_array(np.zeros(0), 8000, 8000)


@pytest.mark.parametrize("clip", [None, 5, [0.1, 0.2], {}, bytearray(b"RIFF")])
def test_what_is_no_clip(clip: object) -> None:
    with pytest.raises(ParameterError, match="expected a path, a binary file object"):
        open_recording(clip, 16000)


def test_streams_that_give_no_bytes(tmp_path: Path) -> None:
    (tmp_path / "x.wav").write_bytes(b"RIFF\xff")
    with (tmp_path / "x.wav").open() as text:
        for stream in (text, io.StringIO("RIFF")):
            with pytest.raises(AudioError, match="is no open stream of bytes"):
                open_recording(stream, 16000)
    with pytest.raises(AudioError, match=r"is no open stream of bytes .*closed"):
        open_recording(text, 16000)


@pytest.mark.parametrize("channel", [True, 0.0, "0", "left"])
def test_what_is_no_channel(channel: object) -> None:
    with pytest.raises(ParameterError, match="expected mean or the number of one"):
        open_recording(np.zeros((9, 2)), 16000, channel, rate=16000)  # type: ignore[arg-type]  # wrong


def test_real_odd_formats(recordings: Path) -> None:
    eight = recordings / "odd_formats" / "fan_8_channels_16k.wav"
    stereo = recordings / "odd_formats" / "motor_stereo_44k.wav"
    samples, rate = soundfile.read(eight, dtype="float64")
    assert rate == 16000
    np.testing.assert_allclose(read(eight, 16000), samples.mean(axis=1), atol=1e-6)
    samples, rate = soundfile.read(stereo)
    assert rate == 44100
    assert abs(len(read(stereo, 16000)) - len(samples) * 16000 / 44100) <= 1
