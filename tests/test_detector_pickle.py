"""A detector travels to other processes: its path and options do, the session is made anew."""

from __future__ import annotations

import multiprocessing
import pickle
from pathlib import Path

import pytest

from asd_edge import Detector
from asd_edge.bundle.format import read_bundle


def test_in_another_process(
    tiny_bundle: Path, tiny_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip = next((tiny_data / "hummer" / "test").glob("*.wav"))
    monkeypatch.chdir(tiny_bundle.parent)  # the other process may be elsewhere
    detector = Detector.load(tiny_bundle.name, threads=2, false_alarm_rate=0.2)
    monkeypatch.chdir(tiny_data)
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.apply(detector.score, (clip,)) == detector.score(clip)


def test_options_travel(tiny_bundle: Path) -> None:
    copy = pickle.loads(pickle.dumps(Detector.load(tiny_bundle, threads=2, threshold=3.0)))
    assert copy.model.threads == 2
    assert copy.threshold("00").value == 3.0
    assert len(pickle.dumps(copy)) < 1000


def test_one_made_in_memory_says_why_not(tiny_bundle: Path) -> None:
    with pytest.raises(TypeError, match=r"Detector.load"):
        pickle.dumps(Detector.from_bundle(read_bundle(tiny_bundle)))
