"""Home Assistant's device discovery: which entities a machine has, and where their values are.

https://www.home-assistant.io/integrations/mqtt/#device-discovery-payload
"""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from typing import Any

from asd_edge.monitor.state import MachineState

BIRTH = "status"  # under the discovery prefix: "online" when Home Assistant starts


def topic(prefix: str, node: str, machine: str) -> str:
    """Topic of the retained discovery message of a machine."""
    return f"{prefix}/device/asd-edge_{node}_{machine}/config"


def payload(node: str, base: str, machine: MachineState, commands: bool) -> dict[str, Any]:
    """Describe a machine as a device with its entities.

    Args:
        node: name of this device.
        base: the topic below which the node's messages are.
        machine: the machine.
        commands: whether alarms may be acknowledged by MQTT.
    """
    unique = f"asd-edge_{node}_{machine.id}"
    release = version("asd-edge")
    return {
        "device": {
            "identifiers": [unique],
            "name": machine.name,
            "manufacturer": "asd-edge",
            "model": Path(machine.bundle).name,
            "sw_version": release,
        },
        "origin": {"name": "asd-edge", "sw_version": release},
        "state_topic": f"{base}/{machine.id}/state",
        "qos": 1,
        "components": _components(unique, base, machine, commands),
    }


class _Entities:
    """Makes the entities of one machine."""

    def __init__(self, unique: str, base: str, machine: str) -> None:
        self._unique = unique
        self._object_id = unique.lower().replace("-", "_")
        self.node_online = {"topic": f"{base}/availability"}
        self._both = [self.node_online, {"topic": f"{base}/{machine}/availability"}]

    def entity(self, key: str, platform: str, name: str, **more: Any) -> dict[str, Any]:
        """Give an entity; `more` holds what it has beside, or instead of, what all have."""
        return {
            "platform": platform,
            "name": name,
            "unique_id": f"{self._unique}_{key}",
            "default_entity_id": f"{platform}.{self._object_id}_{key}",
            "availability": self._both,
            "availability_mode": "all",
            **more,
        }

    def number(self, key: str, name: str, digits: int, **more: Any) -> dict[str, Any]:
        """Give a sensor; a value that is not known is None, which is shown as unknown."""
        return self.entity(
            key,
            "sensor",
            name,
            value_template=f"{{{{ value_json.{key} }}}}",
            state_class="measurement",
            suggested_display_precision=digits,
            **more,
        )


def _components(
    unique: str, base: str, machine: MachineState, commands: bool
) -> dict[str, dict[str, Any]]:
    of = _Entities(unique, base, machine.id)
    components = {
        "alarm": of.entity(
            "alarm",
            "binary_sensor",
            "Alarm",
            value_template="{{ 'ON' if value_json.alarm else 'OFF' }}",
            device_class="problem",
            json_attributes_topic=f"{base}/{machine.id}/state",
        ),
        # Online with the node alone: a machine is offline when its microphone is missing, which is
        # what this entity has to say then.
        "microphone": of.entity(
            "microphone",
            "binary_sensor",
            "Microphone",
            value_template="{{ 'ON' if value_json.microphone_problem else 'OFF' }}",
            device_class="problem",
            entity_category="diagnostic",
            availability=[of.node_online],
        ),
        "ratio": of.number("ratio", "Ratio to threshold", 2, icon="mdi:chart-bell-curve"),
        "score": of.number("score", "Score", 2, icon="mdi:waveform", entity_category="diagnostic"),
        "level": of.number(
            "level_dbfs", "Level", 1, unit_of_measurement="dB", icon="mdi:volume-high"
        ),
    }
    if commands:
        components["acknowledge"] = of.entity(
            "acknowledge",
            "button",
            "Acknowledge alarm",
            command_topic=f"{base}/{machine.id}/command",
            payload_press="acknowledge",
        )
    return components
