"""State of the daemon at one moment, in values that never change and are replaced as a whole.

Times are UTC in seconds since 1970; how they are shown is the page's matter. Levels are in dB
relative to full scale (dBFS, a sine of full scale has -3), ratios are score / threshold.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

Validity = Literal["valid", "gap", "dead", "clipped", "level", "off"]
VALIDITIES: tuple[Validity, ...] = ("valid", "gap", "dead", "clipped", "level", "off")
Microphone = Literal["starting", "ok", "missing", "stalled", "dead"]
Status = Literal["starting", "normal", "alarm", "unknown", "off"]
Mode = Literal["watch", "run-in"]
# What an alarm is about: the machine's sound, or a fault of what should hear it.
AlarmKind = Literal["sound", "microphone", "disk", "overload", "bundle", "clock"]
Verdict = Literal["normal", "fault"]


@dataclass(frozen=True)
class Window:
    """One window of a machine: what was heard and what the detector said of it.

    Attributes:
        machine: id of the machine.
        start, end: UTC of its first sample and of the one after its last.
        first_sample: index of its first sample since the capture began (at the device's rate).
        stream: number of the capture's stream; a new one begins after each gap.
        validity: "valid", or why the window does not count.
        score, threshold, ratio: None unless the window was scored.
        level_dbfs: level after the mean is removed; None for a window of zeros or without samples.
        monotonic: the end by the clock that nobody sets, in seconds since an unknown moment.
    """

    machine: str
    start: float
    end: float
    first_sample: int
    stream: int
    validity: Validity
    score: float | None = None
    threshold: float | None = None
    ratio: float | None = None
    level_dbfs: float | None = None
    monotonic: float = 0.0


@dataclass(frozen=True)
class Episode:
    """One alarm from raise to clear.

    Attributes:
        id: number in the history, never used twice.
        machine: id of the machine; "" for an alarm of the whole device (disk, clock).
        kind: see AlarmKind.
        raised_at, cleared_at: UTC; `cleared_at` is None while it is open.
        sentence: the reason, such as "4.7-5.4 kHz, 8 dB above normal".
        worst_ratio: highest ratio so far; None for faults.
        acknowledged_at, acknowledged_by: None until somebody did.
        shelved_until: UTC until which nobody is notified of this kind of alarm of this machine.
        verdict: what a person said it was.
        clips: ids of the recordings kept of it, first and worst.
        notify: False in run-in, while shelved and for a chattering alarm: recorded, not sent.
    """

    id: int
    machine: str
    kind: AlarmKind
    raised_at: float
    cleared_at: float | None = None
    sentence: str = ""
    worst_ratio: float | None = None
    acknowledged_at: float | None = None
    acknowledged_by: str | None = None
    shelved_until: float | None = None
    verdict: Verdict | None = None
    clips: tuple[int, ...] = ()
    notify: bool = True


@dataclass(frozen=True)
class RunIn:
    """Alarms a day that settings would have raised on what was heard so far.

    Attributes:
        hours: time that was heard and valid.
        rows: (k, n, false-alarm rate, alarms that it would have raised, alarms a day).
    """

    hours: float
    rows: tuple[tuple[int, int, float, int, float], ...]


@dataclass(frozen=True)
class MachineState:
    """One machine at one moment.

    Attributes:
        id: name of its section in the configuration; letters, digits, "-" and "_".
        name: what people call it.
        bundle: path of the bundle.
        status: "alarm" while an episode of kind "sound" is open (with latch: until acknowledged);
            "unknown" without a valid window for three hops, "off" while the machine rests.
        since: UTC since when it has that status.
        mode: "watch", or "run-in", which notifies nobody.
        sentence: reason of the alarm or of not knowing; empty if all is well.
        last_heard: UTC of the end of the last valid window.
        last: the newest window, valid or not.
        last_valid: the newest valid one.
        microphone, microphone_since, microphone_sentence: state of the capture, since when (UTC),
            and what arecord or the operating system said.
        counts: windows by validity, and "gaps", "stalls", "skipped", "restarts", "rate_off".
        rate_measured: samples a second that really came; None until it is known.
        hop_s: seconds from one window to the next.
        episodes: open ones of this machine, oldest first.
        shelved_until: UTC until which its sound alarm is shelved.
        run_in: what other settings would have raised; None until an hour was heard.
    """

    id: str
    name: str
    bundle: str
    status: Status
    since: float
    mode: Mode
    hop_s: float
    sentence: str = ""
    last_heard: float | None = None
    last: Window | None = None
    last_valid: Window | None = None
    microphone: Microphone = "starting"
    microphone_since: float = 0.0
    microphone_sentence: str = ""
    counts: dict[str, int] = field(default_factory=dict)
    rate_measured: float | None = None
    episodes: tuple[Episode, ...] = ()
    shelved_until: float | None = None
    run_in: RunIn | None = None


@dataclass(frozen=True)
class Health:
    """The device itself; None where this system does not tell.

    Attributes:
        temperature_c: of the processor, degrees Celsius.
        throttled: whether the firmware slows the processor now (heat or supply voltage).
        disk_free_bytes: where the history lies.
        load: one-minute load average over the number of cores.
        uptime_s: of this process.
        clock_synchronised: whether the kernel says so (adjtimex).
        memory_bytes: resident memory of this process.
        queue: windows that wait to be scored.
    """

    temperature_c: float | None = None
    throttled: bool | None = None
    disk_free_bytes: int | None = None
    load: float | None = None
    uptime_s: float = 0.0
    clock_synchronised: bool | None = None
    memory_bytes: int | None = None
    queue: int = 0


@dataclass(frozen=True)
class Snapshot:
    """Everything at one moment.

    Attributes:
        at: UTC of the moment.
        node: name of this device.
        machines: in the order of the configuration.
        episodes: open alarms of the device itself (machine "").
    """

    at: float
    node: str
    machines: tuple[MachineState, ...] = ()
    episodes: tuple[Episode, ...] = ()
    health: Health = Health()

    def machine(self, machine_id: str) -> MachineState | None:
        """Give a machine by its id."""
        return next((m for m in self.machines if m.id == machine_id), None)
