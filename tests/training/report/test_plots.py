from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from asd_edge.errors import OptionalDependencyError, ParameterError
from asd_training.errors import DatasetError
from asd_training.evaluation.measures import threshold_sweep
from asd_training.report.plots import (
    histogram_figure,
    histogram_plot,
    roc_plot,
    training_curves,
)

HISTORY = pd.DataFrame(
    {"epoch": [1, 2, 3], "train_loss": [1.0, 0.5, 0.25], "val_loss": [1.1, np.nan, 0.6]}
)


def make_scores(machines: int, sections: int, domains=("source", "target"), n=12) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    rows = [
        {
            "clip": f"{i:04d}.wav",
            "machine": f"machine{m}",
            "section": f"{s:02d}",
            "domain": domain,
            "label": ("normal", "anomaly")[i % 2],
            "score": rng.normal(i % 2),
        }
        for m in range(machines)
        for s in range(sections)
        for domain in domains
        for i in range(n)
    ]
    return pd.DataFrame(rows)


def image(path: Path) -> np.ndarray:
    """Pixels (height, width, 4) in [0, 1]; raises when the file is no whole PNG."""
    import matplotlib.image

    assert path.read_bytes().startswith(b"\x89PNG")
    return matplotlib.image.imread(path)


def has_colour(pixels: np.ndarray, colour: str) -> bool:
    wanted = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    return bool((np.abs(pixels[..., :3] - wanted).max(axis=-1) < 0.02).any())


BLUE, ORANGE, VERMILLION = "#0072B2", "#E69F00", "#D55E00"


def test_roc_plot(tmp_path: Path) -> None:
    roc_plot(make_scores(1, 1), tmp_path / "roc.png")
    pixels = image(tmp_path / "roc.png")
    assert 300 < pixels.shape[0] < 1000
    assert 300 < pixels.shape[1] < 1000
    assert has_colour(pixels, BLUE)
    assert has_colour(pixels, ORANGE)
    roc_plot(make_scores(1, 1, domains=("source",)), tmp_path / "roc.png")
    assert not has_colour(image(tmp_path / "roc.png"), ORANGE)
    assert [path.name for path in tmp_path.iterdir()] == ["roc.png"]


def test_histogram_plot(tmp_path: Path) -> None:
    scores = make_scores(1, 1, domains=("",))
    path = tmp_path / "histogram.png"
    histogram_plot(scores, path)
    plain = image(path)
    assert has_colour(plain, BLUE)
    assert has_colour(plain, VERMILLION)
    for thresholds in ({"00": 0.5}, {("machine0", "00"): 0.5}):
        histogram_plot(scores, path, thresholds)
        assert not np.array_equal(image(path), plain)
    histogram_plot(scores, path, {"01": 0.5, ("machine1", "00"): 0.5})
    np.testing.assert_array_equal(image(path), plain)


def test_the_clips_above_a_histogram_are_those_of_its_auc() -> None:
    """From 2022 on, the normal clips of a domain stand against all anomalies of its section."""
    scores = make_scores(1, 1)
    source = scores["label"][scores["domain"] == "source"].value_counts()
    for year, anomalies in ((2021, source["anomaly"]), (2022, 2 * source["anomaly"])):
        titles = [ax.get_title() for ax in histogram_figure(scores, year=year).axes]
        assert f"({source['normal']} + {anomalies})" in titles[0]
    for unlabelled in (False, True):
        figure = histogram_figure(scores.assign(label="unknown") if unlabelled else scores)
        assert ("AUC" in figure.legends[0].get_title().get_text()) != unlabelled


def test_many_groups_fit(tmp_path: Path) -> None:
    scores = make_scores(7, 2)
    roc_plot(scores, tmp_path / "roc.png")
    histogram_plot(scores, tmp_path / "histogram.png", {"00": 0.0})
    for name in ("roc.png", "histogram.png"):
        height, width, _ = image(tmp_path / name).shape
        assert 600 < height < 2500
        assert 900 < width < 2500


