"""Prometheus metrics, made of the newest snapshot whenever they are asked for.

https://prometheus.io/docs/practices/naming/
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import version
from typing import TYPE_CHECKING

from asd_edge.errors import OptionalDependencyError
from asd_edge.monitor.service import Monitor
from asd_edge.monitor.state import VALIDITIES, MachineState, Snapshot, Status

if TYPE_CHECKING:
    from prometheus_client.core import Metric

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_STATUSES: tuple[Status, ...] = ("starting", "normal", "alarm", "unknown", "off")
# Name, help, and value of a machine; None where it is not known.
_COUNTS = {
    "gaps": "Breaks in the sound from the microphone.",
    "stalls": "Times that the microphone gave nothing for a while.",
    "skipped": "Windows that were skipped because scoring took too long.",
    "restarts": "Times that the capture was started again.",
    "rate_off": "Times that the microphone's rate was off.",
}


def check() -> None:
    """Raise OptionalDependencyError where prometheus-client is missing."""
    try:
        import prometheus_client  # noqa: F401 - is it installed?
    except ImportError:
        raise OptionalDependencyError("prometheus-client", "monitor") from None


def render(monitor: Monitor) -> bytes:
    """Give all metrics in Prometheus' text format."""
    from prometheus_client import CollectorRegistry, generate_latest
    from prometheus_client.process_collector import ProcessCollector

    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    registry.register(_Collector(monitor))
    return generate_latest(registry)


class _Collector:
    def __init__(self, monitor: Monitor) -> None:
        self._monitor = monitor

    def collect(self) -> Iterator[Metric]:
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

        snapshot = self._monitor.snapshot
        yield from _device(snapshot)
        yield from _machines(snapshot.machines)
        windows = CounterMetricFamily(
            "asd_edge_windows", "Windows by what they were good for.", labels=["machine", "window"]
        )
        for machine in snapshot.machines:
            for validity in VALIDITIES:
                windows.add_metric([machine.id, validity], machine.counts.get(validity, 0))
        yield windows
        for key, text in _COUNTS.items():
            counter = CounterMetricFamily(f"asd_edge_capture_{key}", text, labels=["machine"])
            for machine in snapshot.machines:
                counter.add_metric([machine.id], machine.counts.get(key, 0))
            yield counter
        dropped = CounterMetricFamily(
            "asd_edge_events_dropped", "Events that a subscriber was too slow for.", labels=["to"]
        )
        for name, count in self._monitor.bus.dropped().items():
            dropped.add_metric([name], count)
        yield dropped
        build = GaugeMetricFamily("asd_edge_build_info", "Version of asd-edge.", labels=["version"])
        build.add_metric([version("asd-edge")], 1)
        yield build


def _machines(machines: tuple[MachineState, ...]) -> Iterator[Metric]:
    from prometheus_client.core import GaugeMetricFamily

    status = GaugeMetricFamily(
        "asd_edge_status", "1 for the status that a machine has.", labels=["machine", "status"]
    )
    for machine in machines:
        for one in _STATUSES:
            status.add_metric([machine.id, one], machine.status == one)
    yield status
    values: dict[str, tuple[str, list[float | None]]] = {
        "score": (
            "Score of the newest valid window.",
            [m.last_valid.score if m.last_valid else None for m in machines],
        ),
        "threshold": (
            "Threshold of the newest valid window.",
            [m.last_valid.threshold if m.last_valid else None for m in machines],
        ),
        "ratio": (
            "Score over threshold of the newest valid window; 1 or more is anomalous.",
            [m.last_valid.ratio if m.last_valid else None for m in machines],
        ),
        "level_dbfs": (
            "Level of the newest window in dB of full scale.",
            [m.last.level_dbfs if m.last else None for m in machines],
        ),
        "last_heard_timestamp_seconds": (
            "End of the newest valid window.",
            [m.last_heard for m in machines],
        ),
        "microphone_up": ("1 while sound comes.", [m.microphone == "ok" for m in machines]),
        "open_episodes": (
            "Alarms and faults that are open.",
            [len(m.episodes) for m in machines],
        ),
        "run_in": ("1 for a machine in run-in.", [m.mode == "run-in" for m in machines]),
    }
    for name, (text, found) in values.items():
        gauge = GaugeMetricFamily(f"asd_edge_{name}", text, labels=["machine"])
        for machine, value in zip(machines, found, strict=True):
            if value is not None:
                gauge.add_metric([machine.id], value)
        yield gauge


def _device(snapshot: Snapshot) -> Iterator[Metric]:
    from prometheus_client.core import GaugeMetricFamily

    health = snapshot.health
    values: dict[str, tuple[str, float | None]] = {
        "temperature_celsius": ("Temperature of the processor.", health.temperature_c),
        "throttled": ("1 while the firmware slows the processor.", health.throttled),
        "disk_free_bytes": ("Free space where the history lies.", health.disk_free_bytes),
        "load_ratio": ("Load average of a minute over the number of cores.", health.load),
        "uptime_seconds": ("Time since the program began.", health.uptime_s),
        "clock_synchronised": ("1 while the clock is synchronised.", health.clock_synchronised),
        "queued_windows": ("Windows that wait to be scored.", health.queue),
        "device_open_episodes": ("Open faults of the device.", len(snapshot.episodes)),
    }
    for name, (text, value) in values.items():
        if value is not None:
            yield GaugeMetricFamily(f"asd_edge_{name}", text, value=value)
