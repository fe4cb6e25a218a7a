"""Adding clips to a bundle that was exported: what it knew stays, what is new is calibrated."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import scipy.stats
from helpers import invoke, write_tone

from asd_edge.bundle.format import read_bundle
from asd_edge.cli.main import main
from asd_edge.detector import Detector
from asd_edge.enrolment.extend import extend, extended, is_reference
from asd_edge.scoring.fit import ViewRule, cross_fit, fit_scorer
from asd_edge.scoring.normals import NormalEmbeddings
from asd_edge.scoring.scorer import Scorer
from asd_edge.scoring.views import ScoringConfig


def draw(rng: np.random.Generator, n: int, section: str, centre: float = 0.0) -> NormalEmbeddings:
    """Give n clips of one window in two views."""
    return NormalEmbeddings(
        views={
            "embedding": rng.normal(centre, 1, (n, 6)).astype(np.float32),
            "statistics": rng.normal(centre, 3, (n, 4)).astype(np.float32),
        },
        clips=np.array([f"{section}_{i:03d}.wav" for i in range(n)]),
        sections=np.full(n, section),
        domains=np.full(n, ""),
    )


RULES = {
    "embedding": ViewRule(ScoringConfig("euclidean", k=1, local_density=3)),
    "statistics": ViewRule(ScoringConfig("whitened", k=2), weight=0.5),
}


def tones(folder: Path, pitch: float, seeds: range) -> Path:
    for seed in seeds:
        path = folder / f"tone_{seed:02d}.wav"
        path.parent.mkdir(exist_ok=True)
        write_tone(path, pitch, seed, 1.0)
    return folder


def test_a_new_section_leaves_the_others_alone() -> None:
    rng = np.random.default_rng(0)
    old = draw(rng, 40, "00")
    scorer, calibration = cross_fit(RULES, old, false_alarm_rate=0.05)
    both, grown, _ = extend(RULES, scorer, calibration, draw(rng, 30, "01", 9.0))
    assert both.sections == ("00", "01")
    assert grown.false_alarm_rate == 0.05
    assert grown.scores["00"] == pytest.approx(calibration.scores["00"])
    assert len(grown.scores["01"]) == 30
    probe = {"embedding": np.ones((2, 6), np.float32), "statistics": np.ones((2, 4), np.float32)}
    assert both.score(probe, "00").score == pytest.approx(scorer.score(probe, "00").score)
    for section in ("00", "01"):
        assert grown.threshold(section).value == pytest.approx(1, abs=1e-9)
    near = draw(rng, 1, "01", 9.0)
    assert both.score(near.views).section == "01"


def test_a_known_section_gains_references_and_scores() -> None:
    rng = np.random.default_rng(1)
    old, new = draw(rng, 40, "00"), draw(rng, 20, "00")
    scorer, calibration = cross_fit(RULES, old)
    both, grown, unseen = extend(RULES, scorer, calibration, new)
    assert grown.threshold("00").value == pytest.approx(1, abs=1e-9)
    assert len(grown.scores["00"]) == 60
    assert len(unseen.clips) == 20
    for name, view in both.views.items():
        before = scorer.views[name]
        factor = view.standards["00"].factor / before.standards["00"].factor
        standard = before.standards["00"]
        assert view.standards["00"] == standard._replace(factor=standard.factor * factor)
        np.testing.assert_array_equal(view.references.whitening, before.references.whitening)
        np.testing.assert_array_equal(view.references.embeddings[40:], new.views[name])
    # A reference that is one of the clips is at distance 0 from it; none was while calibrating.
    own = {name: x[:1] for name, x in new.views.items()}
    assert both.distances(own, "00")["embedding"].tolist() == [0]
    assert min(grown.scores["00"]) > 0


def test_local_density_is_that_of_all_at_once() -> None:
    """Of a section of its own, where the old ones have no say, whatever made the references."""
    rng = np.random.default_rng(2)
    old, new = draw(rng, 20, "00"), draw(rng, 15, "01")
    both = extended(fit_scorer(RULES, old), new).views["embedding"].references
    alone = fit_scorer(RULES, new).views["embedding"].references
    np.testing.assert_allclose(both.density[20:], alone.density, rtol=1e-6)


@pytest.mark.parametrize("section", ["00", "01"])
def test_the_realised_false_alarm_rate(section: str) -> None:
    rate, sets, tested = 0.05, 60, 50
    rates = []
    for seed in range(sets):
        rng = np.random.default_rng(seed)
        scorer, calibration = cross_fit(RULES, draw(rng, 60, "00"), false_alarm_rate=rate)
        new = draw(rng, 60 + tested, section)
        train, test = np.arange(60 + tested) < 60, np.arange(60 + tested) >= 60
        both, grown, _ = extend(RULES, scorer, calibration, new.take(train))
        threshold = grown.threshold(section).value
        scores = [
            both.score({v: x[[i]] for v, x in new.views.items()}, section).score
            for i in np.flatnonzero(test)
        ]
        rates.append(float((np.array(scores) >= threshold).mean()))
    low, high = scipy.stats.norm.interval(0.999, rate, np.std(rates, ddof=1) / sets**0.5)
    assert np.mean(rates) < high
    # Old scores of a known section were measured against half the references: a little high.
    assert np.mean(rates) > (low - 0.01 if section == "01" else 0.01)


def test_what_is_a_reference() -> None:
    rng = np.random.default_rng(3)
    clips = draw(rng, 10, "00")
    scorer: Scorer = fit_scorer(RULES, clips)
    own = {name: x[2:4] for name, x in clips.views.items()}
    assert is_reference(scorer, own)
    assert is_reference(scorer, {name: x * np.float32(1 + 1e-5) for name, x in own.items()})
    assert not is_reference(scorer, {name: x + np.float32(0.01) for name, x in own.items()})
    half = {name: np.stack([x[0], x[1] + 1]) for name, x in own.items()}
    assert not is_reference(scorer, half)


def test_on_the_command_line(tiny_bundle: Path, tmp_path: Path) -> None:
    """A second machine beside those that the exported bundle was trained on."""
    normal, fault = tones(tmp_path / "n", 900.0, range(14)), tones(tmp_path / "f", 300.0, range(3))
    out = tmp_path / "both.asd"
    held_back = sorted(normal.iterdir())[12:]
    train = sorted(normal.iterdir())[:12]
    add = ("--add", tiny_bundle, "-o", out, "--section", "new")
    result = invoke(main, "enroll", *train, *add)
    source, grown = read_bundle(tiny_bundle), read_bundle(out)
    assert set(grown.calibration.scores) == {*source.calibration.scores, "new"}
    assert "12 clips" in result.stderr
    assert grown.machine == source.machine
    assert grown.provenance["added_clips"] == 12
    assert grown.provenance["created"] == source.provenance["created"]
    assert invoke(main, "verify", out).exit_code == 0
    detector = Detector.load(out)
    assert [detector.score(path, section="new").anomalous for path in held_back] == [False] * 2
    assert all(detector.score(path, section="new").anomalous for path in sorted(fault.iterdir()))
    # Again, in place: all are known.
    result = invoke(main, "enroll", *train, "--add", out, "--section", "new", status=1)
    assert "0 normal clips" in result.stderr
    more = tones(tmp_path / "more", 900.0, range(20, 26))
    result = invoke(main, "enroll", train[0], more, "--add", out, "--section", "new")
    assert "tone_00.wav is in the bundle already; left out" in result.stderr
    assert read_bundle(out).provenance["added_clips"] == 18
    assert len(read_bundle(out).calibration.scores["new"]) == 18
