"""The configuration of the daemon: one small TOML file, checked as a whole before it is used."""

from __future__ import annotations

import os
import re
import socket
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from asd_edge.errors import ConfigError, MissingFileError, ParameterError
from asd_edge.monitor.outlet_config import MqttConfig, NotifyConfig, WebConfig
from asd_edge.monitor.state import Mode
from asd_edge.monitor.toml_tables import parse

_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")


def _check(name: str, value: object, fine: bool, expected: str) -> None:
    if not fine:
        raise ParameterError(name, value, expected)


@dataclass(frozen=True)
class AlarmConfig:
    """When an alarm is raised and cleared; see `asd_edge.monitor.alarms`.

    Attributes:
        k: raise when so many of the last n valid windows have a ratio of 1 or more.
        n: number of windows that are looked at.
        urgent: raise when two windows running have this ratio or more. Of a machine's normal
            windows 2e-4 or fewer have 2.0 where 1e-2 have 1.0: 2e-4 with bundles that were
            enrolled from a fan's 12 and 50 clips, 5e-7 to 3e-6 with the built-in one.
        clear_ratio: ratio below which a window counts towards the end of an alarm; by default the
            one that 19 of 20 normal windows stay below by the bundle's calibration, at least 0.9.
        clear_after: clear after so many valid windows running below `clear_ratio`.
        latch: stay raised until acknowledged.
    """

    k: int = 3
    n: int = 5
    urgent: float = 2.0
    clear_ratio: float | None = None
    clear_after: int = 5
    latch: bool = False

    def __post_init__(self) -> None:
        _check("n", self.n, 1 <= self.n <= 100, "1 to 100 windows")
        _check("k", self.k, 1 <= self.k <= self.n, "1 to n windows")
        _check("urgent", self.urgent, self.urgent >= 1, "a ratio of 1 or more")
        fine = self.clear_ratio is None or 0 < self.clear_ratio <= 1
        _check("clear_ratio", self.clear_ratio, fine, "above 0, at most 1")
        _check("clear_after", self.clear_after, 1 <= self.clear_after <= 1000, "1 to 1000 windows")


@dataclass(frozen=True)
class MachineConfig:
    """One machine: where its sound comes from and how it is judged.

    Attributes:
        bundle: the folder NAME.asd.
        device: name of an ALSA device, as `asd-edge monitor --devices` lists them.
        command: instead of a device: a program that writes raw samples to its stdout, signed
            16 bit little-endian, `channels` interleaved, `rate` samples a second.
        rate: samples a second that the device or the command gives.
        channels: number of channels that it gives.
        channel: "mean" or the number of a channel, from 0; by default the bundle's.
        name: what people call the machine; by default its key in the file.
        section: section of the bundle; by default the nearest one.
        hop_s: seconds from one window to the next; by default the model's length.
        running_dbfs: below this level the machine is off and is not judged.
        false_alarm_rate: share of normal windows that may be called anomalous; by default the
            bundle's.
        mode: "watch", or "run-in", which records everything and notifies nobody.
        alarms: settings of this machine alone; by default the file's [alarms].
    """

    bundle: Path
    device: str | None = None
    command: tuple[str, ...] | None = None
    rate: int = 48000
    channels: int = 1
    channel: int | Literal["mean"] | None = None
    name: str | None = None
    section: str | None = None
    hop_s: float | None = None
    running_dbfs: float | None = None
    false_alarm_rate: float | None = None
    mode: Mode = "watch"
    alarms: AlarmConfig | None = None

    def __post_init__(self) -> None:
        one = (self.device is None) != (self.command is None)
        _check("device", self.device, one, "either a device or a command")
        _check("command", self.command, self.command != (), "a program and its arguments")
        _check("rate", self.rate, 1000 <= self.rate <= 768_000, "1000 to 768000 Hz")
        _check("channels", self.channels, 1 <= self.channels <= 8, "1 to 8 (FLAC holds no more)")
        numbered = self.channel not in (None, "mean")
        fits = not numbered or 0 <= int(self.channel or 0) < self.channels
        _check("channel", self.channel, fits, "below the number of channels")
        hop, rate = self.hop_s, self.false_alarm_rate
        _check("hop_s", hop, hop is None or 0.1 <= hop <= 3600, "0.1 to 3600 seconds")
        _check("false_alarm_rate", rate, rate is None or 0 < rate < 1, "above 0 and below 1")
        level = self.running_dbfs
        _check("running_dbfs", level, level is None or -120 < level < 0, "-120 to 0 dBFS")


