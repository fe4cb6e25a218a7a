"""When an alarm is raised, told, and cleared: pure functions from state to state.

Nothing here reads a clock, a file or a sound: the time comes with each step, in seconds that
never go back (monotonic while the daemon runs, carried on after a restart), and a state is plain
values that survive a restart as JSON. The terms are those of ISA-18.2 (raise, clear, acknowledge,
shelve, latch, chattering).

Sound. With r = score / threshold of valid windows, an alarm is raised when k of the last n have
r >= 1 or two running r >= `urgent`, and cleared after m running with r < `clear_ratio`. Windows
on both sides of a time without valid ones are not counted together. How far below 1 normal
windows lie differs: those of a steady machine, all at 0.85 to 0.97, would not stay below a fixed
0.9 for five windows running. So `clear_ratio` is, unless it is set, where 19 of 20 of them lie.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from asd_edge.errors import CommandError, ParameterError
from asd_edge.monitor.config import AlarmConfig
from asd_edge.monitor.events import Action

HOUR = 3600.0
REMIND_AFTER = 24 * HOUR
LONGEST_SHELVING = 24 * HOUR
# So many raises in an hour are chattering; it then stays raised until this long without a sign.
CHATTER_RAISES = 3
CHATTER_OFF_DELAY = 900.0
# Share of normal windows that may lie above the ratio that ends alarms: five running are below it
# with probability 0.77, where windows do not depend on each other.
_ABOVE_CALM = 0.05
_LOWEST_CALM = 0.9

Wish = Literal["raise", "clear"] | None


@dataclass(frozen=True)
class Told:
    """What `step` or a command did, and whether people are to be told of it."""

    action: Action
    notify: bool


@dataclass(frozen=True)
class AlarmState:
    """One alarm of one machine; times are those of the steps.

    Attributes:
        raised_at: None while it is not raised.
        told_at: when people were last reminded, or it was raised.
        acknowledged: of the episode that is open.
        raises: those of the last hour.
        chattering: whether the open episode has the longer off-delay.
        shelved_until: None while it is not shelved.
    """

    raised_at: float | None = None
    told_at: float = 0.0
    acknowledged: bool = False
    raises: tuple[float, ...] = ()
    chattering: bool = False
    shelved_until: float | None = None

    @property
    def raised(self) -> bool:
        """Whether an episode is open."""
        return self.raised_at is not None


@dataclass(frozen=True)
class Ratios:
    """What was heard last.

    Attributes:
        recent: whether r >= 1, of the last valid windows, the newest last.
        urgent: windows running with r >= `urgent`.
        calm: windows running with r < `clear_ratio`, counted up to `clear_after`; like the rest,
            it does not change while all is well, and need not be written then.
        calm_since: time of the first of them.
    """

    recent: tuple[bool, ...] = ()
    urgent: int = 0
    calm: int = 0
    calm_since: float = 0.0


def calm_ratio(thresholds: Callable[[float], float], threshold: float) -> float:
    """Give the ratio that 19 of 20 normal windows stay below: at least 0.9, at most 1.

    Args:
        thresholds: false-alarm rate -> threshold, of the calibration.
        threshold: that windows are held against.
    """
    return min(1.0, max(_LOWEST_CALM, thresholds(_ABOVE_CALM) / max(threshold, 1e-9)))


def listen(
    config: AlarmConfig, ratios: Ratios, r: float, t: float, usual: float = _LOWEST_CALM
) -> Ratios:
    """Count a valid window in.

    Args:
        config: the settings.
        ratios: before.
        r: the window's ratio.
        t: time of the alarms.
        usual: stands for `clear_ratio` where none is set; see `calm_ratio`.
    """
    below = usual if config.clear_ratio is None else config.clear_ratio
    calm = min(ratios.calm + 1, config.clear_after) if r < below else 0
    return Ratios(
        recent=(*ratios.recent, r >= 1)[-config.n :],
        urgent=min(ratios.urgent + 1, 2) if r >= config.urgent else 0,
        calm=calm,
        calm_since=ratios.calm_since if ratios.calm else t,
    )


def wish(config: AlarmConfig, ratios: Ratios, state: AlarmState, t: float) -> Wish:
    """Give what the windows ask for, whether or not it is so already."""
    if not state.raised:
        many = sum(ratios.recent[-config.n :]) >= config.k
        return "raise" if many or ratios.urgent >= 2 else None
    if ratios.calm < config.clear_after:
        return None
    if state.chattering and t - ratios.calm_since < CHATTER_OFF_DELAY:
        return None
    if config.latch and not state.acknowledged:
        return None
    return "clear"


def step(state: AlarmState, wanted: Wish, t: float) -> tuple[AlarmState, tuple[Told, ...]]:
    """Let time go on to `t` and do what is wanted.

    Args:
        state: before.
        wanted: raise it, clear it, or leave it; what is so already is left.
        t: not before any time in the state.

    Returns:
        the state after, and what happened, in its order.
    """
    told: list[Told] = []
    if state.shelved_until is not None and t >= state.shelved_until:
        state = dataclasses.replace(state, shelved_until=None, told_at=t)
        told.append(Told("unshelve", notify=state.raised))
    loud = state.shelved_until is None
    if wanted == "raise" and not state.raised:
        raises = (*(at for at in state.raises if t - at < HOUR), t)
        chattering = len(raises) >= CHATTER_RAISES
        state = dataclasses.replace(
            state,
            raised_at=t,
            told_at=t,
            acknowledged=False,
            raises=raises,
            chattering=chattering,
        )
        told.append(Told("raise", notify=loud and not chattering))
        if chattering:
            told.append(Told("chatter", notify=loud))
    elif wanted == "clear" and state.raised:
        raises = () if state.chattering else state.raises
        state = dataclasses.replace(state, raised_at=None, raises=raises, chattering=False)
        told.append(Told("clear", notify=loud))
    elif state.raised and t - state.told_at >= REMIND_AFTER and loud:
        state = dataclasses.replace(state, told_at=t)
        told.append(Told("remind", notify=True))
    return state, tuple(told)


def acknowledge(state: AlarmState) -> AlarmState:
    """Note that somebody has seen the open episode.

    Raises:
        CommandError: none is open, or it is acknowledged already.
    """
    if not state.raised:
        raise CommandError("this alarm is not raised any more")
    if state.acknowledged:
        raise CommandError("this alarm is acknowledged already")
    return dataclasses.replace(state, acknowledged=True)


def shelve(state: AlarmState, seconds: float, t: float) -> AlarmState:
    """Tell nobody of this alarm for `seconds`; 0 ends the shelving.

    Raises:
        ParameterError: more than 24 hours, or less than 0.
        CommandError: 0, and it is not shelved.
    """
    if not 0 <= seconds <= LONGEST_SHELVING:
        raise ParameterError("shelve", f"{seconds / HOUR:g} hours", "0 to 24 hours")
    if seconds == 0 and state.shelved_until is None:
        raise CommandError("this alarm is not shelved")
    return dataclasses.replace(state, shelved_until=t + seconds if seconds else None)


@dataclass(frozen=True)
class Fault:
    """A condition that becomes an alarm when it lasts.

    Attributes:
        since: when it began; None while all is well.
        well_since: when it ended.
    """

    since: float | None = None
    well_since: float | None = None


def fault_step(
    fault: Fault, bad: bool, state: AlarmState, t: float, on_delay: float, off_delay: float
) -> tuple[Fault, Wish]:
    """Give what a fault's condition asks for.

    Args:
        fault: before.
        bad: whether the condition is there.
        state: of its alarm.
        t: now.
        on_delay: seconds for which it must be there.
        off_delay: seconds for which it must have gone.
    """
    if bad:
        since = t if fault.since is None else fault.since
        wanted: Wish = "raise" if t - since >= on_delay and not state.raised else None
        return Fault(since=since), wanted
    well = t if fault.well_since is None else fault.well_since
    delay = CHATTER_OFF_DELAY if state.chattering else off_delay
    return Fault(well_since=well), "clear" if state.raised and t - well >= delay else None


def to_dict(value: AlarmState | Ratios | Fault) -> dict[str, Any]:
    """Give a state as plain values, for JSON."""
    return dataclasses.asdict(value)


def alarm_state(values: dict[str, Any]) -> AlarmState:
    """Read what `to_dict` gave of an AlarmState."""
    return AlarmState(**{**values, "raises": tuple(values["raises"])})


def ratios(values: dict[str, Any]) -> Ratios:
    """Read what `to_dict` gave of Ratios."""
    return Ratios(**{**values, "recent": tuple(values["recent"])})
