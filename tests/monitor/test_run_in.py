"""The table of the run-in, against the rules played one by one."""

from __future__ import annotations

import numpy as np
import pytest

from asd_edge.monitor import alarms
from asd_edge.monitor.alarms import AlarmState, Ratios
from asd_edge.monitor.config import AlarmConfig
from asd_edge.monitor.run_in import K_OF_N, RATES, RunInTable

HOP = 10.0
THRESHOLDS = {0.05: 0.8, 0.01: 1.0, 0.002: 1.25}


def scores(windows: int) -> list[float]:
    """Give scores with single peaks and disturbances, of which each rate sees another share."""
    rng = np.random.default_rng(3)
    found = 0.4 + 0.02 * rng.standard_exponential(windows)
    for number, at in enumerate(range(100, windows - 4, 400)):
        found[at : at + 1 + number % 5] += rng.uniform(0.3, 1.2)
    return [float(x) for x in found]


def raises(found: list[float], k: int, n: int, threshold: float) -> int:
    config, ratios, state, count = AlarmConfig(k=k, n=n), Ratios(), AlarmState(), 0
    for i, score in enumerate(found):
        ratios = alarms.listen(config, ratios, score / threshold, i * HOP)
        wanted = alarms.wish(config, ratios, state, i * HOP)
        state, told = alarms.step(state, wanted, i * HOP)
        count += sum(one.action == "raise" for one in told)
    return count


def test_each_row_is_what_its_rule_would_have_raised() -> None:
    table = RunInTable(AlarmConfig(latch=True))
    found = scores(20_000)
    for i, score in enumerate(found):
        table.listen(score, lambda rate: THRESHOLDS[rate], i * HOP, HOP)
    run_in = table.table
    assert run_in is not None
    assert run_in.hours == pytest.approx(20_000 * HOP / 3600)
    wanted = [
        (k, n, rate, (count := raises(found, k, n, THRESHOLDS[rate])), count * 8640 / 20_000)
        for rate in RATES
        for k, n in K_OF_N
    ]
    assert [row[:4] for row in run_in.rows] == [row[:4] for row in wanted]
    assert [row[4] for row in run_in.rows] == pytest.approx([row[4] for row in wanted])
    counts = {(k, rate): count for k, _, rate, count, _ in run_in.rows}
    assert counts[1, 0.05] > counts[1, 0.01] > counts[1, 0.002] > 0
    assert counts[1, 0.05] > counts[2, 0.05] > counts[3, 0.05] > 0


def test_nothing_is_shown_before_an_hour_and_a_restart_goes_on() -> None:
    table = RunInTable(AlarmConfig())
    found = scores(400)
    for i, score in enumerate(found[:359]):
        table.listen(score, lambda rate: THRESHOLDS[rate], i * HOP, HOP)
    assert table.table is None
    again = RunInTable(AlarmConfig(), table.save())
    again.listen(0.1, lambda rate: THRESHOLDS[rate], 3590.0, HOP)
    assert again.table is not None
    assert again.table.rows[0][3] == raises(found[:359], 1, 1, THRESHOLDS[RATES[0]])


def test_windows_on_both_sides_of_a_silence_are_not_counted_together() -> None:
    table = RunInTable(AlarmConfig())
    for i in range(400):
        table.listen(0.1, lambda _: 1.0, i * HOP, HOP)
    for i in (400, 401):
        table.listen(1.5, lambda _: 1.0, i * HOP, HOP)
    table.forget()
    table.listen(1.5, lambda _: 1.0, 402 * HOP, HOP)
    assert table.table is not None
    raised = {(k, n): count for k, n, _, count, _ in table.table.rows}
    assert raised == {(1, 1): 1, (2, 3): 1, (3, 5): 0}
