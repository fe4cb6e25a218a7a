"""MQTT against a real broker on loopback."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fake_monitor import FakeMonitor, episode, machine, window
from real_parts import MOSQUITTO, Broker, Listener, wait_for

from asd_edge.errors import MissingFileError
from asd_edge.monitor import mqtt
from asd_edge.monitor.commands import Acknowledge
from asd_edge.monitor.outlet_config import MqttConfig

pytest.importorskip("paho.mqtt.client", reason="needs the extra monitor")
pytestmark = pytest.mark.skipif(MOSQUITTO is None, reason="needs mosquitto (tests/install_apt.sh)")


@pytest.fixture
def listener(broker: Broker) -> Iterator[Listener]:
    found = Listener(broker.port)
    yield found
    found.close()


@pytest.fixture
def started() -> Iterator[Callable[..., mqtt.Mqtt]]:
    outlets = []

    def start(port: int, monitor: FakeMonitor, **settings: Any) -> mqtt.Mqtt:
        outlets.append(mqtt.start(MqttConfig("127.0.0.1", port, **settings), monitor))
        return outlets[-1]

    yield start
    for outlet in outlets:
        outlet.stop()


def test_state_is_retained_and_says_what_the_page_says(
    broker: Broker, started: Callable[..., mqtt.Mqtt]
) -> None:
    monitor = FakeMonitor(machine(last_valid=window(ratio=0.5), last=window(ratio=0.5)))
    started(broker.port, monitor)
    first = Listener(broker.port)
    wait_for(lambda: first.values("asd-edge/shed/fan/state"))
    first.close()
    # Somebody who comes later gets everything at once, marked as retained.
    late = Listener(broker.port)
    state = wait_for(lambda: late.values("asd-edge/shed/fan/state"))[-1]
    assert state["headline"] == "Normal. Last heard 4 s ago"
    assert (state["score"], state["threshold"], state["ratio"]) == (1.0, 2.0, 0.5)
    assert state["alarm"] is False
    assert state["since"] == "1970-01-01T00:15:00.000+00:00"
    wait_for(lambda: late.payloads("asd-edge/shed/availability") == ["online"])
    wait_for(lambda: late.payloads("asd-edge/shed/fan/availability") == ["online"])
    wait_for(lambda: late.values("asd-edge/shed/state"))
    assert all(m.retain for m in late.messages)
    late.close()


def test_an_alarm_is_an_event_once_and_a_state(
    broker: Broker, listener: Listener, started: Callable[..., mqtt.Mqtt]
) -> None:
    monitor = FakeMonitor(machine())
    started(broker.port, monitor)
    wait_for(lambda: listener.values("asd-edge/shed/fan/state"))
    monitor.change("fan", status="alarm", since=990.0, episodes=(episode(),))
    monitor.happen("raise", episode())
    event = wait_for(lambda: listener.values("asd-edge/shed/fan/event"))[0]
    assert (event["id"], event["action"], event["kind"], event["episode"]) == (
        1,
        "raise",
        "sound",
        1,
    )
    assert event["text"] == "Fan: ALARM: 4.7-5.4 kHz, 8 dB above normal"
    wait_for(lambda: listener.values("asd-edge/shed/fan/state")[-1]["alarm"] is True)
    message = next(m for m in listener.messages if m.topic.endswith("/event"))
    assert (message.qos, message.retain) == (1, False)
    wait_for(lambda: monitor.history.cursors["mqtt"] == 1)
    assert len(listener.values("asd-edge/shed/fan/event")) == 1


def test_a_machine_is_offline_while_its_microphone_is(
    broker: Broker, listener: Listener, started: Callable[..., mqtt.Mqtt]
) -> None:
    monitor = FakeMonitor(machine(), machine("pump"))
    started(broker.port, monitor)
    topic = "asd-edge/shed/fan/availability"
    wait_for(lambda: listener.payloads(topic) == ["online"])
    monitor.change("fan", microphone="missing", status="unknown")
    wait_for(lambda: listener.payloads(topic)[-1] == "offline")
    assert listener.payloads("asd-edge/shed/pump/availability")[-1] == "online"
    assert wait_for(lambda: listener.values("asd-edge/shed/fan/state"))[-1]["microphone_problem"]


def test_the_last_will_says_offline(broker: Broker, listener: Listener, tmp_path: Path) -> None:
    program = f"""
