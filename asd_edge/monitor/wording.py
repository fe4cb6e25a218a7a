"""Sentences and plain values of machines and events, alike on the page, in MQTT and in messages.

Times are UTC inside; sentences have the device's local time.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any, Literal

from asd_edge.monitor.events import AlarmEvent
from asd_edge.monitor.state import Episode, MachineState, Snapshot

Tone = Literal["good", "idle", "fault", "alarm"]

_KINDS = {
    "sound": "ALARM",
    "microphone": "MICROPHONE FAULT",
    "disk": "DISK FAULT",
    "overload": "OVERLOAD",
    "bundle": "BUNDLE FAULT",
    "clock": "CLOCK FAULT",
}
_MICROPHONES = {"missing": "MISSING", "stalled": "GIVES NO SOUND", "dead": "DEAD"}


def tone(machine: MachineState) -> Tone:
    """How the sentence of a machine is to be taken: what a colour or an icon may show."""
    if machine.microphone in _MICROPHONES:
        return "fault"
    if machine.status == "alarm":
        return "alarm"
    if machine.status == "unknown" or machine.episodes:
        return "fault"
    return "good" if machine.status == "normal" and not _odd(machine) else "idle"


def _odd(machine: MachineState) -> bool:
    """Whether the last window reached the threshold: no alarm yet, but not called normal either."""
    last = machine.last_valid
    return last is not None and last.ratio is not None and last.ratio >= 1


def headline(machine: MachineState, at: float) -> str:
    """Say in one sentence how a machine is.

    Args:
        machine: its state.
        at: UTC of the moment.

    Example:
        >>> headline(MachineState("fan", "Fan", "fan.asd", "normal", 0.0, "watch", 10.0,
        ...     last_heard=96.0, microphone="ok"), 100.0)
        'Normal. Last heard 4 s ago'
    """
    heard = _heard(machine, at)
    if machine.microphone in _MICROPHONES:
        since = local_time(machine.microphone_since, at)
        text = _with_reason(
            f"MICROPHONE {_MICROPHONES[machine.microphone]} since {since}",
            machine.microphone_sentence,
        )
        sound = next((e for e in machine.episodes if e.kind == "sound"), None)
        if sound is not None:
            text += f"; an alarm of {local_time(sound.raised_at, at)} is still open"
        return text
    since = local_time(machine.since, at)
    if machine.status == "alarm":
        return _with_reason(f"ALARM since {since}", machine.sentence)
    if machine.status == "unknown":
        return _with_reason(f"Unknown since {since}", machine.sentence or heard)
    if machine.status == "off":
        return f"Off since {since}"
    faults = [e for e in machine.episodes if e.kind != "sound"]
    if faults:
        return _with_reason(
            f"{_KINDS[faults[0].kind]} since {local_time(faults[0].raised_at, at)}",
            faults[0].sentence,
        )
    if machine.status == "starting":
        return f"Starting. {heard}"
    if _odd(machine):
        return f"No alarm, but the last window reached the threshold. {heard}"
    return f"Normal. {heard}"


def episode_title(episode: Episode) -> str:
    """What an alarm is about, in capitals: `ALARM`, `MICROPHONE FAULT`, ..."""
    return _KINDS[episode.kind]


def event_sentence(event: AlarmEvent, names: dict[str, str]) -> str:
    """Say in one sentence what happened.

    Args:
        event: what happened.
        names: id of a machine -> what people call it.
    """
    episode = event.episode
    who = names.get(episode.machine, episode.machine) or "Device"
    title, since = episode_title(episode), local_time(episode.raised_at, event.at)
    by = f" by {event.by}" if event.by else ""
    texts = {
        "raise": _with_reason(title, episode.sentence),
        "remind": _with_reason(f"{title} still open, since {since}", episode.sentence),
        "chatter": _with_reason(
            f"{title} comes and goes; no more messages until it has been quiet", episode.sentence
        ),
        "clear": f"{title} of {since} is over, after {duration(event.at - episode.raised_at)}",
        "acknowledge": f"{title} of {since} acknowledged{by}",
        "shelve": f"alarms shelved until {local_time(episode.shelved_until or event.at, event.at)}",
        "unshelve": "alarms no longer shelved",
        "verdict": f"{title} of {since} was {_verdict(event)}{by}",
    }
    return f"{who}: {texts[event.action]}"


def _verdict(event: AlarmEvent) -> str:
    return "normal" if event.verdict == "normal" else "a fault"


def machine_values(machine: MachineState, at: float) -> dict[str, Any]:
    """Give what MQTT and Home Assistant are told of a machine; times in ISO 8601, UTC."""
    window = machine.last_valid
    faulty = machine.microphone in _MICROPHONES
    return {
        "name": machine.name,
        "status": machine.status,
        "alarm": any(e.kind == "sound" and e.notify for e in machine.episodes),
        "since": iso(machine.since),
        "reason": machine.sentence,
        "headline": headline(machine, at),
        "mode": machine.mode,
        "score": window.score if window else None,
        "threshold": window.threshold if window else None,
        "ratio": window.ratio if window else None,
        "level_dbfs": machine.last.level_dbfs if machine.last else None,
        "window": machine.last.validity if machine.last else None,
        "last_heard": iso(machine.last_heard),
        "microphone": machine.microphone,
        "microphone_problem": faulty,
        "microphone_since": iso(machine.microphone_since),
        "shelved_until": iso(machine.shelved_until),
        "open_episodes": [e.id for e in machine.episodes],
    }


def event_values(event: AlarmEvent, snapshot: Snapshot) -> dict[str, Any]:
    """Give an event as plain values, for MQTT and webhooks; times in ISO 8601, UTC."""
    episode = event.episode
    return {
        "id": event.id,
        "at": iso(event.at),
        "node": snapshot.node,
        "machine": episode.machine,
        "action": event.action,
        "kind": episode.kind,
        "episode": episode.id,
        "raised_at": iso(episode.raised_at),
        "cleared_at": iso(episode.cleared_at),
        "reason": episode.sentence,
        "worst_ratio": episode.worst_ratio,
        "acknowledged_at": iso(episode.acknowledged_at),
        "shelved_until": iso(episode.shelved_until),
        "verdict": event.verdict or episode.verdict,
        "by": event.by,
        "clips": list(episode.clips),
        "notify": event.notify,
        "text": event_sentence(event, {m.id: m.name for m in snapshot.machines}),
    }


def iso(at: float | None) -> str | None:
    """Give a time as ISO 8601 in UTC, to the millisecond."""
    if at is None:
        return None
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")


def local_time(at: float, now: float) -> str:
    """Give a time on the device's clock: `14:02`, or `26 Nov 14:02` on another day."""
    then, today = time.localtime(at), time.localtime(now)
    same = then[:3] == today[:3]
    return time.strftime("%H:%M" if same else "%-d %b %H:%M", then)


def duration(seconds: float) -> str:
    """Give a duration in the unit that fits: `4 s`, `12 min`, `3 h`, `2 days`."""
    seconds = max(0.0, seconds)
    for unit, size, below in (("s", 1, 120), ("min", 60, 7200), ("h", 3600, 172_800)):
        if seconds < below:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds / 86400:.0f} days"


def _heard(machine: MachineState, at: float) -> str:
    if machine.last_heard is None:
        return "Nothing heard yet"
    return f"Last heard {duration(at - machine.last_heard)} ago"


def _with_reason(text: str, reason: str) -> str:
    return f"{text}: {reason}" if reason else text
