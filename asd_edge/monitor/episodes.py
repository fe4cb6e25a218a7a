"""An alarm with its episodes: what the rules say becomes events with numbers."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from asd_edge.monitor import alarms
from asd_edge.monitor.alarms import AlarmState, Told, Wish
from asd_edge.monitor.events import AlarmEvent
from asd_edge.monitor.state import AlarmKind, Episode, Verdict


class Ids:
    """Numbers of episodes, events and clips, each used once.

    Args:
        episode, event, clip: the last ones that were used.
    """

    def __init__(self, episode: int, event: int, clip: int) -> None:
        self._episode, self._event, self._clip = episode, event, clip

    def episode(self) -> int:
        """Give the next number of an episode."""
        self._episode += 1
        return self._episode

    def event(self) -> int:
        """Give the next number of an event."""
        self._event += 1
        return self._event

    def clip(self) -> int:
        """Give the next number of a clip."""
        self._clip += 1
        return self._clip


@dataclass(frozen=True)
class Now:
    """The time of a step.

    Attributes:
        t: of the alarms: never goes back, goes on after a restart.
        utc: what is shown and stored.
    """

    t: float
    utc: float


class Alarm:
    """One kind of alarm of one machine.

    Args:
        machine: id, or "" for the device itself.
        kind: what it is about.
        ids: gives numbers.
        quiet: whether nobody is to be told (run-in).
    """

    def __init__(self, machine: str, kind: AlarmKind, ids: Ids, quiet: bool = False) -> None:
        self.machine, self.kind, self.quiet = machine, kind, quiet
        self._ids = ids
        self.state = AlarmState()
        self.fault = alarms.Fault()
        self.episode: Episode | None = None

    def step(self, wanted: Wish, now: Now, sentence: str = "") -> list[AlarmEvent]:
        """Let time go on and do what is wanted; `sentence` is the reason of a new episode."""
        self.state, told = alarms.step(self.state, wanted, now.t)
        return [event for one in told if (event := self._event(one, now, sentence)) is not None]

    def condition(
        self, bad: bool, now: Now, sentence: str, on_delay: float, off_delay: float
    ) -> list[AlarmEvent]:
        """Step a fault: `bad` is whether its condition is there."""
        self.fault, wanted = alarms.fault_step(
            self.fault, bad, self.state, now.t, on_delay, off_delay
        )
        return self.step(wanted, now, sentence)

    def _event(self, told: Told, now: Now, sentence: str) -> AlarmEvent | None:
        notify = told.notify and not self.quiet
        if told.action == "raise":
            self.episode = Episode(
                id=self._ids.episode(),
                machine=self.machine,
                kind=self.kind,
                raised_at=now.utc,
                sentence=sentence,
                notify=notify,
            )
        elif self.episode is None:  # the shelving of an alarm that is not raised has ended
            return None
        elif told.action == "clear":
            self.episode = dataclasses.replace(self.episode, cleared_at=now.utc)
        elif told.action == "unshelve":
            self.episode = dataclasses.replace(self.episode, shelved_until=None)
        event = AlarmEvent(self._ids.event(), now.utc, told.action, self.episode, notify)
        if told.action == "clear":
            self.episode = None
        return event

    def worse(self, ratio: float, sentence: str) -> bool:
        """Note the ratio of a window of the open episode; True if it is the worst so far."""
        episode = self.episode
        if episode is None or (episode.worst_ratio is not None and ratio <= episode.worst_ratio):
            return False
        self.episode = dataclasses.replace(
            episode, worst_ratio=ratio, sentence=sentence or episode.sentence
        )
        return True

    def acknowledge(self, by: str, now: Now) -> AlarmEvent:
        """Acknowledge the open episode; see `alarms.acknowledge`."""
        self.state = alarms.acknowledge(self.state)
        assert self.episode is not None
        self.episode = dataclasses.replace(
            self.episode, acknowledged_at=now.utc, acknowledged_by=by
        )
        return AlarmEvent(
            self._ids.event(), now.utc, "acknowledge", self.episode, not self.quiet, by
        )

    def shelve(self, seconds: float, by: str, now: Now) -> AlarmEvent | None:
        """Shelve the alarm, or end that; see `alarms.shelve`. An event if it is raised."""
        self.state = alarms.shelve(self.state, seconds, now.t)
        if self.episode is None:
            return None
        until = now.utc + seconds if seconds else None
        self.episode = dataclasses.replace(self.episode, shelved_until=until)
        action = "shelve" if seconds else "unshelve"
        return AlarmEvent(
            self._ids.event(),
            now.utc,
            "shelve" if action == "shelve" else "unshelve",
            self.episode,
            not self.quiet,
            by,
        )

    def judged(self, episode: Episode, verdict: Verdict, by: str, now: Now) -> AlarmEvent:
        """Note what a person says of an episode, open or not."""
        episode = dataclasses.replace(episode, verdict=verdict)
        if self.episode is not None and self.episode.id == episode.id:
            self.episode = dataclasses.replace(self.episode, verdict=verdict)
            episode = self.episode
        return AlarmEvent(self._ids.event(), now.utc, "verdict", episode, False, by, verdict)

    def save(self) -> dict[str, Any]:
        """Give what the next start needs, as plain values."""
        episode = self.episode.id if self.episode is not None else None
        return {"state": alarms.to_dict(self.state), "episode": episode}

    def restore(self, saved: dict[str, Any], episode: Episode | None) -> None:
        """Go on where `save` was; `episode` is the one that was open."""
        self.state = alarms.alarm_state(saved["state"])
        self.episode = episode
        if episode is None and self.state.raised:  # its row is lost with a malformed history
            self.state = dataclasses.replace(self.state, raised_at=None, chattering=False)

    @property
    def latest(self) -> float:
        """Latest time in the state; later steps are not before it."""
        state = self.state
        return max((state.raised_at or 0.0, state.told_at, *state.raises))
