"""One machine: from windows to its status, its alarms and the recordings of them."""

from __future__ import annotations

import collections
import dataclasses
import json
from collections.abc import Callable
from dataclasses import dataclass, field

from asd_edge.audio.capture import Status
from asd_edge.audio.ring import Ring
from asd_edge.monitor import alarms
from asd_edge.monitor.alarms import Ratios
from asd_edge.monitor.config import AlarmConfig, MachineConfig
from asd_edge.monitor.episodes import Alarm, Ids, Now
from asd_edge.monitor.events import AlarmEvent
from asd_edge.monitor.history.clips import Sound
from asd_edge.monitor.live import LiveSpectrogram
from asd_edge.monitor.run_in import RunInTable
from asd_edge.monitor.state import (
    AlarmKind,
    Episode,
    MachineState,
    Microphone,
    Window,
)
from asd_edge.monitor.state import Status as MachineStatus
from asd_edge.monitor.windows import Cut, Cutter, Judge, Judged

PRE_ROLL = 30.0  # seconds of a clip before the first window that counted
MICROPHONE_DELAY = 60.0
OVERLOAD_OFF = 600.0
# Hops without a valid window until nothing is known.
PATIENCE = 3
# The worst window of an open episode is written when no worse one came for so long.
WORST_AFTER = 600.0


@dataclass
class Changes:
    """What a step did.

    Attributes:
        window: that was judged.
        events: of alarms, in their order.
        episodes: that changed, without an event too.
        clips: to be kept.
    """

    window: Window | None = None
    events: list[AlarmEvent] = field(default_factory=list)
    episodes: dict[int, Episode] = field(default_factory=dict)
    clips: list[Sound] = field(default_factory=list)

    def add(self, *events: AlarmEvent) -> None:
        """Append events with their episodes."""
        self.events += events
        self.episodes.update({event.episode.id: event.episode for event in events})


