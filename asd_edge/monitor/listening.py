"""Machines with their captures, made of a configuration as a whole."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from asd_edge.audio.capture import Capture, arecord
from asd_edge.monitor.config import Config, MachineConfig
from asd_edge.monitor.episodes import Ids, Now
from asd_edge.monitor.machine import Machine
from asd_edge.monitor.state import Episode
from asd_edge.monitor.windows import Judge, digest


@dataclass
class Listening:
    """A machine, the capture that its samples come from, and the file of its bundle.

    Attributes:
        machine, capture: see there; machines of one device share a capture.
        seen: digest of the bundle in use, or of the last one that was refused.
        loading: whether another one is being loaded.
    """

    machine: Machine
    capture: Capture
    seen: tuple[float, int] | None
    loading: bool = False


def source(config: MachineConfig) -> tuple[tuple[str, ...], int, int]:
    """Give command, rate and channels of a machine's capture."""
    if config.command is not None:
        return config.command, config.rate, config.channels
    command = arecord(config.device or "default", config.rate, config.channels)
    return tuple(command), config.rate, config.channels


def build(
    config: Config,
    old: dict[str, Listening],
    ids: Ids,
    now: Now,
    wake: Callable[[], None],
    saved: Callable[[str], tuple[str | None, str | None]],
    episode: Callable[[int], Episode | None],
) -> dict[str, Listening]:
    """Make the machines of a configuration; those that did not change are taken over.

    Nothing is started or stopped here: either all of it can be made, or none is used.

    Raises:
        AsdError: a bundle or a setting that cannot be used.
    """
    captures = {source(one.machine.config): one.capture for one in old.values()}
    made: dict[str, Listening] = {}
    for name, part in config.machines.items():
        rules = config.alarms_of(name)
        before = old.get(name)
        same = before is not None and before.machine.config == part
        if before is not None and same and before.machine.rules == rules:
            made[name] = before
            continue
        seen = digest(part.bundle)
        judge = Judge(part)
        key = source(part)
        if key not in captures:
            seconds = max(90.0, 3 * judge.length / part.rate)
            captures[key] = Capture(key[0], part.rate, part.channels, seconds=seconds, wake=wake)
        capture = captures[key]
        kept = saved(name)
        if before is not None:
            kept = before.machine.save(), before.machine.run_in.save()
        machine = Machine(
            name,
            part,
            rules,
            judge,
            capture.ring,
            capture.next_break,
            ids,
            now,
            keep_clips=config.history.clips,
            saved=kept,
            episode=episode,
        )
        made[name] = Listening(machine, capture, seen)
    return made
