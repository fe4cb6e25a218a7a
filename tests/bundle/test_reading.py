"""Bundles from a source that is not trusted: one clear error, whatever is wrong with them."""

from __future__ import annotations

import dataclasses
import io
import json
import os
import struct
import subprocess
import sys
import textwrap
import threading
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bundle import forge
from helpers import invoke

from asd_edge import model as model_module
from asd_edge.bundle import archive, reading
from asd_edge.bundle.format import read_bundle
from asd_edge.cli.main import main
from asd_edge.detector import Detector
from asd_edge.errors import AsdError, BundleError
from asd_edge.verify import verify

HERE = Path(__file__).parent


def changed(
    tiny_bundle: Path,
    to: Path,
    manifest: Callable[[dict[str, Any]], object] = lambda m: None,
    references: Callable[[dict[str, Any]], object] | None = None,
    golden: Callable[[dict[str, Any]], object] | None = None,
    model: bytes | None = None,
) -> Path:
    values, files = forge.load(tiny_bundle)
    manifest(values)
    if references:
        files["references.npz"] = forge.npz(files["references.npz"], references)
    if golden:
        files["golden.npz"] = forge.npz(files["golden.npz"], golden)
    if model is not None:
        files["model.onnx"] = model
    return forge.write(to / "changed.asd", values, files)


def put(*keys: str, value: Any) -> Callable[[dict[str, Any]], None]:
    def change(values: dict[str, Any]) -> None:
        for key in keys[:-1]:
            values = values[key]
        values[keys[-1]] = value

    return change


def deep(levels: int) -> Any:
    value: Any = 0
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (put("scoring", "embedding", "standards", "00", "factor", value=-1.0), "a standard of"),
        (put("scoring", "embedding", "weight", value=-1), "weight of -1"),
        (put("scoring", "embedding", "standards", "00", "factor", value="1"), "a standard of"),
        (put("scoring", "embedding", "k", value=1.5), "k is no whole number"),
        (put("scoring", "embedding", "metric", value=["cosine"]), "cannot be understood"),
        (put("scoring", value={}), "no views"),
        (put("scoring", value=[]), "no views"),
        (put("front_end", "clip_seconds", value=1e9), "clip_seconds"),
        (put("front_end", "clip_seconds", value="1"), "clip_seconds is no number"),
        (put("front_end", "clip_seconds", value=9999), "too long|too large|too long"),
        (put("front_end", "mel", "hop_length", value=1), "too large|shape|model"),
        (put("front_end", "mel", "n_mels", value=65536), "too large|shape"),
        (put("front_end", "mel", value=None), "no object"),
        (put("front_end", "channel", value=-1), "channel"),
        (put("front_end", "channel", value=True), "channel"),
        (put("calibration", "scores", "00", value=[1, None]), "not 0 or more"),
        (put("calibration", "scores", "00", value=[1, 1e308, 2]), "not 0 or more"),
        (put("calibration", "scores", "00", value=[1, -2.0, 2]), "not 0 or more"),
        (put("calibration", "scores", "00", value={}), "no list"),
        (put("calibration", "scores", "77", value=[1.0, 2.0]), "'77' has no references"),
        (put("calibration", "false_alarm_rate", value="0.1"), "no number"),
        (put("calibration", "false_alarm_rate", value=7), "false-alarm rate"),
        (put("machine", value=None), "no short text"),
        (put("machine", value="x" * 10_000), "no short text"),
        (put("provenance", value=[]), "provenance"),
        (put("provenance", "x", value=float("nan")), "not a bundle's JSON"),
        (put("provenance", "x", value=deep(800)), None),  # deep, but it can be read
        (put("schema_version", value="2"), "not a bundle's JSON"),
        (put("schema_version", value=True), "not a bundle's JSON"),
        (put("schema_version", value=0), "schema version 0"),
    ],
)
def test_manifests(tiny_bundle: Path, tmp_path: Path, change: Any, reason: str | None) -> None:
    path = changed(tiny_bundle, tmp_path, manifest=change)
    if reason is None:
        read_bundle(path)
        return
    with pytest.raises(BundleError, match=reason) as caught:
        read_bundle(path)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 600


