"""The seven machines, healthy and faulty, by simple physical models.

Each model is `f(rng, n, c)`: `c.u` in [0, 1)^6 says which machine it is (the section),
`c.speed` and `c.load` how it runs, `c.fault` what is wrong with it and
`c.severity` how badly. The level of the result means nothing: the scene
brings healthy and faulty machines to the same one.

Sources of the mechanisms: blade-pass and gear-mesh orders, side bands and bearing
frequencies as in R. B. Randall, "Vibration-based Condition Monitoring", 2011, ch. 2.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from asd_training.synth.tones import (
    Resonance,
    Signal,
    band,
    drift,
    every_turn,
    falling,
    harmonics,
    impulses,
    noise,
    ring,
    slope,
    turns,
    unit,
)


@dataclass(frozen=True)
class Condition:
    """How one machine runs in one clip.

    `speed` is relative to the section's nominal speed, `load` in [0, 1], `fault` one of
    FAULTS[machine] or "" for a healthy machine, `severity` in [0, 1], 0 for a healthy one.
    """

    u: tuple[float, ...]
    speed: float = 1.0
    load: float = 0.5
    fault: str = ""
    severity: float = 0.0

    def between(self, i: int, low: float, high: float) -> float:
        """Place the section's i-th number in [low, high)."""
        return low + (high - low) * self.u[i]

    def whole(self, i: int, low: int, high: int) -> int:
        """Place the section's i-th number in low ... high, both included."""
        return low + int(self.u[i] * (high - low + 1))

    def strength(self, *faults: str) -> float:
        """Give the severity if the fault is one of these, else 0."""
        return self.severity if self.fault in faults else 0.0


def _bearing(rng: np.random.Generator, shaft: Signal, c: Condition) -> Signal:
    """Outer-race defect: impulses at the ball-pass frequency ring a resonance of the housing."""
    order = 3.05 + 2.0 * c.u[5]
    times = every_turn(rng, shaft, order, jitter=0.01)
    hits = impulses(len(shaft), times, 1 + 0.2 * rng.standard_normal(len(times)))
    centre = 2600 + 2600 * c.u[4]
    return unit(ring(hits, [(centre, 0.0012, 1.0), (1.37 * centre, 0.0008, 0.5)]))


def fan(rng: np.random.Generator, n: int, c: Condition) -> Signal:
    """Blade-pass harmonics, a trace of imbalance and broadband turbulence."""
    blades = c.whole(0, 4, 9)
    shaft = turns(rng, n, c.between(1, 16, 38) * c.speed)
    tone = unit(harmonics(rng, shaft, blades, falling(14, c.between(2, 1.6, 0.9))))
    # A bent blade: one pressure pulse of the turn differs, which gives every order of the shaft.
    if s := c.strength("blade"):
        tone += 0.9 * s * unit(harmonics(rng, shaft, 1, falling(36, 0.2)))
    imbalance = unit(harmonics(rng, shaft, 1, [1.0, 0.5, 0.2]))
    air = noise(rng, n, band(c.between(3, 350, 1400) * c.speed, 1.2))
    x = tone + 0.12 * imbalance
    x += (0.45 + 0.3 * c.load) * air
    if s := c.strength("loose"):
        # A loose hub knocks within its play: strong low orders of the shaft.
        x += 0.9 * s * unit(harmonics(rng, shaft, 1, falling(12, 0.3)))
    if s := c.strength("blocked"):
        x += 0.5 * s * noise(rng, n, band(c.between(4, 1800, 3200), 0.5))
    if s := c.strength("bearing"):
        x += 0.4 * s * _bearing(rng, shaft, c)
    return x


