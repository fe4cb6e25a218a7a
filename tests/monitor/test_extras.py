"""Without the extras each outlet names the one that is missing, and imports none of them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from helpers import absent

TESTS = Path(__file__).parents[1]


@pytest.mark.parametrize(
    ("package", "module", "config", "message"),
    [
        ("paho", "mqtt", 'MqttConfig("127.0.0.1")', "paho-mqtt is not installed"),
        ("apprise", "notify", 'NotifyConfig(apprise=("json://x",))', "apprise is not installed"),
        ("starlette", "web.outlet", "WebConfig(port=0)", "starlette is not installed"),
        ("uvicorn", "web.outlet", "WebConfig(port=0)", "uvicorn is not installed"),
        ("prometheus_client", "web.outlet", "WebConfig(port=0)", "prometheus-client is not"),
    ],
)
def test_a_missing_package_is_named_with_its_extra(
    package: str, module: str, config: str, message: str
) -> None:
    program = f"""
{absent(package)}
sys.path.insert(0, {str(TESTS)!r})
from fake_monitor import FakeMonitor, machine
from asd_edge.errors import OptionalDependencyError
from asd_edge.monitor.outlet_config import MqttConfig, NotifyConfig, WebConfig
import asd_edge.monitor.{module} as outlet
heavy = {{"paho", "apprise", "starlette", "uvicorn", "prometheus_client", "asyncio"}}
assert not heavy & set(sys.modules), heavy & set(sys.modules)
for act in (lambda: outlet.start({config}, FakeMonitor(machine())), lambda: outlet.check({config})):
    try:
        act()
    except OptionalDependencyError as error:
        print(error)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == 2
    extra = "notify" if package == "apprise" else "monitor"
    for line in lines:
        assert line.startswith(message)
        assert f"pip install 'asd-edge[{extra}]'" in line


def test_a_webhook_needs_no_extra() -> None:
    program = f"""
{absent("paho", "apprise", "starlette", "uvicorn", "prometheus_client")}
from asd_edge.monitor import notify
from asd_edge.monitor.outlet_config import NotifyConfig
print(notify.check(NotifyConfig(webhooks=("http://127.0.0.1:9/",))))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "[]\n"), done.stderr
