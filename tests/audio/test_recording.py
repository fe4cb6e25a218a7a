"""Reading in blocks: the samples do not depend on the blocks, and memory not on the length."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr

from asd_edge.audio import recording as module
from asd_edge.audio.recording import open_recording
from asd_edge.errors import AudioError, MissingFileError, ParameterError


def noise(n: int, channels: int = 1, seed: int = 0) -> np.ndarray:
    return (0.2 * np.random.default_rng(seed).standard_normal((n, channels))).astype(np.float32)


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(module, "_BLOCK", 1024)
    return 1024


N = 1024


@pytest.mark.parametrize("rate", [8000, 16000, 44100, 11025])
@pytest.mark.parametrize("n", [1, N - 1, N, N + 1, 2 * N, 5 * N + 7])
def test_blocks_are_the_whole(tmp_path: Path, small_blocks: int, n: int, rate: int) -> None:
    y = np.clip(noise(max(n, 2)), -0.9, 0.9)
    path = tmp_path / "clip.wav"
    soundfile.write(path, y, rate, subtype="FLOAT")
    expected = y[:, 0] if rate == 16000 else soxr.resample(y[:, 0], rate, 16000, quality="HQ")
    with open_recording(path, 16000) as recording:
        assert recording.n_samples == len(expected)
        blocks = list(recording.blocks())
        assert all(len(block) > 0 for block in blocks)
        np.testing.assert_array_equal(np.concatenate(blocks), expected)
        np.testing.assert_array_equal(recording.samples(), expected)
        assert recording.n_samples == len(expected)
        assert recording.seconds == len(expected) / 16000


@pytest.mark.parametrize("rate", [16000, 44100])
@pytest.mark.parametrize(("suffix", "subtype"), [("wav", "PCM_16"), ("flac", None), ("ogg", None)])
def test_any_piece_can_be_read(
    tmp_path: Path, small_blocks: int, suffix: str, subtype: str | None, rate: int
) -> None:
    path = tmp_path / f"clip.{suffix}"
    soundfile.write(path, np.clip(noise(9000), -0.9, 0.9), rate, subtype=subtype)
    with open_recording(path, 16000) as recording:
        whole = recording.samples()
        assert recording.dtype == whole.dtype
        rng = np.random.default_rng(0)
        ascending = [(start, 700) for start in range(0, len(whole), 350)]
        for start, n in [*ascending, *rng.integers(1, len(whole), (30, 2)).tolist(), (0, 10)]:
            np.testing.assert_array_equal(recording.read(start, n), whole[start : start + n])


def test_a_channel_of_16_bits_stays_16_bits(tmp_path: Path) -> None:
    pcm = np.round(noise(3000, 3) * 32767 / 2).astype(np.int16)
    path = tmp_path / "clip.wav"
    soundfile.write(path, pcm, 16000)
    with open_recording(path, 16000, 1) as recording:
        assert recording.samples().dtype == np.int16
        np.testing.assert_array_equal(recording.samples(), pcm[:, 1])
    with open_recording(path, 16000) as recording:
        expected = (pcm / np.float32(32768)).mean(axis=1, dtype=np.float32)
        np.testing.assert_array_equal(recording.samples(), expected)


@pytest.mark.parametrize("kind", ["flac", "wav", "mp3"])
def test_streams_are_files(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"clip.{kind}"
    soundfile.write(path, noise(4000), 16000)
    content = path.read_bytes()
    with open_recording(path, 16000) as recording:
        expected = recording.samples()
    with open_recording(io.BytesIO(content), 16000, name="memory") as recording:
        assert recording.name == "memory"
        np.testing.assert_array_equal(recording.samples(), expected)
        np.testing.assert_array_equal(recording.samples(), expected)  # a second time
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    writer = threading.Thread(target=fifo.write_bytes, args=(content,))
    writer.start()
    with open_recording(fifo, 16000) as recording:
        np.testing.assert_array_equal(recording.samples(), expected)
    writer.join()
    program = """
        import sys; from asd_edge.audio.recording import open_recording
        sys.stdout.buffer.write(open_recording("-", 16000).samples().tobytes())"""
    result = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], input=content, capture_output=True
    )
    assert result.stdout == expected.tobytes(), result.stderr


def test_raw_samples() -> None:
    pcm = np.round(noise(1000, 2) * 8000).astype("<i2")
    with open_recording(io.BytesIO(pcm.tobytes()), 16000, 1, raw=(16000, 2)) as recording:
        np.testing.assert_array_equal(recording.samples(), pcm[:, 1])
    with pytest.raises(ParameterError, match="raw"):
        open_recording(io.BytesIO(pcm.tobytes()), 16000, raw=(16000, 0))
    for wrong in ((16000.5, 1), (16000,), (16000, 1, 1), "16000,1", (16000, 1025)):
        with pytest.raises(ParameterError, match="raw is"):
            open_recording(io.BytesIO(pcm.tobytes()), 16000, raw=wrong)


def test_arrays_of_another_kind_are_refused() -> None:
    y = noise(5000, 2)
    for samples, words in (
        (y.T, "at most 1024 channels"),
        (y.astype("m8[s]"), "samples.dtype"),
        (np.ma.masked_greater(y, 0.5), "masked values"),
    ):
        with pytest.raises(ParameterError, match=words):
            open_recording(samples, 16000, rate=16000)
    assert len(open_recording(np.ma.array(y), 16000, rate=16000).samples()) == 5000
    for channel in ("left", 0.0, "1"):
        with pytest.raises(ParameterError, match="channel"):
            open_recording(y, 16000, channel, rate=16000)


def test_arrays_go_the_same_way(small_blocks: int) -> None:
    y = noise(5000, 2)
    with open_recording(y, 16000, rate=48000) as recording:
        expected = soxr.resample(y.mean(axis=1, dtype=np.float32), 48000, 16000, quality="HQ")
        np.testing.assert_array_equal(recording.samples(), expected)
    for rate in (float("nan"), 0, 0.5, float("inf"), 16000.5, 1e300, "16000"):
        with pytest.raises(ParameterError, match="rate"):
            open_recording(y, 16000, rate=rate)
    with pytest.raises(AudioError, match="infinite"):
        open_recording(np.array([1e300, 0, 1]), 16000, rate=16000).samples()


def test_channels_that_cancel_are_refused() -> None:
    x = noise(8000)
    floor = 1e-4 * noise(8000, 2, seed=1)
    delayed = np.convolve(noise(8001, seed=2)[:, 0], [1, 1, 1, 1, 1, 1, 1, 1], "same") / 8
    for y in (
        *(np.c_[x, -x], np.c_[x, -x] + floor, np.c_[x, -0.3 * x], np.c_[x, -x, x, -x]),
        np.c_[x, -0.5 * x, -0.5 * x],  # their sum is 0, though two are alike
        np.c_[x, -x + 0.5 * noise(8000, seed=2)],
        np.c_[delayed[1:], -delayed[:-1]],
    ):
        with pytest.raises(AudioError, match=r"--channel [01]$") as caught:
            open_recording(y, 16000, rate=16000).samples()
        assert caught.value.kind == "channels_cancel"
        open_recording(y, 16000, 1, rate=16000).samples()
    # An offset of one channel hides nothing.
    with pytest.raises(AudioError, match="cancel"):
        open_recording(np.c_[x + 0.5, -x], 16000, rate=16000).samples()


def test_working_channels_are_not_warned_of() -> None:
    x = noise(8000)
    for y in (
        np.c_[x, x],
        np.c_[x, 0.1 * x],
        noise(8000, 2),
        noise(8000, 8),
        np.c_[x, -x + 3 * noise(8000, seed=2)],
    ):
        recording = open_recording(y, 16000, rate=16000)
        recording.samples()
        assert recording.warnings == []


def test_dead_and_inverted_channels_are_said() -> None:
    x = noise(8000)
    recording = open_recording(np.c_[0 * x, x, 0 * x + 0.25], 16000, rate=16000)
    recording.samples()
    [warning] = recording.warnings
    assert warning.kind == "dead_channel"
    assert "channels 0 and 2" in warning.reason
    assert "--channel 1" in warning.reason
    # An input without a microphone: noise of -80 dBFS; a soft room beside a loud one has more.
    hiss = noise(8000, seed=3) / noise(8000, seed=3).std() * 1e-4
    soft = x / x.std() * 10 ** (-45 / 20)
    for y, kinds in (
        (np.c_[soft, hiss], ["dead_channel"]),
        (np.c_[soft, 3 * hiss], []),  # -70 dBFS
        (np.c_[4 * hiss, hiss], []),
    ):
        recording = open_recording(y, 16000, rate=16000)
        recording.samples()
        assert [warning.kind for warning in recording.warnings] == kinds
    for y in (np.c_[x, -x, 2 * x], np.c_[x, -x + noise(8000, seed=2)]):
        recording = open_recording(y, 16000, rate=16000)
        recording.samples()
        assert [warning.kind for warning in recording.warnings] == ["inverted_channel"]
    with pytest.raises(AudioError, match="is silent"):
        open_recording(np.zeros((8000, 2)) + 0.25, 16000, rate=16000).samples()


def test_channels_that_cancel_for_a_time_are_said() -> None:
    """As when somebody changes a cable: the mean is noise, or silence, from there on."""
    x = noise(60 * 4000)[:, 0]
    y = np.c_[x, x]
    y[30 * 4000 : 45 * 4000, 1] *= -1
    recording = open_recording(y, 4000, rate=4000)
    list(recording.blocks())
    [warning] = recording.warnings
    assert warning.kind == "inverted_channel"
    assert "cancel in their mean for a time, first at about 3" in warning.reason
    assert "--channel 0" in warning.reason
    # The last bit's noise is not judged, nor are pieces of silence.
    y = np.c_[x, x]
    y[30 * 4000 : 45 * 4000] = np.c_[x, -x][30 * 4000 : 45 * 4000] * 2**-15 / 4
    recording = open_recording(y, 4000, rate=4000)
    list(recording.blocks())
    assert recording.warnings == []


def test_channels_are_compared_whatever_the_memory_held() -> None:
    """OpenBLAS on ARM64 took NaN from the memory that it wrote to."""
    x = noise(8000)
    for _ in range(20):
        held = [np.full((2, 2), np.nan, np.float32) for _ in range(50)]
        del held
        with pytest.raises(AudioError, match="cancel"):
            open_recording(np.c_[x, -x], 16000, rate=16000).samples()


@pytest.mark.parametrize("codec", ["MP3", "OGG"])
def test_channels_still_cancel_behind_a_lossy_format(tmp_path: Path, codec: str) -> None:
    x = 0.1 * np.convolve(noise(48000)[:, 0], np.ones(16), "same")
    path = tmp_path / "clip"
    soundfile.write(path, np.c_[x, -x], 16000, format=codec)
    with pytest.raises(AudioError, match="cancel"):
        open_recording(path, 16000).samples()


@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_16"])
def test_the_last_bit_of_eight_is_silence(tmp_path: Path, subtype: str) -> None:
    """At -43 dBFS it is loud as sound of 16 bits."""
    path = tmp_path / "clip.wav"
    y = np.random.default_rng(0).integers(-1, 2, 8000) / 128
    soundfile.write(path, y, 8000, subtype=subtype)
    if subtype == "PCM_16":
        assert len(open_recording(path, 8000).samples()) == 8000
        return
    with pytest.raises(AudioError, match="within 3 steps of its 8 bits") as caught:
        open_recording(path, 8000).samples()
    assert caught.value.kind == "silent"


def test_silence_and_nan_anywhere_in_a_long_recording(small_blocks: int) -> None:
    y = np.zeros(5000, np.float32)
    with pytest.raises(AudioError, match="all 5000 samples are 0") as caught:
        list(open_recording(y, 16000, rate=16000).blocks())
    assert caught.value.kind == "silent"
    y[4000] = 1e-3
    list(open_recording(y, 16000, rate=16000).blocks())
    y[4000] = np.nan
    with pytest.raises(AudioError, match=r"first at 0\.250 s") as caught:
        list(open_recording(y, 16000, rate=16000).blocks())
    assert caught.value.kind == "not_finite"


def test_clipped_samples_are_counted_before_mixing(small_blocks: int) -> None:
    y = noise(5000, 2)
    y[100:120, 0] = 1.0
    y[3000:3010, 1] = -1.0
    for channel, count in (("mean", 30), (0, 20), (1, 10)):
        recording = open_recording(y, 16000, channel, rate=16000)
        recording.samples()
        assert recording.clipped == count


def test_impossible_rates_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "clip.wav"
    soundfile.write(path, noise(1000), 16000)
    content = bytearray(path.read_bytes())
    for rate in (0, 1, 2, 100, 0xFFFF_FFFF):
        content[24:28] = rate.to_bytes(4, "little")
        path.write_bytes(content)
        with pytest.raises(AudioError):
            open_recording(path, 16000)


def test_names_of_any_bytes(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "x.flac", noise(1000), 16000)
    path = (tmp_path / "x.flac").rename(tmp_path / os.fsdecode(b"geh\xe4use.flac"))
    assert len(open_recording(path, 16000).samples()) == 1000
    with pytest.raises(MissingFileError):
        open_recording("a\0b", 16000)


def test_memory_does_not_grow_with_length(tmp_path: Path) -> None:
    """An hour and ten minutes of stereo at 48 kHz, in a file with a hole instead of its sound."""
    path = tmp_path / "long.wav"
    program = f"""
        from asd_edge.audio.recording import open_recording
        with open_recording({str(path)!r}, 16000) as recording:
            n = sum(len(block) for block in recording.blocks())
        print(n, open("/proc/self/status").read().split("VmHWM:")[1].split()[0])"""
    sizes = []
    for seconds in (60, 1200):
        soundfile.write(path, noise(48000, 2), 48000, subtype="PCM_16")
        content = bytearray(path.read_bytes())
        content[40:44] = (seconds * 192000).to_bytes(4, "little")
        content[4:8] = (36 + seconds * 192000).to_bytes(4, "little")
        path.write_bytes(content)
        os.truncate(path, 44 + seconds * 192000)
        result = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True
        )
        n, size = map(int, result.stdout.split())
        assert n == seconds * 16000
        sizes.append(size)
    assert sizes[1] < sizes[0] + 20_000
    assert max(sizes) < 200_000
