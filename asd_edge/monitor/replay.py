"""Recordings in the place of a microphone: the same path, with the recordings' own clock.

The result depends on nothing but the recordings: not on the time of day, nor on how fast it goes.
A replay that was killed goes on after the last window that is in its history.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asd_edge.audio.decoding import open_source
from asd_edge.audio.ring import Ring
from asd_edge.errors import AudioError
from asd_edge.monitor.config import Config
from asd_edge.monitor.episodes import Ids, Now
from asd_edge.monitor.events import Bus
from asd_edge.monitor.history.batch import Batch, Stamp
from asd_edge.monitor.history.keep import Keeper
from asd_edge.monitor.machine import Changes, Machine
from asd_edge.monitor.state import Window
from asd_edge.monitor.windows import Cut, Judge, Judged

# Recordings have no date: their clock begins at 2000-01-01 00:00 UTC.
START = 946_684_800.0
_BLOCK_S = 1.0

Samples = NDArray[np.int16]


def read_files(paths: Iterable[Path], rate: int, channels: int) -> Iterator[Samples | None]:
    """Yield blocks of the files [shape=(n, channels)] and None where one ends.

    Raises:
        MissingFileError: a file is not there.
        AudioError: it cannot be read, or has another rate or number of channels.
    """
    frames = round(_BLOCK_S * rate)
    for path in paths:
        decoder = open_source(path, str(path))
        try:
            if (decoder.rate, decoder.channels) != (rate, channels):
                raise AudioError(
                    path,
                    f"has {decoder.rate} Hz and {decoder.channels} channel(s); the machine's "
                    f"microphone gives {rate} Hz and {channels}",
                )
            while len(block := decoder.read(frames)):
                yield _int16(block)
        finally:
            decoder.close()
        yield None


def _int16(block: NDArray[np.float32 | np.int16]) -> Samples:
    """Samples as a microphone gives them."""
    if block.dtype == np.int16:
        return block.astype(np.int16, copy=False)
    return np.clip(np.rint(block * 32768), -32768, 32767).astype(np.int16)


class Replay:
    """Plays samples to one machine of a configuration.

    Args:
        config: the configuration; its history begins or goes on in `config.history`.
        machine: id of the machine.
        bus: gets the events.
        say: prints a line.

    Raises:
        AsdError: the bundle or the history cannot be used.
    """

    def __init__(self, config: Config, machine: str, bus: Bus, say: Callable[[str], None]) -> None:
        part = config.machines[machine]
        self.rate, self.channels = part.rate, part.channels
        self._keeper = Keeper(config.history, bus, say, now=lambda: self._utc, threaded=False)
        self.history = self._keeper.history
        self._name = f"replay:{machine}"
        kept: dict[str, Any] = json.loads(self._keeper.state(self._name) or "{}")
        self._done = int(kept.get("sample", 0))
        self._utc = START
        judge = Judge(part)
        self._ring = Ring(max(90 * part.rate, 3 * judge.length), part.channels)
        self._breaks: list[int] = []
        self.machine = Machine(
            machine,
            part,
            config.alarms_of(machine),
            judge,
            self._ring,
            self._next_break,
            Ids(*self._keeper.last_ids()),
            self._now(self._done),
            keep_clips=config.history.clips,
            saved=(self._keeper.state(f"machine:{machine}"), kept.get("run_in")),
            episode=self.history.episode,
        )
        self.machine.cutter.start = self._done

    def _next_break(self, after: int) -> int | None:
        while self._breaks and self._breaks[0] <= after:
            self._breaks.pop(0)
        return self._breaks[0] if self._breaks else None

    def _now(self, sample: int) -> Now:
        utc = START + sample / self.rate
        return Now(utc, utc)

    def play(self, blocks: Iterable[Samples | None]) -> None:
        """Play samples from the first one on, whatever of them is judged already.

        Args:
            blocks: [shape=(n, channels)], shorter than the ring less a window; None is a break.
        """
        for block in blocks:
            if block is None:
                self._breaks.append(self._ring.total)
            else:
                self._ring.write(block)
            self._judge_due()
        self._judge_due()

    def _judge_due(self) -> None:
        if self._ring.total <= self._done:  # played for what a clip needs of the time before
            return
        while (cut := self.machine.cutter.due()) is not None:
            self._judge(cut)

    def _judge(self, cut: Cut) -> None:
        end = cut.start + cut.n
        now = self._now(end)
        self._utc = now.utc

        def window(judged: Judged) -> Window:
            return Window(
                machine=self.machine.id,
                start=now.utc - cut.n / self.rate,
                end=now.utc,
                first_sample=cut.start,
                stream=0,
                validity=judged.validity,
                score=judged.score,
                threshold=judged.threshold,
                ratio=judged.ratio,
                level_dbfs=judged.level_dbfs,
                monotonic=now.utc - START,
            )

        changes = self.machine.take(cut, window, now)
        ticked = self.machine.tick(None, now)
        changes.events += ticked.events
        changes.episodes.update(ticked.episodes)
        self._put(changes)

    def _put(self, changes: Changes) -> None:
        assert changes.window is not None
        stamp = Stamp("replay", START, True)
        place = {"sample": self.machine.cutter.start, "run_in": self.machine.run_in.save()}
        self._keeper.put(
            Batch(
                windows=[(changes.window, stamp)],
                episodes=list(changes.episodes.values()),
                events=changes.events,
                stamp=stamp,
                states={
                    f"machine:{self.machine.id}": self.machine.save(),
                    self._name: json.dumps(place),
                },
                clips=changes.clips,
                urgent=bool(changes.events or changes.clips),
            )
        )

    def close(self) -> None:
        """Write what is left."""
        self._keeper.put(Batch(clips=self.machine.leave()))
        self._keeper.close()
