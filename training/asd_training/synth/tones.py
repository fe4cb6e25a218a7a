"""Building blocks of machine sounds; all signals are float64 (n,) at SAMPLE_RATE."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np
import numpy.typing as npt
from scipy import fft, signal

from asd_training.synth import SAMPLE_RATE

Signal = npt.NDArray[np.float64]
Resonance = tuple[float, float, float]
"""Frequency in Hz, time constant of the decay in s, amplitude."""


def unit(x: Signal) -> Signal:
    """Scale to a root mean square of 1; silence stays silence."""
    level = float(np.sqrt(np.mean(np.square(x))))
    return x / level if level > 0 else x


def drift(rng: np.random.Generator, n: int, rate: float = 2.0) -> Signal:
    """Draw a slow random curve of about unit variance, of features 1 / `rate` s long."""
    knots = max(2, int(n / SAMPLE_RATE * rate) + 2)
    return np.interp(np.linspace(0, knots - 1, n), np.arange(knots), rng.standard_normal(knots))


def turns(rng: np.random.Generator, n: int, frequency: float, wander: float = 0.002) -> Signal:
    """Count the turns of a shaft of `frequency` Hz, from a random start, wandering by `wander`."""
    speed = frequency * (1 + wander * drift(rng, n))
    return rng.random() + np.cumsum(speed) / SAMPLE_RATE


def harmonics(
    rng: np.random.Generator, shaft: Signal, order: float, amplitudes: Sequence[float]
) -> Signal:
    """Sum a_k cos(2 pi k order shaft + random phase), k = 1, 2, ...

    By Horner's rule in powers of exp(2 pi i order shaft): one complex
    exponential for all harmonics. Those above 0.45 of the sample rate are left out.
    """
    frequency = order * (shaft[-1] - shaft[0]) / (len(shaft) - 1) * SAMPLE_RATE
    count = min(len(amplitudes), int(0.45 * SAMPLE_RATE / max(frequency, 1e-9)))
    # Reduced to one turn in float64, so that float32 is good for 1e-6 of a turn.
    angle = np.float32(2 * np.pi) * ((order * shaft) % 1.0).astype(np.float32)
    z = np.empty(len(shaft), np.complex64)
    np.cos(angle, out=z.real)
    np.sin(angle, out=z.imag)
    weights = np.asarray(amplitudes) * np.exp(2j * np.pi * rng.random(len(amplitudes)))
    total = np.zeros_like(z)
    for weight in weights[:count][::-1].astype(np.complex64):
        total += weight
        total *= z
    return total.real.astype(np.float64)


def noise(
    rng: np.random.Generator, n: int, shape: Callable[[Signal], npt.NDArray[np.floating]]
) -> Signal:
    """Draw Gaussian noise of the amplitude spectrum `shape(f in Hz)`, at unit level."""
    length = fft.next_fast_len(n, real=True)
    f = fft.rfftfreq(length, 1 / SAMPLE_RATE)
    bins = rng.standard_normal((2, len(f)))
    spectrum = (bins[0] + 1j * bins[1]) * shape(f)
    spectrum[0] = 0
    return unit(fft.irfft(spectrum, length)[:n])


def band(centre: float, octaves: float) -> Callable[[Signal], Signal]:
    """Give the amplitude spectrum of a bell around `centre` Hz, `octaves` wide (sigma)."""

    def bell(f: Signal) -> Signal:
        away = np.log2(np.maximum(f, 1.0) / centre) / octaves
        return np.exp(-0.5 * away**2)

    return bell


def slope(exponent: float) -> Callable[[Signal], Signal]:
    """Give the amplitude spectrum of noise whose power falls as f^-exponent, flat below 20 Hz."""
    return lambda f: np.maximum(f, 20.0) ** (-exponent / 2)


def filtered(x: Signal, shape: Callable[[Signal], npt.NDArray[np.floating]]) -> Signal:
    """Apply the zero-phase gain `shape(f in Hz)`."""
    length = fft.next_fast_len(len(x), real=True)
    gain = shape(fft.rfftfreq(length, 1 / SAMPLE_RATE))
    return fft.irfft(fft.rfft(x, length) * gain, length)[: len(x)]


def impulses(n: int, times: Iterable[float], amplitudes: Iterable[float]) -> Signal:
    """Put impulses at `times` in samples; those outside the clip are left out."""
    x = np.zeros(n)
    for time, amplitude in zip(times, amplitudes, strict=True):
        if 0 <= time < n:
            x[int(time)] += amplitude
    return x


def every_turn(
    rng: np.random.Generator, shaft: Signal, order: float, jitter: float = 0.0
) -> Signal:
    """Give the sample positions at which `order * shaft` passes a whole number.

    `jitter` is the standard deviation of the spacing's error, as a part of the spacing:
    rolling elements slip by about 1 part in 100.
    """
    count = order * shaft
    marks = np.arange(np.ceil(count[0]), np.floor(count[-1]) + 1)
    marks = marks + jitter * rng.standard_normal(len(marks))
    positions: Signal = np.interp(marks, count, np.arange(len(count)), left=-1, right=-1)
    return positions


def ring(x: Signal, resonances: Iterable[Resonance]) -> Signal:
    """Let impulses excite decaying sinusoids: the modes of a casing, a rail, a valve body."""
    total = np.zeros(len(x))
    for frequency, decay, amplitude in resonances:
        radius = np.exp(-1 / (decay * SAMPLE_RATE))
        angle = 2 * np.pi * min(frequency, 0.48 * SAMPLE_RATE) / SAMPLE_RATE
        poles = [1.0, -2 * radius * np.cos(angle), radius**2]
        total += signal.lfilter([amplitude * np.sin(angle) * radius], poles, x)
    return total


def falling(count: int, exponent: float) -> list[float]:
    """Give the amplitudes k^-exponent of `count` harmonics."""
    return [float(k) ** -exponent for k in range(1, count + 1)]
