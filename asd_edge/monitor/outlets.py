"""What carries the daemon's words outside: started where the configuration wants it."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

from asd_edge.errors import AsdError, OptionalDependencyError
from asd_edge.monitor.config import Config
from asd_edge.monitor.service import Monitor, Outlet

_MODULES = {
    "mqtt": "asd_edge.monitor.mqtt",
    "notify": "asd_edge.monitor.notify",
    "web": "asd_edge.monitor.web.outlet",
}


def wanted(config: Config) -> dict[str, Any]:
    """Give the parts of the configuration that want an outlet."""
    parts = {"mqtt": config.mqtt, "notify": config.notify}
    found: dict[str, Any] = {name: part for name, part in parts.items() if part is not None}
    return {**found, "web": config.web} if config.web.enabled else found


class Outlets:
    """All outlets of a daemon.

    Args:
        monitor: what they may use.
        say: prints a line.
    """

    def __init__(self, monitor: Monitor, say: Callable[[str], None]) -> None:
        self._monitor, self._say = monitor, say
        self._running: dict[str, tuple[Any, Outlet]] = {}

    def apply(self, config: Config) -> None:
        """Start what is wanted and does not run so yet; stop the rest.

        Raises:
            AsdError: one of them refuses its settings.
        """
        parts = wanted(config)
        for name in list(self._running):
            if self._running[name][0] != parts.get(name):
                self._running.pop(name)[1].stop()
        for name, part in parts.items():
            if name in self._running:
                continue
            try:
                outlet = import_module(_MODULES[name]).start(part, self._monitor)
            except OptionalDependencyError as error:
                if name != "web":  # which nobody may have asked for
                    raise
                self._say(f"No page: {error}")
                continue
            self._running[name] = part, outlet
            if name == "web":
                self._say(f"The page is at {outlet.url}")

    def stop(self) -> None:
        """Stop all."""
        for name in list(self._running):
            try:
                self._running.pop(name)[1].stop()
            except AsdError as error:
                self._say(f"{name}: {error}")


def check(config: Config) -> list[str]:
    """Give what is wrong with the outlets, one sentence each."""
    found: list[str] = []
    for name, part in wanted(config).items():
        try:
            found += [f"{name}: {line}" for line in import_module(_MODULES[name]).check(part)]
        except AsdError as error:
            found.append(f"{name}: {error}")
    return found
