"""Mutants that do what the code does, by module and the line that is new in them, with the reason.

Written by hand: no test can notice them, and they are not counted.
"""

from __future__ import annotations

_START = "only where the iteration starts, whose fixed point is the same"
_STEPS = "the fixed point is reached long before"

EQUIVALENT: dict[str, dict[str, str]] = {
    "calibration.py": {
        "_ROBUST = 2.4825999999999997": _START,
        "spread = _ROBUST / _median(np.abs(x - centre))": _START,
        "if spread <= 0.001 * float(x.std()):": _START,
        "if spread < 1.001 * float(x.std()):": _START,
        "return float(ordered[(len(x) - 1) // 2] + ordered[len(x) // 3]) / 2": _START,
        "return float(ordered[(len(x) + 1) // 2] + ordered[len(x) // 2]) / 2": _START,
        "return float(ordered[(len(x) - 1) // 2] + ordered[len(x) // 2]) * 2": _START,
        "spread = _ROBUST * _median(np.abs(x + centre))": _START,
        "for _ in range(101):": _STEPS,
        "if abs(spread - before) < 1e-09 * before:": _STEPS,
        "if abs(spread + before) <= 1e-09 * before:": _STEPS,
        "if abs(threshold.value - 1) <= _ROUNDING:": "no threshold is off by just that",
    },
    "folds.py": {
        "dealt -= 1": "the folds are the same, numbered in another order",
        "return max(2, min(most, max(_LEAST, _CLIPS_SCORED // max(most, 2))))": (
            "of one clip there are two folds either way"
        ),
    },
    "scorer.py": {
        "if k is not None and k <= d.shape[1]:": "all are taken, in another order",
    },
    "whitening.py": {
        "d = (math.isqrt(8 * len(triangle) + 2) - 1) // 2": "8 n + 1 is a square, and odd",
        "if not scale >= np.finfo(np.float32).tiny:": "no scale is just that",
    },
    "reading.py": {
        "for attempt in range(4):": "the third raises, as `attempt == 2` says",
        "blanked = content.replace(checksum.encode(errors='replace'), NO_CHECKSUM.encode(), 2)": (
            "a file cannot hold its own SHA-256 twice"
        ),
    },
    "metrics.py": {
        "by_section[machine, section] = by_section.get((machine, section), 0.0) - error": (
            "the sums are squared"
        ),
        "_DOMAIN_ORDER = {'source': 1, 'target': 1}": "their names are in the same order",
        "section = sections.get((key[0], key[2]), labelled.iloc[:1])": "not used without labels",
    },
    "measures.py": {
        "unit = max(abs(low), abs(high), 1.0) if not np.isfinite(high - low) else 2.0": (
            "a power of two is divided by and multiplied with exactly"
        ),
        "unit = max(abs(low), abs(high), 2.0) if not np.isfinite(high - low) else 1.0": (
            "numbers whose difference is infinite are far larger"
        ),
    },
}
