"""How soon an alarm comes: a machine's faulty clips, one a window, in orders drawn at random.

    python benchmarks/alarm_orders.py DIR/fan 00

enrolls the training clips of a section (names of DCASE 2021) and prints in what share of the orders
the alarm comes with the k-th window of a fault at the latest, or with the one after it: by the
monitor's rule, and by one that also looks at how far above the threshold windows lie. That one
raises as well when the product of the last three p-values is small enough. The alarms a day that it
adds on normal sound are those of a product of three independent uniform numbers.
"""

from __future__ import annotations

import argparse
import math
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

import asd_edge
from asd_edge.monitor import alarms
from asd_edge.monitor.config import AlarmConfig

RULE, ORDERS = AlarmConfig(), 2000
WINDOWS_A_DAY = 8640
FACTORS, PRODUCTS = 3, (0.0, 1e-9, 1e-8, 1e-7)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("data", type=Path, help="folder with train/ and test/")
    parser.add_argument("section")
    options = parser.parse_args()
    ratios, p_values = _scored(options.data, options.section)
    print("ratios of the faulty clips:", ", ".join(f"{r:.2f}" for r in ratios))
    rng = np.random.default_rng(0)
    orders = [rng.permutation(len(ratios)) for _ in range(ORDERS)]
    k = RULE.k
    print(f"product  added a day  within {k}  within {k + 1}")
    for product in PRODUCTS:
        raised = np.array([_raised(order, ratios, p_values, product) for order in orders])
        within = [f"{np.mean(raised <= n):9.1%}" for n in (k, k + 1)]
        print(f"{product:7g}  {_added_a_day(product):11.3f}", *within)


def _scored(data: Path, section: str) -> tuple[list[float], list[float]]:
    with tempfile.TemporaryDirectory() as folder:
        bundle = Path(folder) / "machine.asd"
        normal = sorted(data.glob(f"train/section_{section}*"))
        asd_edge.enroll([str(path) for path in normal], bundle)
        detector = asd_edge.Detector.load(bundle)
    faulty = sorted(data.glob(f"test/section_{section}*anomaly*"))
    decided = [detector.score(path, section=section) for path in faulty]
    ratios = [d.score / d.threshold for d in decided]
    return ratios, [detector.calibration.p_value(section, d.score) for d in decided]


def _raised(
    order: Sequence[int], ratios: Sequence[float], p_values: Sequence[float], product: float
) -> int:
    """Give the number of the window, from 1, with which the alarm is raised."""
    state, heard = alarms.AlarmState(), alarms.Ratios()
    recent: list[float] = []
    for number in range(1, 10 * len(order) + 10):
        clip = order[(number - 1) % len(order)]
        heard = alarms.listen(RULE, heard, ratios[clip], float(number))
        recent = [*recent, p_values[clip]][-FACTORS:]
        extreme = len(recent) == FACTORS and math.prod(recent) <= product
        if extreme or alarms.wish(RULE, heard, state, float(number)) == "raise":
            return number
    raise SystemExit("these faults raise no alarm")


def _added_a_day(product: float) -> float:
    """P(U1 U2 U3 <= x) = x * sum of (-ln x)^i / i! for i < 3, times the windows of a day."""
    if not product:
        return 0.0
    log = -math.log(product)
    share = product * sum(log**i / math.factorial(i) for i in range(FACTORS))
    return WINDOWS_A_DAY * share


if __name__ == "__main__":
    main()
