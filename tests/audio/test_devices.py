"""Microphones by the names that stay: a made-up /proc/asound, and the command that lists them."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers import invoke

from asd_edge.audio import devices
from asd_edge.cli.monitor import monitor


@pytest.fixture
def asound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A sound chip without a microphone, a USB one, and a card with two inputs."""
    for number, name, inputs in ((0, "vc4hdmi", 0), (1, "Device", 1), (2, "Array", 2)):
        card = tmp_path / f"card{number}"
        card.mkdir()
        (card / "id").write_text(f"{name}\n")
        (card / "pcm0p").mkdir()
        (card / "pcm0p" / "info").write_text("card: 0\ndevice: 0\nname: speaker\n")
        for device in range(inputs):
            folder = card / f"pcm{device}c"
            folder.mkdir()
            (folder / "info").write_text(f"card: {number}\ndevice: {device}\nname: USB {name}\n")
    (tmp_path / "card1" / "stream0").write_text(
        "Playback:\n  Rates: 8000\nCapture:\n  Interface 2\n    Rates: 44100, 48000\n"
    )
    monkeypatch.setattr(devices, "ASOUND", tmp_path)
    return tmp_path


def test_devices_are_named_by_the_id_of_their_card(asound: Path) -> None:
    assert [(d.name, d.description) for d in devices.devices()] == [
        ("plughw:CARD=Device", "USB Device (44100, 48000 Hz)"),
        ("plughw:CARD=Array", "USB Array"),
        ("plughw:CARD=Array,DEV=1", "USB Array"),
    ]


def test_the_command_lists_them(asound: Path) -> None:
    lines = invoke(monitor, "--devices").stdout.splitlines()
    assert lines[0] == "plughw:CARD=Device  USB Device (44100, 48000 Hz)"
    assert len(lines) == 3


def test_no_microphone_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "ASOUND", tmp_path)
    assert "no microphone is here" in invoke(monitor, "--devices", status=1).output
