"""One synthetic clip: which machine in which hall, recorded by which microphone.

    clip = gain (level(room(machine)) + 10^(-SNR/20) factory)

`level` brings every machine, healthy or faulty, to the same energy, so that
neither loudness nor signal-to-noise ratio tells a fault: an RMS detector scores about 0.5.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from asd_training.synth import SAMPLE_RATE
from asd_training.synth.models import FAULTS, MODELS, Condition
from asd_training.synth.tones import (
    Signal,
    band,
    falling,
    filtered,
    harmonics,
    impulses,
    noise,
    ring,
    slope,
    turns,
    unit,
)

SEVERITY = {
    "ToyCar": 0.6,
    "ToyTrain": 1.0,
    "fan": 0.8,
    "gearbox": 0.45,
    "pump": 0.75,
    "slider": 0.7,
    "valve": 1.0,
}
"""Severity of the worst fault: set for a mean AUC of 0.8 to 0.9 of the training-free line
(Mahalanobis distance of the time-averaged log-mel), so that there is something left to learn."""


@dataclass(frozen=True)
class ClipSpec:
    """The place of one clip in the data set; with the seed and the length it fixes every sample."""

    machine: str
    section: int
    domain: str
    split: str
    label: str
    index: int

    def generator(self, seed: int) -> np.random.Generator:
        """Start the clip's own stream: other clips, or more of them, do not touch it."""
        return self._stream(seed, self.machine, self.domain, self.split, self.label)

    def setting_generator(self, seed: int) -> np.random.Generator:
        """Start the stream that the normal and the faulty clip of one index share."""
        return self._stream(seed, self.machine, self.domain, self.split, "setting")

    def _stream(self, seed: int, *words: str) -> np.random.Generator:
        numbers = (zlib.crc32(word.encode()) for word in words)
        return np.random.default_rng([seed, self.section, self.index, *numbers])


@dataclass(frozen=True)
class Setting:
    """What is drawn for a clip before any sound: how the machine runs and how it is recorded."""

    speed_percent: int
    load: float
    hall: str
    snr_db: float
    gain_db: float
    fault: str
    severity: float

    @property
    def attributes(self) -> str:
        """Give what a DCASE name would tell; never the fault."""
        return f"vel_{self.speed_percent}_hall_{self.hall}"


# Noise power falls as f^-exponent; impacts a second; level of the far-off machine.
_HALLS = {"A": (1.0, 0.15, 0.25), "B": (1.4, 0.35, 0.1), "C": (0.8, 0.25, 0.35)}
# The target domain runs at other speeds, under more load, in another hall, in more noise.
_DOMAINS = {
    "source": ((96, 100, 104), (0.2, 0.6), "AB", (0.0, 3.0, 6.0)),
    "target": ((93, 107), (0.5, 0.9), "C", (-1.0, 2.0, 5.0)),
}


def section_numbers(machine: str, section: int, seed: int, count: int = 6) -> tuple[float, ...]:
    """Place a section in [0, 1)^count: golden-ratio steps from a start drawn for machine and seed.

    Any first few sections then differ in every number, by at least 0.23 for three of them.
    """
    start = np.random.default_rng([seed, zlib.crc32(machine.encode())]).random(count)
    golden = (np.sqrt(5) - 1) / 2
    return tuple(float(x) for x in (start + golden * section) % 1.0)


def draw_setting(spec: ClipSpec, seed: int) -> Setting:
    """Draw the setting of a clip.

    A normal and a faulty test clip of the same index run and are recorded alike but
    for the fault: no chance difference in gain or noise gives the faults away.
    """
    rng = spec.setting_generator(seed)
    speeds, (low, high), halls, snrs = _DOMAINS[spec.domain]
    faulty = spec.label == "anomaly"
    return Setting(
        speed_percent=int(rng.choice(speeds)),
        load=float(rng.uniform(low, high)),
        hall=str(rng.choice(list(halls))),
        snr_db=float(rng.choice(snrs)),
        gain_db=float(rng.normal(0.0, 2.5)),
        fault=str(rng.choice(FAULTS[spec.machine])) if faulty else "",
        severity=float(rng.uniform(0.4, 1.0)) * SEVERITY[spec.machine] if faulty else 0.0,
    )


def render(spec: ClipSpec, seconds: float, seed: int) -> npt.NDArray[np.int16]:
    """Make the samples of one clip, PCM16, [shape=(seconds * SAMPLE_RATE,)]."""
    rng = spec.generator(seed)
    n = round(seconds * SAMPLE_RATE)
    setting = draw_setting(spec, seed)
    u = section_numbers(spec.machine, spec.section, seed)
    condition = Condition(
        u=u,
        speed=setting.speed_percent / 100 * (1 + 0.004 * rng.standard_normal()),
        load=setting.load,
        fault=setting.fault,
        severity=setting.severity,
    )
    machine = unit(filtered(MODELS[spec.machine](rng, n, condition), _room(u, spec.domain)))
    x = machine + 10 ** (-setting.snr_db / 20) * _factory(rng, n, setting.hall)
    # -36 dB of full scale leaves room for the clicks of a valve; the limit is for the rare rest.
    x *= 10 ** ((setting.gain_db - 36) / 20)
    x *= min(1.0, 0.97 / float(np.max(np.abs(x))))
    return np.round(32767 * x).astype(np.int16)


def _room(u: tuple[float, ...], domain: str) -> Callable[[Signal], Signal]:
    """Give the gain from machine to microphone: gentle bells, a little moved in the target."""
    moved = 0.07 if domain == "target" else 0.0
    bells = [
        (band(250 * 4 ** (i + (a + moved) % 1.0), 0.8), 10 * ((b + moved) % 1.0) - 5)
        for i, (a, b) in enumerate(zip(u[:3], u[3:6], strict=True))
    ]

    def gain(f: Signal) -> Signal:
        return 10 ** (sum((height * bell(f) for bell, height in bells), np.zeros(len(f))) / 20)

    return gain


def _factory(rng: np.random.Generator, n: int, hall: str) -> Signal:
    """Make a hall's noise at unit level: coloured noise, hum, far-off machine, impacts."""
    exponent, impact_rate, distant = _HALLS[hall]
    x = noise(rng, n, slope(exponent + 0.1 * rng.standard_normal()))
    x += 0.15 * unit(harmonics(rng, turns(rng, n, 50.0, 0.0002), 1, falling(5, 1.0)))
    other = turns(rng, n, rng.uniform(70, 320), wander=0.01)
    x += distant * rng.uniform(0.5, 1.0) * unit(harmonics(rng, other, 1, falling(6, 1.5)))
    times = rng.uniform(0, n, rng.poisson(impact_rate * n / SAMPLE_RATE))
    body = rng.uniform(300, 2500)
    modes = [(body, 0.05, 1.0), (2.2 * body, 0.03, 0.5)]
    x += 0.4 * ring(impulses(n, times, rng.exponential(1.0, len(times))), modes)
    return unit(x)
