"""Headers held against the size of the file: cut-off files refused, unfinished ones read."""

from __future__ import annotations

import os
import shutil
import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile

from asd_edge.audio.recording import open_recording
from asd_edge.errors import AudioError

needs_ffmpeg = pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="ffmpeg is not installed")


def noise(n: int, channels: int = 1) -> np.ndarray:
    y = 0.2 * np.random.default_rng(0).standard_normal((n, channels))
    return np.clip(y, -0.9, 0.9).astype(np.float32)


KINDS = [
    ("wav", "WAV", "PCM_16"),
    ("wav", "WAV", "PCM_24"),
    ("wav", "WAVEX", "PCM_16"),
    ("wav", "WAV", "GSM610"),
    ("wav", "WAV", "IMA_ADPCM"),
    ("wav", "RF64", "PCM_16"),
    ("au", "AU", "PCM_16"),
    ("w64", "W64", "PCM_16"),
    ("voc", "VOC", "PCM_16"),
    ("aiff", "AIFF", "PCM_24"),
    ("svx", "SVX", "PCM_16"),
    ("caf", "CAF", "PCM_16"),
    ("flac", "FLAC", "PCM_16"),
    ("ogg", "OGG", "VORBIS"),
    ("ogg", "OGG", "OPUS"),
    ("mp3", "MP3", "MPEG_LAYER_III"),
]


def written(folder: Path, suffix: str, container: str, subtype: str, endian: str = "FILE") -> Path:
    path = folder / f"{container}_{subtype}.{suffix}"
    soundfile.write(path, noise(16000), 16000, format=container, subtype=subtype, endian=endian)
    return path


@pytest.mark.parametrize("kind", [*KINDS, ("wav", "WAV", "PCM_16", "BIG")], ids=str)
def test_a_file_that_was_cut_off_is_refused(tmp_path: Path, kind: tuple[str, ...]) -> None:
    path = written(tmp_path, *kind)
    content = path.read_bytes()
    with open_recording(path, 16000) as recording:
        n = len(recording.samples())
        assert recording.warnings == []
        assert abs(n - 16000) < 2000
    # Encoders count an MP3 file's bytes differently: what a frame or two more hold is not missed.
    for share in (0.4, 0.8) if kind[1] == "MP3" else (0.4, 0.8, 0.98):
        path.write_bytes(content[: int(share * len(content))])
        with pytest.raises(AudioError) as caught, open_recording(path, 16000) as recording:
            recording.samples()
        assert caught.value.kind in ("truncated", "unreadable"), share
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "FLOAT", "ULAW"])
@pytest.mark.parametrize("lengths", [(0, 0), (36, 0), (8, 0), (0xFFFFFFFF, 0xFFFFFFFF)])
@pytest.mark.parametrize("endian", ["LITTLE", "BIG"])
def test_a_wav_without_its_length_is_read_to_the_end(
    tmp_path: Path, subtype: str, lengths: tuple[int, int], endian: str
) -> None:
    path = written(tmp_path, "wav", "WAV", subtype, endian)
    with open_recording(path, 16000) as recording:
        expected = recording.samples()
    content = bytearray(path.read_bytes())
    order = "<" if endian == "LITTLE" else ">"
    at = content.index(b"data") + 4
    content[4:8] = struct.pack(f"{order}I", lengths[0])
    content[at : at + 4] = struct.pack(f"{order}I", lengths[1])
    if content.find(b"PEAK") > at:  # chunks behind the sound were not written either
        content = content[: content.index(b"PEAK")]
    path.write_bytes(content)
    with open_recording(path, 16000) as recording:
        np.testing.assert_array_equal(recording.samples(), expected)
        kinds = [warning.kind for warning in recording.warnings]
    assert kinds == ([] if lengths[1] else ["unfinished"])


