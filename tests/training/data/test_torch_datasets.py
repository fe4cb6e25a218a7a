"""Triplets, test items, references and held-out clips."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

from asd_edge.errors import ParameterError
from asd_edge.frontend.mel import MelConfig
from asd_edge.frontend.windows import FrontEnd
from asd_edge.scoring.fit import fit_scorer
from asd_edge.scoring.normals import NormalEmbeddings
from asd_training import presets
from asd_training.data.feature_table import FeatureTable
from asd_training.data.holdout import held_out
from asd_training.data.torch_datasets import ClassDataset, MachineDataset
from asd_training.errors import SingleSectionError
from asd_training.reference_selection import view_rules

FRONT_END = FrontEnd(MelConfig(sr=8000, n_fft=256, hop_length=4000, n_mels=1), clip_seconds=0.5)


def make_table(sections: list[str], labels: list[str] | None = None) -> FeatureTable:
    """The feature of a clip is its row number, so that an item tells where it came from."""
    n = len(sections)
    clips = {
        "clip": np.array([f"clip_{i}.wav" for i in range(n)]),
        "machine": np.full(n, "fan"),
        "section": np.array(sections),
        "domain": np.full(n, "source"),
        "label": np.array(labels or ["normal"] * n),
        "n_windows": np.ones(n, int),
        "first": np.arange(n),
    }
    features = np.broadcast_to(np.arange(n, dtype=np.float32)[:, None, None], (n, *FRONT_END.shape))
    return FeatureTable(FRONT_END, clips, np.ascontiguousarray(features))


SECTIONS = ["00"] * 5 + ["01"] * 4 + ["02"] * 3


def rows_of(item: tuple[object, ...]) -> list[int]:
    return [int(feature.flatten()[0]) for feature in item if isinstance(feature, torch.Tensor)]


def test_triplets() -> None:
    dataset = MachineDataset(make_table(SECTIONS), "train", seed=3)
    assert len(dataset) == 12
    seen_positive: set[tuple[int, int]] = set()
    seen_negative: set[tuple[int, int]] = set()
    for epoch in range(200):
        dataset.set_epoch(epoch)
        for i in range(len(dataset)):
            anchor, positive, negative = rows_of(dataset[i])
            assert anchor == i
            assert positive != i
            assert SECTIONS[positive] == SECTIONS[i]
            assert SECTIONS[negative] != SECTIONS[i]
            seen_positive.add((i, positive))
            seen_negative.add((i, negative))
    assert len(seen_positive) == 5 * 4 + 4 * 3 + 3 * 2  # every pair comes up
    assert len(seen_negative) == 5 * 7 + 4 * 8 + 3 * 9


def test_triplets_depend_on_seed_and_epoch_alone() -> None:
    def draw(seed: int, epoch: int, order: range) -> dict[int, list[int]]:
        dataset = MachineDataset(make_table(SECTIONS), "train", seed)
        dataset.set_epoch(epoch)
        return {i: rows_of(dataset[i]) for i in order}

    assert draw(1, 2, range(12)) == draw(1, 2, range(11, -1, -1))
    assert draw(1, 2, range(12)) != draw(1, 3, range(12))
    assert draw(1, 2, range(12)) != draw(2, 2, range(12))


def test_few_clips_are_gone_through_several_times() -> None:
    dataset = MachineDataset(make_table(SECTIONS), "train", min_items=25)
    assert len(dataset) == 36
    items = [rows_of(dataset[i]) for i in range(36)]
    assert [item[0] for item in items] == 3 * list(range(12))
    assert items[:12] != items[12:24]


def test_a_section_of_one_clip_is_its_own_positive() -> None:
    dataset = MachineDataset(make_table(["00", "01", "01"]), "train")
    assert rows_of(dataset[0])[:2] == [0, 0]


def test_test_items() -> None:
    labels = ["normal", "anomaly", "unknown"]
    dataset = MachineDataset(make_table(["00", "00", "01"], labels), "test")
    items = [dataset[i] for i in range(3)]
    assert [rows_of(item) for item in items] == [[0], [1], [2]]
    assert [item[1:] for item in items] == [("00", 0), ("00", 1), ("01", -1)]


def test_sample_to_infer() -> None:
    dataset = MachineDataset(make_table(SECTIONS), "train", seed=1)
    drawn = dataset.sample_to_infer(4)
    assert {name: len(rows) for name, rows in drawn.items()} == {"00": 4, "01": 4, "02": 3}
    for name, rows in drawn.items():
        assert len(set(rows.tolist())) == len(rows)
        assert {SECTIONS[row] for row in rows} == {name}
    again = dataset.sample_to_infer(4)
    assert all((drawn[name] == again[name]).all() for name in drawn)
    draws = {tuple(dataset.sample_to_infer(2, seed)["00"].tolist()) for seed in range(200)}
    assert len(draws) == 10  # every pair of five comes up


def test_one_section_says_what_to_do() -> None:
    with pytest.raises(SingleSectionError, match="record a second machine"):
        MachineDataset(make_table(["00", "00"]), "train")


def test_wrong_use() -> None:
    with pytest.raises(ParameterError, match="split"):
        MachineDataset(make_table(SECTIONS), "validation")
    with pytest.raises(ParameterError, match="empty"):
        MachineDataset(make_table(SECTIONS).take(np.zeros(12, bool)), "train")
    with pytest.raises(ParameterError, match="n is 0"):
        MachineDataset(make_table(SECTIONS), "train").sample_to_infer(0)


def test_held_out_clips() -> None:
    clips = pd.DataFrame(
        {
            "section": ["00"] * 10 + ["00"] * 3 + ["01"] * 4 + ["02"] * 2,
            "domain": ["source"] * 10 + ["target"] * 3 + ["source"] * 6,
        }
    )
    groups = clips["section"].to_numpy(dtype=str), clips["domain"].to_numpy(dtype=str)
    chosen = held_out(*groups, 0.2, seed=0)
    counts = clips[chosen].groupby(["section", "domain"]).size()
    assert counts.to_dict() == {("00", "source"): 2, ("00", "target"): 1, ("01", "source"): 1}
    assert (held_out(*groups, 0.2, seed=0) == chosen).all()
    assert any((held_out(*groups, 0.2, seed=s) != chosen).any() for s in range(1, 5))


def test_classes_are_sections() -> None:
    dataset = ClassDataset(make_table(SECTIONS), min_items=30)
    assert dataset.classes.tolist() == ["00", "01", "02"]
    assert len(dataset) == 36
    for i in (0, 5, 11, 12, 35):
        feature, label = dataset[i]
        assert rows_of((feature,)) == [i % 12]
        assert dataset.classes[label] == SECTIONS[i % 12]


def test_the_report_s_evaluation_by_its_data_set_is_that_of_the_preset() -> None:
    """Mean PairwiseDistance of each test item to the clips of `sample_to_infer`."""
    train = MachineDataset(make_table(SECTIONS), "train")
    test = MachineDataset(make_table(["01", "00"], ["normal", "anomaly"]), "test")
    distance = torch.nn.PairwiseDistance()
    features = torch.stack([train.feature(row) for row in range(len(SECTIONS))]).flatten(1)
    drawn = np.concatenate(list(train.sample_to_infer(5, seed=3).values()))

    names = np.array([f"{row:02}" for row in range(len(SECTIONS))])
    normals = NormalEmbeddings(
        {"embedding": features.numpy()}, names, np.array(SECTIONS), np.full(len(names), "")
    )
    scorer = fit_scorer(view_rules(presets.load("report"), seed=3), normals)
    for i in range(len(test)):
        feature, section, _ = test[i]
        assert isinstance(feature, torch.Tensor)
        clip = feature.flatten()[None]
        expected = float(distance(clip, features[drawn]).mean())
        assert expected > 0
        found = scorer.score({"embedding": clip.numpy()}, str(section))
        assert found.score == pytest.approx(expected, rel=1e-4)