import sys, time
sys.path.insert(0, {str(Path(__file__).parents[1])!r})
from fake_monitor import FakeMonitor, machine
from asd_edge.monitor import mqtt
from asd_edge.monitor.outlet_config import MqttConfig
mqtt.start(MqttConfig("127.0.0.1", {broker.port}), FakeMonitor(machine()))
time.sleep(60)
"""
    process = subprocess.Popen([sys.executable, "-c", program])
    topic = "asd-edge/shed/availability"
    wait_for(lambda: listener.payloads(topic) == ["online"])
    process.kill()
    process.wait()
    wait_for(lambda: listener.payloads(topic) == ["online", "offline"])


def test_stopping_says_offline(broker: Broker, listener: Listener) -> None:
    outlet = mqtt.start(MqttConfig("127.0.0.1", broker.port), FakeMonitor(machine()))
    topic = "asd-edge/shed/availability"
    wait_for(lambda: listener.payloads(topic) == ["online"])
    outlet.stop()
    wait_for(lambda: listener.payloads(topic) == ["online", "offline"])


def test_discovery_describes_entities_that_home_assistant_can_read(
    broker: Broker, listener: Listener, started: Callable[..., mqtt.Mqtt]
) -> None:
    monitor = FakeMonitor(machine("fan", name="Fan of hall 2"))
    started(broker.port, monitor, allow_commands=True)
    found = wait_for(lambda: listener.values("homeassistant/device/asd-edge_shed_fan/config"))[-1]
    assert found["device"]["name"] == "Fan of hall 2"
    assert found["device"]["identifiers"] == ["asd-edge_shed_fan"]
    assert set(found["origin"]) >= {"name", "sw_version"}
    parts = found["components"]
    assert set(parts) == {"alarm", "microphone", "ratio", "score", "level", "acknowledge"}
    assert parts["alarm"]["device_class"] == parts["microphone"]["device_class"] == "problem"
    assert parts["alarm"]["default_entity_id"] == "binary_sensor.asd_edge_shed_fan_alarm"
    assert len({part["unique_id"] for part in parts.values()}) == len(parts)
    # Every topic and every value that is promised is really published.
    state = wait_for(lambda: listener.values(found["state_topic"]))[-1]
    for name in ("ratio", "score"):
        assert parts[name]["value_template"] == f"{{{{ value_json.{name} }}}}"
        assert name in state
    assert parts["level"]["value_template"] == "{{ value_json.level_dbfs }}"
    assert {"alarm", "microphone_problem", "level_dbfs"} <= set(state)
    for part in parts.values():
        for availability in part["availability"]:
            wait_for(lambda topic=availability["topic"]: listener.payloads(topic))
    # The microphone's trouble has to be seen while the machine is offline for it.
    assert parts["microphone"]["availability"] == [{"topic": "asd-edge/shed/availability"}]


def test_home_assistant_s_birth_brings_everything_again(
    broker: Broker, listener: Listener, started: Callable[..., mqtt.Mqtt]
) -> None:
    started(broker.port, FakeMonitor(machine()))
    topic = "homeassistant/device/asd-edge_shed_fan/config"
    wait_for(lambda: len(listener.payloads(topic)) == 1)
    listener.client.publish("homeassistant/status", "online", 1)
    wait_for(lambda: len(listener.payloads(topic)) == 2)
    wait_for(lambda: len(listener.payloads("asd-edge/shed/fan/state")) >= 2)


def test_no_discovery_if_none_is_wanted(
    broker: Broker, listener: Listener, started: Callable[..., mqtt.Mqtt]
) -> None:
    started(broker.port, FakeMonitor(machine()), discovery_prefix="")
    wait_for(lambda: listener.payloads("asd-edge/shed/fan/state"))
    assert not [m for m in listener.messages if not m.topic.startswith("asd-edge/")]


def test_a_broker_that_is_killed_and_started_again(
    broker: Broker, started: Callable[..., mqtt.Mqtt]
) -> None:
    monitor = FakeMonitor(machine())
    started(broker.port, monitor)
    before = Listener(broker.port)
    wait_for(lambda: before.payloads("asd-edge/shed/availability") == ["online"])
    before.close()
    broker.kill()
    for number in (1, 2, 3):
        monitor.happen("raise", episode(number))
        monitor.happen("clear", episode(number, cleared_at=1000.0))
    monitor.judge(window(ratio=0.25))
    monitor.judge(window(ratio=0.75))
    broker.start()
    after = Listener(broker.port)
    wait_for(lambda: len(after.values("asd-edge/shed/fan/event")) >= 6)
    numbers = [event["id"] for event in after.values("asd-edge/shed/fan/event")]
    assert sorted(set(numbers)) == [1, 2, 3, 4, 5, 6]
    # Of the state only the newest; discovery and availability again, for the broker forgot them.
    states = wait_for(lambda: after.values("asd-edge/shed/fan/state"))
    assert [state["ratio"] for state in states] == [0.75]
    wait_for(lambda: after.payloads("asd-edge/shed/availability") == ["online"])
    wait_for(lambda: after.payloads("homeassistant/device/asd-edge_shed_fan/config"))
    wait_for(lambda: monitor.history.cursors["mqtt"] == 6)
    after.close()


def test_a_restart_sends_what_the_broker_did_not_get(
    broker: Broker, listener: Listener, started: Callable[..., mqtt.Mqtt]
) -> None:
    monitor = FakeMonitor(machine())
    for number in range(1, 6):
        monitor.happen("raise", episode(number))
    monitor.history.cursors["mqtt"] = 3
    started(broker.port, monitor)
    monitor.happen("raise", episode(6))
    topic = "asd-edge/shed/fan/event"
    wait_for(lambda: [e["id"] for e in listener.values(topic)] == [4, 5, 6])


def test_events_wait_in_a_bounded_outbox() -> None:
    outbox = mqtt.Outbox()
    for number in range(700):
        outbox.add(number, "event", str(number))
        outbox.retain("state", str(number))
    assert len(outbox) == mqtt.MAX_EVENTS
    assert outbox.take_retained() == [("state", "699")]
    assert outbox.take_retained() == []
    assert [number for number, *_ in outbox.take_events(3)] == [200, 201, 202]
    outbox.again()
    assert outbox.take_retained() == [("state", "699")]


@pytest.mark.parametrize("allowed", [True, False])
def test_commands_only_if_they_are_allowed(
    broker: Broker, listener: Listener, started: Callable[..., mqtt.Mqtt], allowed: bool
) -> None:
    monitor = FakeMonitor(machine(status="alarm", episodes=(episode(7),)))
    started(broker.port, monitor, allow_commands=allowed)
    wait_for(lambda: listener.payloads("asd-edge/shed/fan/state"))
    for topic, payload in (
        ("asd-edge/shed/fan/command", "format the disk"),
        ("asd-edge/shed/nobody/command", "acknowledge"),
        ("asd-edge/shed/fan/command", "acknowledge"),
    ):
        listener.client.publish(topic, payload, 1).wait_for_publish(5)
    if allowed:
        wait_for(lambda: monitor.submitted == [Acknowledge(7, "mqtt")])
    else:
        listener.client.publish("homeassistant/status", "online", 1)
        wait_for(lambda: len(listener.payloads("asd-edge/shed/fan/state")) >= 2)
        assert monitor.submitted == []


def test_user_and_password_from_a_file(tmp_path: Path, started: Callable[..., mqtt.Mqtt]) -> None:
    passwords = tmp_path / "passwords"
    passwords.write_text("edge:secret\n")
    tool = shutil.which("mosquitto_passwd")
    assert tool is not None
    subprocess.run([tool, "-U", str(passwords)], check=True)
    passwords.chmod(0o644)
    tmp_path.chmod(0o755)
    broker = Broker(tmp_path, "allow_anonymous false", "user root", f"password_file {passwords}")
    try:
        right, wrong = tmp_path / "right", tmp_path / "wrong"
        right.write_text("secret\n")
        wrong.write_text("guess\n")
        settings = {"host": "127.0.0.1", "port": broker.port, "user": "edge"}
        assert mqtt.check(MqttConfig(**settings, password_file=right)) == []
        (fault,) = mqtt.check(MqttConfig(**settings, password_file=wrong))
        assert "refuses" in fault
        started(broker.port, FakeMonitor(machine()), user="edge", password_file=right)
        listener = Listener(broker.port, username="edge", password="secret")
        wait_for(lambda: listener.payloads("asd-edge/shed/availability") == ["online"])
        listener.close()
    finally:
        broker.kill()


# paho leaves the sockets of a refused certificate to the garbage collector.
@pytest.mark.filterwarnings("ignore:.*socket:pytest.PytestUnraisableExceptionWarning")
def test_tls(tmp_path: Path, started: Callable[..., mqtt.Mqtt]) -> None:
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("needs openssl to make a certificate")
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    subprocess.run(
        [
            *(openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"),
            *("-keyout", key, "-out", certificate, "-subj", "/CN=127.0.0.1"),
            *("-addext", "subjectAltName=IP:127.0.0.1"),
        ],
        check=True,
        capture_output=True,
    )
    tmp_path.chmod(0o755)
    broker = Broker(tmp_path, f"certfile {certificate}", f"keyfile {key}", "user root")
    try:
        config = MqttConfig("127.0.0.1", broker.port, tls=True, ca_file=certificate)
        assert mqtt.check(config) == []
        # Without the authority the certificate is refused, not taken.
        (fault,) = mqtt.check(MqttConfig("127.0.0.1", broker.port, tls=True))
        assert "certificate" in fault.lower()
        monitor = FakeMonitor(machine())
        started(broker.port, monitor, tls=True, ca_file=certificate)
        monitor.happen("raise", episode())
        wait_for(lambda: monitor.history.cursors.get("mqtt") == 1)
    finally:
        broker.kill()


def test_check_says_what_is_wrong(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (fault,) = mqtt.check(MqttConfig("127.0.0.1", port))
    assert f"127.0.0.1:{port} cannot be reached" in fault
    missing = MqttConfig("127.0.0.1", port, user="edge", password_file=tmp_path / "none")
    assert "none: no such password file" in mqtt.check(missing)[0]
    with pytest.raises(MissingFileError):
        mqtt.start(missing, FakeMonitor(machine()))
