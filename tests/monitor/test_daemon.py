"""The daemon as a process, with real children, signals and files."""

from __future__ import annotations

import json
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import soundfile
from helpers import invoke
from monitor_rigs import Feed, alsa_config, need, wait_for
from running_monitor import Running, player, raw, toml

from asd_edge.cli.monitor import monitor

Start = Callable[..., Running]


def test_an_alarm_is_raised_kept_and_told_and_survives_a_restart(
    tmp_path: Path, hum_bundle: Path, start: Start
) -> None:
    sound = raw(tmp_path, (200.0, 4.0), (320.0, 30.0))
    daemon = start(toml(hum_bundle, player(sound)))
    wait_for(daemon.events, 60, "an alarm")
    (event,) = daemon.events()
    assert (event.action, event.episode.kind, event.notify) == ("raise", "sound", True)
    assert event.episode.sentence
    wait_for(lambda: daemon.says("fan: raise"))
    daemon.process.kill()
    daemon.process.wait(10)
    again = start(toml(hum_bundle, player(sound)))
    wait_for(lambda: again.says("fan: alarm"), 60, "the alarm goes on")
    assert again.stop() == 0
    assert [e.action for e in again.events()].count("raise") == 1
    assert again.history.episodes(open_only=True)[0].id == event.episode.id


def test_scores_are_those_of_asd_edge_score(tmp_path: Path, hum_bundle: Path, start: Start) -> None:
    """Every window, cut out of what was fed and saved as WAV, scores the same to the last bit."""
    need("arecord")
    rng = np.random.default_rng(1)
    t = np.arange(44100 * 6) / 44100
    pitch = 200 + 20 * np.sin(2 * np.pi * 0.3 * t)
    y = 0.2 * np.sin(2 * np.pi * np.cumsum(pitch) / 44100) + 0.01 * rng.standard_normal(len(t))
    samples = np.stack([y, 0.5 * y + 0.01 * rng.standard_normal(len(t))], axis=1)
    fed = np.round(samples * 32767).astype(np.int16)
    feed = Feed(tmp_path, 44100, 2)
    source = f"command = {json.dumps(feed.command)}\nchannels = 2"
    config = toml(hum_bundle, source).replace("rate = 8000", "rate = 44100")
    try:
        with alsa_config(feed.asoundrc):
            daemon = start(config)
            feed.play(fed)
            wait_for(lambda: daemon.says("fan: normal") or daemon.says("fan: alarm"), 60)
            time.sleep(5.0)
            assert daemon.stop() == 0
    finally:
        feed.close()
    windows = [w for w in daemon.windows() if w.validity == "valid"]
    assert len(windows) >= 4
    paths = []
    for i, w in enumerate(windows[:5]):
        paths.append(tmp_path / f"w{i}.wav")
        piece = fed[w.first_sample : w.first_sample + 44100]
        soundfile.write(paths[-1], piece, 44100, subtype="PCM_16")
    command = ["score", *map(str, paths), "--bundle", str(hum_bundle), "--section", "00", "--json"]
    result = subprocess.run(
        [sys.executable, "-m", "asd_edge", *command], capture_output=True, text=True, check=False
    )
    scores = [json.loads(line)["score"] for line in result.stdout.splitlines()]
    assert scores == [w.score for w in windows[: len(scores)]]
    assert len(scores) == len(paths)


def test_a_microphone_that_is_not_there(tmp_path: Path, hum_bundle: Path, start: Start) -> None:
    daemon = start(toml(hum_bundle, 'command = ["/nonexistent"]'))
    wait_for(lambda: daemon.says("microphone missing"), 60)
    assert daemon.process.poll() is None
    assert daemon.stop() == 0
    assert daemon.windows() == []


def test_systemd_is_told(tmp_path: Path, hum_bundle: Path, start: Start) -> None:
    address = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(str(address))
        receiver.settimeout(30)
        sound = raw(tmp_path, (200.0, 20.0))
        daemon = start(toml(hum_bundle, player(sound)), NOTIFY_SOCKET=str(address))
        heard: list[str] = []
        while not any("WATCHDOG=1" in line and "fan: normal" in line for line in heard):
            heard.append(receiver.recv(4096).decode())
        assert heard[0] == "READY=1"
        daemon.process.send_signal(signal.SIGHUP)
        while "RELOADING=1" not in heard[-1]:
            heard.append(receiver.recv(4096).decode())
        assert daemon.stop() == 0
        while heard[-1] != "STOPPING=1":
            heard.append(receiver.recv(4096).decode())


def test_the_configuration_is_read_again_as_a_whole_or_not_at_all(
    tmp_path: Path, hum_bundle: Path, start: Start
) -> None:
    sound = raw(tmp_path, (200.0, 60.0))
    good = toml(hum_bundle, player(sound))
    daemon = start(good)
    wait_for(lambda: daemon.says("fan: normal"), 60)
    new = '[machines.new]\nbundle = "x.asd"\ndevice = "none"\n[machines.fan]'
    second = good.replace("[machines.fan]", new)
    for wrong, word in ((good.replace("bundle =", "bundel ="), "bundle'?"), (second, "x.asd")):
        daemon.config.write_text(wrong)
        daemon.process.send_signal(signal.SIGHUP)
        wait_for(lambda word=word: daemon.says("stays as it was") and daemon.says(word), 30, word)
    daemon.config.write_text(good.replace("[machines.fan]", '[machines.fan]\nname = "Roof fan"'))
    daemon.process.send_signal(signal.SIGHUP)
    wait_for(lambda: daemon.says("was read again"))
    wait_for(lambda: daemon.says("Roof fan: normal"))
    assert daemon.stop() == 0


def test_a_bundle_that_is_replaced(tmp_path: Path, hum_bundle: Path, start: Start) -> None:
    bundle = tmp_path / "b.asd"
    shutil.copytree(hum_bundle, bundle)
    daemon = start(toml(bundle, player(raw(tmp_path, (200.0, 90.0)))))
    wait_for(lambda: daemon.says("fan: normal"), 60)
    golden = (bundle / "golden.npz").read_bytes()
    (bundle / "golden.npz").write_bytes(golden[:-7])
    (bundle / "bundle.json").touch()
    wait_for(lambda: daemon.says("raise (bundle)"), 30)
    (bundle / "golden.npz").write_bytes(golden)
    (bundle / "bundle.json").touch()
    wait_for(lambda: daemon.says("was replaced; it is used"), 30)
    wait_for(lambda: daemon.says("clear (bundle)"), 30)
    assert daemon.stop() == 0


def test_the_unit_warns_of_what_its_user_cannot_read(tmp_path: Path) -> None:
    config = tmp_path / "fan.toml"
    config.write_text('[machines.fan]\nbundle = "/home/pi/fan.asd"\ndevice = "none"\n')
    result = invoke(monitor, config, "--print-unit")
    assert f'monitor "{config}"' in result.stdout
    assert "ReadWritePaths" not in result.stdout
    assert "Warning: /home/pi/fan.asd lies in a home" in result.stderr
    config.write_text(config.read_text().replace("/home/pi", "/var/lib/asd-edge"))
    assert "fan.asd" not in invoke(monitor, config, "--print-unit").stderr


def test_the_unit(tmp_path: Path) -> None:
    from asd_edge.monitor.systemd import unit

    need("systemd-analyze")
    path = tmp_path / "asd-edge.service"
    path.write_text(unit(tmp_path / 'a "quoted" $HOME 100%.toml'))
    result = subprocess.run(
        ["systemd-analyze", "verify", str(path)], capture_output=True, text=True, check=False
    )
    assert "asd-edge.service" not in result.stderr