@dataclass(frozen=True)
class HistoryConfig:
    """Where the history lies and how much of it is kept.

    Attributes:
        folder: by default $STATE_DIRECTORY (systemd), else ~/.local/state/asd-edge.
        keep_days: days for which every window is kept; hourly rows are kept for ever.
        clips: whether recordings of alarms are kept; they may hold speech.
        clip_quota_mb: the oldest clips go when all of them need more.
        free_space_mb: no clip is written that would leave less on the disk.
    """

    folder: Path | None = None
    keep_days: float = 90.0
    clips: bool = True
    clip_quota_mb: float = 500.0
    free_space_mb: float = 200.0

    def __post_init__(self) -> None:
        _check("keep_days", self.keep_days, self.keep_days >= 1, "at least 1 day")
        _check("clip_quota_mb", self.clip_quota_mb, self.clip_quota_mb >= 1, "at least 1 MB")
        _check("free_space_mb", self.free_space_mb, self.free_space_mb >= 0, "0 or more MB")

    @property
    def path(self) -> Path:
        """The folder, whichever way it is given.

        Raises:
            ParameterError: none is given, and the user has no home directory.
        """
        if self.folder is not None:
            return self.folder
        given = os.environ.get("STATE_DIRECTORY", "").split(":")[0]
        if given:
            return Path(given)
        base = os.environ.get("XDG_STATE_HOME") or "~/.local/state"
        try:
            return Path(base).expanduser() / "asd-edge"
        except RuntimeError as error:
            expected = "a folder, because this user has no home directory"
            raise ParameterError("history.folder", None, expected) from error


@dataclass(frozen=True)
class Config:
    """The whole file.

    Attributes:
        machines: by id, in the order of the file.
        node: name of this device in MQTT topics; by default the host's.
        mqtt, notify: None for none.
        web: the page; on loopback by default, `enabled = false` for none.
    """

    machines: dict[str, MachineConfig]
    node: str = field(default_factory=lambda: _slug(socket.gethostname()))
    alarms: AlarmConfig = AlarmConfig()
    history: HistoryConfig = HistoryConfig()
    mqtt: MqttConfig | None = None
    notify: NotifyConfig | None = None
    web: WebConfig = field(default_factory=WebConfig)

    def __post_init__(self) -> None:
        _check("machines", dict(self.machines), bool(self.machines), "at least one [machines.NAME]")
        for name in (self.node, *self.machines):
            _check("name", name, _ID.fullmatch(name) is not None, 'letters, digits, "-" and "_"')

    def alarms_of(self, machine: str) -> AlarmConfig:
        """Give the alarm settings of a machine: its own, else the file's."""
        return self.machines[machine].alarms or self.alarms


def read(path: str | Path) -> Config:
    """Read a configuration file.

    Raises:
        MissingFileError: no such file.
        ConfigError: no TOML, an unknown key, or a wrong value.
    """
    try:
        # Editors on Windows put a byte order mark in front.
        table = tomllib.loads(Path(path).read_bytes().decode("utf-8-sig"))
    except FileNotFoundError as error:
        raise MissingFileError(path, "configuration file") from error
    except UnicodeDecodeError as error:
        raise ConfigError(path, "the file", "is not text in UTF-8; save it as that") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(path, "the file", f"is not valid TOML: {error}") from error
    except OSError as error:
        raise ConfigError(path, "the file", f"cannot be read ({error.strerror})") from error
    return parse(Config, _with_shared_alarms(table), path)


def _with_shared_alarms(table: dict[str, Any]) -> dict[str, Any]:
    """Let a machine's [alarms] extend those of the file instead of the built-in ones."""
    shared, machines = table.get("alarms"), table.get("machines")
    if not isinstance(shared, dict) or not isinstance(machines, dict):
        return table
    merged = {
        name: {**machine, "alarms": {**shared, **machine["alarms"]}}
        if isinstance(machine, dict) and isinstance(machine.get("alarms"), dict)
        else machine
        for name, machine in machines.items()
    }
    return {**table, "machines": merged}


def _slug(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9_-]+", "-", name)[:64].strip("-") or "device"
