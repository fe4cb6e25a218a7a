"""int8 and fp16 bundles: kept where they pay, consistent with themselves, refused elsewhere."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
from helpers import invoke

from asd_edge.bundle.format import read_bundle
from asd_edge.cli.main import main as edge
from asd_edge.detector import Detector
from asd_edge.model import METADATA_KEY, EmbeddingModel
from asd_export.cli import main as export
from asd_export.errors import PrecisionError
from asd_export.quantize import Accuracy, Lower, Timing, accuracy, check, to_fp16, to_int8
from asd_training.data.clips import find_clips

ANYTHING = ("--max-auc-drop", 1, "--min-speedup", 0, "--min-rank-correlation", -1)


def operators(model: bytes) -> list[str]:
    return [node.op_type for node in onnx.load_from_string(model).graph.node]


@pytest.mark.parametrize("kind", ["int8", "fp16"])
def test_a_bundle_that_is_kept(
    kind: str, tiny_run: Path, tiny_bundle: Path, tiny_data: Path, tmp_path: Path
) -> None:
    path = tmp_path / "b.asd"
    result = invoke(export, tiny_run, "-o", path, f"--{kind}", *ANYTHING)
    assert f"kind {kind}, clips 16, auc_float" in result.stderr
    contents, plain = read_bundle(path), read_bundle(tiny_bundle)
    figures = contents.provenance["precision"]
    assert figures["kind"] == kind
    assert {"auc", "auc_float", "ms", "float_ms", "speedup", "provider"} <= figures.keys()
    assert 0 < figures["embedding_difference"] < 0.2
    assert contents.provenance["parity"]["score"] <= 1e-4
    assert plain.provenance["precision"] == {"kind": "float32"}
    assert f"kind {kind}" in invoke(edge, "info", path).stdout
    invoke(edge, "verify", path)
    # References, golden and calibration are of the network that the device runs.
    detector = Detector.from_bundle(contents)
    references = contents.views["embedding"].references
    for clip in references.clips[:3]:
        x = detector.analyse(tiny_data / str(clip)).embeddings["embedding"]
        row = references.embeddings[references.clips == clip]
        np.testing.assert_allclose(x, row, rtol=1e-5, atol=1e-6)
    before = plain.views["embedding"].references.embeddings
    assert not np.array_equal(before, references.embeddings)
    assert contents.calibration.scores != plain.calibration.scores
    held_out = {name: len(values) for name, values in plain.calibration.scores.items()}
    assert {name: len(v) for name, v in contents.calibration.scores.items()} == held_out


@pytest.mark.parametrize(
    ("limits", "said"),
    [
        (("--min-speedup", 1e6), "times as fast, at least 1e+06"),
        (("--min-speedup", 0, "--max-auc-drop", 0), None),
    ],
)
def test_limits_come_from_the_options(
    limits: tuple[object, ...], said: str | None, tiny_run: Path, tmp_path: Path
) -> None:
    path = tmp_path / "out" / "b.asd"
    if said is None:
        # The tiny anomalies are far off: int8 ranks them like float, and a drop of 0 holds.
        invoke(export, tiny_run, "-o", path, "--int8", *limits)
        assert path.exists()
        return
    result = invoke(export, tiny_run, "-o", path, "--int8", *limits, status=1)
    assert said in result.stderr
    assert "int8 does not pay here: AUC" in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert not path.parent.exists() or not any(path.parent.iterdir())


def test_without_labels_ranks_decide(tiny_run: Path, tiny_data: Path, tmp_path: Path) -> None:
    data = Path(shutil.copytree(tiny_data, tmp_path / "data"))
    shutil.rmtree(data / "hummer" / "test")
    path = tmp_path / "b.asd"
    common = (tiny_run, "-o", path, "--data", data, "--int8", "--min-rank-correlation", 0.8)
    result = invoke(export, *common, "--min-speedup", 1e6, status=1)
    assert "int8 does not pay here: rank correlation of scores " in result.stderr
    assert "on 18 clips (at least 0.8)" in result.stderr
    assert not path.exists()
    invoke(export, *common, "--min-speedup", 0)
    figures = read_bundle(path).provenance["precision"]
    assert 0.8 <= figures["rank_correlation"] <= 1
    assert "auc" not in figures


def test_ranks_tell_another_network(
    tiny_bundle: Path, tiny_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held_out = [c for c in find_clips(tiny_data) if c.split == "test" and c.label == "normal"]
    same, other = Detector.load(tiny_bundle), Detector.load(tiny_bundle)
    assert accuracy(same, other, [], held_out).rank_correlation == pytest.approx(1)
    rng, embed = np.random.default_rng(0), other.model.embed

    def noise(mel: np.ndarray) -> dict[str, np.ndarray]:
        return {k: rng.normal(0, 9, x.shape).astype(np.float32) for k, x in embed(mel).items()}

    monkeypatch.setattr(other.model, "embed", noise)
    measured = accuracy(same, other, [], held_out)
    assert measured.clips == 24
    assert measured.rank_correlation is not None
    assert abs(measured.rank_correlation) < 0.7


def test_what_int8_covers(tiny_bundle: Path) -> None:
    contents = read_bundle(tiny_bundle)
    rng = np.random.default_rng(0)
    mels = [contents.golden.mel + rng.normal(0, 1, (32, 63)).astype(np.float32) for _ in range(8)]
    model = to_int8(contents.model, mels)
    proto = onnx.load_from_string(model)
    assert {p.key for p in proto.metadata_props} == {METADATA_KEY}
    weights = [x for x in proto.graph.initializer if x.data_type == onnx.TensorProto.INT8]
    convolutions = [node for node in proto.graph.node if node.op_type == "Conv"]
    integer = {
        node.output[0]
        for node in proto.graph.node
        if node.op_type == "DequantizeLinear" and node.input[0] in {w.name for w in weights}
    }
    # All but the first; per channel; no more than 7 bits.
    assert [node.input[1] in integer for node in convolutions] == [False, True, True]
    arrays = {w.name: onnx.numpy_helper.to_array(w) for w in weights}
    assert all(np.abs(a.astype(int)).max() <= 64 for a in arrays.values() if a.ndim > 1)
    scales = {
        node.input[0]: onnx.numpy_helper.to_array(x)
        for node in proto.graph.node
        if node.op_type == "DequantizeLinear"
        for x in proto.graph.initializer
        if x.name == node.input[1]
    }
    assert any(a.ndim == 4 and scales[name].size == len(a) > 1 for name, a in arrays.items())


@pytest.mark.parametrize("kind", ["int8", "fp16"])
def test_statistics_stay_as_they_are(kind: str, tiny_bundle: Path) -> None:
    contents = read_bundle(tiny_bundle)
    mel = contents.golden.mel[np.newaxis]
    model = to_int8(contents.model, [mel[0]]) if kind == "int8" else to_fp16(contents.model)
    assert ("QuantizeLinear" if kind == "int8" else "Cast") in operators(model)
    before = EmbeddingModel(contents.model, contents.front_end, contents.views).embed(mel)
    after = EmbeddingModel(model, contents.front_end, contents.views).embed(mel)
    np.testing.assert_array_equal(before["statistics"], after["statistics"])
    assert not np.array_equal(before["embedding"], after["embedding"])
    assert np.abs(before["embedding"] - after["embedding"]).max() < 0.1


def test_limits() -> None:
    run = Path("run")
    fast = Timing(2.0, 1.0, "cpu")
    lower = Lower("int8", max_auc_drop=0.01, min_rank_correlation=0.9, min_speedup=1.5)
    assert check(lower, Accuracy(4, 0.8, 0.795), fast, run)["speedup"] == 2
    check(lower, Accuracy(4, 0.8, 0.9), fast, run)
    check(lower, Accuracy(4, rank_correlation=0.9), fast, run)
    for figures, timing in (
        (Accuracy(4, 0.8, 0.78), fast),
        (Accuracy(4, rank_correlation=0.89), fast),
        (Accuracy(4, rank_correlation=float("nan")), fast),
        (Accuracy(4, 0.8, 0.8), Timing(1.4, 1.0, "cpu")),
    ):
        with pytest.raises(PrecisionError, match="nothing was exported"):
            check(lower, figures, timing, run)


def test_wrong_use(tiny_run: Path, tiny_preset: Path, tiny_data: Path, tmp_path: Path) -> None:
    from asd_training.cli.train import main as train

    out = tmp_path / "b.asd"
    result = invoke(export, tiny_run, "-o", out, "--int8", "--fp16", status=2)
    assert "--int8 and --fp16 exclude each other" in result.stderr
    result = invoke(export, tiny_run, "-o", out, "--int8", "--provider", "abacus", status=1)
    assert "it has: " in result.stderr
    tables = re.split(r"^(?=\[)", tiny_preset.read_text(), flags=re.MULTILINE)
    kept = ("[front_end", "[statistics", "[scoring.statistics")
    without = "".join(table for table in tables if table.startswith(kept))
    (tmp_path / "flat.toml").write_text(without + "\n[training]\nepochs = 0\nholdout = 0.0\n")
    run = tmp_path / "run"
    arguments = ("--preset", tmp_path / "flat.toml", "-o", run, "--cache", tmp_path / "c")
    invoke(train, tiny_data, *arguments)
    result = invoke(export, run, "-o", out, "--int8", status=1)
    assert "has no network; there is nothing to convert to int8" in result.stderr
    assert json.loads((run / "run.json").read_text())["machine"] == "hummer"
    assert not out.exists()
