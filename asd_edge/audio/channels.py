"""Check the channels of a recording: whether they cancel in the mean, and whether one is dead.

A microphone wired the wrong way round inverts its channel, and the mean of it and another
that hears the same is noise. Scores of noise look normal, so such a recording is refused.
"""

from __future__ import annotations

import operator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from asd_edge.errors import AudioError

# Mean power of channels with equal level, in units of what it would be if they were
# independent: 0 if they cancel, 1 if independent, the number of channels if equal. Two
# are below it if their correlation is below -0.8: Vorbis makes -0.89 of an exact inversion, a
# sample of delay -0.9, and noise 6 dB below the sound -0.89. Tones reach that at places half
# a wavelength apart, and the mean is then as worthless.
_CANCELLED = 0.2
# Correlation of two channels, whose mean lacks much of the sound.
_INVERTED = -0.5
# Below the loudest channel: 50 dB are beyond what two working microphones at one machine differ.
_DEAD = 10 ** (-50 / 20)
# Noise of an input without a microphone has less than -75 dBFS, and another 25 dB more.
_NOISE, _FAR_BELOW = 10 ** (-75 / 20), 10 ** (-25 / 20)


_PIECE_S = 5.0  # in which channels may cancel for a time
# A shorter piece tells little, and the last bit's noise cancels by chance.
_SHORTEST, _SOFTEST = 4096, 10 ** (-85 / 20)


class _Moments(NamedTuple):
    """Sums over samples of all channels: their number, their sum and their products."""

    n: int
    sum: NDArray[np.float64]
    products: NDArray[np.float64]

    def covariance(self) -> NDArray[np.float64]:
        """Covariance of the channels [shape=(channels, channels)]; not finite if they overflow."""
        mean = self.sum / self.n
        with np.errstate(over="ignore", invalid="ignore"):
            return np.asarray(self.products / self.n - np.outer(mean, mean))


class ChannelLevels:
    """Means and covariances of the channels, added up block by block.

    Args:
        channels: their number.
        rate: in Hz.
    """

    def __init__(self, channels: int, rate: int) -> None:
        self._piece, self._rate = max(round(_PIECE_S * rate), 1), rate
        self._all = _Moments(0, np.zeros(channels), np.zeros((channels, channels)))
        self._cancelling: int | None = None  # first frame of the first piece that does

    def add(self, x: NDArray[Any]) -> None:
        """Add a block [shape=(n, channels)] of finite values."""
        # In float32, like the samples: a level in dB needs no more. Products of a matrix with
        # itself and a vector of ones go through BLAS, sums over a short axis do not.
        x = np.ascontiguousarray(x, np.float32)
        for at in range(0, len(x), self._piece):
            part = x[at : at + self._piece]
            # Samples far beyond full scale overflow; OpenBLAS on ARM64 also flags a division by
            # zero that has no part in the result.
            with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
                sums = np.ones(len(part), np.float32) @ part
                # Zeros to write to: numpy 2.4's OpenBLAS on ARM64 (SSYRK) multiplies what stands
                # there by 0, and memory that held NaN would switch the check off.
                products = np.zeros((part.shape[1],) * 2, np.float32)
                np.matmul(part.T, part, out=products)
                piece = _Moments(len(part), sums.astype(float), products.astype(float))
                total = map(operator.add, self._all, piece)
                begin, self._all = self._all.n, _Moments(*total)
            if self._cancelling is None and len(part) >= _SHORTEST and _cancels(piece):
                self._cancelling = begin

    def mixed(self, x: NDArray[Any]) -> NDArray[np.float32]:
        """Add a block likewise, and give the mean of its channels [shape=(n,)]."""
        self.add(x)
        if x.shape[1] == 2:  # by hand, which is the same and ten times as quick
            y: NDArray[np.float32] = x[:, 0] + x[:, 1]
            y *= np.float32(0.5)
            return y
        mean: NDArray[np.float32] = x.mean(axis=1, dtype=np.float32)
        return mean

    def check(self, name: str) -> list[tuple[str, str]]:
        """Give warnings (kind, reason) about the channels.

        Raises:
            AudioError: the channels cancel in the mean.
        """
        covariance = self._all.covariance()
        if not np.isfinite(covariance).all():
            return []
        rms, alive = _levels(covariance)
        if not alive.any():  # all are constant: silence, which is said elsewhere
            return []
        warnings = []
        noise = (rms < _NOISE) & (rms < _FAR_BELOW * rms.max())
        dead = np.flatnonzero(~alive | noise).tolist()
        best = int((rms > 0.9 * rms.max()).argmax())  # the first of those that are as loud
        if dead:
            which = _named(dead)
            reason = f"has no sound, or mere noise, on {which}"
            warnings.append(("dead_channel", f"{reason}; --channel {best} takes channel {best}"))
        if alive.sum() < 2:
            return warnings
        correlation, power = _in_the_mean(covariance)
        if power < _CANCELLED:
            raise AudioError(
                name,
                "has channels that cancel in their mean (one is inverted): "
                f"take one, as with --channel {best}",
                kind="channels_cancel",
            )
        if correlation.min() < _INVERTED:
            numbers = np.flatnonzero(alive)[
                list(np.unravel_index(correlation.argmin(), correlation.shape))
            ]
            which = _named(sorted(numbers.tolist()))
            warnings.append(
                ("inverted_channel", f"has opposite sound on {which}; --channel {best} takes one")
            )
        elif self._cancelling is not None:
            start = f"{self._cancelling / self._rate:.0f} s"
            reason = f"has channels that cancel in their mean for a time, first at about {start}"
            warnings.append(("inverted_channel", f"{reason}; --channel {best} takes one"))
        return warnings


def _levels(covariance: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Root mean square of each channel, and which are alive."""
    rms = np.sqrt(np.maximum(np.diag(covariance), 0.0))
    return rms, rms > _DEAD * rms.max()


def _in_the_mean(covariance: NDArray[np.float64]) -> tuple[NDArray[np.float64], float]:
    """Correlation of the channels that are alive, and what is left of their power in the mean.

    The power is in the units of _CANCELLED: of equal channels, or as they are, whichever is less.
    """
    rms, alive = _levels(covariance)
    covariance = covariance[np.ix_(alive, alive)]
    correlation = covariance / np.outer(rms[alive], rms[alive])
    powers = correlation.sum() / len(correlation), covariance.sum() / covariance.trace()
    return correlation, float(min(powers))


def _cancels(piece: _Moments) -> bool:
    """Whether the channels cancel in a piece that has sound on two of them."""
    covariance = piece.covariance()
    if not np.isfinite(covariance).all():
        return False
    rms, alive = _levels(covariance)
    if alive.sum() < 2 or rms.max() < _SOFTEST:
        return False
    return _in_the_mean(covariance)[1] < _CANCELLED


def _named(numbers: list[int]) -> str:
    if len(numbers) == 1:
        return f"channel {numbers[0]}"
    return f"channels {', '.join(map(str, numbers[:-1]))} and {numbers[-1]}"
