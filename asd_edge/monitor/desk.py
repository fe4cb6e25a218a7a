"""Commands of people: acknowledge, shelve, was normal, was a fault."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future

from asd_edge.errors import AsdError, CommandError, NoSuchTargetError
from asd_edge.monitor import commands, feedback
from asd_edge.monitor.clock import Clock
from asd_edge.monitor.config import MachineConfig
from asd_edge.monitor.episodes import Alarm
from asd_edge.monitor.events import AlarmEvent
from asd_edge.monitor.history.read import History
from asd_edge.monitor.history.schema import Clip
from asd_edge.monitor.listening import Listening
from asd_edge.monitor.machine import Changes
from asd_edge.monitor.state import AlarmKind, Episode, Verdict


class Desk:
    """Obeys commands in the daemon's loop.

    Args:
        machines: gives those that are listened to, by their id.
        device: alarms of the device itself.
        history: for alarms that are over.
        clock: gives the time.
        record: notes what happened to a machine.
        record_device: notes events of the device itself.
        later: lets the loop do something; may be called by any thread.
    """

    def __init__(
        self,
        machines: Callable[[], Mapping[str, Listening]],
        device: Mapping[AlarmKind, Alarm],
        history: History,
        clock: Clock,
        record: Callable[[Listening, Changes], None],
        record_device: Callable[[list[AlarmEvent]], None],
        later: Callable[[Callable[[], None]], None],
    ) -> None:
        self._machines, self._device = machines, device
        self.history, self._clock = history, clock
        self._record, self._put_device, self._later = record, record_device, later

    def do(self, command: commands.Command, future: Future[str]) -> None:
        """Obey a command, and put the answer or the refusal into the future."""
        try:
            answer = self._obey(command, future)
        except AsdError as error:
            future.set_exception(error)
        else:
            if answer is not None:
                future.set_result(answer)

    def _obey(self, command: commands.Command, future: Future[str]) -> str | None:
        now = self._clock.now()
        if isinstance(command, commands.Shelve):
            one = self._machines().get(command.machine)
            if one is None:
                raise NoSuchTargetError(f"no machine is called {command.machine}")
            event = one.machine.alarms["sound"].shelve(command.seconds, command.by, now)
            self._record(one, _changes(event))
            hours = command.seconds / 3600
            return f"shelved for {hours:g} hours" if command.seconds else "not shelved any more"
        episode = self._find(command.episode)
        alarm = self._alarm(episode)
        if isinstance(command, commands.Acknowledge):
            if alarm.episode is None or alarm.episode.id != episode.id:
                raise CommandError("this alarm is not raised any more")
            self._put(episode, alarm.acknowledge(command.by, now))
            return "acknowledged"
        if episode.verdict is not None:
            raise CommandError(f"this alarm was called {episode.verdict} already")
        if isinstance(command, commands.WasFault):
            self._put(episode, alarm.judged(episode, "fault", command.by, now))
            return "noted as a fault of the machine"
        if episode.kind != "sound":
            raise CommandError("only an alarm of the machine's sound can have been normal")
        machine = self._machines()[episode.machine].machine.config
        clips = self.history.clips(episode.id)
        arguments = (machine, clips, episode, command.by, future)
        threading.Thread(target=self._teach, args=arguments, daemon=True).start()
        return None

    def _teach(
        self,
        machine: MachineConfig,
        clips: list[Clip],
        episode: Episode,
        by: str,
        future: Future[str],
    ) -> None:
        try:
            answer = feedback.add_as_normal(machine, clips)
        except AsdError as error:
            future.set_exception(error)
            return
        except OSError as error:
            reason = error.strerror or f"{error}"
            future.set_exception(CommandError(f"{machine.bundle} cannot be written: {reason}"))
            return
        self._later(lambda: self._note(episode, "normal", by))
        future.set_result(answer)

    def _note(self, episode: Episode, verdict: Verdict, by: str) -> None:
        self._put(episode, self._alarm(episode).judged(episode, verdict, by, self._clock.now()))

    def _find(self, number: int) -> Episode:
        for alarm in self._all_alarms():
            if alarm.episode is not None and alarm.episode.id == number:
                return alarm.episode
        found = self.history.episode(number)
        if found is None:
            raise NoSuchTargetError(f"there is no alarm {number}")
        return found

    def _all_alarms(self) -> list[Alarm]:
        machines = [a for one in self._machines().values() for a in one.machine.alarms.values()]
        return [*machines, *self._device.values()]

    def _alarm(self, episode: Episode) -> Alarm:
        for alarm in self._all_alarms():
            if (alarm.machine, alarm.kind) == (episode.machine, episode.kind):
                return alarm
        raise CommandError(f"{episode.machine} is not listened to any more")

    def _put(self, episode: Episode, event: AlarmEvent) -> None:
        one = self._machines().get(episode.machine)
        if one is None:
            self._put_device([event])
        else:
            self._record(one, _changes(event))


def _changes(event: AlarmEvent | None) -> Changes:
    changes = Changes()
    if event is not None:
        changes.add(event)
    return changes
