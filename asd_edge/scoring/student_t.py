"""Student's t distribution, as far as thresholds from few clips need it.

Abramowitz and Stegun, Handbook of Mathematical Functions, 26.7.3 and 26.7.4: with a whole
number v of degrees of freedom the distribution function is a finite sum in
theta = arctan(t / sqrt(v)).
"""

from __future__ import annotations

import math

import numpy as np


def quantile(q: float, dof: int) -> float:
    """Value that a share `q` of the distribution lies below.

    Args:
        q: above 0 and below 1.
        dof: degrees of freedom, at least 1.

    Returns:
        the quantile; its own share is within 1e-14 of `q`.
    """
    if q < 0.5:
        return -quantile(1 - q, dof)
    low, high = 0.0, math.pi / 2
    # Halving down to the spacing of doubles: the share of theta rises throughout.
    for _ in range(64):
        theta = (low + high) / 2
        if _share(theta, dof) < q:
            low = theta
        else:
            high = theta
    return math.sqrt(dof) * math.tan((low + high) / 2)


def _share(theta: float, dof: int) -> float:
    """P(T <= t) for t = sqrt(dof) tan(theta), theta from 0 to pi / 2."""
    cos, sin = math.cos(theta), math.sin(theta)
    if dof % 2:
        k = np.arange(1, dof // 2)
        terms = cos * np.cumprod(np.append(1.0, cos**2 * (2 * k) / (2 * k + 1)))
        inside = theta + (sin * float(terms.sum()) if dof > 1 else 0.0)
        return 0.5 + inside / math.pi
    k = np.arange(1, dof // 2)
    terms = np.cumprod(np.append(1.0, cos**2 * (2 * k - 1) / (2 * k)))
    return 0.5 + 0.5 * sin * float(terms.sum())
