from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asd_edge.scoring.calibration import Threshold
from asd_training.evaluation.false_alarm_costs import (
    RATES,
    costs,
    quantile,
    thresholds_of_normals,
    total,
)


def table(section: str, normal: list[float], anomaly: list[float]) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "section": section,
            "label": ["normal"] * len(normal) + ["anomaly"] * len(anomaly),
            "score": normal + anomaly,
        }
    )


def test_counts_and_rates() -> None:
    scores = pd.concat([table("00", [1, 2, 3, 4], [3, 5]), table("01", [10, 20], [30])])
    thresholds = {
        ("00", 0.1): Threshold(3.0, "fitted", 50),
        ("01", 0.1): Threshold(25.0, "fitted", 9),
    }
    found = costs(scores, thresholds, every_seconds=60)
    assert found[["caught", "n_anomaly", "alarms", "n_normal"]].to_numpy().tolist() == [
        [2, 2, 2, 4],  # a score at the threshold is anomalous
        [1, 1, 0, 2],
    ]
    # 1440 minutes a day.
    assert found["per_day"].tolist() == pytest.approx([144, 144])
    (row,) = total([found]).to_dict("records")
    assert (row["caught"], row["n_anomaly"], row["alarms"], row["n_normal"]) == (3, 3, 2, 6)
    assert row["per_day"] == pytest.approx(144)
    assert total([]).empty


@given(
    st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=60), st.sampled_from([*RATES, 0.25, 0.5])
)
def test_quantile_is_the_lowest_threshold_that_keeps_the_rate(normal, rate) -> None:
    threshold = quantile(normal, rate)
    assert np.mean(np.array(normal) >= threshold) <= rate
    lower = math.nextafter(threshold, -math.inf)
    assert np.mean(np.array(normal) >= lower) > rate


def test_thresholds_of_normals() -> None:
    scores = pd.concat([table("00", [1.0, 2.0, 3.0], [0.5]), table("01", [], [1.0])])
    found = thresholds_of_normals(scores)
    assert {section for section, _ in found} == {"00"}
    assert found["00", 0.1].value == math.nextafter(3.0, math.inf)
    assert found["00", 0.1].rule == "test"
