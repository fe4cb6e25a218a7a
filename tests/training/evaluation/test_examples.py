from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd

from asd_training.data.clips import find_clips
from asd_training.evaluation import examples
from asd_training.evaluation.score import load_subject, score_clips


def scores(n: int) -> pd.DataFrame:
    """Section 01 scores a thousand times higher, and so is its threshold."""
    rng = np.random.default_rng(0)
    rows = []
    for i in range(n):
        section, label = f"{i % 2:02d}", ("normal", "anomaly")[i // 2 % 2]
        score = rng.normal(label == "anomaly") + 1000.0 * (i % 2)
        rows.append((f"{i}.wav", section, "", label, score, f"/x/{i}.wav"))
    columns = ["clip", "section", "domain", "label", "score", "path"]
    return pd.DataFrame(rows, columns=columns)


def test_extremes_are_told_apart_from_their_sections() -> None:
    table = scores(80)
    thresholds = {"00": 1.0, "01": 1001.0}
    chosen = examples.choose_extremes(table, thresholds)
    margin = table["score"] - table["section"].map(thresholds)
    for why, label, ascending in (
        ("highest normals", "normal", False),
        ("lowest anomalies", "anomaly", True),
    ):
        expected = margin[table["label"] == label].sort_values(ascending=ascending).index[:3]
        assert [i for w, i in chosen if w == why] == list(expected)
    expected = margin.sort_values(ascending=False).index[:3]
    assert [i for w, i in chosen if w == "most anomalous"] == list(expected)
    assert len({section for _, i in chosen for section in table.loc[[i], "section"]}) == 2
    unlabelled = examples.choose_extremes(table.assign(label="unknown"), thresholds)
    assert {why for why, _ in unlabelled} == {"most anomalous"}


class Recorder:
    """Stands for a detector: counts, and embeds a path's number."""

    def __init__(self) -> None:
        self.paths: list[str] = []

    def analyse(self, path: str) -> SimpleNamespace:
        self.paths.append(path)
        embeddings = {"a": np.full((2, 3), float(Path(path).stem)), "b": np.zeros((1, 5))}
        return SimpleNamespace(embeddings=embeddings)


def test_the_sample_is_bounded_and_even() -> None:
    detector, done = Recorder(), []
    sample = examples.sample_embeddings(detector, scores(4000), [], lambda: done.append(1))
    assert sample is not None
    assert len(detector.paths) == len(set(detector.paths)) == len(done) == examples.MAP_TEST
    counts = pd.Series(sample.sections).groupby([sample.sections, sample.kinds]).size()
    assert counts.tolist() == [examples.MAP_TEST // 4] * 4
    assert sample.views["a"].shape == (examples.MAP_TEST, 3)
    assert sample.views["a"][:, 0].tolist() == [float(Path(p).stem) for p in detector.paths]
    assert examples.sample_embeddings(Recorder(), scores(2), []) is None
    again = examples.sample_embeddings(Recorder(), scores(4000), [])
    np.testing.assert_array_equal(again.views["a"], sample.views["a"])


def test_on_a_detector(tiny_run: Path, tiny_data: Path) -> None:
    detector = load_subject(tiny_run).detector
    clips = find_clips(tiny_data)
    table, errors = score_clips(detector, [c for c in clips if c.split == "test"])
    assert not errors
    training = [c for c in clips if c.split == "train"]
    sample = examples.sample_embeddings(detector, table, training)
    assert sample is not None
    assert pd.Series(sample.kinds).value_counts().to_dict() == {
        "training": 24,
        "normal": 8,
        "anomaly": 8,
    }
    shown = examples.look_at(detector, table, {"00": 0.0, "01": 0.0})
    top = shown[0]
    assert top.why == "most anomalous"
    assert top.row["score"] == table["score"].max()
    np.testing.assert_array_equal(top.spectrogram, detector.analyse(top.row["path"]).mel(0))