def test_json_deeper_than_python_reads(tiny_bundle: Path, tmp_path: Path) -> None:
    path = changed(tiny_bundle, tmp_path)
    text = (path / "bundle.json").read_text()
    for inserted in ('"x": ' + "[" * 100_000 + "]" * 100_000 + ",", '"x": 1' + "0" * 10_000 + ","):
        (path / "bundle.json").write_text("{" + inserted + text.lstrip()[1:])
        with pytest.raises(BundleError):
            read_bundle(path)


def a(name: str, make: Callable[[Any], Any]) -> Callable[[dict[str, Any]], None]:
    def change(arrays: dict[str, Any]) -> None:
        arrays[name] = make(arrays[name])

    return change


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (a("embedding/embeddings", lambda x: x[:0]), "n > 0"),
        (a("embedding/embeddings", lambda x: x[:, :0]), "shape"),
        (a("embedding/embeddings", lambda x: x[:-1]), "unequal"),
        (a("embedding/embeddings", lambda x: x[:, 1:]), "shape"),
        (a("embedding/embeddings", lambda x: x.astype(float)), "f4"),
        (a("embedding/embeddings", lambda x: x * np.nan), "finite"),
        (a("embedding/embeddings", lambda x: x * 1e36), "out of range"),
        (a("embedding/embeddings", lambda x: x.astype(complex)), "complex"),
        (a("embedding/clips", lambda x: np.full(len(x), "/etc/passwd")), "leads out"),
        (a("embedding/clips", lambda x: np.full(len(x), "a/../../b.wav")), "leads out"),
        (a("embedding/clips", lambda x: np.arange(len(x))), "texts"),
        (a("embedding/sections", lambda x: np.full(len(x), "55")), "sections|standards"),
        (a("embedding/sections", lambda x: x[np.newaxis]), "texts|unequal"),
        (a("statistics/whitening", lambda x: x * np.nan), "NaN"),
        (a("statistics/whitening", lambda x: x[1:]), "whitening"),
        (a("statistics/whitening", lambda x: np.zeros((9000, 2), np.float16)), "whitening"),
        (a("statistics/density", lambda x: -x), "density"),
        (lambda arrays: arrays.pop("statistics/clips"), "cannot be understood"),
        (lambda arrays: arrays.update({"embedding/more": np.zeros(1)}), "cannot be understood"),
    ],
)
def test_references(tiny_bundle: Path, tmp_path: Path, change: Any, reason: str) -> None:
    path = changed(tiny_bundle, tmp_path, references=change)
    with pytest.raises(BundleError, match=reason):
        read_bundle(path)


@pytest.mark.parametrize(
    "change",
    [
        a("samples", lambda x: x[:0]),
        a("samples", lambda x: x.astype(np.float32)),
        a("samples", lambda x: np.tile(x, 2)),
        a("mel", lambda x: x[1:]),
        a("mel", lambda x: x * np.nan),
        a("score", lambda x: np.array([1.0, 2.0])),
        a("score", lambda x: np.float64(np.inf)),
        a("section", lambda x: np.float64(3)),
        a("embedding/embedding", lambda x: x[1:]),
        lambda arrays: arrays.pop("embedding/statistics"),
        lambda arrays: arrays.pop("samples"),
    ],
)
def test_golden_clips(tiny_bundle: Path, tmp_path: Path, change: Any) -> None:
    path = changed(tiny_bundle, tmp_path, golden=change)
    with pytest.raises(BundleError) as caught:
        read_bundle(path)
    assert caught.value.part == "golden.npz"


def forged_archive(tiny_bundle: Path, tmp_path: Path, content: bytes) -> Path:
    values, files = forge.load(tiny_bundle)
    return forge.write(tmp_path / "changed.asd", values, files | {"references.npz": content})


def test_archives_that_claim_gigabytes(tiny_bundle: Path, tmp_path: Path) -> None:
    header = np.lib.format.header_data_from_array_1_0(np.zeros(1, np.float32))
    for shape in ((1 << 40,), (-1,), (1 << 62, 1 << 62), (0, 1 << 40)):
        file = io.BytesIO()
        np.lib.format.write_array_header_1_0(file, header | {"shape": shape})
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            archive.writestr("embedding/embeddings.npy", file.getvalue() + bytes(4))
        with pytest.raises(BundleError, match=r"shape|n > 0"):
            read_bundle(forged_archive(tiny_bundle, tmp_path, buffer.getvalue()))
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:  # 3 MB for 3 GB
        archive.writestr("x.npy", bytes(1 << 28))
    with pytest.raises(BundleError, match="more than 128 MB"):
        read_bundle(forged_archive(tiny_bundle, tmp_path, buffer.getvalue()))
    lying = bytearray(buffer.getvalue())  # states less than it holds
    at = lying.rindex(b"PK\x01\x02")
    lying[at + 24 : at + 28] = struct.pack("<I", 100)
    with pytest.raises(BundleError):
        read_bundle(forged_archive(tiny_bundle, tmp_path, bytes(lying)))
    for content in (b"", b"PK\x05\x06" + bytes(18), b"no zip"):
        with pytest.raises(BundleError):
            read_bundle(forged_archive(tiny_bundle, tmp_path, content))


