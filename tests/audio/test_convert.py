"""Formats that need ffmpeg: read through it, and said how to convert where it is absent."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import soundfile

from asd_edge.audio.recording import open_recording
from asd_edge.errors import AudioError

needs_ffmpeg = pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="ffmpeg is not installed")


def encoded(folder: Path, name: str, *options: str) -> Path:
    t = np.arange(32000) / 16000
    soundfile.write(folder / "tone.wav", 0.3 * np.sin(2 * np.pi * 440 * t), 16000)
    command = ["ffmpeg", "-v", "error", "-i", folder / "tone.wav", *options, folder / name]
    subprocess.run(command, check=True)
    return folder / name


@needs_ffmpeg
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("x.m4a", ()),
        ("x.aac", ()),
        ("x.wma", ()),
        ("x.webm", ("-c:a", "libopus")),
        ("alac.m4a", ("-c:a", "alac")),
        ("flac.mka", ("-c:a", "flac")),
        ("flac.ogg", ("-c:a", "flac")),
        ("flac.oga", ("-c:a", "flac")),
        ("lossless.wv", ()),
        ("lossless.tta", ()),
    ],
)
def test_formats_of_ffmpeg(tmp_path: Path, name: str, options: tuple[str, ...]) -> None:
    path = encoded(tmp_path, name, *options)
    encodings = {".m4a": "AAC", ".aac": "AAC", ".wma": "WMAV2", ".webm": "OPUS"}
    encoding = encodings[path.suffix] if path.stem == "x" else "PCM"
    with open_recording(path, 16000) as recording:
        y = recording.samples()
        assert recording.warnings == []
        assert recording.encoding == encoding
    assert abs(len(y) - 32000) < 3000  # the encoders' delay
    spectrum = np.abs(np.fft.rfft(y[8000:24000]))
    assert np.argmax(spectrum) == 440
    assert np.abs(y[8000:24000]).max() / (32768 if y.dtype == np.int16 else 1) == pytest.approx(
        0.3, abs=0.02
    )


@needs_ffmpeg
def test_what_ffmpeg_cannot_read_is_one_line(tmp_path: Path) -> None:
    path = encoded(tmp_path, "x.m4a")
    content = path.read_bytes()
    for cut in (100, len(content) // 2):
        path.write_bytes(content[:cut])
        with pytest.raises(AudioError, match="cannot be read by ffmpeg") as caught:
            open_recording(path, 16000)
        assert "\n" not in str(caught.value)


def test_without_ffmpeg(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x.m4a"
    path.write_bytes(b"\0\0\0\x20ftypM4A " + bytes(100))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(AudioError, match=r"MPEG-4 audio.*install it.*ffmpeg -i FILE") as caught:
        open_recording(path, 16000)
    assert caught.value.kind == "needs_ffmpeg"


@needs_ffmpeg
@pytest.mark.parametrize("name", ["x.mka", "x.webm", "x.m4a", "x.wma"])
def test_a_cut_off_file_is_not_converted(tmp_path: Path, name: str) -> None:
    """Of Matroska ffmpeg gives what is there, without a word."""
    path = encoded(tmp_path, name)
    content = path.read_bytes()
    for share in (0.6, 0.9):
        path.write_bytes(content[: int(share * len(content))])
        with pytest.raises(AudioError, match=r"is truncated|cannot be read by ffmpeg") as caught:
            open_recording(path, 16000)
        if path.suffix in (".mka", ".webm"):
            assert caught.value.kind == "truncated"


@needs_ffmpeg
def test_a_stream_of_matroska_has_no_length(tmp_path: Path) -> None:
    command = ["ffmpeg", "-v", "error", "-i", encoded(tmp_path, "x.m4a"), "-f", "webm"]
    command += ["-c:a", "libopus", "-live", "1", "pipe:1"]
    stream = subprocess.run(command, check=True, capture_output=True).stdout
    (tmp_path / "x.webm").write_bytes(stream)
    assert len(open_recording(tmp_path / "x.webm", 16000).samples()) > 30000


def test_what_is_read_is_said(tmp_path: Path) -> None:
    (tmp_path / "x.wav").write_text("<html>404</html>")
    with pytest.raises(AudioError, match=r"no format that is known: WAV, FLAC, .*convert others"):
        open_recording(tmp_path / "x.wav", 16000)


@needs_ffmpeg
def test_flac_in_ogg_that_is_cut_off(tmp_path: Path) -> None:
    path = encoded(tmp_path, "x.ogg", "-c:a", "flac")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(AudioError, match="is truncated: its last page") as caught:
        open_recording(path, 16000)
    assert caught.value.kind == "truncated"
