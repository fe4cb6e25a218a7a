"""Which bundle is used where none is named; the one in the wheel, and the examples for it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
from helpers import invoke

from asd_edge.bundle import locate
from asd_edge.bundle.format import read_bundle
from asd_edge.cli.main import main
from asd_edge.detector import Detector
from asd_edge.verify import verify
from asd_export import build_default_bundle as builtin
from asd_training.synth import MACHINES

EXAMPLES = locate.EXAMPLES


@pytest.fixture
def _nothing_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv(locate.VARIABLE, raising=False)
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))


@pytest.mark.usefixtures("_nothing_set")
def test_the_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert locate.find() == locate.Found(locate.BUILT_IN, "built in")
    own = tmp_path / "data" / "asd-edge" / "default.asd"
    own.mkdir(parents=True)
    assert locate.find().path == own
    monkeypatch.setenv(locate.VARIABLE, "named.asd")
    assert locate.find() == locate.Found(Path("named.asd"), locate.VARIABLE)
    assert locate.find(Path("given.asd")) == locate.Found(Path("given.asd"), "")


def test_the_data_folder_of_each_platform(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    monkeypatch.setenv("XDG_DATA_HOME", "relative")
    monkeypatch.delenv("LOCALAPPDATA", raising=False)
    for platform, folder in {
        "linux": ".local/share",
        "darwin": "Library/Application Support",
        "win32": "AppData/Local",
    }.items():
        monkeypatch.setattr("sys.platform", platform)
        assert locate.data_folder() == tmp_path / folder / "asd-edge"
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "local"))
    assert locate.data_folder() == tmp_path / "local" / "asd-edge"


@pytest.mark.usefixtures("_nothing_set")
def test_the_examples() -> None:
    result = invoke(main, "score", EXAMPLES / "normal.flac", EXAMPLES / "faulty.flac", "--json")
    normal, faulty = (json.loads(line) for line in result.stdout.splitlines())
    assert not normal["anomalous"]
    assert faulty["anomalous"]
    assert normal["section"] == builtin.EXAMPLE[0]  # a fault is like no machine
    assert len(result.stderr.splitlines()) == 1
    for word in ("built in", "synthetic", *MACHINES, "enroll"):
        assert word in result.stderr


@pytest.mark.usefixtures("_nothing_set")
def test_score_example_scores_the_clips_in_the_package() -> None:
    rows = invoke(main, "score", "--example", "--json").stdout.splitlines()
    clips = {Path(row["clip"]): row["anomalous"] for row in map(json.loads, rows)}
    assert clips == {EXAMPLES / "faulty.flac": True, EXAMPLES / "normal.flac": False}
    wrong = invoke(main, "score", "--example", EXAMPLES, status=2)
    assert "--example takes no CLIPS" in wrong.stderr
    assert "Missing argument 'CLIPS...'" in invoke(main, "score", status=2).stderr


@pytest.mark.usefixtures("_nothing_set")
@pytest.mark.parametrize("command", ["info", "verify"])
def test_commands_without_a_bundle(command: str) -> None:
    result = invoke(main, command)
    assert result.stdout
    assert "built in" in result.stderr


@pytest.mark.usefixtures("_nothing_set")
def test_the_environment_s_bundle_is_named(
    tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(locate.VARIABLE, str(tiny_bundle))
    line = invoke(main, "info").stderr
    for word in (str(tiny_bundle), locate.VARIABLE, "hummer", "00, 01"):
        assert word in line
    monkeypatch.setenv(locate.VARIABLE, "none.asd")
    assert "none.asd: no such bundle" in invoke(main, "info", status=1).stderr


def test_the_model_is_the_preset_s() -> None:
    """Made anew: the same function, so that nobody can edit one without the other.

    Its operators are not compared: another release of PyTorch writes others.
    """
    contents = read_bundle(locate.BUILT_IN)
    fresh, front_end = builtin.model()
    assert contents.front_end == front_end
    x = np.random.default_rng(0).uniform(-80, 0, (2, *front_end.shape)).astype(np.float32)
    from asd_edge.model import EmbeddingModel

    a, b = (
        EmbeddingModel(m, front_end, contents.views).embed(x)["statistics"]
        for m in (fresh, contents.model)
    )
    np.testing.assert_array_equal(a, b)
    means = b[:, : front_end.shape[0]]
    np.testing.assert_allclose(means, x.mean(axis=2, dtype=np.float64), rtol=1e-5)
    steps = b[:, front_end.shape[0] : 2 * front_end.shape[0]]
    np.testing.assert_allclose(steps, np.abs(np.diff(x)).mean(axis=2, dtype=float), rtol=1e-5)


def test_the_bundle_knows_the_synthetic_machines() -> None:
    contents = read_bundle(locate.BUILT_IN)
    files = list(locate.BUILT_IN.iterdir())
    assert sum(p.stat().st_size for p in files) < 1_500_000
    detector = Detector.from_bundle(contents)
    assert detector.scorer.sections == tuple(sorted(MACHINES))
    assert all(check.passed for check in verify(detector, contents.golden))
    for machine in MACHINES:
        # A clip that k-means made references of: nearer than those held out as a rule, known.
        decision = detector.score(builtin.train_clip(machine, 0), 16000)
        assert decision.section == machine
        assert not decision.anomalous
        assert detector.threshold(machine).rule == "fitted"


def test_the_example_files_are_the_generator_s() -> None:
    for name, label in (("normal", "normal"), ("faulty", "anomaly")):
        samples, rate = soundfile.read(EXAMPLES / f"{name}.flac", dtype="int16")
        assert rate == 16000
        # Rounding of a libm may differ between machines by one step.
        assert np.abs(samples.astype(int) - builtin.example(label)).max() <= 1