def gearbox(rng: np.random.Generator, n: int, c: Condition) -> Signal:
    """Gear-mesh harmonics, whose side bands are the shaft's turning, and oil noise."""
    teeth = c.whole(0, 17, 41)
    shaft = turns(rng, n, c.between(1, 9, 22) * c.speed)
    once = 2 * np.pi * (shaft + rng.random())
    wear = c.strength("wear")
    amplitudes = [a * (1 + 1.6 * wear * (k > 0)) for k, a in enumerate(falling(8, 1.1))]
    # Eccentricity shifts the mesh's phase, tooth load its amplitude: side bands at +-1, 2 turns.
    wobble = 0.004 + 0.02 * c.strength("misaligned")
    mesh = unit(harmonics(rng, shaft + wobble * np.sin(once), teeth, amplitudes))
    mesh *= 1 + (0.15 + 0.5 * wear) * np.cos(once)
    x = mesh + (0.35 + 0.3 * c.load) * noise(rng, n, band(c.between(2, 500, 2200), 1.3))
    x += 0.1 * unit(harmonics(rng, shaft, 1, [1.0, 0.6 + 3 * c.strength("misaligned"), 0.3]))
    if s := c.strength("tooth"):
        times = every_turn(rng, shaft, 1, jitter=0.002)
        hits = impulses(n, times, 1 + 0.15 * rng.standard_normal(len(times)))
        body = c.between(3, 900, 2400)
        x += 0.55 * s * unit(ring(hits, [(body, 0.004, 1.0), (2.3 * body, 0.002, 0.7)]))
    if s := c.strength("bearing"):
        x += 0.4 * s * _bearing(rng, shaft, c)
    return x


def pump(rng: np.random.Generator, n: int, c: Condition) -> Signal:
    """Vane-pass tones of the impeller, flow noise and the hum of its motor."""
    vanes = c.whole(0, 5, 9)
    shaft = turns(rng, n, c.between(1, 22, 48) * c.speed, wander=0.001)
    tone = unit(harmonics(rng, shaft, vanes, falling(9, c.between(2, 1.8, 1.0))))
    hum = unit(harmonics(rng, turns(rng, n, 100.0, wander=0.0002), 1, [1.0, 0.4, 0.25]))
    flow = noise(rng, n, band(c.between(3, 400, 1800), 1.4))
    x = tone + 0.3 * hum + (0.5 + 0.3 * c.load) * flow
    x += 0.1 * unit(harmonics(rng, shaft, 1, [1.0, 0.7]))
    if s := c.strength("impeller"):
        # A chipped vane: every order of the shaft, as with a fan's blade.
        x += 0.9 * s * unit(harmonics(rng, shaft, 1, falling(24, 0.2)))
    if s := c.strength("cavitation"):
        # Collapsing bubbles: bursts of high-frequency noise, strongest as a vane passes.
        bursts = np.exp(1.2 * drift(rng, n, rate=60)) * (1 + np.cos(2 * np.pi * vanes * shaft))
        x += 0.38 * s * unit(bursts * noise(rng, n, band(c.between(4, 3000, 5000), 0.45)))
    if s := c.strength("leak"):
        x += 0.3 * s * noise(rng, n, band(c.between(4, 1900, 3600), 0.25))
    if s := c.strength("bearing"):
        x += 0.4 * s * _bearing(rng, shaft, c)
    return x


def slider(rng: np.random.Generator, n: int, c: Condition) -> Signal:
    """A carriage that goes to and fro: friction noise and motor whine follow its velocity."""
    stroke = turns(rng, n, c.between(0, 0.55, 1.3) * c.speed, wander=0.004)
    velocity = np.sin(2 * np.pi * stroke)
    pace = np.abs(velocity)
    # The motor turns `gear` times a stroke, to and fro: its phase is the carriage's way.
    gear = c.between(1, 180, 420)
    way = gear * (1 - np.cos(2 * np.pi * stroke)) / (2 * np.pi)
    whine = pace * unit(harmonics(rng, way, 1, falling(4, 1.2)))
    friction = pace * noise(rng, n, band(c.between(2, 700, 2600), 0.9))
    ends = every_turn(rng, stroke, 2, jitter=0.004)
    stop = c.between(3, 350, 1100)
    modes: list[Resonance] = [(stop, 0.02, 1.0), (2.7 * stop, 0.01, 0.6), (5.1 * stop, 0.005, 0.3)]
    hits = impulses(n, ends, 1 + 0.15 * rng.standard_normal(len(ends)))
    x = friction * (0.9 + 0.4 * c.load) + 0.5 * whine
    x += (0.5 + 0.9 * c.strength("stop")) * unit(ring(hits, modes))
    if s := c.strength("dry"):
        # Stick-slip: a squeal near the slow ends of the stroke.
        squeal = harmonics(rng, turns(rng, n, c.between(4, 1500, 2600), 0.006), 1, [1.0, 0.4])
        x += 0.3 * s * unit(squeal * np.clip(1 - 1.4 * pace, 0, None))
    if s := c.strength("rail"):
        # A dent in the rail: two hits a stroke, on the way out and back.
        dents = np.concatenate([every_turn(rng, stroke + d, 1, jitter=0.003) for d in (0.2, 0.8)])
        x += 0.5 * s * unit(ring(impulses(n, dents, np.ones(len(dents))), [(3300, 0.006, 1.0)]))
    if s := c.strength("belt"):
        slap = every_turn(rng, stroke, 26, jitter=0.15)
        slaps = impulses(n, slap, rng.random(len(slap)))
        x += 0.4 * s * unit(pace * ring(slaps, [(c.between(5, 1200, 2000), 0.004, 1.0)]))
    return x


