from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.stats

from asd_training.evaluation import dcase_files, published
from asd_training.evaluation.metrics import evaluate


def evaluated(machine: str, sections: tuple[str, ...], clips: int, year: int):
    rows = [
        {
            "clip": f"{s}{d}{i}",
            "machine": machine,
            "section": s,
            "domain": d,
            "label": ("normal", "anomaly")[i % 2],
            "score": float(i % 3),
        }
        for s in sections
        for d in ("source", "target")
        for i in range(clips // len(sections) // 2)
    ]
    return evaluate(pd.DataFrame(rows), year=year)


def test_every_figure_is_plausible_and_has_a_source() -> None:
    table = published.read()
    assert table["source"].str.len().min() > 10
    single = table[table["machine"] != "all"]
    assert single[["auc", "pauc"]].gt(0.3).all(axis=None)
    assert single[["auc", "pauc"]].lt(1).all(axis=None)
    assert not single.duplicated(["year", "set", "system", "machine", "domain"]).any()
    assert table.loc[table["machine"] == "all", "score"].between(0.4, 0.8).all()


@pytest.mark.parametrize("year", [2023, 2024, 2025])
def test_machines_give_the_official_score(year: int) -> None:
    """The organisers' total is the harmonic mean of their figures by machine."""
    table = published.read().query("year == @year and set == 'eval'")
    for system, rows in table.groupby("system"):
        single = rows[rows["machine"] != "all"]
        values = [*single["auc"], *single.loc[single["domain"] == "source", "pauc"]]
        (total,) = rows.loc[rows["machine"] == "all", "score"]
        assert total == pytest.approx(scipy.stats.hmean(values), abs=2e-6), system


def test_the_rerun_of_2021(recordings: Path) -> None:
    results = evaluate(
        dcase_files.read_score_folder(recordings / "dcase2021_scores" / "autoencoder")
    )
    found = published.find(results)
    assert not found.mismatches
    ours = found.machines[found.machines["system"] == "autoencoder"].set_index("machine")
    means = results.machine_means.query("mean == 'harmonic'").set_index("machine")
    assert list(ours.index) == list(means.index)
    np.testing.assert_allclose(ours[["auc", "pauc"]], means[["auc", "pauc"]], rtol=1e-5)
    (score,) = found.overall.loc[found.overall["source"].str.contains("rerun"), "score"]
    assert score == pytest.approx(results.official_score, rel=1e-5)
    assert set(found.overall["set"]) == {"dev"}


def test_which_figures_fit() -> None:
    found = published.find(evaluated("Polisher", ("00",), 200, 2022), year_given=False)
    assert set(found.machines["year"]) == set(found.overall["year"]) == {2025}
    assert not found.mismatches
    found = published.find(evaluated("Polisher", ("00",), 40, 2025))
    assert found.mismatches == (
        "Polisher has 40 labelled test clips here, 200 in the data set of 2025",
    )
    assert len(published.find(evaluated("Polisher", ("00",), 200, 2024)).machines) == 0
    assert len(published.find(evaluated("fan", ("00", "01"), 200, 2022)).machines) == 0
    assert len(published.find(evaluated("fan", ("00", "01", "02"), 600, 2022)).machines) == 4
    found = published.find(evaluated("fan", ("03", "04", "05"), 600, 2021))
    assert len(found.machines) == 0
    assert set(found.overall["set"]) == {"eval"}
