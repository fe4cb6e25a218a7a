"""Run-in: alarms a day that other settings would have raised on what was heard."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable

from asd_edge.monitor import alarms
from asd_edge.monitor.alarms import AlarmState, Ratios
from asd_edge.monitor.config import AlarmConfig
from asd_edge.monitor.state import RunIn

K_OF_N = ((1, 1), (2, 3), (3, 5))
RATES = (0.05, 0.01, 0.002)


class RunInTable:
    """Plays the rules of each k of n and false-alarm rate side by side.

    Args:
        config: the machine's; all but k and n is taken from it.
        saved: what `save` gave, or None.
    """

    def __init__(self, config: AlarmConfig, saved: str | None = None) -> None:
        self._settings = [
            (dataclasses.replace(config, k=k, n=n, latch=False), rate)
            for rate in RATES
            for k, n in K_OF_N
        ]
        self._ratios = [Ratios() for _ in self._settings]
        self._states = [AlarmState() for _ in self._settings]
        self._counts = [0] * len(self._settings)
        self._seconds = 0.0
        if saved is not None:
            values = json.loads(saved)
            if len(values["counts"]) == len(self._settings):
                self._seconds, self._counts = values["seconds"], values["counts"]

    def listen(
        self, score: float, thresholds: Callable[[float], float], t: float, hop: float
    ) -> None:
        """Count a valid window in.

        Args:
            score: of the window.
            thresholds: false-alarm rate -> threshold.
            t: time of the alarms.
            hop: seconds that the window stands for.
        """
        self._seconds += hop
        values = {rate: max(thresholds(rate), 1e-9) for rate in RATES}
        for i, (config, rate) in enumerate(self._settings):
            usual = alarms.calm_ratio(thresholds, values[rate])
            self._ratios[i] = alarms.listen(config, self._ratios[i], score / values[rate], t, usual)
            wanted = alarms.wish(config, self._ratios[i], self._states[i], t)
            self._states[i], told = alarms.step(self._states[i], wanted, t)
            self._counts[i] += any(one.action == "raise" for one in told)

    def forget(self) -> None:
        """Begin the windows anew after a time without valid ones."""
        self._ratios = [Ratios() for _ in self._settings]

    @property
    def table(self) -> RunIn | None:
        """Give the table; None before an hour was heard."""
        if self._seconds < 3600:
            return None
        days = self._seconds / 86400
        rows = [
            (config.k, config.n, rate, count, count / days)
            for (config, rate), count in zip(self._settings, self._counts, strict=True)
        ]
        return RunIn(self._seconds / 3600, tuple(rows))

    def save(self) -> str:
        """Give what the next start needs."""
        return json.dumps({"seconds": self._seconds, "counts": self._counts})
