"""What the daemon says of itself in one line."""

from __future__ import annotations

from asd_edge.monitor.state import Snapshot


def status_line(snapshot: Snapshot) -> str:
    """Give the status of all machines in one line."""
    parts = []
    for machine in snapshot.machines:
        ratio = machine.last_valid.ratio if machine.last_valid else None
        level = machine.last.level_dbfs if machine.last else None
        parts.append(
            f"{machine.name}: {machine.status}"
            + (f" {ratio:.2f}" if ratio is not None else "")
            + (f" {level:.0f} dBFS" if level is not None else "")
            + (f" microphone {machine.microphone}" if machine.microphone != "ok" else "")
        )
    return "; ".join(parts)
