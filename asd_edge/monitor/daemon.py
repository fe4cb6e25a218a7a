"""The daemon: one loop that judges windows, and the threads around it that never hold it up.

capture threads   drain the microphones into rings
this loop         judges what is due, raises alarms, answers commands, looks after the rest
history thread    writes, then publishes the events of alarms
outlets           page, MQTT, notifications: they read snapshots and bounded queues
"""

from __future__ import annotations

import queue
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path

from asd_edge.audio.capture import Capture
from asd_edge.errors import AsdError, CommandError
from asd_edge.monitor import commands, config, health
from asd_edge.monitor.bundles import Bundles
from asd_edge.monitor.clock import Clock
from asd_edge.monitor.desk import Desk
from asd_edge.monitor.device import Device
from asd_edge.monitor.episodes import Ids, Now
from asd_edge.monitor.events import AlarmEvent, Bus, StateEvent, WindowEvent
from asd_edge.monitor.history.batch import Batch, Stamp
from asd_edge.monitor.history.keep import Keeper
from asd_edge.monitor.history.read import History
from asd_edge.monitor.listening import Listening, build
from asd_edge.monitor.machine import Changes
from asd_edge.monitor.outlets import Outlets
from asd_edge.monitor.state import Snapshot, Window
from asd_edge.monitor.systemd import notify
from asd_edge.monitor.windows import Cut, Judged
from asd_edge.monitor.words import status_line

TICK = 1.0
_BEAT = 30.0  # a thread that did not go round for so long hangs
_BUNDLE_EVERY = 5.0
_RUN_IN_EVERY = 3600.0