def test_scores_that_are_odd(tmp_path: Path) -> None:
    scores = make_scores(1, 1, domains=("",))
    histogram_plot(scores.assign(score=3.0), tmp_path / "constant.png", {"00": 3.0})
    histogram_plot(scores.assign(label="unknown"), tmp_path / "unlabelled.png")
    for name in ("constant.png", "unlabelled.png"):
        assert image(tmp_path / name).std() > 0
    with pytest.raises(DatasetError, match="both normal and anomalous"):
        roc_plot(scores.assign(label="normal"), tmp_path / "roc.png")
    with pytest.raises(ParameterError, match="finite"):
        histogram_plot(scores.assign(score=np.nan), tmp_path / "nan.png")
    with pytest.raises(ParameterError, match="at least one clip"):
        histogram_plot(scores.iloc[:0], tmp_path / "none.png")
    assert {path.name for path in tmp_path.iterdir()} == {"constant.png", "unlabelled.png"}


def test_training_curves(tmp_path: Path) -> None:
    path = tmp_path / "curves.png"
    training_curves(HISTORY, path)
    pixels = image(path)
    assert pixels.shape[:2] == (456, 768)
    assert has_colour(pixels, BLUE)
    assert has_colour(pixels, VERMILLION)
    training_curves(HISTORY.drop(columns="val_loss"), path)
    assert not has_colour(image(path), VERMILLION)
    training_curves(HISTORY.iloc[:1], path)
    assert has_colour(image(path), BLUE)


def test_training_curves_need_losses(tmp_path: Path) -> None:
    path = tmp_path / "curves.png"
    with pytest.raises(ParameterError, match="train_loss"):
        training_curves(HISTORY.drop(columns="train_loss"), path)
    with pytest.raises(ParameterError, match="finite loss"):
        training_curves(HISTORY.iloc[:0], path)
    with pytest.raises(ParameterError, match="finite loss"):
        training_curves(HISTORY.assign(train_loss=np.nan, val_loss=np.nan), path)
    assert not path.exists()


def test_no_figure_is_left_behind(tmp_path: Path) -> None:
    """No pyplot, which would keep every figure; nothing but garbage is left of ours."""
    HISTORY.to_csv(tmp_path / "history.csv", index=False)
    make_scores(1, 1).to_csv(tmp_path / "scores.csv", index=False)
    program = """
import gc, sys
import pandas as pd
from asd_training.evaluation.measures import threshold_sweep
from asd_training.report.plots import histogram_plot, roc_plot, training_curves
assert "matplotlib" not in sys.modules, "imported before it is used"
scores = pd.read_csv("scores.csv", dtype={"section": str})
roc_plot(scores, "a.png"), histogram_plot(scores, "b.png")
training_curves(pd.read_csv("history.csv"), "c.png")
from matplotlib.figure import Figure
gc.collect()
assert not [item for item in gc.get_objects() if isinstance(item, Figure)], "a figure is alive"
assert "matplotlib.pyplot" not in sys.modules, "pyplot"
"""
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_without_matplotlib(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    for plot, table in ((roc_plot, make_scores(1, 1)), (training_curves, HISTORY)):
        with pytest.raises(OptionalDependencyError, match=r"asd-edge\[train\]"):
            plot(table, tmp_path / "plot.png")


def test_scores_near_the_largest_number_are_drawn(tmp_path: Path) -> None:
    rows = [("normal", -1.7e308), ("normal", 0.0), ("anomaly", 1.7e308), ("anomaly", 1e308)]
    scores = pd.DataFrame(rows, columns=["label", "score"]).assign(
        clip=list("abcd"), machine="fan", section="00", domain=""
    )
    histogram_plot(scores, tmp_path / "h.png", {("fan", "00"): 1e308})
    roc_plot(scores, tmp_path / "r.png")
    sweep = threshold_sweep(scores["label"] == "anomaly", scores["score"])
    assert sweep.auc == 1
    assert 0 <= sweep.threshold < 1e308