def valve(rng: np.random.Generator, n: int, c: Condition) -> Signal:
    """A solenoid valve: clicks of opening and closing ring its body, air hisses in between."""
    cycle = turns(rng, n, c.between(0, 0.9, 2.4) * c.speed, wander=0.003)
    duty = c.between(1, 0.25, 0.6)
    opened = every_turn(rng, cycle, 1, jitter=0.004)
    lag = 0.08 * c.strength("sluggish")
    closed = every_turn(rng, cycle - duty - lag, 1, jitter=0.004 + 0.5 * lag)
    body = c.between(2, 700, 1900)
    detune = 1 - 0.16 * c.strength("fouled")
    damped = 1 - 0.5 * c.strength("fouled", "sluggish")
    modes: list[Resonance] = [
        (body * detune, 0.010 * damped, 1.0),
        (2.31 * body * detune, 0.006 * damped, 0.7),
        (3.87 * body * detune, 0.003 * damped, 0.5),
    ]
    loud = 1 + 0.1 * rng.standard_normal(len(opened))
    soft = (0.7 - 0.4 * c.strength("sluggish")) * (1 + 0.1 * rng.standard_normal(len(closed)))
    hits = impulses(n, opened, loud) + impulses(n, closed, soft)
    if s := c.strength("spring"):
        # A weak spring: the plunger bounces, each time sooner and softer.
        for delay, height in ((0.021, 0.6), (0.036, 0.36), (0.047, 0.2)):
            hits += impulses(n, opened + delay * 16000, s * height * loud)
    x = unit(ring(hits, modes))
    if lag:
        # The plunger scrapes along its sleeve for as long as it is late.
        late = ((cycle - duty) % 1.0) < lag
        x += 1.6 * c.severity * late * noise(rng, n, band(2.0 * body, 0.7))
    is_open = ((cycle % 1.0) < duty).astype(np.float64)
    hiss = noise(rng, n, band(c.between(3, 2500, 5000), 0.6))
    x += (0.25 + 0.15 * c.load) * is_open * hiss
    if s := c.strength("leak"):
        x += 0.2 * s * (1 - is_open) * noise(rng, n, band(c.between(4, 2000, 3500), 0.5))
    return x + 0.08 * noise(rng, n, slope(1.0))


def toy_car(rng: np.random.Generator, n: int, c: Condition) -> Signal:
    """A small DC motor: commutator and gear whine, and the rattle of light wheels."""
    shaft = turns(rng, n, c.between(0, 55, 110) * c.speed, wander=0.004)
    pinion = c.whole(1, 8, 14)
    ratio = 1 / c.between(2, 3.5, 7.0)
    wheel = shaft * ratio
    once = 2 * np.pi * (wheel + rng.random())
    worn = c.strength("gear")
    whine = unit(harmonics(rng, shaft, pinion, falling(6, 0.9)))
    whine *= 1 + (0.15 + 0.8 * worn) * np.cos(2 * np.pi * shaft)
    whine *= 1 + 0.8 * c.strength("shaft") * np.cos(once)
    brushes = unit(harmonics(rng, shaft, 6, falling(8, 1.3)))
    sparks = noise(rng, n, band(c.between(3, 2200, 4500), 0.7))
    x = whine + 0.6 * brushes + (0.25 + 0.2 * c.load) * sparks
    x += 0.5 * worn * unit(harmonics(rng, shaft, 0.5 * pinion, falling(7, 0.6)))
    times = every_turn(rng, wheel, 3, jitter=0.15)
    rattle = impulses(n, times, rng.random(len(times)) ** 2)
    x += (0.25 + 0.5 * c.strength("shaft")) * unit(
        ring(rattle, [(c.between(4, 800, 2000), 0.004, 1.0)])
    )
    if s := c.strength("tyre"):
        # Something sticks to the tyre: one tick each turn of the wheel.
        ticks = every_turn(rng, wheel, 1, jitter=0.01)
        x += 0.6 * s * unit(ring(impulses(n, ticks, np.ones(len(ticks))), [(2900, 0.003, 1.0)]))
    if s := c.strength("brush"):
        x += 0.5 * s * unit(sparks * (1 + np.cos(2 * np.pi * 6 * shaft)) ** 2)
    return x


