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
from helpers import invoke

from asd_edge.bundle.format import read_bundle
from asd_edge.cli.main import main as edge
from asd_edge.errors import BundleError
from asd_edge.model import METADATA_KEY, EmbeddingModel
from asd_edge.scoring.scorer import Scorer
from asd_export.cli import main as export
from asd_export.to_onnx import to_onnx
from asd_training import presets, run_folder
from asd_training.cli.evaluate import main as evaluate
from asd_training.network.views import Network


def official_scores(folder: Path) -> dict[str, float]:
    files = sorted(folder.glob("anomaly_score_*.csv"))
    frame = pd.concat([pd.read_csv(f, names=["clip", "score"], dtype=str) for f in files])
    return dict(zip(frame["clip"], frame["score"].astype(float), strict=True))


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
    # Six clips were held out, each measured from references of all others: with a quarter fewer
    # references normal clips would score 1.3 to 1.5.
    normal = {clip: score for clip, score in by_edge.items() if "normal" in clip}
    assert len(normal) == 8
    assert max(normal.values()) < 1 < min(by_edge[clip] for clip in set(by_edge) - set(normal))


def test_the_bundle_holds_what_the_run_says(tiny_run: Path, tiny_bundle: Path) -> None:
    contents = read_bundle(tiny_bundle)
    embeddings = run_folder.read_embeddings(tiny_run)
    config = run_folder.read_config(tiny_run)
    assert contents.machine == "hummer"
    assert contents.front_end == config.preset.front_end
    clips, held = embeddings.normals.clips, embeddings.held_out
    views = contents.views
    assert set(views["embedding"].references.clips) == set(clips)
    centres = views["statistics"].references
    assert [(centres.sections == s).sum() for s in ("00", "01")] == [3, 3]
    assert set(centres.clips) <= set(clips)
    held_out = set(clips[held])
    assert sum(map(len, contents.calibration.scores.values())) == len(held_out) == 6
    assert contents.provenance["parity"]["embedding"] <= 1e-4
    text = json.dumps(contents.provenance)
    assert str(tiny_run.parent) not in text, "paths of the workstation stay there"


def test_the_report_s_references_are_five_a_section(
    tmp_path: Path, tiny_data: Path, tiny_preset: Path
) -> None:
    from asd_training.cli.train import main as train
    from asd_training.presets import load

    text = tiny_preset.read_text()
    before, _, after = text.partition("[loss]")
    scoring = load("report").to_dict()["scoring"]["embedding"]
    rows = "\n".join(f"{name} = {json.dumps(value)}" for name, value in scoring.items())
    training = after[after.index("[training]") : after.index("[scoring")]
    before = before[: before.index("[statistics]")]
    path = tmp_path / "mini_report.toml"
    path.write_text(f"{before}{training}[scoring.embedding]\n{rows}\n")
    invoke(train, tiny_data, "--preset", path, "-o", tmp_path / "run", "--cache", tmp_path / "c")
    invoke(export, tmp_path / "run", "-o", tmp_path / "b.asd")
    references = read_bundle(tmp_path / "b.asd").views["embedding"].references
    assert [(references.sections == s).sum() for s in ("00", "01")] == [5, 5]
    # The definition, by PyTorch: the mean over all ten of PairwiseDistance.
    contents = read_bundle(tmp_path / "b.asd")
    golden = torch.from_numpy(contents.golden.embeddings["embedding"])
    expected = torch.nn.PairwiseDistance()(
        golden.expand(10, -1), torch.from_numpy(references.embeddings)
    )
    embeddings = {"embedding": golden.numpy()[np.newaxis]}
    section, scorer = contents.golden.section, Scorer(contents.views)
    distance = scorer.distances(embeddings, section)["embedding"]
    assert distance == pytest.approx(float(expected.mean()), rel=1e-4)
    # The score is in proportion to it, in units of the threshold.
    half = np.zeros((1, golden.shape[-1]), np.float32)
    other = scorer.distances({"embedding": half}, section)["embedding"] / distance
    assert scorer.score({"embedding": half}, section).score == pytest.approx(
        float(other[0]) * contents.golden.score, rel=1e-4
    )


