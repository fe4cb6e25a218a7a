"""Starting the page, and what is wrong with its configuration."""

from __future__ import annotations

from typing import TYPE_CHECKING

from asd_edge.errors import AsdError, OptionalDependencyError
from asd_edge.monitor.outlet_config import WebConfig
from asd_edge.monitor.service import Monitor

if TYPE_CHECKING:
    from asd_edge.monitor.web.server import WebServer

_PACKAGES = ("starlette", "uvicorn", "prometheus_client")


def start(config: WebConfig, monitor: Monitor) -> WebServer:
    """Start to serve the page.

    Raises:
        OptionalDependencyError: a package of the extra `monitor` is not installed.
        ParameterError: other machines would get in without a password.
        MissingFileError: the password file is not there.
        AddressError: the address or port cannot be had.
    """
    _require()
    from asd_edge.monitor.web.server import WebServer

    return WebServer(config, monitor)


def check(config: WebConfig) -> list[str]:
    """Say what is wrong with a configuration; nothing is served.

    Raises:
        OptionalDependencyError: a package of the extra `monitor` is not installed.
    """
    _require()
    from asd_edge.monitor.web import passwords, server

    try:
        server.check(config)
        if config.password_file is not None:
            passwords.read_password_file(config.password_file)
    except AsdError as error:
        return [str(error)]
    return []


def _require() -> None:
    for package in _PACKAGES:
        try:
            __import__(package)
        except ImportError:
            raise OptionalDependencyError(package.replace("_", "-"), "monitor") from None
