"""The microphones of this device, by names that stay when another one is plugged in."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ASOUND = Path("/proc/asound")


@dataclass(frozen=True)
class Device:
    """A capture device of ALSA: `name` for the configuration, `description` for people."""

    name: str
    description: str


def devices() -> list[Device]:
    """List the capture devices, by the id of their card: numbers change with every plugging."""
    found = []
    for card in sorted(ASOUND.glob("card[0-9]*")):
        try:
            name = (card / "id").read_text().strip()
        except OSError:
            continue
        for info in sorted(card.glob("pcm*c/info")):
            values = dict(
                line.split(": ", 1) for line in info.read_text().splitlines() if ": " in line
            )
            number = values.get("device", "0")
            suffix = f",DEV={number}" if number != "0" else ""
            rates = _rates(card)
            found.append(
                Device(f"plughw:CARD={name}{suffix}", f"{values.get('name', '')} {rates}".strip())
            )
    return found


def _rates(card: Path) -> str:
    """Give the rates that a USB microphone says it has."""
    rates: list[str] = []
    for stream in sorted(card.glob("stream*")):
        _, _, capture = stream.read_text().partition("Capture:")
        rates += re.findall(r"Rates: (.+)", capture)
    return f"({', '.join(dict.fromkeys(rates))} Hz)" if rates else ""
