"""Convert formats that libsndfile does not read (m4a, wma, webm, aac, wv, ...) by ffmpeg."""

from __future__ import annotations

import os
from typing import IO

from asd_edge.audio import mpeg
from asd_edge.errors import AudioError

# What a file begins with, and ffmpeg's name of its format. Naming it keeps ffmpeg from taking a
# hostile file for a playlist that leads to other files.
_FORMATS = (
    (4, b"ftyp", "mov", "MPEG-4 audio (m4a)"),
    (0, bytes.fromhex("3026b2758e66cf11"), "asf", "Windows Media audio (wma)"),
    (0, bytes.fromhex("1a45dfa3"), "matroska", "Matroska or WebM audio"),
    (0, b"#!AMR", "amr", "AMR audio"),
    (0, b"\xff\xf1", "aac", "AAC audio"),
    (0, b"\xff\xf9", "aac", "AAC audio"),
    # libsndfile reads Vorbis and Opus in Ogg, and fails on what others write of these.
    (28, b"\x7fFLAC", "ogg", "FLAC in Ogg"),
    (28, b"Speex   ", "ogg", "Speex in Ogg"),
    (0, b"wvpk", "wv", "WavPack audio"),
    (0, b"TTA1", "tta", "True Audio (tta)"),
)
_SEGMENT = bytes.fromhex("18538067")  # of Matroska
_SECONDS = 600
_LOSSLESS = (
    *("alac", "flac", "pcm_s16le", "pcm_s16be", "pcm_s24le", "pcm_f32le"),
    *("wmalossless", "wavpack", "tta"),
)


def convertible(fd: int) -> tuple[str, str] | None:
    """Give ffmpeg's format and its name for people, if a file is of one that it reads for us."""
    head = os.pread(fd, 40, 0)
    for at, magic, kind, title in _FORMATS:
        if head[at : at + len(magic)] == magic:
            return kind, title
    if mpeg.is_mpeg(head) and mpeg.has_variable_rate(fd):
        return "mp3", "an MP3 file of variable bit rate that states no length"
    return None


def converted(fd: int, kind: str, title: str, name: str) -> tuple[int, str]:
    """Give a descriptor of a WAV file (16 bits) with the sound of another format, and its encoding.

    Args:
        fd: descriptor of the file.
        kind: ffmpeg's name of its format.
        title: its name for people.
        name: what messages call it.

    Raises:
        AudioError: ffmpeg is not installed, or cannot read the file.
    """
    # Here, because most files need no other program, and these take a score's start 8 ms.
    import re
    import shutil
    import subprocess

    program = shutil.which("ffmpeg")
    if program is None:
        raise AudioError(
            name,
            f"is {title}, for which ffmpeg is needed: install it, or convert the file elsewhere "
            "(ffmpeg -i FILE FILE.wav)",
            kind="needs_ffmpeg",
        )
    command = [
        program,
        "-nostdin",
        "-nostats",
        "-v",
        "level+info",
        # Tags behind the frames of an MP3 file are no sound, which ffmpeg takes for an error.
        *(["-xerror"] if kind != "mp3" else []),
        "-protocol_whitelist",
        "file",
    ]
    command += ["-f", kind, "-i", "/dev/stdin", "-map", "0:a:0", "-c:a", "pcm_s16le"]
    command += ["-f", "wav", "-protocol_whitelist", "pipe,fd", "pipe:1"]
    if kind == "matroska":
        _check_segment(fd, name)
    elif kind == "mp3":
        mpeg.check_end(fd, name)
    elif kind == "ogg":
        from asd_edge.audio.other_containers import check_ogg  # here, because it is rare

        check_ogg(fd, os.fstat(fd).st_size, name)
    with temporary_file(name) as wav:
        os.lseek(fd, 0, os.SEEK_SET)
        try:
            done = subprocess.run(
                command, stdin=fd, stdout=wav, stderr=subprocess.PIPE, timeout=_SECONDS
            )
        except subprocess.TimeoutExpired as error:
            reason = f"took ffmpeg more than {_SECONDS} s"
            raise AudioError(name, reason, kind="unreadable") from error
        if done.returncode or os.fstat(wav.fileno()).st_size == 0:
            lines = re.findall(r"\[(?:error|fatal)\] (.*)", done.stderr.decode(errors="replace"))
            reason = lines[-1].strip()[:200] if lines else f"status {done.returncode}"
            raise AudioError(name, f"cannot be read by ffmpeg ({reason})", kind="unreadable")
        # As in "Stream #0:0 -> #0:0 (aac (native) -> pcm_s16le (native))".
        codec = re.search(rb"Stream #.* \((\w+) \(.*-> pcm_s16le", done.stderr)
        encoding = codec[1].decode() if codec else title
        return os.dup(wav.fileno()), "PCM" if encoding in _LOSSLESS else encoding.upper()


def _check_segment(fd: int, name: str) -> None:
    """Refuse a Matroska file that ends before its segment, of which ffmpeg converts what is there.

    An element is an identifier, a length, and so many bytes. The first byte of an identifier or a
    length says by its leading zeros how many follow; a length of ones alone is unknown.
    """
    at = 0
    for _ in range(2):  # the header of EBML, then the segment, which is all the rest
        head = os.pread(fd, 12, at)
        if len(head) < 12 or not head[4]:
            return
        width = 9 - head[4].bit_length()
        length = int.from_bytes(head[4 : 4 + min(width, 8)], "big") & ((1 << 7 * width) - 1)
        at += 4 + width
        if head[:4] == _SEGMENT:
            present = os.fstat(fd).st_size - at
            if length != (1 << 7 * width) - 1 and length > present:
                reason = f"is truncated: {present} of {length} bytes are there"
                raise AudioError(name, reason, kind="truncated")
        at += length


def temporary_file(name: str) -> IO[bytes]:
    """Open a file without a name on disk.

    Args:
        name: what messages call the clip that it is for.

    Raises:
        AudioError: no folder can be written.
    """
    import tempfile  # here, because plain files need none

    try:
        return tempfile.TemporaryFile(prefix="asd-edge-")
    except OSError as error:
        reason = (
            f"needs a temporary file, and none can be made ({error.strerror or error}); let "
            "TMPDIR name a folder that can be written"
        )
        raise AudioError(name, reason, kind="unreadable") from error
