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
    object_id = unique.lower().replace("-", "_")
    node_online = {"topic": f"{base}/availability"}
    both = [node_online, {"topic": f"{base}/{machine.id}/availability"}]

    def entity(key: str, platform: str, name: str, value: str, **more: Any) -> dict[str, Any]:
        return {
            "platform": platform,
            "name": name,
            "unique_id": f"{unique}_{key}",
            "default_entity_id": f"{platform}.{object_id}_{key}",
            "value_template": value,
            "availability": both,
            "availability_mode": "all",
            **more,
        }

    def number(key: str, name: str, digits: int, **more: Any) -> dict[str, Any]:
        # A value that is not known is None, which Home Assistant shows as unknown.
        return entity(
            key,
            "sensor",
            name,
            f"{{{{ value_json.{key} }}}}",
            state_class="measurement",
            suggested_display_precision=digits,
            **more,
        )

    components = {
        "alarm": entity(
            "alarm",
            "binary_sensor",
            "Alarm",
            "{{ 'ON' if value_json.alarm else 'OFF' }}",
            device_class="problem",
            json_attributes_topic=f"{base}/{machine.id}/state",
        ),
        # Online with the node alone: a machine is offline when its microphone is missing, which is
        # what this entity has to say then.
        "microphone": entity(
            "microphone",
            "binary_sensor",
            "Microphone",
            "{{ 'ON' if value_json.microphone_problem else 'OFF' }}",
            device_class="problem",
            entity_category="diagnostic",
            availability=[node_online],
        ),
        "ratio": number("ratio", "Ratio to threshold", 2, icon="mdi:chart-bell-curve"),
        "score": number("score", "Score", 2, icon="mdi:waveform", entity_category="diagnostic"),
        "level": number("level_dbfs", "Level", 1, unit_of_measurement="dB", icon="mdi:volume-high"),
    }
    if commands:
        button = entity("acknowledge", "button", "Acknowledge alarm", "")
        del button["value_template"]
        button["command_topic"] = f"{base}/{machine.id}/command"
        button["payload_press"] = "acknowledge"
        components["acknowledge"] = button
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
        "components": components,
    }
