"""Check the channels of a recording: whether they cancel in the mean, and whether one is dead.

A microphone wired the wrong way round inverts its channel, and the mean of it and another
that hears the same is noise. Scores of noise look normal, so such a recording is refused.
"""

from __future__ import annotations

from typing import Any

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


class ChannelLevels:
    """Means and covariances of the channels, added up block by block."""

    def __init__(self, channels: int) -> None:
        self._n = 0
        self._sum = np.zeros(channels)
        self._products = np.zeros((channels, channels))

    def add(self, x: NDArray[Any]) -> None:
        """Add a block [shape=(n, channels)] of finite values."""
        self._n += len(x)
        # In float32, like the samples: a level in dB needs no more. Products of a matrix with
        # itself and a vector of ones go through BLAS, sums over a short axis do not.
        x = np.ascontiguousarray(x, np.float32)
        # Samples far beyond full scale overflow; OpenBLAS on ARM64 also flags a division by zero
        # that has no part in the result.
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            self._sum += np.ones(len(x), np.float32) @ x
            self._products += x.T @ x

    def check(self, name: str) -> list[tuple[str, str]]:
        """Give warnings (kind, reason) about the channels.

        Raises:
            AudioError: the channels cancel in the mean.
        """
        if not (np.isfinite(self._products).all() and np.isfinite(self._sum).all()):
            return []
        mean = self._sum / self._n
        covariance = self._products / self._n - np.outer(mean, mean)
        rms = np.sqrt(np.maximum(np.diag(covariance), 0.0))
        alive = rms > _DEAD * rms.max()
        if not alive.any():  # all are constant: silence, which is said elsewhere
            return []
        warnings = []
        dead = np.flatnonzero(~alive).tolist()
        best = int((rms > 0.9 * rms.max()).argmax())  # the first of those that are as loud
        if dead:
            which = _named(dead)
            warnings.append(
                ("dead_channel", f"has no sound on {which}; --channel {best} takes channel {best}")
            )
        if alive.sum() < 2:
            return warnings
        covariance = covariance[np.ix_(alive, alive)]
        correlation = covariance / np.outer(rms[alive], rms[alive])
        powers = correlation.sum() / len(correlation), covariance.sum() / covariance.trace()
        if min(powers) < _CANCELLED:  # of equal channels, or as they are
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
        return warnings


def _named(numbers: list[int]) -> str:
    if len(numbers) == 1:
        return f"channel {numbers[0]}"
    return f"channels {', '.join(map(str, numbers[:-1]))} and {numbers[-1]}"
