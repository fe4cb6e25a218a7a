"""A daemon that says what a test wants: the real bus, values made up, a history in memory."""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from asd_edge.errors import NoSuchTargetError
from asd_edge.monitor.commands import Command
from asd_edge.monitor.config import Config, MachineConfig
from asd_edge.monitor.events import AlarmEvent, Bus, StateEvent, WindowEvent
from asd_edge.monitor.state import Episode, Health, MachineState, Snapshot, Window

BANDS = 64


class FakeHistory:
    """What the history would give."""

    def __init__(self) -> None:
        self.all_events: list[AlarmEvent] = []
        self.all_windows: list[Window] = []
        self.all_episodes: list[Episode] = []
        self.all_clips: dict[int, Any] = {}
        self.cursors: dict[str, int] = {}

    def events(self, after: int = 0, limit: int = 500) -> list[AlarmEvent]:
        return [e for e in self.all_events if e.id > after][-limit:]

    def cursor(self, name: str) -> int | None:
        return self.cursors.get(name)

    def episodes(self, *, limit: int) -> list[Episode]:
        return sorted(self.all_episodes, key=lambda e: -e.raised_at)[:limit]

    def episode(self, number: int) -> Episode | None:
        return next((e for e in self.all_episodes if e.id == number), None)

    def clip(self, number: int) -> Any:
        return self.all_clips.get(number)

    def clips(self, episode: int) -> list[Any]:
        return [c for c in self.all_clips.values() if c.episode == episode]


class FakeMonitor:
    """See asd_edge.monitor.service.Monitor."""

    def __init__(self, *machines: MachineState, node: str = "shed", **settings: Any) -> None:
        self.bus = Bus()
        self.history: Any = FakeHistory()
        self.submitted: list[Command] = []
        self.spectrogram = np.zeros((0, BANDS), np.uint8)
        self.config = Config(
            machines={m.id: MachineConfig(Path(m.bundle), device="null") for m in machines},
            node=node,
            **settings,
        )
        self.snapshot = Snapshot(at=1000.0, node=node, machines=machines, health=Health())

    def submit(self, command: Command) -> Future[str]:
        future: Future[str] = Future()
        self.submitted.append(command)
        known = {e.id for m in self.snapshot.machines for e in m.episodes}
        known |= {e.id for e in self.history.all_episodes}
        if getattr(command, "episode", None) in {None, *known}:
            future.set_result(f"{type(command).__name__} done.")
        else:
            future.set_exception(NoSuchTargetError(f"there is no alarm {command.episode}"))
        return future

    def delivered(self, name: str, event: int) -> None:
        self.history.cursors[name] = event

    def windows(self, machine: str, since: float, max_points: int) -> list[Window]:
        found = [w for w in self.history.all_windows if w.machine == machine and w.start >= since]
        step = max(1, len(found) // max_points)
        return [
            max(found[i : i + step], key=lambda w: w.ratio or -1)
            for i in range(0, len(found), step)
        ]

    def columns(self, machine: str, since: int) -> tuple[int, int, bytes]:
        return len(self.spectrogram), BANDS, self.spectrogram[since:].tobytes()

    # What a test makes happen.

    def change(self, machine: str, **values: Any) -> MachineState:
        """Change a machine and publish that its state changed."""
        changed = replace(self.snapshot.machine(machine), **values)
        machines = tuple(changed if m.id == machine else m for m in self.snapshot.machines)
        self.snapshot = replace(self.snapshot, machines=machines)
        self.bus.publish(StateEvent(changed))
        return changed

    def judge(self, window: Window) -> None:
        """Publish a window."""
        valid = {"last_valid": window, "last_heard": window.end}
        more = valid if window.validity == "valid" else {}
        changed = replace(self.snapshot.machine(window.machine), last=window, **more)
        machines = tuple(changed if m.id == window.machine else m for m in self.snapshot.machines)
        self.snapshot = replace(self.snapshot, machines=machines)
        self.bus.publish(WindowEvent(window))

    def happen(
        self, action: str, episode: Episode, *, at: float = 1000.0, notify: bool = True
    ) -> AlarmEvent:
        """Note an event in the history, then publish it."""
        number = len(self.history.all_events) + 1
        event = AlarmEvent(number, at, action, episode, notify)
        self.history.all_events.append(event)
        self.bus.publish(event)
        return event


def machine(machine_id: str = "fan", **values: Any) -> MachineState:
    """Give a machine that is normal."""
    given: dict[str, Any] = {
        "id": machine_id,
        "name": machine_id.capitalize(),
        "bundle": f"{machine_id}.asd",
        "status": "normal",
        "since": 900.0,
        "mode": "watch",
        "hop_s": 10.0,
        "last_heard": 996.0,
        "microphone": "ok",
        "microphone_since": 900.0,
    }
    return MachineState(**{**given, **values})


def window(
    machine: str = "fan", end: float = 1000.0, ratio: float | None = 0.5, **values: Any
) -> Window:
    """Give a window with threshold 2."""
    given: dict[str, Any] = {
        "machine": machine,
        "start": end - 10.0,
        "end": end,
        "monotonic": end,
        "first_sample": 0,
        "stream": 1,
        "validity": "valid" if ratio is not None else "gap",
        "score": None if ratio is None else 2.0 * ratio,
        "threshold": None if ratio is None else 2.0,
        "ratio": ratio,
        "level_dbfs": -30.0,
    }
    return Window(**{**given, **values})


def episode(number: int = 1, machine: str = "fan", **values: Any) -> Episode:
    """Give an open alarm about a machine's sound."""
    given: dict[str, Any] = {
        "id": number,
        "machine": machine,
        "kind": "sound",
        "raised_at": 990.0,
        "sentence": "4.7-5.4 kHz, 8 dB above normal",
        "worst_ratio": 1.7,
    }
    return Episode(**{**given, **values})


def clip(path: Path, number: int = 1, of: int = 1, **values: Any) -> SimpleNamespace:
    """Give a recording."""
    given = {"id": number, "episode": of, "machine": "fan", "role": "first", "windows": ()}
    return SimpleNamespace(path=path, **{**given, **values})
