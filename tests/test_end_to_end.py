"""Real recordings, from wav files to a decision; two epochs, since the way counts here."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from helpers import invoke

from asd_edge.cli.main import main as edge
from asd_export.cli import main as export
from asd_training.cli.evaluate import main as evaluate
from asd_training.cli.train import main as train


@pytest.mark.parametrize(("machine", "n_test"), [("fan", 27), ("motor", 16)])
def test_from_recordings_to_decisions(
    tmp_path: Path, recordings: Path, machine: str, n_test: int
) -> None:
    data = recordings / "machines" / "dev_data"
    run, bundle = tmp_path / "run", tmp_path / f"{machine}.asd"
    cache = tmp_path / "cache"
    invoke(train, data, "--machine", machine, "-o", run, "--epochs", 2, "--cache", cache)
    invoke(export, run, "-o", bundle)
    invoke(edge, "verify", bundle)
    invoke(evaluate, run, data, "-o", tmp_path / "by_run")
    invoke(evaluate, bundle, data, "-o", tmp_path / "by_bundle")
    output = invoke(edge, "score", data / machine / "test", "--bundle", bundle, "--json").stdout
    rows = {Path(row["clip"]).name: row for row in map(json.loads, output.splitlines())}
    assert len(rows) == n_test
    for folder in (tmp_path / "by_run", tmp_path / "by_bundle"):
        seen = 0
        for path in folder.glob("anomaly_score_*.csv"):
            for line in path.read_text().splitlines():
                clip, score = line.split(",")
                assert float(score) == pytest.approx(rows[clip]["score"], rel=1e-4)
                seen += 1
        assert seen == n_test
    odd = invoke(edge, "score", recordings / "odd_formats", "--bundle", bundle, "--json").stdout
    assert len(odd.splitlines()) == 2