class Daemon:
    """The running daemon; see `service.Monitor` for what others may use of it.

    Args:
        settings: the configuration.
        path: its file, read again at SIGHUP.
        say: prints a line.

    Raises:
        AsdError: a bundle, the history or an outlet refuses its settings.
    """

    def __init__(
        self, settings: config.Config, path: Path | None, say: Callable[[str], None]
    ) -> None:
        self.config, self._path, self._say = settings, path, say
        self.bus = Bus()
        self._keeper = Keeper(settings.history, self.bus, say)
        self.history: History = self._keeper.history
        self._ids = Ids(*self._keeper.last_ids())
        self._device = Device(self._keeper.state("device"), self._ids, self.history.episode)
        self._clock = Clock(self._device.latest)
        # Set by signal handlers too, which must not touch the lock of an event: the code that they
        # interrupt may hold it.
        self._stopping = self._reload = False
        self._due = threading.Event()
        self._todo: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        now = self._clock.now()
        self._machines = build(
            settings, {}, self._ids, now, self._due.set, self._saved, self.history.episode
        )
        self._bundles_at = self._run_in_at = self._ticked = 0.0
        self.snapshot = self._snapshot(now)
        self._outlets = Outlets(self, say)
        self._bundles = Bundles(self._later, say)
        self._desk = Desk(
            lambda: self._machines,
            self._device.alarms,
            self.history,
            self._clock,
            self._record,
            self._put_device,
            self._later,
        )

    def _saved(self, machine: str) -> tuple[str | None, str | None]:
        return self.history.state(f"machine:{machine}"), self.history.state(f"run-in:{machine}")

    # What outlets may use

    def submit(self, command: commands.Command) -> Future[str]:
        """See `service.Monitor.submit`."""
        future: Future[str] = Future()
        self._later(lambda: self._desk.do(command, future))
        return future

    def windows(self, machine: str, since: float, max_points: int) -> list[Window]:
        """See `Monitor.windows`."""
        return self._keeper.windows(machine, since, max_points)

    def columns(self, machine: str, since: int) -> tuple[int, int, bytes]:
        """See `service.Monitor.columns`."""
        one = self._machines.get(machine)
        return one.machine.live.columns(since) if one is not None else (0, 0, b"")

    def delivered(self, name: str, event: int) -> None:
        """See `service.Monitor.delivered`."""
        self._keeper.put(Batch(cursors={name: event}))

    def _later(self, todo: Callable[[], None]) -> None:
        """Let the loop do something between two windows."""
        self._todo.put(todo)
        self._due.set()

    # The loop

    def run(self) -> None:
        """Listen until SIGTERM or SIGINT; SIGHUP reads the configuration again."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: setattr(self, "_stopping", True))
        signal.signal(signal.SIGHUP, lambda *_: setattr(self, "_reload", True))
        try:
            self._outlets.apply(self.config)
            self._start_captures()
            notify("READY=1")
            while not self._stopping:
                self._turn()
        finally:
            self._end()

    def stop(self) -> None:
        """End the loop soon; may be called by any thread."""
        self._stopping = True
        self._due.set()

    def _turn(self) -> None:
        while not self._todo.empty():
            self._todo.get()()
        if self._reload:
            self._reload = False
            self._read_config()
        judged = False
        for one in list(self._machines.values()):
            # Commands and ticks have their turn between any two windows.
            cut = one.machine.cutter.due()
            if cut is not None:
                self._judge(one, cut)
                judged = True
        if time.monotonic() - self._ticked >= TICK:
            self._ticked = time.monotonic()
            self._tick()
        if not judged:
            self._wait()

    def _wait(self) -> None:
        """Wait for a window to be complete, for somebody's wish, or for the next tick."""
        self._due.clear()
        wanted: dict[Capture, int] = {}
        for one in self._machines.values():
            end = one.machine.cutter.start + one.machine.cutter.length
            wanted[one.capture] = min(end, wanted.get(one.capture, end))
        for capture, sample in wanted.items():
            capture.wanted = sample
        complete = any(capture.ring.total >= sample for capture, sample in wanted.items())
        if not complete and self._todo.empty():
            self._due.wait(max(0.0, self._ticked + TICK - time.monotonic()))

    def _judge(self, one: Listening, cut: Cut) -> None:
        machine, capture = one.machine, one.capture
        end = capture.time_of(cut.start + cut.n)
        now = self._clock.now(end)
        seconds = cut.n / capture.rate
        stream = capture.status.stream

        def window(judged: Judged) -> Window:
            return Window(
                machine=machine.id,
                start=now.utc - seconds,
                end=now.utc,
                first_sample=cut.start,
                stream=stream,
                validity=judged.validity,
                score=judged.score,
                threshold=judged.threshold,
                ratio=judged.ratio,
                level_dbfs=judged.level_dbfs,
                monotonic=end,
            )

        self._record(one, machine.take(cut, window, now))

    def _record(self, one: Listening, changes: Changes) -> None:
        """Keep and publish what happened to a machine: by a window, a tick or a command."""
        machine = one.machine
        batch = Batch(
            episodes=list(changes.episodes.values()),
            events=changes.events,
            stamp=self._clock.stamp,
            states={f"machine:{machine.id}": machine.save()},
            clips=changes.clips,
            urgent=bool(changes.events or changes.clips or changes.window is None),
        )
        if changes.window is not None:
            batch.windows.append((changes.window, self._clock.stamp))
        if batch.events:
            batch.states["device"] = self._device.save(self._clock.now())
        changed = self._has_changed(one)
        # Whoever gets an event finds it in the snapshot.
        self.snapshot = self._snapshot(self._clock.now())
        if changes.events or changed:
            state = machine.state
            self.bus.publish(StateEvent(state))
            self._tell(state.name, changes.events, f"{state.status}; microphone {state.microphone}")
        if changes.window is not None:
            self.bus.publish(WindowEvent(changes.window))
        self._keeper.put(batch)

    def _has_changed(self, one: Listening) -> bool:
        """Whether a machine has another status or microphone than people were told of."""
        before, now = self.snapshot.machine(one.machine.id), one.machine
        return before is None or (before.status, before.microphone) != (now.status, now.microphone)

    def _tell(self, name: str, events: list[AlarmEvent], status: str) -> None:
        for event in events:
            kind = "" if event.episode.kind == "sound" else f" ({event.episode.kind})"
            what = {"normal": "was normal:", "fault": "was a fault:"}.get(
                event.verdict or "", f"{event.action}{kind}"
            )
            self._say(f"{name}: {what} {event.episode.sentence}".rstrip())
        if not events:
            self._say(f"{name}: {status}")

    def _tick(self) -> None:
        step, known = self._clock.look()
        now = self._clock.now()
        if known:
            stamp = Stamp(self._clock.boot, self._clock.offset, True)
            self._keeper.put(Batch(known=stamp, urgent=True))
            self._say("The time is known now; what was noted before is moved to it")
        for one in self._machines.values():
            changes = one.machine.tick(one.capture.status, now)
            if changes.episodes or self._has_changed(one):
                self._record(one, changes)
        events = self._device.look(self._keeper.trouble, step, now)
        if events:
            self._tell(self.config.node, events, "")
            self._put_device(events)
        if now.t - self._bundles_at >= _BUNDLE_EVERY:
            self._bundles_at = now.t
            for one in self._machines.values():
                self._bundles.look(one)
        if now.t - self._run_in_at >= _RUN_IN_EVERY:
            self._run_in_at = now.t
            self._keeper.put(Batch(states=self._run_in_states()))
        self.snapshot = self._snapshot(now)
        beats = [one.capture.beat for one in self._machines.values()]
        if all(time.monotonic() - beat < _BEAT for beat in beats):
            notify("WATCHDOG=1", f"STATUS={status_line(self.snapshot)}")

    def _put_device(self, events: list[AlarmEvent]) -> None:
        self._keeper.put(
            Batch(
                episodes=[event.episode for event in events],
                events=events,
                stamp=self._clock.stamp,
                states={"device": self._device.save(self._clock.now())},
                urgent=True,
            )
        )

    def _run_in_states(self) -> dict[str, str]:
        return {
            f"run-in:{name}": one.machine.run_in.save()
            for name, one in self._machines.items()
            if one.machine.config.mode == "run-in"
        }

    def _snapshot(self, now: Now) -> Snapshot:
        waiting = sum(
            max(0, one.capture.ring.total - one.machine.cutter.start) // one.machine.judge.hop
            for one in self._machines.values()
        )
        return Snapshot(
            at=now.utc,
            node=self.config.node,
            machines=tuple(one.machine.state for one in self._machines.values()),
            episodes=self._device.episodes,
            health=health.measure(self.history.folder, self._clock.synced, waiting),
        )

    # Bundles and configuration

    def _read_config(self) -> None:
        """Read the file again: all of it is used, or nothing."""
        if self._path is None:
            return
        notify("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")
        try:
            found = config.read(self._path)
            if found.history.path != self.config.history.path:
                raise CommandError("another history folder needs a restart")
            old = self._machines
            made = build(
                found,
                old,
                self._ids,
                self._clock.now(),
                self._due.set,
                self._saved,
                self.history.episode,
            )
            self._outlets.apply(found)
        except AsdError as error:
            self._outlets.apply(self.config)
            self._say(f"The configuration stays as it was: {error}")
        else:
            self.config, self._machines = found, made
            kept = {id(one.capture) for one in made.values()}
            for one in old.values():
                if id(one.capture) not in kept:
                    one.capture.stop()
            self._start_captures()
            self._say("The configuration was read again")
        notify("READY=1")

    def _start_captures(self) -> None:
        for capture in {id(o.capture): o.capture for o in self._machines.values()}.values():
            capture.start()

    def _end(self) -> None:
        notify("STOPPING=1")
        for one in self._machines.values():
            one.capture.stop()
        for one in self._machines.values():
            states = {f"machine:{one.machine.id}": one.machine.save()}
            self._keeper.put(Batch(states=states, clips=one.machine.leave()))
        states = {"device": self._device.save(self._clock.now()), **self._run_in_states()}
        self._keeper.put(Batch(states=states, urgent=True))
        self._keeper.close()
        self._outlets.stop()
        self.bus.close()
