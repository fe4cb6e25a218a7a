"""Export: PyTorch, onnxruntime, the edge path and the command line give the same scores."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import onnx
import pandas as pd
import pytest
import torch
from conftest import invoke

from asd_edge import bundle
from asd_edge.cli import main as edge
from asd_edge.model import METADATA_KEY, EmbeddingModel
from asd_export.cli import main as export
from asd_export.network import to_onnx
from asd_training import presets, run
from asd_training.cli_evaluate import main as evaluate
from asd_training.model import TripletCNN


def official_scores(folder: Path) -> dict[str, float]:
    files = sorted(folder.glob("anomaly_score_*.csv"))
    frame = pd.concat([pd.read_csv(f, names=["clip", "score"]) for f in files])
    return dict(zip(frame["clip"], frame["score"], strict=True))


def test_run_bundle_and_command_line_agree(
    tmp_path: Path, tiny_run: Path, tiny_bundle: Path, tiny_data: Path
) -> None:
    invoke(evaluate, tiny_run, tiny_data, "-o", tmp_path / "run", "--device", "cpu")
    invoke(evaluate, tiny_bundle, tiny_data, "-o", tmp_path / "bundle")
    by_run, by_bundle = official_scores(tmp_path / "run"), official_scores(tmp_path / "bundle")
    output = invoke(edge, "score", tiny_data / "hummer/test", "--bundle", tiny_bundle, "--json")
    by_edge = {
        Path(row["clip"]).name: row["score"] for row in map(json.loads, output.stdout.splitlines())
    }
    assert by_run.keys() == by_bundle.keys() == by_edge.keys()
    assert len(by_run) == 16
    for clip, score in by_edge.items():
        assert by_bundle[clip] == pytest.approx(score, rel=1e-4)
        assert by_run[clip] == pytest.approx(score, rel=1e-4)


def test_the_bundle_holds_what_the_run_says(tiny_run: Path, tiny_bundle: Path) -> None:
    contents = bundle.read(tiny_bundle)
    embeddings = run.read_embeddings(tiny_run)
    config = run.read_config(tiny_run)
    assert contents.machine == "hummer"
    assert contents.front_end == config.preset.front_end
    trained = ~embeddings.held_out
    assert set(contents.references.clips) == set(embeddings.clips[trained])
    held_out = set(embeddings.clips[embeddings.held_out])
    assert sum(map(len, contents.calibration.scores.values())) == len(held_out) == 6
    assert contents.provenance["parity"]["embedding"] <= 1e-4
    text = json.dumps(contents.provenance)
    assert str(tiny_run.parent) not in text, "paths of the workstation stay there"


def test_the_report_s_references_are_five_a_section(
    tmp_path: Path, tiny_data: Path, tiny_preset: Path
) -> None:
    from asd_training.cli_train import main as train

    text = tiny_preset.read_text()
    for old, new in (
        ("k = 2", 'k = "all"'),
        ("pool_sections = false", "pool_sections = true"),
        ('references = "all"', "references = 5"),
        ('metric = "cosine"', 'metric = "euclidean"'),
    ):
        assert old in text
        text = text.replace(old, new)
    path = tmp_path / "mini_report.toml"
    path.write_text(text)
    invoke(train, tiny_data, "--preset", path, "-o", tmp_path / "run", "--cache", tmp_path / "c")
    invoke(export, tmp_path / "run", "-o", tmp_path / "b.asd")
    references = bundle.read(tmp_path / "b.asd").references
    assert [(references.sections == s).sum() for s in ("00", "01")] == [5, 5]
    # The definition, by PyTorch: the mean over all ten of PairwiseDistance.
    contents = bundle.read(tmp_path / "b.asd")
    golden = torch.from_numpy(contents.golden.embedding)
    expected = torch.nn.PairwiseDistance()(
        golden.expand(10, -1), torch.from_numpy(references.embeddings)
    )
    assert contents.golden.score == pytest.approx(float(expected.mean()), rel=1e-4)


@pytest.mark.parametrize("name", presets.names())
def test_every_preset_exports_with_a_dynamic_batch(name: str) -> None:
    preset = presets.load(name)
    torch.manual_seed(0)
    model = TripletCNN(preset.model, preset.front_end.shape).eval()
    model.set_normalization(
        np.random.default_rng(i).normal(-50, 9, (1, *preset.front_end.shape)) for i in range(3)
    )
    content = to_onnx(model, preset.front_end)
    proto = onnx.load_from_string(content)
    assert {p.key for p in proto.metadata_props} == {METADATA_KEY}
    assert __file__.split("tests")[0].encode() not in content, "no paths of this machine"
    session = EmbeddingModel(content, preset.front_end)
    rng = np.random.default_rng(0)
    for batch in (1, 3):
        mel = rng.normal(-50, 9, (batch, *preset.front_end.shape)).astype(np.float32)
        got, expected = session.embed(mel), model.embed(mel)
        assert got.shape == expected.shape == (batch, preset.model.embedding_dim)
        assert np.abs(got - expected).max() <= 1e-4 * np.abs(expected).max()


def test_a_mismatch_is_an_error_and_nothing_is_written(
    tmp_path: Path, tiny_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    embed = EmbeddingModel.embed
    monkeypatch.setattr(EmbeddingModel, "embed", lambda self, mel: embed(self, mel) * 1.0003)
    output = tmp_path / "out" / "b.asd"
    result = invoke(export, tiny_run, "-o", output, status=1)
    assert "differs by 3.0e-04" in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert not output.exists()


def test_a_model_of_another_front_end_is_refused(tiny_bundle: Path, tmp_path: Path) -> None:
    from dataclasses import replace

    from asd_edge.detector import Detector

    contents = bundle.read(tiny_bundle)
    mel = replace(contents.front_end.mel, fmax=3000.0)
    replace(contents, front_end=replace(contents.front_end, mel=mel)).write(tmp_path / "b.asd")
    with pytest.raises(bundle.BundleError, match="exported for another front end"):
        Detector.load(tmp_path / "b.asd")


def test_wrong_use(tmp_path: Path, tiny_run: Path, tiny_data: Path) -> None:
    def message(*arguments: object, status: int = 1) -> str:
        return invoke(export, *arguments, status=status).stderr

    out = tmp_path / "b.asd"
    assert "no such run folder" in message(tmp_path / "none", "-o", out)
    assert "has no run.json" in message(tmp_path, "-o", out)
    assert "NAME.asd" in message(tiny_run, "-o", tmp_path / "b.onnx", status=2)
    assert "name it by --data" in message(tiny_run, "-o", out, "--data", tmp_path / "gone")
    part = tmp_path / "part"
    shutil.copytree(tiny_data, part)
    for path in sorted(part.glob("hummer/train/*.wav"))[:4]:
        path.unlink()
    assert "has 20 of the 24 clips" in message(tiny_run, "-o", out, "--data", part)
    unfinished = Path(shutil.copytree(tiny_run, tmp_path / "unfinished"))
    (unfinished / run.EMBEDDINGS).unlink()
    assert "is not finished" in message(unfinished, "-o", out)
    assert not out.exists()


def test_moved_data_and_another_rate(tmp_path: Path, tiny_run: Path, tiny_data: Path) -> None:
    moved = Path(shutil.copytree(tiny_data, tmp_path / "moved"))
    out = tmp_path / "b.asd"
    invoke(export, tiny_run, "-o", out, "--data", moved, "--false-alarm-rate", "0.2")
    assert bundle.read(out).calibration.false_alarm_rate == 0.2
