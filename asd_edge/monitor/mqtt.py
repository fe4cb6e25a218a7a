"""MQTT: retained state, events at QoS 1, and commands if they are allowed.

    asd-edge/<node>/availability             online | offline (last will), retained
    asd-edge/<node>/state                    health of the device, retained
    asd-edge/<node>/event                    alarms of the device itself
    asd-edge/<node>/<machine>/availability   offline while its microphone is, retained
    asd-edge/<node>/<machine>/state          score, ratio, level, alarm, ..., retained
    asd-edge/<node>/<machine>/event          raise, clear, acknowledge, ...
    asd-edge/<node>/<machine>/command        "acknowledge"

While the broker is away the newest state and the last 500 events wait for it, also
across a restart. An event may come twice (QoS 1); its `id` tells.
"""

from __future__ import annotations

import collections
import dataclasses
import json
import logging
import threading
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from asd_edge.monitor import homeassistant
from asd_edge.monitor.commands import Acknowledge
from asd_edge.monitor.events import Event, StateEvent, WindowEvent
from asd_edge.monitor.feed import Feed
from asd_edge.monitor.mqtt_client import KEEPALIVE_S, check, make_client
from asd_edge.monitor.outlet_config import MqttConfig
from asd_edge.monitor.service import Monitor
from asd_edge.monitor.state import MachineState
from asd_edge.monitor.wording import event_values, machine_values

if TYPE_CHECKING:
    from paho.mqtt.client import Client, ConnectFlags, DisconnectFlags, MQTTMessage
    from paho.mqtt.properties import Properties
    from paho.mqtt.reasoncodes import ReasonCode

MAX_EVENTS = 500
# Handed to paho at once, which sends them again after a lost connection.
_IN_FLIGHT = 20
_HEALTH_S = 30.0
_MAX_RETRY_S = 60
# How long the worker waits for an event before it looks at the connection, and while events wait.
_WAIT_S, _BUSY_S = 1.0, 0.05

__all__ = ["MAX_EVENTS", "Mqtt", "Outbox", "check", "start"]

log = logging.getLogger(__name__)


class Outbox:
    """What waits for the broker: the newest payload of each retained topic, and events."""

    def __init__(self, max_events: int = MAX_EVENTS) -> None:
        self._retained: dict[str, str] = {}
        self._changed: dict[str, None] = {}
        self._events: collections.deque[tuple[int, str, str]] = collections.deque(maxlen=max_events)

    def retain(self, topic: str, payload: str) -> None:
        """Put the newest payload of a topic, in place of one that was not sent yet."""
        self._retained[topic] = payload
        self._changed[topic] = None

    def add(self, number: int, topic: str, payload: str) -> None:
        """Put an event; the oldest one is dropped if there are too many."""
        self._events.append((number, topic, payload))

    def again(self) -> None:
        """Send every retained topic again."""
        self._changed = dict.fromkeys(self._retained)

    def take_retained(self) -> list[tuple[str, str]]:
        """Take what changed of the retained topics."""
        topics, self._changed = list(self._changed), {}
        return [(topic, self._retained[topic]) for topic in topics]

    def take_events(self, most: int) -> list[tuple[int, str, str]]:
        """Take the oldest events: number, topic and payload."""
        return [self._events.popleft() for _ in range(min(most, len(self._events)))]

    def __len__(self) -> int:
        return len(self._events)


