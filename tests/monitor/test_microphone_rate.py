"""A microphone of another rate than the recordings that were enrolled is said."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from monitor_rigs import wait_for
from running_monitor import Running, player, raw, toml

from asd_edge.bundle.format import read_bundle
from asd_edge.monitor.windows import rate_trouble


@pytest.mark.parametrize(
    ("rate", "enrolled", "fine"),
    [
        (8000, 8000, True),
        (48_000, 44_100, True),  # the model of this bundle looks no higher than 4 kHz
        (48_000, 8000, True),
        (48_000, 7500, True),
        (48_000, 4000, False),
        (4000, 48_000, False),
        (4000, 4000, True),
    ],
)
def test_rates(tiny_bundle: Path, rate: int, enrolled: int, fine: bool) -> None:
    assert (rate_trouble(rate, enrolled, read_bundle(tiny_bundle).front_end) == "") is fine


def test_it_is_an_alarm(tmp_path: Path, hum_bundle: Path, start: Callable[..., Running]) -> None:
    config = toml(hum_bundle, player(raw(tmp_path, (200.0, 60.0)))).replace("rate = 8", "rate = 4")
    daemon = start(config)
    wait_for(lambda: any(e.episode.kind == "bundle" for e in daemon.events()))
    (event,) = (e for e in daemon.events() if e.episode.kind == "bundle")
    assert event.episode.sentence.startswith(
        "it was enrolled from recordings at 8000 Hz, and this microphone gives 4000 Hz"
    )
    assert daemon.stop() == 0
