"""The score against PyTorch, scikit-learn and hand-made cases."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics.pairwise import cosine_distances
from sklearn.neighbors import NearestNeighbors

from asd_edge.errors import ParameterError
from asd_edge.scoring import References, Scorer, ScoringConfig, distances


def make_references(n: int = 40, d: int = 6, sections: int = 3) -> References:
    rng = np.random.default_rng(1)
    return References(
        embeddings=rng.standard_normal((n, d)).astype(np.float32),
        sections=np.array([f"{i % sections:02d}" for i in range(n)]),
        domains=np.full(n, "source"),
        clips=np.array([f"clip_{i}" for i in range(n)]),
    )


QUERIES = np.random.default_rng(2).standard_normal((5, 6)).astype(np.float32)


def test_the_report_score_is_the_mean_of_pairwise_distance() -> None:
    torch = pytest.importorskip("torch")
    references = make_references()
    scorer = Scorer(ScoringConfig("euclidean", k=None, pool_sections=True), references)
    for query in QUERIES:
        expected = torch.nn.PairwiseDistance()(
            torch.from_numpy(query).expand(40, -1), torch.from_numpy(references.embeddings)
        ).mean()
        assert scorer.score(query[np.newaxis]).score == pytest.approx(float(expected), abs=5e-6)


def test_cosine_distance() -> None:
    references = make_references().embeddings
    np.testing.assert_allclose(
        distances(QUERIES, references, "cosine"), cosine_distances(QUERIES, references), atol=1e-6
    )
    assert distances(np.zeros((1, 6), np.float32), references, "cosine") == pytest.approx(1.0)


@pytest.mark.parametrize("k", [1, 3, 13, 99])
@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
def test_mean_of_the_k_nearest_of_the_own_section(k: int, metric: str) -> None:
    references = make_references()
    scorer = Scorer(ScoringConfig(metric, k=k), references)
    for section in ("00", "01", "02"):
        own = references.embeddings[references.sections == section]
        nearest = NearestNeighbors(n_neighbors=min(k, len(own)), metric=metric).fit(own)
        for query in QUERIES:
            expected = nearest.kneighbors(query[np.newaxis])[0].mean()
            result = scorer.score(query[np.newaxis], section)
            assert result.score == pytest.approx(expected, abs=1e-6)
            assert (result.section, result.section_known) == (section, True)


def test_an_unknown_section_is_scored_against_the_nearest() -> None:
    scorer = Scorer(ScoringConfig(k=1), make_references())
    for query in QUERIES:
        by_section = {s: scorer.score(query[np.newaxis], s).score for s in scorer.sections}
        for section in (None, "77"):
            result = scorer.score(query[np.newaxis], section)
            assert result.section == min(by_section, key=by_section.__getitem__)
            assert result.score == min(by_section.values())
            assert not result.section_known


def test_the_score_of_a_clip_is_the_mean_over_its_windows() -> None:
    scorer = Scorer(ScoringConfig(k=2), make_references())
    one_by_one = [scorer.score(query[np.newaxis], "01").score for query in QUERIES]
    result = scorer.score(QUERIES, "01")
    assert result.score == pytest.approx(np.mean(one_by_one))
    assert result.windows == pytest.approx(one_by_one)


def test_a_small_distance_between_large_vectors_is_exact() -> None:
    """|a|^2 + |b|^2 - 2ab would lose it."""
    base = np.full((1, 8), 1000.0, np.float32)
    near = base.copy()
    near[0, 0] += 0.5
    assert distances(near, base, "euclidean")[0, 0] == 0.5


@pytest.mark.parametrize("wrong", [{"metric": "manhattan"}, {"k": 0}])
def test_senseless_values_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ParameterError, match=next(iter(wrong))):
        ScoringConfig(**wrong)  # type: ignore[arg-type]


def test_references_are_checked() -> None:
    names = np.array(["a", "b"])
    with pytest.raises(ParameterError, match="shape"):
        References(np.zeros((0, 3), np.float32), names[:0], names[:0], names[:0])
    with pytest.raises(ParameterError, match="finite"):
        References(np.full((2, 3), np.nan, np.float32), names, names, names)
    with pytest.raises(ParameterError, match="rows"):
        References(np.zeros((2, 3), np.float32), names, names, names[:1])