class Machine:
    """A machine that is listened to; used by one thread.

    Args:
        number: its id.
        config: its part of the file.
        rules: its alarm settings.
        judge: its bundle.
        ring, next_break: the capture's.
        ids: gives numbers.
        saved: text that `save` gave, with the table of the run-in; None at the first start.
        episode: gives an episode of the history.
        now: UTC and time of the alarms.
    """

    def __init__(
        self,
        number: str,
        config: MachineConfig,
        rules: AlarmConfig,
        judge: Judge,
        ring: Ring,
        next_break: Callable[[int], int | None],
        ids: Ids,
        now: Now,
        *,
        keep_clips: bool = True,
        saved: tuple[str | None, str | None] = (None, None),
        episode: Callable[[int], Episode | None] = lambda _: None,
    ) -> None:
        self.id, self.config, self.rules, self.judge, self.ring = number, config, rules, judge, ring
        self.cutter = Cutter(ring, next_break, judge.length, judge.hop)
        self._ids, self._keep_clips = ids, keep_clips
        quiet = config.mode == "run-in"
        kinds: tuple[AlarmKind, ...] = ("sound", "microphone", "overload", "bundle")
        self.alarms = {kind: Alarm(number, kind, ids, quiet) for kind in kinds}
        self.ratios = Ratios()
        self.run_in = RunInTable(rules, saved[1])
        self.counts: dict[str, int] = collections.Counter()
        self.status: MachineStatus = "starting"
        self.since = self._began = now.utc
        self._known_at = now.t
        self.last: Window | None = None
        self.last_valid: Window | None = None
        self.microphone: Microphone = "starting"
        self.microphone_since = now.utc
        self.capture: Status | None = None
        self.bundle_trouble = ""
        self._skipped_at: float | None = None
        self._scored: collections.deque[tuple[int, int, float, float]] = collections.deque(
            maxlen=64
        )
        self._first_hit = 0  # first sample of the episode's first window
        self._worst: Sound | None = None
        self._worst_at = 0.0
        self._dead = 0
        self.live = self._live()
        if saved[0] is not None:
            self._restore(saved[0], episode)

    @property
    def hop_s(self) -> float:
        """Seconds from one window to the next."""
        return self.judge.hop / self.config.rate

    def swap(self, judge: Judge) -> None:
        """Judge by another bundle from the next window on."""
        judge.baseline = (
            self.judge.baseline if judge.n_mels == self.judge.n_mels else judge.baseline
        )
        self.judge = judge
        self.cutter.length, self.cutter.hop = judge.length, judge.hop
        self.live = self._live()

    def _live(self) -> LiveSpectrogram:
        judge = self.judge
        mel = judge.detector.front_end.mel
        return LiveSpectrogram(self.ring, self.config.rate, judge.channel, mel)

    def take(self, cut: Cut, window: Callable[[Judged], Window], now: Now) -> Changes:
        """Judge a window that is due and do what follows.

        Args:
            cut: where it is.
            window: makes the window of what was found.
            now: the end of the window.
        """
        samples = self.ring.read(cut.start, cut.n) if cut.whole else None
        judged = self.judge.judge(samples) if samples is not None else Judged("gap", None)
        found = window(judged)
        changes = Changes(found)
        self.last = found
        self.counts[found.validity] += 1
        self._dead = self._dead + 1 if found.validity == "dead" else 0
        if found.validity in ("valid", "off"):
            self._known_at = now.t
        if found.validity == "valid":
            self._take_valid(found, judged, cut, now, changes)
        self._set_status(now)
        return changes

    def _take_valid(
        self, found: Window, judged: Judged, cut: Cut, now: Now, changes: Changes
    ) -> None:
        assert found.score is not None
        assert found.threshold is not None
        assert found.ratio is not None
        self.last_valid = found
        self._scored.append((cut.start, cut.n, found.score, found.threshold))
        usual = alarms.calm_ratio(self.judge.thresholds(judged.section), found.threshold)
        self.ratios = alarms.listen(self.rules, self.ratios, found.ratio, now.t, usual)
        sound = self.alarms["sound"]
        wanted = alarms.wish(self.rules, self.ratios, sound.state, now.t)
        closing = sound.episode
        events = sound.step(wanted, now, judged.sentence)
        raised = any(event.action == "raise" for event in events)
        if raised:
            hits = [start for start, _, score, threshold in self._recent() if score >= threshold]
            self._first_hit = min(hits, default=cut.start)
        if sound.episode is not None and sound.worse(found.ratio, judged.sentence):
            if raised:  # the event tells what is known of the window that raised it
                events = [dataclasses.replace(e, episode=sound.episode) for e in events]
                self._worst = None
            elif self._keep_clips:
                self._worst, self._worst_at = self._sound(cut, sound.episode.id, "worst"), now.t
            changes.episodes[sound.episode.id] = sound.episode
        changes.add(*events)
        if raised and self._keep_clips and sound.episode is not None:
            first = self._sound(cut, sound.episode.id, "first")
            changes.clips += [first] if first is not None else []
        over = closing is not None and sound.episode is None
        if self._worst is not None and (over or now.t - self._worst_at >= WORST_AFTER):
            changes.clips.append(self._worst)
            self._worst = None
        if self.config.mode == "run-in":
            thresholds = self.judge.thresholds(judged.section)
            self.run_in.listen(found.score, thresholds, now.t, self.hop_s)

    def _sound(self, cut: Cut, episode: int, role: str) -> Sound | None:
        """Copy what was heard, from before the first window that counted to the end of this one."""
        end = cut.start + cut.n
        first = self._first_hit if role == "first" else cut.start
        start = max(self.ring.oldest, first - round(PRE_ROLL * self.config.rate))
        samples = self.ring.read(start, end - start)
        if samples is None or self.last is None:
            return None
        # Only this episode's: what was heard before may be another one's, a fault perhaps, and a
        # person who calls this one normal must not teach that.
        windows = tuple(
            (s - start, n, score, threshold)
            for s, n, score, threshold in self._scored
            if max(start, self._first_hit) <= s and s + n <= end
        )
        began = self.last.end - len(samples) / self.config.rate
        rate = self.config.rate
        return Sound(self._ids.clip(), episode, self.id, role, began, rate, samples, windows)

    def _recent(self) -> list[tuple[int, int, float, float]]:
        return list(self._scored)[-self.rules.n :]

    def tick(self, capture: Status | None, now: Now) -> Changes:
        """Look at the capture and at the time; called about once a second."""
        changes = Changes()
        self.capture = capture
        microphone: Microphone = "dead" if self._dead >= PATIENCE else "ok"
        if capture is not None and capture.state != "ok":
            microphone = capture.state
        if microphone != self.microphone:
            self.microphone, self.microphone_since = microphone, now.utc
        bad = microphone != "ok"
        why = self._microphone_sentence() or f"microphone {microphone}"
        changes.add(*self.alarms["microphone"].condition(bad, now, why, MICROPHONE_DELAY, 0.0))
        if self.cutter.skipped > self.counts["skipped"]:
            self.counts["skipped"] = self.cutter.skipped
            self._skipped_at = now.t
        overloaded = self._skipped_at is not None and now.t - self._skipped_at < OVERLOAD_OFF
        why = f"{self.cutter.skipped} windows could not be judged in time"
        changes.add(*self.alarms["overload"].condition(overloaded, now, why, 0.0, 0.0))
        trouble = self.bundle_trouble or self.judge.trouble
        changes.add(*self.alarms["bundle"].condition(bool(trouble), now, trouble, 0.0, 0.0))
        changes.add(*self.alarms["sound"].step(None, now))
        if capture is not None:
            for name in ("gaps", "stalls", "restarts", "rate_off"):
                self.counts[name] = getattr(capture, name)
        self._set_status(now)
        return changes

    def _microphone_sentence(self) -> str:
        if self.microphone == "dead":
            return "the microphone gives no sound: one value, or channels that cancel each other"
        return self.capture.sentence if self.capture is not None else ""

    def _set_status(self, now: Now) -> None:
        silent = now.t - self._known_at > PATIENCE * self.hop_s + 1.0
        if silent and self.status not in ("starting", "unknown"):
            self.ratios = Ratios()  # windows on both sides are not counted together
            self.run_in.forget()
        status: MachineStatus
        if silent:
            status = "unknown"
        elif self.last is None or (self.last_valid is None and self.last.validity != "off"):
            status = "starting"
        elif self.alarms["sound"].state.raised:
            status = "alarm"
        else:
            status = "off" if self.last.validity == "off" else "normal"
        if status != self.status:
            # An alarm that was open while the microphone was away is not a new one.
            episode = self.alarms["sound"].episode if status == "alarm" else None
            self.status, self.since = status, episode.raised_at if episode else now.utc

    @property
    def state(self) -> MachineState:
        """Everything at this moment."""
        sound = self.alarms["sound"]
        shelved = sound.state.shelved_until
        why = sound.episode.sentence if sound.episode is not None else ""
        if self.status == "unknown":
            why = self._microphone_sentence() or "no valid window lately"
        return MachineState(
            id=self.id,
            name=self.config.name or self.id,
            bundle=str(self.config.bundle),
            status=self.status,
            since=self.since,
            mode=self.config.mode,
            hop_s=self.hop_s,
            sentence=why,
            last_heard=self.last_valid.end if self.last_valid else None,
            last=self.last,
            last_valid=self.last_valid,
            microphone=self.microphone,
            microphone_since=self.microphone_since,
            microphone_sentence=self._microphone_sentence() if self.microphone != "ok" else "",
            counts=dict(self.counts),
            rate_measured=self.capture.rate_measured if self.capture else None,
            episodes=tuple(a.episode for a in self.alarms.values() if a.episode is not None),
            shelved_until=shelved,
            run_in=self.run_in.table if self.config.mode == "run-in" else None,
        )

    def leave(self) -> list[Sound]:
        """Give what is to be kept before the program ends."""
        worst, self._worst = self._worst, None
        return [worst] if worst is not None else []

    def save(self) -> str:
        """Give what the next start needs."""
        kept = {kind: alarm.save() for kind, alarm in self.alarms.items()}
        return json.dumps({"alarms": kept, "ratios": alarms.to_dict(self.ratios)})

    def _restore(self, saved: str, episode: Callable[[int], Episode | None]) -> None:
        values = json.loads(saved)
        for kind, kept in values["alarms"].items():
            number = kept["episode"]
            self.alarms[kind].restore(kept, episode(number) if number is not None else None)
        self.ratios = alarms.ratios(values["ratios"])