@pytest.mark.parametrize("name", presets.names())
def test_every_preset_exports_with_a_dynamic_batch(name: str) -> None:
    preset = presets.load(name)
    torch.manual_seed(0)
    model = Network(preset).eval()
    if model.learned is not None:
        model.learned.set_normalization(
            np.random.default_rng(i).normal(-50, 9, (1, *preset.front_end.shape)) for i in range(3)
        )
    content = to_onnx(model, preset.front_end)
    proto = onnx.load_from_string(content)
    assert {p.key for p in proto.metadata_props} == {METADATA_KEY}
    assert __file__.split("tests")[0].encode() not in content, "no paths of this machine"
    session = EmbeddingModel(content, preset.front_end, preset.views)
    rng = np.random.default_rng(0)
    for batch in (1, 3):
        mel = rng.normal(-50, 9, (batch, *preset.front_end.shape)).astype(np.float32)
        results = session.embed(mel), model.embed(mel)
        assert set(results[0]) == set(results[1]) == set(preset.views)
        for view in preset.views:
            got, expected = (result[view] for result in results)
            assert got.shape == expected.shape
            assert len(got) == batch
            assert np.abs(got - expected).max() <= 1e-4 * np.abs(expected).max()


def test_a_mismatch_is_an_error_and_nothing_is_written(
    tmp_path: Path, tiny_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    embed = EmbeddingModel.embed

    def wrong(self: EmbeddingModel, mel: np.ndarray) -> dict[str, np.ndarray]:
        return {view: x * 1.0003 for view, x in embed(self, mel).items()}

    monkeypatch.setattr(EmbeddingModel, "embed", wrong)
    output = tmp_path / "out" / "b.asd"
    result = invoke(export, tiny_run, "-o", output, status=1)
    assert "differs by 3.0e-04" in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert not output.exists()


def test_a_model_of_another_front_end_is_refused(tiny_bundle: Path, tmp_path: Path) -> None:
    from dataclasses import replace

    from asd_edge.detector import Detector

    contents = read_bundle(tiny_bundle)
    mel = replace(contents.front_end.mel, fmax=3000.0)
    replace(contents, front_end=replace(contents.front_end, mel=mel)).write(tmp_path / "b.asd")
    with pytest.raises(BundleError, match="exported for another front end"):
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
    (unfinished / run_folder.EMBEDDINGS).unlink()
    assert "is not finished" in message(unfinished, "-o", out)
    assert not out.exists()


def test_moved_data_and_another_rate(tmp_path: Path, tiny_run: Path, tiny_data: Path) -> None:
    moved = Path(shutil.copytree(tiny_data, tmp_path / "moved"))
    out = tmp_path / "b.asd"
    invoke(export, tiny_run, "-o", out, "--data", moved, "--false-alarm-rate", "0.2")
    assert read_bundle(out).calibration.false_alarm_rate == 0.2


def test_the_model_card(tmp_path: Path, tiny_run: Path, tiny_data: Path) -> None:
    """Data and evaluation come by themselves, the rest from the user's file; `info` prints it."""

    invoke(evaluate, tiny_run, tiny_data, "-o", tmp_path / "e", "--device", "cpu")
    card = tmp_path / "card.toml"
    card.write_text('licence = "CC BY 4.0"\ncontact = "plant 3"\n')
    out = tmp_path / "b.asd"
    invoke(export, tiny_run, "-o", out, "--card", card, "--evaluation", tmp_path / "e")
    said = json.loads(invoke(edge, "info", out, "--json").stdout)["card"]
    assert said["licence"] == "CC BY 4.0"
    assert said["data"] == "24 normal clips of hummer in tiny, sections 00, 01"
    assert "mean AUC" in said["evaluation"]
    assert "on 16 test clips of tiny" in said["evaluation"]
    assert "hummer" in said["intended_use"]
    printed = invoke(edge, "info", out).stdout
    assert "CC BY 4.0" in printed
    model = onnx.load(out / "model.onnx")
    assert model.producer_name == "asd-edge"
    assert 20260101 <= model.model_version < 21000101  # the day of the export
    card.write_text("license = 3")
    text = invoke(export, tiny_run, "-o", out, "--card", card, status=1).stderr
    assert "is no key of a model card; there are data, evaluation, intended_use" in text
