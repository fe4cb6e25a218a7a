"""Mel spectrograms: librosa's names and definitions, computed by the C core.

    mel = MelSpectrogram(MelConfig(sr=16000, n_fft=1024, hop_length=512, n_mels=128, log="db"))
    mel(y)                          # (n_mels, n_frames), float32

    stream = mel.stream()           # the same frames, from samples as they come
    for block in microphone:
        use(stream.push(block))
    use(stream.finish())

Relative error against exact arithmetic is below 1e-5 for whatever lies above -100 dB of
the clip's peak; silence gives exact zeros. Formulas: `csrc/melspec.h`, `csrc/mel_filters.c`.
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, fields
from functools import lru_cache
from numbers import Integral, Real
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from asd_edge import _core
from asd_edge._core import MAX_N_FFT, MAX_N_MELS, MIN_N_FFT, Plan, Stream
from asd_edge.errors import ParameterError

_INT32_MAX = 2**31 - 1

Samples: TypeAlias = NDArray[np.float32 | np.int16]


@dataclass(frozen=True)
class MelConfig:
    """What a mel spectrogram is computed with; the names are those of `librosa`.

    Attributes:
        sr: sampling rate in Hz, >= 1.
        n_fft: samples of a frame, even, 64 to 1048576. Powers of two run in single precision, with
            the frames that need it in double: a clip takes 1 to 2.5 times as long, noise 1, a
            pure tone 2. Others always run in double, about 5 times as long with factors 2,
            3 and 5; a large prime factor r of n_fft / 2 costs r operations a sample
            (1022 = 2 * 7 * 73: about 4 times 1000).
        hop_length: samples from a frame to the next, >= 1; it may exceed `n_fft`.
        n_mels: number of mel bands, 1 to 65536. Bands narrower than a bin may be empty: zeros.
        fmin: lower edge of the lowest band in Hz, >= 0.
        fmax: upper edge of the highest band in Hz, `fmin` < `fmax` <= `sr` / 2; None is `sr` / 2.
        power: 1 for amplitude, 2 for power.
        log: "none", or "db" for 20 / `power` * log10(max(mel, `amin`)), that is
            `librosa.amplitude_to_db` or `power_to_db` with ref=1 and top_db=None.
        amin: smallest value that "db" tells apart, > 0; None is 1e-5 for `power` 1 and 1e-10
            for `power` 2: -100 dB.
        center: frame t is centred on sample t * `hop_length`, with the clip padded by `n_fft` / 2
            samples at both ends; without it, frame t begins there.
        pad_mode: "constant" pads with zeros, "reflect" with the clip mirrored at its ends.

    The window is the periodic Hann window of `n_fft` samples, the mel scale and the norm of
    the filters are Slaney's: librosa's defaults.

    Raises:
        ParameterError: a value outside its range.

    Example:
        >>> MelConfig(sr=22050, n_fft=2048, n_mels=256, power=1).n_frames(220_500)
        431
    """

    sr: int = 16000
    n_fft: int = 1024
    hop_length: int = 512
    n_mels: int = 128
    fmin: float = 0.0
    fmax: float | None = None
    power: int = 2
    log: str = "none"
    amin: float | None = None
    center: bool = True
    pad_mode: str = "constant"

    def __post_init__(self) -> None:
        self._to_int("sr", 1, _INT32_MAX)
        self._to_int("n_fft", MIN_N_FFT, MAX_N_FFT)
        if self.n_fft % 2:
            raise ParameterError("n_fft", self.n_fft, "an even number")
        self._to_int("hop_length", 1, _INT32_MAX)
        self._to_int("n_mels", 1, MAX_N_MELS)
        self._to_int("power", 1, 2)
        nyquist = self.sr / 2
        self._to_float("fmin")
        if not 0 <= self.fmin < nyquist:
            raise ParameterError("fmin", self.fmin, f"Hz from 0 to below sr/2 = {nyquist:g}")
        if self.fmax is not None:
            self._to_float("fmax")
            if not self.fmin < self.fmax <= nyquist:
                raise ParameterError(
                    "fmax", self.fmax, f"Hz above fmin = {self.fmin:g}, up to sr/2 = {nyquist:g}"
                )
        if self.amin is not None:
            self._to_float("amin")
            if not self.amin > 0:
                raise ParameterError("amin", self.amin, "a number above 0")
        if self.log not in ("none", "db"):
            raise ParameterError("log", self.log, '"none" or "db"')
        if not isinstance(self.center, bool | np.bool_):
            raise ParameterError("center", self.center, "True or False")
        object.__setattr__(self, "center", bool(self.center))
        if self.pad_mode not in ("constant", "reflect"):
            raise ParameterError("pad_mode", self.pad_mode, '"constant" or "reflect"')

    def _to_int(self, name: str, low: int, high: int) -> None:
        value = getattr(self, name)
        whole = isinstance(value, Integral) and not isinstance(value, bool)
        if not whole or not low <= int(value) <= high:
            raise ParameterError(name, value, f"a whole number from {low} to {high}")
        object.__setattr__(self, name, int(value))

    def _to_float(self, name: str) -> None:
        value = getattr(self, name)
        if not isinstance(value, Real) or isinstance(value, bool) or not math.isfinite(value):
            raise ParameterError(name, value, "a finite number")
        object.__setattr__(self, name, float(value))

    @property
    def min_samples(self) -> int:
        """Samples of the shortest clip that has a frame.

        `n_fft` without `center`; with it, `n_fft` / 2 + 1 for "reflect" (the mirror image
        must come from the clip) and 1 for "constant".
        """
        if not self.center:
            return self.n_fft
        return self.n_fft // 2 + 1 if self.pad_mode == "reflect" else 1

    @property
    def floor(self) -> float:
        """Smallest value that "db" tells apart: `amin`, or its default."""
        if self.amin is not None:
            return self.amin
        return 1e-5 if self.power == 1 else 1e-10

    def n_frames(self, n_samples: int) -> int:
        """Frames of a clip: 1 + (`n_samples` + padding - `n_fft`) // `hop_length`.

        Raises:
            ParameterError: fewer samples than `min_samples`.
        """
        if n_samples < self.min_samples:
            why = f"center={self.center}, pad_mode={self.pad_mode!r}, n_fft={self.n_fft}"
            raise ParameterError("n_samples", n_samples, f"at least {self.min_samples} with {why}")
        rest = n_samples if self.center else n_samples - self.n_fft
        return 1 + rest // self.hop_length


def instruction_sets() -> tuple[str, ...]:
    """Instruction sets that this machine supports, fastest first.

    They are some of "avx512", "avx2", "sse2", "neon" and, always, "scalar".
    """
    return _core.instruction_sets()


def instruction_set() -> str:
    """Instruction set of the kernels that are made from now on.

    It is the fastest, unless the environment variable `ASD_EDGE_SIMD` names another.

    Raises:
        ParameterError: `ASD_EDGE_SIMD` names one that this machine lacks.
    """
    available = instruction_sets()
    forced = os.environ.get("ASD_EDGE_SIMD")
    if not forced:
        return available[0]
    if forced not in available:
        raise ParameterError("ASD_EDGE_SIMD", forced, f"one of {', '.join(available)}")
    return forced


def _build_plan(config: MelConfig) -> Plan:
    return Plan(
        sr=config.sr,
        n_fft=config.n_fft,
        hop_length=config.hop_length,
        n_mels=config.n_mels,
        fmin=config.fmin,
        fmax=config.sr / 2 if config.fmax is None else config.fmax,
        power=config.power,
        db=config.log == "db",
        amin=config.floor,
        center=config.center,
        reflect=config.pad_mode == "reflect",
        instruction_set=instruction_set(),
    )


def _as_samples(y: ArrayLike) -> Samples:
    samples = np.asarray(y)
    if samples.ndim != 1:
        raise ParameterError("y", f"an array of shape {samples.shape}", "one dimension, (n,)")
    if samples.dtype.kind == "i" and samples.dtype.itemsize == 2:
        return np.ascontiguousarray(samples, dtype=np.int16)
    if samples.dtype.kind != "f":
        allowed = "floats, full scale at 1.0, or int16"
        raise ParameterError("y", f"an array of {samples.dtype}", allowed)
    return np.ascontiguousarray(samples, dtype=np.float32)


class MelSpectrogram:
    """Mel spectrograms of one configuration.

    Immutable; threads may share one: frames are computed without the interpreter's lock.

    Example:
        >>> mel = MelSpectrogram(MelConfig(sr=16000, n_fft=1024, hop_length=512, n_mels=128))
        >>> y = np.sin(2 * np.pi * 1000 * np.arange(16000) / 16000)  # 1 s of 1 kHz
        >>> whole = mel(y)
        >>> whole.shape, int(whole.mean(axis=1).argmax())
        ((128, 32), 42)
        >>> stream = mel.stream()  # the same frames from samples as they come, bit for bit
        >>> parts = [stream.push(y[:5000]), stream.push(y[5000:]), stream.finish()]
        >>> np.array_equal(np.concatenate(parts, axis=1), whole)
        True
    """

    def __init__(self, config: MelConfig | None = None) -> None:
        self._config = MelConfig() if config is None else config
        self._plan = _build_plan(self._config)
        self._min_samples = self._config.min_samples

    @property
    def config(self) -> MelConfig:
        """The configuration it was made with."""
        return self._config

    def __call__(self, y: ArrayLike) -> NDArray[np.float32]:
        """Mel spectrogram of a clip.

        Args:
            y: samples [shape=(n,)] of any stride: floats of any width, computed from as float32,
                or int16, full scale at 32768, scaled by the kernel as it reads them.
                Frames that see a NaN or infinite sample come out non-finite.

        Returns:
            [shape=(n_mels, n_frames)], C-contiguous.

        Raises:
            ParameterError: `y` is not one-dimensional, not of floats or int16, or shorter than
                `config.min_samples`.
        """
        samples = _as_samples(y)
        if samples.size < self._min_samples:
            self._config.n_frames(samples.size)  # says why
        return self._plan.compute(samples)

    def stream(self) -> MelStream:
        """Start a stream; its frames are those of the whole clip, bit for bit."""
        return MelStream(self._config, self._plan)

    def __reduce__(self) -> tuple[type[MelSpectrogram], tuple[MelConfig]]:
        # The plan is a C object; worker processes build their own.
        return type(self), (self._config,)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._config!r})"


class MelStream:
    """Mel spectrogram of samples that come in pieces; made by `MelSpectrogram.stream`.

    It keeps two frames, or one and 32 hops if that is more. One thread at a time may use it.
    """

    def __init__(self, config: MelConfig, plan: Plan) -> None:
        self._config = config
        self._stream = Stream(plan)
        self._n_samples = 0
        self._finished = False

    def push(self, y: ArrayLike) -> NDArray[np.float32]:
        """Take the next samples; give the frames that are complete with them.

        Args:
            y: samples [shape=(n,)], floats or int16; n may be 0.

        Returns:
            [shape=(n_mels, n_new_frames)], n_new_frames >= 0.

        Raises:
            ParameterError: `y` is not one-dimensional, not of floats or int16, or the stream is
                finished.
        """
        samples = _as_samples(y)
        if self._finished:
            raise ParameterError("stream", "finished", "a new stream for the next clip")
        frames = self._stream.push(samples)
        self._n_samples += samples.size
        return frames

    def finish(self) -> NDArray[np.float32]:
        """End the clip; give the frames that reach into the padding behind it.

        Returns:
            [shape=(n_mels, n_new_frames)], n_new_frames >= 0.

        Raises:
            ParameterError: the clip is shorter than `config.min_samples`, or the stream is
                finished already.
        """
        if self._finished:
            raise ParameterError("stream", "finished", "a new stream for the next clip")
        self._finished = True
        self._config.n_frames(self._n_samples)  # says why a clip is too short
        return self._stream.finish()


@lru_cache(maxsize=32)
def _cached(config: MelConfig) -> MelSpectrogram:
    return MelSpectrogram(config)


def melspectrogram(y: ArrayLike, **config: Any) -> NDArray[np.float32]:
    """Mel spectrogram of a clip in one line: `melspectrogram(y, sr=16000, n_mels=64)`.

    Args:
        y: samples [shape=(n,)], floats or int16.
        config: the fields of `MelConfig`; the plans of the latest configurations are kept.

    Returns:
        [shape=(n_mels, n_frames)], float32, C-contiguous.

    Raises:
        ParameterError: a value outside its range, or what `MelSpectrogram` says of `y`.
    """
    unknown = config.keys() - {field.name for field in fields(MelConfig)}
    if unknown:
        names = ", ".join(field.name for field in fields(MelConfig))
        raise ParameterError("argument", ", ".join(sorted(unknown)), f"one of {names}")
    return _cached(MelConfig(**config))(y)


def mel_filterbank(config: MelConfig) -> NDArray[np.float64]:
    """Weights of the mel filters [shape=(n_mels, 1 + n_fft / 2)].

    They come from the C core's plan, so that what is shown is what is computed with. Filters too
    narrow to hold a bin are rows of zeros.
    """
    return _cached(config)._plan.filterbank()
