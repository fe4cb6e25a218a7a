"""The real Home Assistant: a machine appears as a device by itself, and its button is obeyed.

Home Assistant is large and wants a Python of its own, so that this is opt-in:

    python3.13 -m venv hass && hass/bin/pip install homeassistant
    ASD_EDGE_HASS=hass/bin/hass pytest tests/monitor/test_home_assistant.py
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from real_parts import MOSQUITTO, Broker, free_port
from running_monitor import Running, player, raw, toml

HASS = os.environ.get("ASD_EDGE_HASS")
pytestmark = [
    pytest.mark.skipif(HASS is None, reason="opt-in: ASD_EDGE_HASS names a Home Assistant"),
    pytest.mark.skipif(MOSQUITTO is None, reason="needs mosquitto (tests/install_apt.sh)"),
]
pytest.importorskip("paho.mqtt.client", reason="needs the extra monitor")

# It installs what its integrations need when it first starts.
PATIENCE_S = 300.0
ENTRY = {
    "entry_id": "asd-edge-test",
    "domain": "mqtt",
    "title": "broker",
    "version": 1,
    "minor_version": 2,
    "data": {},
    "options": {"discovery": True, "discovery_prefix": "homeassistant"},
    "source": "user",
    "unique_id": None,
    "disabled_by": None,
    "pref_disable_new_entities": False,
    "pref_disable_polling": False,
    "discovery_keys": {},
    "subentries": [],
    "created_at": "2026-01-01T00:00:00+00:00",
    "modified_at": "2026-01-01T00:00:00+00:00",
}


class HomeAssistant:
    """Home Assistant with the integration MQTT, as its first user sees it."""

    def __init__(self, folder: Path, broker: int) -> None:
        self.url = f"http://127.0.0.1:{(port := free_port())}"
        (folder / ".storage").mkdir(parents=True)
        (folder / "configuration.yaml").write_text(
            f"http:\n  server_host: 127.0.0.1\n  server_port: {port}\napi:\n"
        )
        entry = {**ENTRY, "data": {"broker": "127.0.0.1", "port": broker}}
        stored = {"version": 1, "minor_version": 5, "key": "core.config_entries"}
        (folder / ".storage" / "core.config_entries").write_text(
            json.dumps({**stored, "data": {"entries": [entry]}})
        )
        assert HASS is not None
        with (folder / "log").open("w") as log:
            self._process = subprocess.Popen([HASS, "-c", str(folder)], stdout=log, stderr=log)
        self._log, self._token = folder / "log", ""

    def log_in(self) -> None:
        """Become its owner."""
        self.wait(lambda: self.ask("/api/onboarding"))
        person = {"name": "A", "username": "a", "password": "correct horse", "language": "en"}
        made = self.ask("/api/onboarding/users", {"client_id": f"{self.url}/", **person})
        wanted = {"grant_type": "authorization_code", "code": made["auth_code"]}
        form = urllib.parse.urlencode({**wanted, "client_id": f"{self.url}/"}).encode()
        with urllib.request.urlopen(f"{self.url}/auth/token", form, timeout=20) as answer:
            self._token = json.loads(answer.read())["access_token"]

    def ask(self, path: str, body: object = None) -> Any:
        headers = {"Content-Type": "application/json"}
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        content = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.url}{path}", content, headers)
        with urllib.request.urlopen(request, timeout=20) as answer:
            return json.loads(answer.read())

    def entities(self) -> dict[str, dict[str, Any]]:
        """Give the states of all entities of MQTT by their names."""
        template = "{{ integration_entities('mqtt') | list | tojson }}"
        ids = set(self.ask("/api/template", {"template": template}))
        states = [s for s in self.ask("/api/states") if s["entity_id"] in ids]
        return {s["attributes"]["friendly_name"]: s for s in states}

    def state(self, name: str) -> str:
        found = self.entities().get(name)
        return "" if found is None else str(found["state"])

    def wait(self, found: Callable[[], Any]) -> Any:
        end = time.monotonic() + PATIENCE_S
        while time.monotonic() < end:
            assert self._process.poll() is None, self._log.read_text()[-2000:]
            try:
                if value := found():
                    return value
            except urllib.error.URLError:
                pass
            time.sleep(0.5)
        raise AssertionError(self._log.read_text()[-2000:])

    def close(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(60)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


@pytest.fixture
def home(tmp_path: Path, broker: Broker) -> Iterator[HomeAssistant]:
    found = HomeAssistant(tmp_path / "hass", broker.port)
    yield found
    found.close()


def test_a_machine_appears_and_its_button_is_obeyed(
    home: HomeAssistant,
    broker: Broker,
    tmp_path: Path,
    hum_bundle: Path,
    start: Callable[..., Running],
) -> None:
    home.log_in()
    sound = raw(tmp_path, (200.0, 5.0), (320.0, 600.0))
    rest = f'[mqtt]\nhost = "127.0.0.1"\nport = {broker.port}\nallow_commands = true\n'
    daemon = start(toml(hum_bundle, player(sound), rest, 'name = "Fan, roof"'))
    home.wait(lambda: home.state("Fan, roof Alarm") == "on")
    entities = home.entities()
    assert {name.removeprefix("Fan, roof ") for name in entities} == {
        *("Alarm", "Microphone", "Ratio to threshold", "Score", "Level", "Acknowledge alarm")
    }
    alarm = entities["Fan, roof Alarm"]
    assert alarm["attributes"]["device_class"] == "problem"
    assert alarm["attributes"]["reason"] == daemon.events()[0].episode.sentence
    assert home.state("Fan, roof Microphone") == "off"
    ratios = {round(w.ratio, 2) for w in daemon.windows() if w.ratio is not None}
    assert max(ratios) >= 1
    assert float(entities["Fan, roof Ratio to threshold"]["state"]) >= 1
    assert -60 < float(entities["Fan, roof Level"]["state"]) < 0

    button = entities["Fan, roof Acknowledge alarm"]["entity_id"]
    home.ask("/api/services/button/press", {"entity_id": button})
    home.wait(lambda: daemon.history.episodes()[0].acknowledged_by == "mqtt")

    # The last will of a daemon that dies.
    daemon.process.send_signal(signal.SIGKILL)
    home.wait(lambda: home.state("Fan, roof Alarm") == "unavailable")
    assert home.state("Fan, roof Microphone") == "unavailable"