@pytest.mark.parametrize(
    ("suffix", "container"), [("au", "AU"), ("w64", "W64"), ("aiff", "AIFF"), ("wav", "RF64")]
)
def test_other_headers_without_a_length(tmp_path: Path, suffix: str, container: str) -> None:
    path = written(tmp_path, suffix, container, "PCM_16")
    with open_recording(path, 16000) as recording:
        expected = recording.samples()
    content = bytearray(path.read_bytes())
    for length in (32000, 32008, 32024):  # of the sound, as each kind counts it
        for order in "<>":
            packed = struct.pack(f"{order}I", length)
            start = content.find(packed, 0, 200)
            if start >= 0:
                content[start : start + 4] = bytes(4)
    if container == "W64":
        content[16:24] = bytes(8)
    else:
        content[4:8] = bytes(4) if container == "AIFF" else content[4:8]
    path.write_bytes(content)
    with open_recording(path, 16000) as recording:
        np.testing.assert_array_equal(recording.samples()[: len(expected)], expected)
        assert [warning.kind for warning in recording.warnings] == ["unfinished"]


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24"])
def test_a_wav_of_more_than_4_gb(tmp_path: Path, subtype: str) -> None:
    """Its length wrapped around; the file has a hole instead of most of its sound."""
    path = written(tmp_path, "wav", "WAV", subtype)
    with open_recording(path, 16000) as recording:
        start = recording.samples()
    width = 2 if subtype == "PCM_16" else 3
    length = (1 << 32) + 6_000_000
    content = bytearray(path.read_bytes())
    at = content.index(b"data") + 8
    content[at - 4 : at] = struct.pack("<I", length - (1 << 32))
    content[4:8] = struct.pack("<I", length - (1 << 32) + 36)
    path.write_bytes(content)
    os.truncate(path, at + length)
    with open_recording(path, 16000) as recording:
        assert recording.n_samples == length // width
        assert [warning.kind for warning in recording.warnings] == ["wrapped"]
        np.testing.assert_array_equal(recording.read(0, 16000), start)
        assert len(recording.read(length // width - 100, 1000)) == 100
    os.truncate(path, (1 << 32) - 1000)
    with open_recording(path, 16000) as recording:  # could be cut off, but states less than it has
        assert [warning.kind for warning in recording.warnings] == ["more_sound"]


def test_flac_from_a_pipe_has_no_length(tmp_path: Path) -> None:
    path = written(tmp_path, "flac", "FLAC", "PCM_16")
    with open_recording(path, 16000) as recording:
        expected = recording.samples()
    content = bytearray(path.read_bytes())
    word = int.from_bytes(content[18:26], "big") & ~((1 << 36) - 1)
    for frames in (0, 1 << 35, (1 << 36) - 1):
        content[18:26] = (word | frames).to_bytes(8, "big")
        path.write_bytes(content)
        if frames:
            with pytest.raises(AudioError, match="truncated"), open_recording(path, 16000) as r:
                r.samples()
            continue
        with open_recording(path, 16000) as recording:
            assert recording.n_samples is None
            np.testing.assert_array_equal(recording.samples(), expected)
            assert recording.n_samples == 16000


def variable_mp3(folder: Path, rate: int) -> tuple[bytes, bytes]:
    """Frame with the count, and frames of different bit rates: a machine that is switched on."""
    t = np.arange(8 * rate) / rate
    y = np.where(t < 4, 1e-3 * np.sin(2000 * t), np.random.default_rng(0).normal(0, 0.1, t.size))
    soundfile.write(folder / "x.mp3", y, rate, "MPEG_LAYER_III", format="MP3")
    content = (folder / "x.mp3").read_bytes()
    at = content.index(content[:2], 4)
    return content[:at], content[at:]


@needs_ffmpeg
@pytest.mark.parametrize("rate", [16000, 44100])
@pytest.mark.parametrize("count", ["none", "vbri"])
def test_an_mp3_of_variable_rate_without_a_count_is_read_to_its_end(
    tmp_path: Path, rate: int, count: str
) -> None:
    """libsndfile reads as much as there would be at the rate of the first frame."""
    first, frames = variable_mp3(tmp_path, rate)
    path = tmp_path / "frames.mp3"
    if count == "vbri":  # as Fraunhofer's encoder writes it
        size, number = len(first) + len(frames), 8 * rate // (1152 if rate > 24000 else 576)
        head = b"VBRI" + struct.pack(">HHHIIHHHH", 1, 0, 50, size, number, 0, 1, 1, 1)
        frames = (first[:4] + bytes(32) + head).ljust(len(first), b"\0") + frames
    path.write_bytes(frames)
    with open_recording(path, rate) as recording:
        y = recording.samples()
        assert recording.encoding.startswith("MP3")
        assert [warning.kind for warning in recording.warnings] == ["no_length"]
    assert len(y) == pytest.approx(8 * rate, abs=4000)


def test_an_mp3_of_variable_rate_needs_ffmpeg(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "frames.mp3"
    path.write_bytes(variable_mp3(tmp_path, 16000)[1])
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(AudioError, match="variable bit rate that states no length") as refused:
        open_recording(path, 16000)
    assert refused.value.kind == "needs_ffmpeg"


def test_a_count_of_far_fewer_frames_than_there_are(tmp_path: Path) -> None:
    path = tmp_path / "x.mp3"
    content = bytearray(b"".join(variable_mp3(tmp_path, 16000)))
    at = max(content.find(b"Xing"), content.find(b"Info"))
    content[at + 8 : at + 12] = (4).to_bytes(4, "big")
    path.write_bytes(content)
    with open_recording(path, 16000) as recording:
        recording.samples()
        assert "states 4 frames, fewer than it holds" in recording.warnings[0].reason


def test_a_voice_file_of_several_blocks(tmp_path: Path) -> None:
    """As ffmpeg and SoX write it; libsndfile takes the headers of the blocks for sound."""
    data = np.round(32767 * noise(16000).clip(-1, 1)).astype("<i2").tobytes()
    first = struct.pack("<IBBHI", 16000, 16, 1, 4, 0) + data[:16000]
    blocks = b"\x09" + len(first).to_bytes(3, "little") + first
    path = tmp_path / "x.voc"
    head = b"Creative Voice File\x1a" + struct.pack("<HHH", 26, 0x0114, 0x111F)
    path.write_bytes(head + blocks + b"\0")
    with open_recording(path, 16000) as recording:
        samples = recording.samples()
    assert samples.tolist() == np.frombuffer(data[:16000], "<i2").tolist()
    rest = data[16000:]
    path.write_bytes(head + blocks + b"\x02" + len(rest).to_bytes(3, "little") + rest + b"\0")
    with pytest.raises(AudioError, match=r"has several blocks.*convert it, as by ffmpeg"):
        open_recording(path, 16000)


@pytest.mark.parametrize(("channels", "rate"), [(0, 16000), (1, 0)])
def test_a_header_without_channels_or_rate(tmp_path: Path, channels: int, rate: int) -> None:
    path = tmp_path / "x.wav"
    soundfile.write(path, noise(8000), 16000)
    content = bytearray(path.read_bytes())
    content[22:28] = struct.pack("<HI", channels, rate)
    path.write_bytes(content)
    with pytest.raises(AudioError, match=f"states {channels} channels and a rate of {rate} Hz"):
        open_recording(path, 16000)


def test_text_of_16_bits_is_no_mp3(tmp_path: Path) -> None:
    path = tmp_path / "x.wav"
    path.write_bytes("time;level\r\n".encode("utf-16") * 200)
    with pytest.raises(AudioError, match="no format that is known"):
        open_recording(path, 16000)


@needs_ffmpeg
@pytest.mark.parametrize("rate", [8000, 16000, 44100])
@pytest.mark.parametrize("tag", [b"", b"TAG" + bytes(125)])
def test_mp3_without_a_count(tmp_path: Path, rate: int, tag: bytes) -> None:
    """As of a web radio's recorder: frames alone; the first one of a file held the count."""
    y = np.random.default_rng(0).normal(0, 0.1, 2 * rate)
    soundfile.write(tmp_path / "x.mp3", y, rate, "MPEG_LAYER_III", format="MP3")
    content = (tmp_path / "x.mp3").read_bytes()
    path = tmp_path / "frames.mp3"
    frames = content[content.index(content[:2], 4) :]
    path.write_bytes(frames + tag)
    with open_recording(path, 16000) as recording:
        assert recording.samples().size == pytest.approx(32000, abs=4000)
        assert [warning.kind for warning in recording.warnings] == ["no_length"]
    path.write_bytes(frames[:-50] + tag)
    with pytest.raises(AudioError, match="is cut off: its last frame is not whole"):
        open_recording(path, 16000)
    path.write_bytes(frames + bytes(40) + b"APETAGEX" + bytes(24) + tag)
    with open_recording(path, 16000) as recording:
        assert "no_length" in [warning.kind for warning in recording.warnings]


def test_mp3_against_its_xing_count(tmp_path: Path) -> None:
    path = written(tmp_path, "mp3", "MP3", "MPEG_LAYER_III")
    content = bytearray(path.read_bytes())
    at = max(content.find(b"Xing"), content.find(b"Info"))
    assert at > 0
    content[at + 8 : at + 12] = (0x7FFFFFFF).to_bytes(4, "big")  # frames: 2 billion
    path.write_bytes(content)
    with pytest.raises(AudioError, match="truncated"), open_recording(path, 16000) as recording:
        recording.samples()


def test_complaints_of_the_mpeg_decoder_are_one_warning(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "x.mp3"
    soundfile.write(path, noise(16000), 16000)
    content = bytearray(path.read_bytes())
    rng = np.random.default_rng(0)
    for place in rng.integers(600, len(content), 4):
        content[place] = int(rng.integers(256))
    path.write_bytes(content)
    with open_recording(path, 16000) as recording:
        recording.samples()
        assert [warning.kind for warning in recording.warnings] == ["decoder"]
    assert capfd.readouterr().err == ""


def test_a_header_of_endless_chunks_ends(tmp_path: Path) -> None:
    path = tmp_path / "zeros.wav"
    path.write_bytes(b"RIFF\0\0\0\0WAVE" + b"LIST\0\0\0\0" * 200_000)
    with pytest.raises(AudioError, match="cannot be read"):
        open_recording(path, 16000)


def test_raw_files_are_no_sound_files(tmp_path: Path) -> None:
    path = tmp_path / "samples.raw"
    path.write_bytes(noise(1000).tobytes())
    with pytest.raises(AudioError, match="cannot be read as sound"):
        open_recording(path, 16000)


FORM = struct.pack("<HHIIHH", 1, 1, 16000, 32000, 2, 16)


def chunk(name: bytes, content: bytes, padded: bool = True) -> bytes:
    filled = b"\0" * (len(content) % 2 if padded else 0)
    return name + struct.pack("<I", len(content)) + content + filled


def riff(*chunks: bytes) -> bytes:
    return chunk(b"RIFF", b"WAVE" + b"".join(chunks))


def pcm(n: int) -> np.ndarray:
    return np.round(noise(n)[:, 0] * 32768).astype("<i2")


WORDS = chunk(b"LIST", b"INFOISFT\x03\0\0\0abc")
SOUND = chunk(b"data", pcm(3000).tobytes())
HEADER = chunk(b"fmt ", FORM)
BEHIND = {
    "a second chunk of sound": riff(HEADER, SOUND, SOUND),
    "words between them": riff(HEADER, SOUND, WORDS, SOUND),
    "sound behind the form": riff(HEADER, SOUND) + SOUND,
    "another file": riff(HEADER, SOUND) * 2,
    "bytes": riff(HEADER, SOUND) + bytes(range(200, 256)) * 10,
}
NOTHING_BEHIND = {
    "words before and behind": riff(WORDS, HEADER, WORDS, SOUND, WORDS, chunk(b"id3 ", bytes(64))),
    "words that are not filled up": riff(HEADER, SOUND, chunk(b"LIST", b"INFOx", False), WORDS[:7]),
    "the header twice": riff(HEADER, HEADER, SOUND),
    "another header behind the sound": riff(
        HEADER, SOUND, chunk(b"fmt ", FORM.replace(b"@", b"P"))
    ),
}


@pytest.mark.parametrize("what", [*BEHIND, *NOTHING_BEHIND])
def test_what_lies_behind_the_sound_is_said_if_it_may_be_sound(tmp_path: Path, what: str) -> None:
    path = tmp_path / "x.wav"
    path.write_bytes((BEHIND | NOTHING_BEHIND)[what])
    with open_recording(path, 16000) as recording:
        np.testing.assert_array_equal(recording.samples(), pcm(3000))
        kinds = [warning.kind for warning in recording.warnings]
    assert kinds == (["more_sound"] if what in BEHIND else [])


@pytest.mark.parametrize("odd", [b"", b"\0"])
def test_an_odd_number_of_bytes_of_sound(tmp_path: Path, odd: bytes) -> None:
    """A chunk begins at an even place; recorders that forget it are understood."""
    form = chunk(b"fmt ", struct.pack("<HHIIHH", 1, 1, 16000, 16000, 1, 8))
    path = tmp_path / "x.wav"
    path.write_bytes(riff(form, chunk(b"data", bytes(range(101, 200)), False) + odd + WORDS))
    with open_recording(path, 16000) as recording:
        np.testing.assert_allclose(recording.samples() * 128 + 128, np.arange(101, 200))
        assert recording.warnings == []


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        (HEADER + chunk(b"fmt ", struct.pack("<HHIIHH", 1, 1, 8000, 16000, 2, 16)), "two headers"),
        (HEADER + chunk(b"fmt ", struct.pack("<HHIIHH", 1, 2, 16000, 64000, 4, 16)), "two headers"),
        (chunk(b"fmt ", struct.pack("<HHIIHH", 1, 1, 16000, 64000, 4, 24)), "24 bits in 4 bytes"),
        (chunk(b"fmt ", struct.pack("<HHIIHH", 1, 2, 16000, 128000, 8, 16)), "16 bits in 4 bytes"),
    ],
)
def test_headers_that_readers_understand_differently(
    tmp_path: Path, header: bytes, reason: str
) -> None:
    path = tmp_path / "x.wav"
    path.write_bytes(riff(header, SOUND))
    with pytest.raises(AudioError, match=reason):
        open_recording(path, 16000)


CATENATED = [
    ("wav", "RF64", "PCM_16"),
    ("wav", "WAV", "PCM_24"),
    ("wav", "WAVEX", "FLOAT"),
    ("aiff", "AIFF", "PCM_16"),
    ("aiff", "AIFF", "IMA_ADPCM"),
    ("flac", "FLAC", "PCM_16"),
    ("au", "AU", "PCM_16"),
    ("au", "AU", "G721_32"),
    ("au", "AU", "G723_24"),
    ("w64", "W64", "PCM_16"),
    ("voc", "VOC", "PCM_16"),
    ("svx", "SVX", "PCM_16"),
    ("caf", "CAF", "PCM_16"),
    ("ogg", "OGG", "VORBIS"),
    ("ogg", "OGG", "OPUS"),
    ("mp3", "MP3", "MPEG_LAYER_III"),
]


@pytest.mark.parametrize("kind", CATENATED, ids=str)
def test_files_that_were_put_together(tmp_path: Path, kind: tuple[str, str, str]) -> None:
    """`cat a b > c`: the second is not read, its header never taken for sound, and it is said."""
    path = written(tmp_path, *kind)
    with open_recording(path, 16000) as recording:
        expected = recording.samples()
        assert recording.warnings == []
    again = tmp_path / f"again.{kind[0]}"
    soundfile.write(again, noise(8000), 16000, format=kind[1], subtype=kind[2])
    path.write_bytes(path.read_bytes() + again.read_bytes())
    with open_recording(path, 16000) as recording:
        np.testing.assert_array_equal(recording.samples(), expected)
        assert "more_sound" in [warning.kind for warning in recording.warnings]


@pytest.mark.parametrize("lengths", [b"\x81" * 6 + b"\0", b"\x81" * 3])
def test_a_damaged_table_of_packets(
    tmp_path: Path, lengths: bytes, capfd: pytest.CaptureFixture[str]
) -> None:
    """libsndfile prints a line about it on stdout, amid the results."""
    path = written(tmp_path, "caf", "CAF", "ALAC_16")
    content = path.read_bytes()
    at = content.index(b"pakt") + 12
    (size,) = struct.unpack_from(">Q", content, at - 8)
    end = at + size
    path.write_bytes(content[: end - len(lengths)] + lengths + content[end:])
    with pytest.raises(AudioError, match="damaged table of packets"):
        open_recording(path, 16000)
    assert capfd.readouterr() == ("", "")


RARE = [
    *(("avr", "AVR", "PCM_16", "FILE"), ("mpc", "MPC2K", "PCM_16", "FILE")),
    *(("nist", "NIST", "PCM_24", "FILE"), ("nist", "NIST", "ULAW", "FILE")),
    *(("mat", "MAT4", "PCM_16", "LITTLE"), ("mat", "MAT4", "DOUBLE", "BIG")),
    *(("mat", "MAT5", "PCM_16", "LITTLE"), ("mat", "MAT5", "FLOAT", "BIG")),
    ("wve", "WVE", "ALAW", "FILE"),
]


@pytest.mark.parametrize("kind", RARE, ids=str)
def test_rare_kinds_are_read_as_far_as_their_header_states(
    tmp_path: Path, kind: tuple[str, str, str, str]
) -> None:
    """libsndfile counts the bytes that are there instead."""
    path = written(tmp_path, *kind)
    content = path.read_bytes()
    with open_recording(path, 8000) as recording:
        expected = recording.samples()
        assert recording.warnings == []
    for share in (0.4, 0.8, 0.98):
        path.write_bytes(content[: int(share * len(content))])
        with pytest.raises(AudioError, match="is truncated") as caught:
            open_recording(path, 8000)
        assert caught.value.kind == "truncated"
    path.write_bytes(content + content)
    with open_recording(path, 8000) as recording:
        np.testing.assert_array_equal(recording.samples(), expected)
        # libsndfile itself reads a matrix of MATLAB 4 no further than its header states.
        kinds = [warning.kind for warning in recording.warnings]
    assert kinds == ([] if kind[1] == "MAT4" else ["more_sound"])


@pytest.mark.parametrize("container", ["PAF", "IRCAM", "PVF"])
@pytest.mark.parametrize("endian", ["LITTLE", "BIG"])
def test_a_header_that_never_has_a_length(tmp_path: Path, container: str, endian: str) -> None:
    if container == "PVF":
        endian = "FILE"
    with open_recording(written(tmp_path, "x", container, "PCM_16", endian), 16000) as recording:
        assert len(recording.samples()) == 16000
        assert [warning.kind for warning in recording.warnings] == ["no_length"]


def test_an_instrument_states_no_rate(tmp_path: Path) -> None:
    """libsndfile gives 44.1 kHz, whatever was written."""
    with pytest.raises(AudioError, match="does not state the rate"):
        open_recording(written(tmp_path, "xi", "XI", "DPCM_16"), 16000)


@pytest.mark.parametrize("kind", ["OGG", "FLAC"])
def test_bytes_behind_the_sound(tmp_path: Path, kind: str) -> None:
    """A tag of 128 bytes, as players append it, does no harm; more is said."""
    path = written(tmp_path, kind.lower(), kind, "VORBIS" if kind == "OGG" else "PCM_16")
    content = path.read_bytes()
    with open_recording(path, 16000) as recording:
        expected = recording.samples()
    for behind, said in ((b"TAG" + bytes(125), kind == "OGG"), (bytes(30000), True)):
        path.write_bytes(content + behind)
        with open_recording(path, 16000) as recording:
            np.testing.assert_array_equal(recording.samples(), expected)
            assert [warning.kind for warning in recording.warnings] == ["more_sound"] * said


def test_one_ogg_file_twice_has_two_recordings(tmp_path: Path) -> None:
    """The same number of the stream in both: only a page that begins a stream tells them apart."""
    path = written(tmp_path, "ogg", "OGG", "OPUS")
    path.write_bytes(2 * path.read_bytes())
    with open_recording(path, 16000) as recording:
        assert "several recordings" in recording.warnings[0].reason


def test_a_chunk_behind_the_sound_of_a_w64_file_is_no_sound(tmp_path: Path) -> None:
    """libsndfile alone gives it as samples."""
    path = written(tmp_path, "w64", "W64", "PCM_16")
    with open_recording(path, 16000) as recording:
        expected = recording.samples()
    guid = b"summ" + bytes.fromhex("f3acd3118cd100c04f8edb8a")
    path.write_bytes(path.read_bytes() + guid + struct.pack("<Q", 64) + bytes(40))
    with open_recording(path, 16000) as recording:
        np.testing.assert_array_equal(recording.samples(), expected)
        assert recording.warnings == []
