"""Making an MQTT client of the configuration, and trying whether the broker takes it."""

from __future__ import annotations

import secrets
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from asd_edge.errors import MissingFileError, OptionalDependencyError
from asd_edge.monitor.outlet_config import MqttConfig

if TYPE_CHECKING:
    from paho.mqtt.client import Client
    from paho.mqtt.reasoncodes import ReasonCode

KEEPALIVE_S = 30
_CHECK_S = 5.0


def check(config: MqttConfig) -> list[str]:
    """Say what is wrong: the broker cannot be reached, or it refuses the user.

    Raises:
        OptionalDependencyError: paho-mqtt is not installed.
    """
    try:
        client = make_client(config, f"asd-edge-check-{secrets.token_hex(4)}")
    except MissingFileError as error:
        return [str(error)]
    broker = f"the broker {config.host}:{config.port}"
    answered = threading.Event()
    refusals: list[str] = []

    def on_connect(_c: Client, _u: object, _f: object, reason: ReasonCode, _p: object) -> None:
        if reason.is_failure:
            refusals.append(f"{broker} refuses the connection: {reason}")
        answered.set()

    client.on_connect = on_connect
    try:
        client.connect(config.host, config.port, KEEPALIVE_S)
        client.loop_start()
        if not answered.wait(_CHECK_S):
            refusals.append(f"{broker} does not answer")
    except OSError as error:
        return [f"{broker} cannot be reached: {error.strerror or error}"]
    finally:
        client.disconnect()
        client.loop_stop()
    return refusals


def make_client(config: MqttConfig, client_id: str) -> Client:
    """Make a client with the user and the TLS settings of the configuration.

    Raises:
        OptionalDependencyError: paho-mqtt is not installed.
        MissingFileError: the password or certificate file is not there.
    """
    try:
        from paho.mqtt.client import Client
        from paho.mqtt.enums import CallbackAPIVersion
    except ImportError:
        raise OptionalDependencyError("paho-mqtt", "monitor") from None
    client = Client(CallbackAPIVersion.VERSION2, client_id=client_id)
    if config.user is not None:
        client.username_pw_set(config.user, _first_line(config.password_file))
    if config.tls:
        if config.ca_file is not None and not config.ca_file.is_file():
            raise MissingFileError(config.ca_file, "certificate file")
        client.tls_set(ca_certs=str(config.ca_file) if config.ca_file else None)
    return client


def _first_line(path: Path | None) -> str | None:
    if path is None:
        return None
    try:
        return path.read_text(encoding="utf-8").split("\n", 1)[0].rstrip("\r")
    except FileNotFoundError:
        raise MissingFileError(path, "password file") from None
