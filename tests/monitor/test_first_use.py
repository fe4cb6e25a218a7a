"""The first minute with a microphone: enrol, edit two lines of the example, look at the page."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from monitor_rigs import SoundServer, need, need_plugin
from real_parts import free_port

CHROMIUM = shutil.which("chromium")
playwright = pytest.importorskip("playwright.sync_api", reason="needs Playwright (extra dev)")
pytest.importorskip("uvicorn", reason="needs the extra monitor")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs chromium (tests/install_apt.sh)")

# Another installation may be tried: ASD_EDGE_PROGRAM=/path/to/venv/bin/asd-edge
GIVEN = os.environ.get("ASD_EDGE_PROGRAM")
PROGRAM = [GIVEN] if GIVEN else [sys.executable, "-m", "asd_edge"]
RATE = 48_000
PLUGGED, BUNDLE = 'device = "plughw:CARD=Device"', 'bundle = "fan.asd"'


def hum(path: Path, seed: int) -> None:
    """Write three minutes of a machine, at the rate of the sound card."""
    t = np.arange(180 * RATE) / RATE
    tones = sum(np.sin(2 * np.pi * 200 * k * t) / k for k in (1, 2, 3))
    y = 0.05 * tones + 0.01 * np.random.default_rng(seed).standard_normal(len(t))
    soundfile.write(path, y, RATE, subtype="PCM_16")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[SoundServer]:
    """A sound card on which a machine hums."""
    need("pulseaudio", "pactl", "paplay", "arecord")
    need_plugin()
    with tempfile.TemporaryDirectory(dir="/tmp", prefix="snd") as folder:
        found = SoundServer(Path(folder), RATE)
        found.start()
        hum(tmp_path / "hum.wav", seed=1)
        found.play(tmp_path / "hum.wav")
        yield found
        found.close()


def run(folder: Path, *arguments: str) -> str:
    done = subprocess.run([*PROGRAM, *arguments], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def first_sentence(address: str, picture: Path) -> str:
    """Open the page as soon as there is one; wait for a judged window."""
    with playwright.sync_playwright() as driver:
        sandbox = [] if os.geteuid() else ["--no-sandbox"]
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=sandbox)
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        _open(page, address)
        page.locator("#now .sentence").first.wait_for()
        while not (text := page.locator("#now .sentence").first.inner_text()).startswith("Normal"):
            page.wait_for_timeout(100)
        page.wait_for_timeout(3000)
        page.screenshot(path=picture)
        assert page.locator("#machine-fan svg").count() >= 1
        browser.close()
    return text


def _open(page: Any, address: str) -> None:
    for _ in range(600):
        try:
            page.goto(address)
            return
        except playwright.Error:  # not yet
            page.wait_for_timeout(100)
    raise AssertionError("no page")


def test_from_a_recording_to_a_judged_page(server: SoundServer, tmp_path: Path) -> None:
    hum(tmp_path / "monday.wav", seed=9)
    run(tmp_path, "enroll", "monday.wav", "-o", "normal.asd")
    example = run(tmp_path, "monitor", "--print-config")
    assert PLUGGED in example
    assert BUNDLE in example
    edited = example.replace(PLUGGED, 'device = "machine"').replace(BUNDLE, 'bundle = "normal.asd"')
    changed = [a for a, b in zip(example.splitlines(), edited.splitlines(), strict=True) if a != b]
    assert len(changed) == 2
    # For the test alone: a port that is free, and no history in this user's home.
    port = free_port()
    edited = edited.replace("# port = 8420", f"port = {port}")
    (tmp_path / "fan.toml").write_text(edited)
    env = {**os.environ, "ALSA_CONFIG_PATH": str(server.asoundrc), "STATE_DIRECTORY": str(tmp_path)}
    began = time.monotonic()
    with (tmp_path / "log").open("w") as log:
        command = [*PROGRAM, "monitor", "fan.toml"]
        daemon = subprocess.Popen(command, cwd=tmp_path, env=env, stdout=log, stderr=log)
    try:
        said = first_sentence(f"http://127.0.0.1:{port}/", tmp_path / "page.png")
        print(f"\n{said!r} on the page {time.monotonic() - began:.0f} s after the start")
        assert "Last heard" in said
        assert f"The page is at http://127.0.0.1:{port}/\n" in (tmp_path / "log").read_text()
    finally:
        daemon.terminate()
        assert daemon.wait(30) == 0