class Mqtt:
    """The connection to a broker; `start` makes one."""

    def __init__(self, config: MqttConfig, monitor: Monitor) -> None:
        self._config = config
        self._monitor = monitor
        self._node = monitor.config.node
        self._base = f"asd-edge/{self._node}"
        self._outbox = Outbox()
        # paho's number of a message -> the event's, in the order of events; and messages that are
        # out, which the worker has not looked at yet.
        self._in_flight: dict[int, int] = {}
        self._out: collections.deque[int] = collections.deque()
        self._connected = threading.Event()
        self._everything_wanted = threading.Event()
        self._complained = ""
        self._client = self._make_client()
        self._feed = Feed(monitor, "mqtt")
        self._worker = threading.Thread(target=self._work, name="mqtt", daemon=True)

    def start(self) -> None:
        """Connect in the background; a broker that is not there yet is waited for."""
        self._client.connect_async(self._config.host, self._config.port, KEEPALIVE_S)
        self._client.loop_start()
        self._worker.start()

    def stop(self) -> None:
        """Say offline and disconnect; waits at most 3 seconds for the broker."""
        self._feed.close()
        self._worker.join(2)
        if self._connected.is_set():
            last = self._client.publish(f"{self._base}/availability", "offline", 1, retain=True)
            try:
                last.wait_for_publish(1)
            except (RuntimeError, ValueError):
                log.debug("the broker went away before it was told")
        self._client.disconnect()
        self._client.loop_stop()
        # Breaks the cycle of references, so that paho closes its sockets now.
        self._client.on_connect = self._client.on_connect_fail = None
        self._client.on_disconnect = self._client.on_message = self._client.on_publish = None

    def _make_client(self) -> Client:
        client = make_client(self._config, f"asd-edge-{self._node}")
        client.will_set(f"{self._base}/availability", "offline", 1, retain=True)
        client.reconnect_delay_set(1, _MAX_RETRY_S)
        client.on_connect = self._on_connect
        client.on_connect_fail = self._on_connect_fail
        client.on_disconnect = self._on_disconnect
        client.on_message = self._on_message
        client.on_publish = self._on_publish
        return client

    # Called by paho's thread, which holds locks of its own: these only take note.

    def _on_connect(
        self,
        client: Client,
        userdata: object,
        flags: ConnectFlags,
        reason: ReasonCode,
        properties: Properties | None,
    ) -> None:
        if reason.is_failure:
            self._complain(f"refuses the connection: {reason}")
            return
        self._complained = ""
        log.info("connected to the broker %s:%d", self._config.host, self._config.port)
        topics = []
        if self._config.discovery_prefix:
            topics.append((f"{self._config.discovery_prefix}/{homeassistant.BIRTH}", 1))
        if self._config.allow_commands:
            topics.append((f"{self._base}/+/command", 1))
        if topics:
            client.subscribe(topics)
        self._everything_wanted.set()
        self._connected.set()

    def _on_connect_fail(self, client: Client, userdata: object) -> None:
        self._complain("cannot be reached")

    def _on_disconnect(
        self,
        client: Client,
        userdata: object,
        flags: DisconnectFlags,
        reason: ReasonCode,
        properties: Properties | None,
    ) -> None:
        self._connected.clear()
        if reason.is_failure:
            self._complain("went away")

    def _on_publish(
        self,
        client: Client,
        userdata: object,
        mid: int,
        reason: ReasonCode,
        properties: Properties,
    ) -> None:
        self._out.append(mid)

    def _on_message(self, client: Client, userdata: object, message: MQTTMessage) -> None:
        text = message.payload[:100].decode(errors="replace")
        if message.topic == f"{self._config.discovery_prefix}/{homeassistant.BIRTH}":
            if text == "online":
                self._everything_wanted.set()
            return
        machine = self._monitor.snapshot.machine(message.topic.split("/")[-2])
        if message.retain or machine is None or text != "acknowledge":
            log.warning("refused a command on %s: %r", message.topic, text)
            return
        for episode in machine.episodes:
            if episode.kind == "sound" and episode.acknowledged_at is None:
                self._monitor.submit(Acknowledge(episode.id, "mqtt"))

    # Called by the worker.

    def _work(self) -> None:
        health_at = 0.0
        while not self._feed.closed:
            event = self._feed.get(_BUSY_S if self._outbox or self._in_flight else _WAIT_S)
            if event is not None:
                self._put_event(event)
            if time.monotonic() >= health_at:
                self._put_health()
                health_at = time.monotonic() + _HEALTH_S
            self._send()

    def _put_event(self, event: Event) -> None:
        if isinstance(event, StateEvent):
            self._put_machine(event.machine)
            return
        if isinstance(event, WindowEvent):
            name = event.window.machine
        else:
            name = event.episode.machine
            topic = f"{self._base}/{name}/event" if name else f"{self._base}/event"
            values = event_values(event, self._monitor.snapshot)
            self._outbox.add(event.id, topic, _json(values))
        machine = self._monitor.snapshot.machine(name)
        if machine is not None:
            self._put_machine(machine)

    def _put_everything(self) -> None:
        snapshot = self._monitor.snapshot
        prefix = self._config.discovery_prefix
        if prefix:
            for machine in snapshot.machines:
                found = homeassistant.payload(
                    self._node, self._base, machine, self._config.allow_commands
                )
                self._outbox.retain(
                    homeassistant.topic(prefix, self._node, machine.id), _json(found)
                )
        self._outbox.retain(f"{self._base}/availability", "online")
        self._put_health()
        for machine in snapshot.machines:
            self._put_machine(machine)
        self._outbox.again()

    def _put_machine(self, machine: MachineState) -> None:
        topic = f"{self._base}/{machine.id}"
        hears = machine.microphone == "ok" and machine.status != "unknown"
        self._outbox.retain(f"{topic}/availability", "online" if hears else "offline")
        self._outbox.retain(
            f"{topic}/state", _json(machine_values(machine, self._monitor.snapshot.at))
        )

    def _put_health(self) -> None:
        snapshot = self._monitor.snapshot
        values = dataclasses.asdict(snapshot.health)
        values["open_episodes"] = [e.id for e in snapshot.episodes]
        self._outbox.retain(f"{self._base}/state", _json(values))

    def _send(self) -> None:
        if not self._connected.is_set():
            return
        if self._everything_wanted.is_set():
            self._everything_wanted.clear()
            self._put_everything()
        # State at QoS 0: what a dying connection swallows is sent again on the next one.
        for topic, payload in self._outbox.take_retained():
            self._client.publish(topic, payload, 0, retain=True)
        self._note_confirmed()
        # paho keeps these, and sends them again on the next connection until they are confirmed.
        for number, topic, payload in self._outbox.take_events(_IN_FLIGHT - len(self._in_flight)):
            self._in_flight[self._client.publish(topic, payload, 1).mid] = number

    def _note_confirmed(self) -> None:
        confirmed = [
            n for m in self._taken_out() if (n := self._in_flight.pop(m, None)) is not None
        ]
        if confirmed:
            first_open = next(iter(self._in_flight.values()), max(confirmed) + 1)
            self._feed.delivered(first_open - 1)

    def _taken_out(self) -> Iterator[int]:
        while self._out:
            yield self._out.popleft()

    def _complain(self, what: str) -> None:
        # Once, not at every attempt of a night.
        if what != self._complained:
            log.warning("the broker %s:%d %s", self._config.host, self._config.port, what)
        self._complained = what


def start(config: MqttConfig, monitor: Monitor) -> Mqtt:
    """Start to publish.

    Raises:
        OptionalDependencyError: paho-mqtt is not installed.
        MissingFileError: the password or certificate file is not there.
    """
    mqtt = Mqtt(config, monitor)
    mqtt.start()
    return mqtt


def _json(values: dict[str, Any]) -> str:
    return json.dumps(values, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
