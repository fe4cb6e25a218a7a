"""The Grafana dashboard and the documented Prometheus metrics are metrics that the monitor has."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from fake_monitor import FakeMonitor, machine, window

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture(scope="module")
def metrics() -> set[str]:
    pytest.importorskip("prometheus_client", reason="needs the extra monitor")
    from asd_edge.monitor.metrics import render

    heard = window(ratio=0.5)
    text = render(FakeMonitor(machine(last_valid=heard, last=heard))).decode()
    return set(re.findall(r"^# TYPE (asd_edge_\w+)", text, flags=re.MULTILINE))


def test_dashboard(metrics: set[str]) -> None:
    dashboard = json.loads((DOCS / "files" / "grafana-dashboard.json").read_text())
    used = set()
    for panel in dashboard["panels"]:
        for target in panel["targets"]:
            used |= set(re.findall(r"asd_edge_\w+", target["expr"]))
    assert len(used) >= 6
    # What a board does not tell has no metric here: the test's device tells nothing.
    assert used - metrics <= {"asd_edge_temperature_celsius", "asd_edge_disk_free_bytes"}


def test_documented_metrics(metrics: set[str]) -> None:
    page = (DOCS / "howto" / "prometheus-grafana.md").read_text()
    named = set(re.findall(r"`(asd_edge_\w+)", page)) - {"asd_edge_capture_"}
    health = {"temperature_celsius", "throttled", "load_ratio", "disk_free_bytes"}
    assert named - metrics <= {f"asd_edge_{name}" for name in health}
    assert {"asd_edge_ratio", "asd_edge_status", "asd_edge_windows_total"} <= named
