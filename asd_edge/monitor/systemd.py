"""The service: its unit, and what it tells systemd."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import sys
from collections.abc import Iterable
from pathlib import Path

# Homes are closed to others (0700 on Debian 12), and read-only for the service.
_HOMES = (Path("/home"), Path("/root"))

UNIT = """\
[Unit]
Description=asd-edge: listens to machines and raises alarms
Documentation=man:systemd.service(5)
After=network-online.target sound.target time-sync.target
Wants=network-online.target
StartLimitIntervalSec=0

[Service]
Type=notify
ExecStart={command}
ExecReload=/bin/kill -HUP $MAINPID
Restart=always
RestartSec=5
WatchdogSec=60
DynamicUser=yes
SupplementaryGroups=audio
StateDirectory=asd-edge
WorkingDirectory=%S/asd-edge
MemoryMax=400M
Nice=-5
ProtectHome=read-only
ProtectSystem=strict
PrivateTmp=yes
NoNewPrivileges=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6
Environment=OPENBLAS_NUM_THREADS=1

[Install]
WantedBy=multi-user.target
"""


def unit(config: Path) -> str:
    """Give the systemd unit of a configuration file."""
    program = shutil.which("asd-edge") or f"{sys.executable} -m asd_edge"
    return UNIT.format(command=f"{program} monitor {_quoted(str(config.absolute()))}")


def unreachable(paths: Iterable[Path]) -> list[Path]:
    """Give those of some paths that the service's user cannot use: they lie in a home."""
    found = [path.absolute() for path in paths]
    return [path for path in found if any(path.is_relative_to(home) for home in _HOMES)]


def program() -> Path:
    """Give the program that the unit starts."""
    return Path(shutil.which("asd-edge") or sys.executable)


def _quoted(text: str) -> str:
    """Quote an argument for ExecStart: % is a specifier and $ a variable there."""
    text = text.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return f'"{text.replace("$", "$$")}"'


def notify(*lines: str) -> bool:
    """Tell systemd, such as `READY=1`; False where nobody listens."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return False
    if address.startswith("@"):
        address = "\0" + address[1:]
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.sendto("\n".join(lines).encode(), address)
        return True
    return False