def toy_train(rng: np.random.Generator, n: int, c: Condition) -> Signal:
    """A model railway: motor, rolling noise and double knocks at each rail joint."""
    shaft = turns(rng, n, c.between(0, 40, 85) * c.speed, wander=0.004)
    wheel = shaft / c.between(1, 9, 15)
    # Two axles pass each joint, `spacing` of a rail length apart.
    joint = wheel / c.between(2, 1.6, 3.2)
    spacing = c.between(3, 0.12, 0.35)
    knock = c.between(4, 500, 1300)
    modes: list[Resonance] = [(knock, 0.008, 1.0), (2.6 * knock, 0.004, 0.6)]
    times = [every_turn(rng, joint - d, 1, jitter=0.003) for d in (0.0, spacing)]
    hits, broken = np.zeros(n), np.zeros(n)
    for part in times:
        # The rails of the loop differ: every fourth joint is the widest.
        widest = np.arange(len(part)) % 4 == 0
        height = np.where(widest, 1.2, 0.9) * (1 + 0.15 * rng.standard_normal(len(part)))
        hits += impulses(n, part, height)
        broken += impulses(n, part, np.where(widest, height, 0.0))
    motor = unit(harmonics(rng, shaft, c.whole(5, 5, 9), falling(8, 1.0)))
    motor *= 1 + 0.8 * c.strength("axle") * np.cos(2 * np.pi * wheel)
    rolling = noise(rng, n, band(c.between(5, 900, 2400), 1.0))
    x = 0.8 * unit(ring(hits, modes)) + 0.7 * motor + (0.45 + 0.3 * c.load) * rolling
    x += 0.6 * c.strength("axle") * unit(harmonics(rng, wheel, 7, falling(9, 0.7)))
    if s := c.strength("joint"):
        # The widest joint has come apart: the wheels drop into it and ring the rail.
        x += 0.8 * s * unit(ring(broken, [(0.7 * knock, 0.03, 1.0), (4.4 * knock, 0.012, 0.8)]))
    if s := c.strength("flat"):
        # A flat spot on a wheel: one knock each turn.
        ticks = every_turn(rng, wheel, 1, jitter=0.005)
        flats = impulses(n, ticks, 1 + 0.2 * rng.standard_normal(len(ticks)))
        x += 0.6 * s * unit(ring(flats, [(1.7 * knock, 0.004, 1.0), (3300, 0.002, 0.6)]))
    if s := c.strength("grit"):
        grains = rng.uniform(0, n, rng.poisson(14 * n / 16000))
        sizes = rng.exponential(1.0, len(grains))
        x += 0.5 * s * unit(ring(impulses(n, grains, sizes), [(4200, 0.002, 1.0)]))
    return x


Model = Callable[[np.random.Generator, int, Condition], Signal]

MODELS: dict[str, Model] = {
    "ToyCar": toy_car,
    "ToyTrain": toy_train,
    "fan": fan,
    "gearbox": gearbox,
    "pump": pump,
    "slider": slider,
    "valve": valve,
}

FAULTS: dict[str, tuple[str, ...]] = {
    "ToyCar": ("gear", "shaft", "tyre", "brush"),
    "ToyTrain": ("joint", "axle", "flat", "grit"),
    "fan": ("loose", "blade", "blocked", "bearing"),
    "gearbox": ("wear", "misaligned", "tooth", "bearing"),
    "pump": ("cavitation", "impeller", "leak", "bearing"),
    "slider": ("stop", "dry", "rail", "belt"),
    "valve": ("leak", "sluggish", "fouled", "spring"),
}
