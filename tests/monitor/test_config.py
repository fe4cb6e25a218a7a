"""The configuration is checked as a whole; what is wrong names its key and the nearest one."""

from __future__ import annotations

from pathlib import Path

import pytest

from asd_edge.errors import ConfigError, MissingFileError
from asd_edge.monitor import config

GOOD = """
node = "hall-3"
[machines.fan]
bundle = "fan.asd"
device = "plughw:CARD=Device"
[machines.pump]
bundle = "/srv/pump.asd"
command = ["cat", "pump.raw"]
rate = 16000
mode = "run-in"
[machines.pump.alarms]
k = 2
[alarms]
n = 4
latch = true
[history]
keep_days = 30
[mqtt]
host = "broker"
[web]
port = 9000
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "monitor.toml"
    path.write_text(text)
    return path


def test_a_whole_file(tmp_path: Path) -> None:
    found = config.read(write(tmp_path, GOOD))
    assert list(found.machines) == ["fan", "pump"]
    assert found.machines["fan"].bundle == tmp_path / "fan.asd"
    assert found.machines["pump"].bundle == Path("/srv/pump.asd")
    assert found.machines["pump"].command == ("cat", "pump.raw")
    assert found.history.keep_days == 30.0
    assert found.mqtt is not None
    assert found.mqtt.host == "broker"
    assert found.web.port == 9000
    assert found.notify is None


def test_a_machine_s_alarms_extend_those_of_the_file(tmp_path: Path) -> None:
    found = config.read(write(tmp_path, GOOD))
    assert found.alarms_of("fan") == config.AlarmConfig(n=4, latch=True)
    assert found.alarms_of("pump") == config.AlarmConfig(k=2, n=4, latch=True)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("bundle =", "bundel =", "machines.fan.bundel is not known here; did you mean 'bundle'?"),
        ("[alarms]", "[alarm]", "alarm is not known here; did you mean 'alarms'?"),
        ("[alarms]\n", "[alarms]\nxyzzy = 1\n", "the keys are k, n, urgent,"),
        ('bundle = "fan.asd"', "", "machines.fan.bundle is missing"),
        ("rate = 16000", 'rate = "16000"', "machines.pump.rate is '16000'; expected a whole numbe"),
        ("rate = 16000", "rate = true", "machines.pump.rate is True; expected a whole number"),
        ("rate = 16000", "rate = 12", "machines.pump has a wrong value: rate is 12; expected 1000"),
        ('"run-in"', '"off"', "machines.pump.mode is 'off'; expected 'watch' or 'run-in'"),
        ('["cat", "pump.raw"]', '"cat"', "machines.pump.command is 'cat'; expected a list"),
        ('["cat", "pump.raw"]', "[1]", "machines.pump.command is 1; expected a text in quotes"),
        ("k = 2", "k = 5", "machines.pump.alarms has a wrong value: k is 5; expected 1 to n"),
        ('device = "plughw:CARD=Device"', "", "either a device or a command"),
        ('"hall-3"', '"hall 3/#"', "name is 'hall 3/#'; expected letters"),
        ("[mqtt]", "[mqtt", "is not valid TOML"),
        ("[mqtt]", "[mqtt]\nport = 70000", "port is 70000; expected 0 to 65535"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert old in GOOD
    path = write(tmp_path, GOOD.replace(old, new, 1))
    with pytest.raises(ConfigError) as caught:
        config.read(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_of_an_editor_on_windows(tmp_path: Path) -> None:
    """A byte order mark, two bytes at the end of a line, another encoding."""
    path = write(tmp_path, GOOD)
    expected = config.read(path)
    path.write_bytes(b"\xef\xbb\xbf" + GOOD.replace("\n", "\r\n").encode())
    assert config.read(path) == expected
    path.write_bytes(GOOD.encode("utf-16"))
    with pytest.raises(ConfigError, match="is not text in UTF-8; save it as that"):
        config.read(path)


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError):
        config.read(tmp_path / "none.toml")


def test_no_machine(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="at least one"):
        config.read(write(tmp_path, "[machines]\n"))


def test_where_the_history_lies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STATE_DIRECTORY", f"{tmp_path}/a:{tmp_path}/b")
    assert config.HistoryConfig().path == tmp_path / "a"
    monkeypatch.delenv("STATE_DIRECTORY")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert config.HistoryConfig().path == tmp_path / "asd-edge"
    assert config.HistoryConfig(folder=tmp_path / "x").path == tmp_path / "x"
