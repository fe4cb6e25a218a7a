"""A bundle survives the way to disk and back, and no change to a byte of it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from asd_edge.bundle.format import FILES, MANIFEST, PARTS, REFERENCES, SCHEMA_VERSION, read_bundle
from asd_edge.detector import Detector
from asd_edge.errors import AsdError, BundleError, MissingFileError


def copy(tiny_bundle: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_bundle, tmp_path / "copy.asd"))


def test_round_trip(tiny_bundle: Path, tmp_path: Path) -> None:
    first = read_bundle(tiny_bundle)
    first.write(tmp_path / "again.asd")
    again = read_bundle(tmp_path / "again.asd")
    for name in ("machine", "front_end", "calibration", "model", "provenance"):
        assert getattr(again, name) == getattr(first, name)
    assert list(again.views) == list(first.views) == ["embedding", "statistics"]
    for name, view in first.views.items():
        assert again.views[name].config == view.config
        assert again.views[name].standards == view.standards
        for field, value in vars(view.references).items():
            got = getattr(again.views[name].references, field)
            np.testing.assert_array_equal(got, value)
            assert got.dtype == value.dtype
    for name, value in first.golden._asdict().items():
        np.testing.assert_equal(getattr(again.golden, name), value)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["again.asd"]


@pytest.mark.parametrize("name", [MANIFEST, *FILES])
def test_any_changed_byte_is_noticed_and_the_file_named(
    tiny_bundle: Path, tmp_path: Path, name: str
) -> None:
    path = copy(tiny_bundle, tmp_path)
    content = (path / name).read_bytes()
    rng = np.random.default_rng(0)
    places = range(len(content)) if name == MANIFEST else rng.integers(len(content), size=20)
    for place in places:
        changed = bytearray(content)
        changed[place] ^= 1 << int(rng.integers(8))
        (path / name).write_bytes(changed)
        with pytest.raises(BundleError) as caught:
            read_bundle(path)
        assert "\n" not in str(caught.value)
        if name != MANIFEST:
            assert caught.value.part == name
    (path / name).write_bytes(content)
    read_bundle(path)


@pytest.mark.parametrize("part", PARTS)
def test_a_changed_part_of_the_manifest_is_named(
    tiny_bundle: Path, tmp_path: Path, part: str
) -> None:
    path = copy(tiny_bundle, tmp_path)
    text = (path / MANIFEST).read_text()
    old = {"front_end": '"sr": 8000', "scoring": '"k": 2', "calibration": '_rate": 0.01'}[part]
    assert text.count(old) == 1
    (path / MANIFEST).write_text(text.replace(old, old[:-1] + "3"))
    with pytest.raises(BundleError, match=rf"{part} in bundle\.json is damaged"):
        read_bundle(path)


def test_missing_pieces(tiny_bundle: Path, tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match="no such bundle"):
        read_bundle(tmp_path / "none.asd")
    with pytest.raises(BundleError, match=r"bundle\.json is missing"):
        read_bundle(tmp_path)
    path = copy(tiny_bundle, tmp_path)
    (path / REFERENCES).unlink()
    with pytest.raises(BundleError, match=r"references\.npz is missing"):
        read_bundle(path)


def test_a_newer_schema_asks_for_an_upgrade(tiny_bundle: Path, tmp_path: Path) -> None:
    path = copy(tiny_bundle, tmp_path)
    manifest = json.loads((path / MANIFEST).read_text())
    manifest["schema_version"] = SCHEMA_VERSION + 1
    (path / MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(BundleError, match="upgrade asd-edge"):
        read_bundle(path)


def test_writing_replaces_a_bundle_and_nothing_else(tiny_bundle: Path, tmp_path: Path) -> None:
    contents = read_bundle(tiny_bundle)
    path = copy(tiny_bundle, tmp_path)
    (path / "left over").touch()
    contents.write(path)
    assert sorted(p.name for p in path.iterdir()) == sorted([MANIFEST, *FILES])
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "thesis.txt").touch()
    with pytest.raises(BundleError, match="not a bundle"):
        contents.write(precious)
    assert (precious / "thesis.txt").exists()


def test_a_failed_write_leaves_the_old_bundle(
    tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = copy(tiny_bundle, tmp_path)
    before = {p.name: p.read_bytes() for p in path.iterdir()}

    def no_space(self: Path, content: bytes) -> int:
        raise OSError(28, "No space left on device", str(self))

    contents = read_bundle(path)
    monkeypatch.setattr(Path, "write_bytes", no_space)
    with pytest.raises(OSError, match="No space"):
        contents.write(path)
    assert {p.name: p.read_bytes() for p in path.iterdir()} == before
    assert [p.name for p in tmp_path.iterdir()] == ["copy.asd"]


def test_nothing_in_a_bundle_is_pickled(tiny_bundle: Path, tmp_path: Path) -> None:
    """An archive with an object array, with digests that are right, is still refused."""
    contents = read_bundle(tiny_bundle)
    evil = np.array([{"a": 1}], dtype=object)
    object.__setattr__(contents.views["embedding"].references, "clips", evil)
    contents.write(tmp_path / "evil.asd")
    with pytest.raises(AsdError, match="allow_pickle=False"):
        Detector.load(tmp_path / "evil.asd")