def test_only_files_of_the_bundle_are_read(tiny_bundle: Path, tmp_path: Path) -> None:
    path = changed(tiny_bundle, tmp_path)
    model = path / "model.onnx"
    elsewhere = model.rename(tmp_path / "model.onnx")
    model.symlink_to(elsewhere)
    with pytest.raises(BundleError, match=r"model\.onnx cannot be opened"):
        read_bundle(path)
    model.unlink()
    os.mkfifo(model)
    with pytest.raises(BundleError, match="is not a file"):
        read_bundle(path)
    model.unlink()
    model.mkdir()
    with pytest.raises(BundleError, match="is not a file"):
        read_bundle(path)
    model.rmdir()
    model.touch()
    os.truncate(model, 1 << 30)
    with pytest.raises(BundleError, match="is larger than 128 MB"):
        read_bundle(path)
    link = tmp_path / "link.asd"
    link.symlink_to(tiny_bundle)
    read_bundle(link)


def varint(value: int) -> bytes:
    encoded = b""
    while value > 0x7F:
        encoded += bytes([value & 0x7F | 0x80])
        value >>= 7
    return encoded + bytes([value])


def message(number: int, content: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(content)) + content


LOOP = message(7, message(1, message(4, b"Loop")))
NESTED = message(
    7, message(1, message(4, b"If") + message(5, message(6, message(1, message(4, b"Scan")))))
)
EXTERNAL = message(7, message(5, message(13, b"") + b"\x70\x01"))
FOREIGN = message(7, message(1, message(4, b"Relu") + message(7, b"evil.ops")))
FUNCTION = message(25, b"")
DEEP = message(1, message(4, b"If"))
for _ in range(20):
    DEEP = message(1, message(5, message(6, DEEP)))


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        (LOOP, "operator Loop"),
        (NESTED, "operator Scan"),
        (EXTERNAL, "external data"),
        (FOREIGN, "evil.ops"),
        (FUNCTION, "functions"),
        (message(7, DEEP), "too deeply"),
        (b"\xff" * 100, "no ONNX model"),
        (b"\x3a\xff\xff\xff\xff\x0f", "no ONNX model"),
    ],
)
def test_models_that_are_refused_before_they_are_loaded(
    tiny_bundle: Path, tmp_path: Path, model: bytes, reason: str
) -> None:
    with pytest.raises(BundleError, match=reason) as caught:
        read_bundle(changed(tiny_bundle, tmp_path, model=model))
    assert caught.value.part == "model.onnx"


