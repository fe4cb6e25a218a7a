"""Student's t distribution, as far as thresholds from few clips need it.

Abramowitz and Stegun, Handbook of Mathematical Functions, 26.7.3 and 26.7.4: with a whole
number v of degrees of freedom the distribution function is a finite sum of powers of cos(theta),
theta = arctan(t / sqrt(v)). The terms that the finite sum leaves out of the infinite one are the
tail, without the cancellation of 1 - F: a rule over many windows needs it far below 1e-16.
"""

from __future__ import annotations

import math
from functools import cache

import numpy as np
from numpy.typing import NDArray

# The series of the tail falls by cos(theta)^2 a term; from t = sqrt(v) on that is a half or less.
_TERMS = 60


def quantile(q: float, dof: int) -> float:
    """Value that a share `q` of the distribution lies below.

    Args:
        q: above 0 and below 1.
        dof: degrees of freedom, at least 1.

    Returns:
        the quantile; its own share is within 1e-14 of `q`.
    """
    return upper_quantile(1 - q, dof) if q > 0.5 else -upper_quantile(q, dof)


@cache
def upper_quantile(p: float, dof: int) -> float:
    """Value that a share `p` of the distribution lies above.

    Args:
        p: above 0 and below 1, however small.
        dof: degrees of freedom, at least 1.
    """
    if p > 0.5:
        return -upper_quantile(1 - p, dof)
    low, high = 0.0, 1.0
    while float(upper_tail(np.array([high]), dof)[0]) > p:
        low, high = high, 2 * high
    # Halving down to the spacing of doubles: the tail falls throughout.
    for _ in range(64):
        middle = (low + high) / 2
        if float(upper_tail(np.array([middle]), dof)[0]) > p:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def upper_tail(t: NDArray[np.float64], dof: int) -> NDArray[np.float64]:
    """P(T >= t), with a relative error below 1e-9 however far out.

    Args:
        t: [shape=(n,)].
        dof: degrees of freedom, at least 1.

    Returns:
        [shape=(n,)], 0 to 1.

    Example:
        >>> upper_tail(np.array([0.0, 2.8965]), 8).round(3)
        array([0.5 , 0.01])
    """
    x = np.abs(np.asarray(t, dtype=np.float64))
    theta = np.arctan2(x, math.sqrt(dof))
    far = x >= math.sqrt(dof)
    tail = np.empty_like(x)
    if not far.all():
        tail[~far] = 0.5 - _between(theta[~far], dof)
    if far.any():
        tail[far] = _beyond(x[far], theta[far], dof)
    return np.where(np.asarray(t) >= 0, tail, 1 - tail)


def upper_tail_of_one(t: float, dof: int) -> float:
    """P(T >= t) of one number: what `upper_tail` gives, in a tenth of the time."""
    x, odd, root = abs(t), dof % 2, math.sqrt(dof)
    theta = math.atan2(x, root)
    sine, cosine = math.sin(theta), math.cos(theta)
    if x < root:
        series, power = 0.0, 1.0
        for c in _coefficients_of_one(0, dof // 2, odd):
            series += c * power
            power *= cosine * cosine
        inside = (theta + sine * cosine * series) / math.pi if odd else sine * series / 2
        tail = 0.5 - inside
    else:
        square = dof / (dof + x * x)  # cos(theta)^2, exact where theta rounds to pi / 2
        series, power = 0.0, square ** (dof // 2)
        for c in _coefficients_of_one(dof // 2, _TERMS, odd):
            series += c * power
            power *= square
            if power < 1e-17 * series:
                break
        tail = sine * math.sqrt(square) * series / math.pi if odd else sine * series / 2
    return tail if t >= 0 else 1 - tail


@cache
def _coefficients_of_one(first: int, count: int, odd: int) -> tuple[float, ...]:
    return tuple(_coefficients(first, count, odd).tolist())


@cache  # a part of every score
def _coefficients(first: int, count: int, odd: int) -> NDArray[np.float64]:
    """Coefficients number `first` and on of the series in cos(theta)^2."""
    k = np.arange(1, first + count)
    ratios = 2 * k / (2 * k + 1) if odd else (2 * k - 1) / (2 * k)
    every: NDArray[np.float64] = np.cumprod(np.append(1.0, ratios))
    return every[first : first + count]


def _between(theta: NDArray[np.float64], dof: int) -> NDArray[np.float64]:
    """P(0 <= T <= t), by the finite sum."""
    squares = np.cos(theta)[:, np.newaxis] ** 2
    count, odd = dof // 2, dof % 2
    series = (_coefficients(0, count, odd) * squares ** np.arange(count)).sum(axis=1)
    if odd:
        inside: NDArray[np.float64] = (theta + np.sin(theta) * np.cos(theta) * series) / math.pi
        return inside
    return np.asarray(np.sin(theta) * series / 2)


def _beyond(t: NDArray[np.float64], theta: NDArray[np.float64], dof: int) -> NDArray[np.float64]:
    """P(T >= t), by the terms that the finite sum leaves out; t is at least sqrt(dof)."""
    squares = (dof / (dof + t**2))[:, np.newaxis]  # cos(theta)^2, exact where theta rounds to pi/2
    first, odd = dof // 2, dof % 2
    powers = squares ** np.arange(first, first + _TERMS)
    series = (_coefficients(first, _TERMS, odd) * powers).sum(axis=1)
    if odd:
        tail: NDArray[np.float64] = np.sin(theta) * np.sqrt(squares[:, 0]) * series / math.pi
        return tail
    return np.asarray(np.sin(theta) * series / 2)
