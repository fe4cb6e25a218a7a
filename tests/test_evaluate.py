"""asd-evaluate: what it writes, what it prints, what it says when labels are missing."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest
from conftest import invoke
from sklearn.metrics import roc_auc_score

from asd_training.cli_evaluate import main


def test_files_and_figures(tmp_path: Path, tiny_bundle: Path, tiny_data: Path) -> None:
    result = invoke(main, tiny_bundle, tiny_data, "-o", tmp_path / "e", "--json")
    assert sorted(p.name for p in (tmp_path / "e").iterdir()) == [
        "anomaly_score_hummer_section_00_source_test.csv",
        "anomaly_score_hummer_section_01_source_test.csv",
        "decision_result_hummer_section_00_source_test.csv",
        "decision_result_hummer_section_01_source_test.csv",
        "result.csv",
        "roc.png",
        "scores.png",
    ]
    rows = [json.loads(line) for line in result.stdout.splitlines()]
    for section in ("00", "01"):
        path = tmp_path / "e" / f"anomaly_score_hummer_section_{section}_source_test.csv"
        frame = pd.read_csv(path, names=["clip", "score"])
        labels = frame["clip"].str.contains("anomaly")
        (row,) = [r for r in rows if r.get("section") == section]
        assert row["auc"] == pytest.approx(roc_auc_score(labels, frame["score"]))
        assert row["pauc"] == pytest.approx(roc_auc_score(labels, frame["score"], max_fpr=0.1))
        assert row["sweep_auc"] >= 0.5
    assert {r["mean"] for r in rows if "mean" in r} == {"arithmetic", "harmonic"}


def test_table(tmp_path: Path, tiny_run: Path, tiny_data: Path) -> None:
    result = invoke(main, tiny_run, tiny_data, "-o", tmp_path / "e", "--device", "cpu")
    assert "AUC" in result.stdout
    assert "arithmetic mean" in result.stdout
    assert len(result.stderr.splitlines()) == 1


def test_a_machine_without_test_labels(tmp_path: Path, tiny_bundle: Path, tiny_data: Path) -> None:
    """The scores are written, for a challenge wants them; the metrics are one clear error."""
    data = tmp_path / "data" / "hummer" / "test"
    data.mkdir(parents=True)
    for i, clip in enumerate(sorted((tiny_data / "hummer/test").glob("*.wav"))):
        shutil.copy(clip, data / f"section_{clip.name.split('_')[1]}_{i:04d}.wav")
    result = invoke(main, tiny_bundle, data.parent.parent, "-o", tmp_path / "e", status=1)
    error = [line for line in result.stderr.splitlines() if line.startswith("Error: ")]
    assert len(error) == 1
    assert "none of its 16 test clips is labelled" in error[0]
    assert (tmp_path / "e" / "anomaly_score_hummer_section_00_test.csv").exists()


def test_an_unreadable_clip_is_named_and_the_rest_evaluated(
    tmp_path: Path, tiny_bundle: Path, tiny_data: Path
) -> None:
    data = Path(shutil.copytree(tiny_data, tmp_path / "data"))
    bad = data / "hummer/test/section_00_source_test_normal_0000.wav"
    bad.write_bytes(b"junk")
    result = invoke(main, tiny_bundle, data, "-o", tmp_path / "e", status=1)
    assert str(bad) in result.stderr
    assert "arithmetic mean" in result.stdout


def test_scores_folder(tmp_path: Path, tiny_bundle: Path, tiny_data: Path) -> None:
    """What was written is evaluated to the same result again."""
    first, again = tmp_path / "first", tmp_path / "again"
    invoke(main, tiny_bundle, tiny_data, "-o", first)
    invoke(main, "--scores", first, "-o", again)
    assert (again / "result.csv").read_bytes() == (first / "result.csv").read_bytes()


def test_published_scores_give_the_published_result(tmp_path: Path, recordings: Path) -> None:
    published = recordings / "dcase2021_scores" / "autoencoder"
    invoke(main, "--scores", published, "-o", tmp_path)
    assert (tmp_path / "result.csv").read_bytes() == (published / "result.csv").read_bytes()


def test_wrong_use(tmp_path: Path, tiny_bundle: Path, tiny_data: Path) -> None:
    def message(*arguments: object, status: int = 1) -> str:
        return invoke(main, *arguments, "-o", tmp_path / "e", status=status).stderr

    assert "Give MODEL and DATA" in message(status=2)
    assert "takes neither" in message(tiny_bundle, "--scores", tmp_path, status=2)
    assert "no such run or bundle" in message(tmp_path / "none", tiny_data)
    assert "neither a run" in message(tmp_path, tiny_data)
    assert "no such folder" in message(tiny_bundle, tmp_path / "none")
    assert "'pump'" in message(tiny_bundle, tiny_data, "--machine", "pump")
    train_only = tmp_path / "data"
    shutil.copytree(tiny_data / "hummer/train", train_only / "hummer/train")
    assert "has no test clips" in message(tiny_bundle, train_only)