def test_models_that_do_something_else(tiny_bundle: Path, tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    contents = read_bundle(tiny_bundle)
    original = onnx.load_from_string(contents.model)

    def refused(change: Callable[[Any], object], reason: str) -> None:
        model = onnx.ModelProto()
        model.CopyFrom(original)
        change(model)
        path = changed(tiny_bundle, tmp_path, model=model.SerializeToString())
        with pytest.raises(BundleError, match=reason):
            verify(Detector.load(path), read_bundle(path).golden)

    def metadata(model: Any) -> None:
        model.metadata_props[0].value = "{"

    def no_rows(model: Any) -> None:
        for output in model.graph.output:
            for node in model.graph.node:
                for i, name in enumerate(node.output):
                    if name == output.name:
                        node.output[i] = f"{name}_all"
        for name, value in (("none_starts", 0), ("none_ends", 0)):
            model.graph.initializer.append(onnx.numpy_helper.from_array(np.array([value]), name))
        for output in model.graph.output:
            inputs = [f"{output.name}_all", "none_starts", "none_ends"]
            model.graph.node.append(onnx.helper.make_node("Slice", inputs, [output.name]))

    def other_length(arrays: dict[str, Any]) -> None:
        arrays["embedding/embeddings"] = arrays["embedding/embeddings"][:, 1:]

    def other_golden(arrays: dict[str, Any]) -> None:
        arrays["embedding/embedding"] = arrays["embedding/embedding"][1:]

    path = changed(tiny_bundle, tmp_path, references=other_length, golden=other_golden)
    with pytest.raises(BundleError, match="gives 8 values as 'embedding', its references have 7"):
        Detector.load(path)
    refused(metadata, "damaged metadata")
    refused(no_rows, "gives 0 embeddings of 1 window")
    refused(lambda model: model.graph.output.pop(), "does not map")


def test_a_model_that_takes_too_long_is_stopped(
    tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The watchdog ends a run; a model with a loop, which reading refuses, shows that it does."""
    onnx = pytest.importorskip("onnx")
    helper, F32 = onnx.helper, onnx.TensorProto.FLOAT
    contents = read_bundle(tiny_bundle)
    model = onnx.load_from_string(contents.model)
    body = helper.make_graph(
        [helper.make_node("Identity", ["c"], ["c_out"]), helper.make_node("Abs", ["x"], ["x_out"])],
        "body",
        [
            helper.make_tensor_value_info("i", onnx.TensorProto.INT64, []),
            helper.make_tensor_value_info("c", onnx.TensorProto.BOOL, []),
            helper.make_tensor_value_info("x", F32, None),
        ],
        [
            helper.make_tensor_value_info("c_out", onnx.TensorProto.BOOL, []),
            helper.make_tensor_value_info("x_out", F32, None),
        ],
    )
    for node in model.graph.node:
        node.input[:] = ["looped" if name == "mel" else name for name in node.input]
    count = onnx.numpy_helper.from_array(np.array(1 << 60), "count")
    model.graph.initializer.append(count)
    model.graph.node.insert(
        0, helper.make_node("Loop", ["count", "", "mel"], ["looped"], body=body)
    )
    monkeypatch.setattr(model_module, "MAX_SECONDS", 0.3)
    network = model_module.EmbeddingModel(
        model.SerializeToString(), contents.front_end, contents.views
    )
    with pytest.raises(BundleError, match=r"takes more than 0\.3 s"):
        network.embed(contents.golden.mel[np.newaxis])


@pytest.mark.parametrize(
    "schema", ["schema_1", "schema_2_first", "schema_3", "schema_4", "schema_5"]
)
def test_bundles_of_every_schema_load_and_give_what_their_export_saw(schema: str) -> None:
    """Made by the code of their time (README.md beside them); all of verify must pass."""
    path = HERE / "schemas" / f"{schema}.asd"
    contents = read_bundle(path)
    checks = verify(Detector.from_bundle(contents), contents.golden)
    assert len(checks) >= 3
    for check in checks:
        assert check.passed, check
    result = invoke(main, "info", path, "--json")
    assert json.loads(result.stdout)["machine"] == contents.machine


def test_a_bundle_that_is_replaced_while_it_is_read(tiny_bundle: Path, tmp_path: Path) -> None:
    contents = read_bundle(tiny_bundle)
    path = tmp_path / "busy.asd"
    contents.write(path)
    stop = threading.Event()

    def write() -> None:
        while not stop.is_set():
            contents.write(path)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for _ in range(150):
            read_bundle(path)
    finally:
        stop.set()
        writer.join()


def test_two_writers_of_one_bundle_do_not_lose_a_change(tiny_bundle: Path, tmp_path: Path) -> None:
    path = tmp_path / "x.asd"
    read_bundle(tiny_bundle).write(path)
    first, second = read_bundle(path), read_bundle(path)
    assert first.checksum == second.checksum != ""
    changed_one = dataclasses.replace(first, machine="changed")
    changed_one.write(path, replaces=first.checksum)
    with pytest.raises(BundleError, match="changed by another process"):
        second.write(path, replaces=second.checksum)
    assert read_bundle(path).machine == "changed"


def test_every_command_refuses_in_one_line(tiny_bundle: Path, tmp_path: Path) -> None:
    path = changed(tiny_bundle, tmp_path, put("scoring", "embedding", "weight", value=-1))
    for command in (("info",), ("verify",), ("bench",), ("score", "x.wav", "--bundle")):
        result = invoke(main, *command, path, status=1)
        assert len(result.stderr.splitlines()) == 1
        assert "weight of -1" in result.stderr
    assert issubclass(BundleError, AsdError)


def test_memory_of_a_bomb(tiny_bundle: Path, tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with (
        zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("x.npy", "w", force_zip64=True) as member,
    ):
        for _ in range(1 << 10):
            member.write(bytes(1 << 20))
    path = forged_archive(tiny_bundle, tmp_path, buffer.getvalue())
    program = f"""
        from asd_edge.bundle.format import read_bundle
        try: read_bundle({str(path)!r})
        except ValueError: print(open("/proc/self/status").read().split("VmHWM:")[1].split()[0])"""
    result = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True
    )
    assert int(result.stdout) < 150_000


@pytest.mark.parametrize(
    "name", ["schema_1.asd", "schema_2_first.asd", "schema_3.asd", "schema_4.asd"]
)
def test_scores_of_older_schemas_are_in_units_of_the_threshold(name: str) -> None:
    """The golden clip's too: what is embedded anew scores the same."""
    contents = read_bundle(Path(__file__).parent / "schemas" / name)
    detector = Detector.from_bundle(contents)
    for section in detector.scorer.sections:
        assert detector.threshold(section).value == pytest.approx(1, abs=1e-9)
    golden = contents.golden
    embeddings = {view: x[np.newaxis] for view, x in golden.embeddings.items()}
    assert detector.scorer.score(embeddings, golden.section).score == pytest.approx(
        golden.score, rel=1e-3
    )


FACTS = {
    "clips": 20,
    "seconds": 200.0,
    "median_level_db": -30.0,
    "level_range_db": [-31.0, -29.0],
    "lowest_rate": 16000,
    "encodings": ["PCM"],
}


@pytest.mark.parametrize("name", FACTS)
@pytest.mark.parametrize("value", ["x", None, {}, [1], ["a", 2], True])
def test_facts_of_an_enrolment(tiny_bundle: Path, tmp_path: Path, name: str, value: Any) -> None:
    """Computed with when a clip is compared with those enrolled, and when some are added."""
    path = changed(tiny_bundle, tmp_path, put("provenance", "enrolled", value=FACTS))
    assert Detector.load(path).enrolled is not None
    path = changed(
        tiny_bundle, tmp_path, put("provenance", "enrolled", value=FACTS | {name: value})
    )
    with pytest.raises(BundleError, match=f"provenance: {name}"):
        read_bundle(path)
    path = changed(tiny_bundle, tmp_path, put("provenance", "added_clips", value=value))
    with pytest.raises(BundleError, match="provenance: added_clips"):
        read_bundle(path)


@pytest.mark.parametrize(
    ("name", "megabytes"),
    [("bundle.json", 16), ("model.onnx", 128), ("references.npz", 128), ("golden.npz", 64)],
)
def test_files_that_are_too_large(
    tiny_bundle: Path, tmp_path: Path, name: str, megabytes: int
) -> None:
    path = changed(tiny_bundle, tmp_path)
    os.truncate(path / name, (megabytes << 20) + 1)
    with pytest.raises(BundleError, match=f"{name} is larger than {megabytes} MB"):
        read_bundle(path)
    if megabytes < 100:
        os.truncate(path / name, megabytes << 20)
        with pytest.raises(BundleError, match="is damaged"):
            read_bundle(path)


def test_words_of_refusals(tiny_bundle: Path, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    with pytest.raises(BundleError, match=r"bundle\.json is missing; a bundle is a folder made by"):
        read_bundle(folder)
    (folder / "run.json").touch()
    with pytest.raises(BundleError, match="this is a run of asd-train, and asd-export makes"):
        read_bundle(folder)
    path = changed(tiny_bundle, tmp_path)
    (path / "run.json").touch()
    (path / "model.onnx").unlink()
    with pytest.raises(BundleError, match=r"model\.onnx is missing$"):
        read_bundle(path)
    (path / "model.onnx").symlink_to("elsewhere")
    with pytest.raises(BundleError, match=r"cannot be opened \(Too many levels of"):
        read_bundle(path)
    with pytest.raises(BundleError, match=r"cannot be opened \(embedded null byte\)"):
        read_bundle_file(path)


def read_bundle_file(path: Path) -> bytes:
    return reading._read_bytes(path, "model\0.onnx")


def test_the_length_of_a_machine_s_name(tiny_bundle: Path, tmp_path: Path) -> None:
    assert read_bundle(changed(tiny_bundle, tmp_path, put("machine", value="x" * 999))).machine
    with pytest.raises(BundleError, match="machine is no short text"):
        read_bundle(changed(tiny_bundle, tmp_path, put("machine", value="x" * 1000)))


def test_a_long_reason_is_cut(tiny_bundle: Path, tmp_path: Path) -> None:
    change = put("scoring", "embedding", "metric", value="x" * 1000)
    with pytest.raises(BundleError) as caught:
        read_bundle(changed(tiny_bundle, tmp_path, change))
    assert len(str(caught.value).split("cannot be understood (")[1]) == 300 + len(")")


@pytest.mark.parametrize("checksum", ['"x"', "7", '"' + "0" * 63 + '"', '"' + "0" * 65 + '"'])
def test_checksums_that_are_none(tiny_bundle: Path, tmp_path: Path, checksum: str) -> None:
    path = changed(tiny_bundle, tmp_path)
    text = (path / "bundle.json").read_text()
    own = json.loads(text)["checksum"]
    (path / "bundle.json").write_text(text.replace(f'"{own}"', checksum))
    with pytest.raises(BundleError, match="not a bundle's JSON"):
        read_bundle(path)


@pytest.mark.parametrize(("replaced", "reads"), [(False, 1), (True, 3)])
def test_how_often_a_bundle_is_read(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, replaced: bool, reads: int
) -> None:
    """Again if it was replaced meanwhile, three times at most."""
    count = 0

    def damaged(path: Path) -> None:
        nonlocal count
        count += 1
        raise BundleError(path, "model.onnx", "is damaged")

    identities = iter(range(100))
    monkeypatch.setattr(reading, "_read", damaged)
    monkeypatch.setattr(reading, "_identity", lambda _: next(identities) if replaced else 0)
    with pytest.raises(BundleError, match="is damaged"):
        read_bundle(tmp_path)
    assert count == reads


def archive_of(**members: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        for name, content in members.items():
            file.writestr(f"{name}.npy", content)
    return buffer.getvalue()


def npy(x: np.ndarray, version: tuple[int, int]) -> bytes:
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, x, version)
    return buffer.getvalue()


def test_versions_of_the_array_format() -> None:
    for x in (np.arange(6.0).reshape(2, 3), np.empty((0, 4), np.float32), np.array("text")):
        for version in ((1, 0), (2, 0)):
            read = archive.arrays(archive_of(x=npy(x, version)))["x"]
            np.testing.assert_array_equal(read, x)
            assert read.dtype == x.dtype
            assert read.shape == x.shape
    with pytest.raises(ValueError, match=r"the array format \(3, 0\)"):
        archive.arrays(archive_of(x=npy(np.arange(3), (3, 0))))
    for major, minor in ((1, 1), (2, 1)):
        content = bytearray(npy(np.arange(3), (1, 0)))
        content[6:8] = bytes([major, minor])
        with pytest.raises(ValueError, match=r"version|array format"):
            archive.arrays(archive_of(x=bytes(content)))


def test_bounds_of_an_archive(monkeypatch: pytest.MonkeyPatch) -> None:
    one = npy(np.arange(3), (1, 0))
    assert len(archive.arrays(archive_of(**{f"x{i}": one for i in range(64)}))) == 64
    with pytest.raises(ValueError, match="holds 65 arrays, more than 64"):
        archive.arrays(archive_of(**{f"x{i}": one for i in range(65)}))
    monkeypatch.setattr(archive, "MAX_BYTES", 2 * len(one))
    assert len(archive.arrays(archive_of(a=one, b=one))) == 2
    with pytest.raises(ValueError, match="holds more than"):
        archive.arrays(archive_of(a=one, b=one, c=b"x"))
    for length, fine in ((4096, True), (4097, False)):
        words = b"{'descr': '<f8', 'fortran_order': False, 'shape': (1,)}".ljust(length - 1) + b"\n"
        content = b"\x93NUMPY\x01\x00" + struct.pack("<H", length) + words + bytes(8)
        monkeypatch.setattr(archive, "MAX_BYTES", 1 << 20)
        if fine:
            assert archive.arrays(archive_of(x=content))["x"].tolist() == [0.0]
        else:
            with pytest.raises(ValueError, match=r"max_header_size|larger"):
                archive.arrays(archive_of(x=content))
