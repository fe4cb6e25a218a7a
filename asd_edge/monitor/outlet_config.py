"""Settings of what carries the daemon's words outside: MQTT, notifications and the page."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from asd_edge.errors import ParameterError


@dataclass(frozen=True)
class MqttConfig:
    """The broker.

    Attributes:
        host: name or address of the broker.
        port: its port; 8883 is usual with TLS.
        tls: whether the connection is encrypted, and the broker's certificate checked.
        ca_file: the authority that signed the certificate; by default the system's.
        user: name that the broker knows this device by.
        password_file: file whose first line is the password.
        discovery_prefix: topic of Home Assistant's discovery; "" for no discovery.
        allow_commands: whether alarms may be acknowledged by MQTT.
    """

    host: str
    port: int = 1883
    tls: bool = False
    ca_file: Path | None = None
    user: str | None = None
    password_file: Path | None = None
    discovery_prefix: str = "homeassistant"
    allow_commands: bool = False

    def __post_init__(self) -> None:
        _check_port(self.port)


@dataclass(frozen=True)
class NotifyConfig:
    """Who is told of alarms.

    Attributes:
        webhooks: addresses that get a JSON object by POST.
        apprise: addresses of https://github.com/caronc/apprise (mail, Telegram, ...).
        per_hour: more in an hour are put together into one digest.
    """

    webhooks: tuple[str, ...] = ()
    apprise: tuple[str, ...] = ()
    per_hour: int = 6

    def __post_init__(self) -> None:
        if self.per_hour < 1:
            raise ParameterError("per_hour", self.per_hour, "at least 1")


@dataclass(frozen=True)
class WebConfig:
    """The page.

    Attributes:
        enabled: whether there is a page; false for none.
        listen: address that it listens on; other computers reach it only on another one than
            loopback, which needs a password.
        port: its port.
        password_file: file with the password's hash, as `asd-edge monitor --hash-password` prints
            it.
        allowed_hosts: names under which the page may be asked for, besides `listen`, localhost,
            and the device's name and addresses.
    """

    enabled: bool = True
    listen: str = "127.0.0.1"
    port: int = 8420
    password_file: Path | None = None
    allowed_hosts: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        _check_port(self.port)


def _check_port(port: int) -> None:
    if not 0 <= port <= 65535:
        raise ParameterError("port", port, "0 to 65535")
