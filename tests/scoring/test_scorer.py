"""The score against PyTorch, scikit-learn and hand-made cases."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from scipy.spatial.distance import cdist, mahalanobis
from sklearn.metrics.pairwise import cosine_distances
from sklearn.neighbors import NearestNeighbors

from asd_edge.errors import ParameterError
from asd_edge.frontend.mel import instruction_sets
from asd_edge.scoring.scorer import ClipScore, Scorer, distances, join_scores
from asd_edge.scoring.views import References, ScoringConfig, Standard, View


def make_references(n: int = 40, d: int = 6, sections: int = 3) -> References:
    rng = np.random.default_rng(1)
    return References(
        embeddings=rng.standard_normal((n, d)).astype(np.float32),
        sections=np.array([f"{i % sections:02d}" for i in range(n)]),
        domains=np.full(n, "source"),
        clips=np.array([f"clip_{i}" for i in range(n)]),
    )


def one_view(config: ScoringConfig, references: References) -> Scorer:
    return Scorer({"embedding": View(config, references)})


def score(scorer: Scorer, query: np.ndarray, section: str | None = None) -> ClipScore:
    return scorer.score(dict.fromkeys(scorer.views, np.atleast_2d(query)), section)


QUERIES = np.random.default_rng(2).standard_normal((5, 6)).astype(np.float32)


def test_the_report_score_is_the_mean_of_pairwise_distance() -> None:
    torch = pytest.importorskip("torch")
    references = make_references()
    scorer = one_view(ScoringConfig("euclidean", k=None, pool_sections=True), references)
    for query in QUERIES:
        expected = torch.nn.PairwiseDistance()(
            torch.from_numpy(query).expand(40, -1), torch.from_numpy(references.embeddings)
        ).mean()
        assert score(scorer, query).score == pytest.approx(float(expected), abs=5e-6)


@pytest.mark.parametrize("name", instruction_sets())
@pytest.mark.parametrize("d", [1, 3, 15, 16, 17, 64, 100, 768])
def test_euclidean_distance(name: str, d: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASD_EDGE_SIMD", name)
    rng = np.random.default_rng(d)
    x, references = (rng.normal(50, 1, (n, d)).astype(np.float32) for n in (4, 7))
    references[0] = x[1]
    got = distances(x, references, "euclidean")
    assert got[1, 0] == 0
    expected = cdist(x.astype(np.float64), references.astype(np.float64))
    np.testing.assert_allclose(got, expected, rtol=max(d, 16) * 2**-26)  # as scoring.h says
    assert distances(x[:0], references, "euclidean").shape == (0, 7)
    with pytest.raises(ParameterError, match="shapes"):
        distances(x, references[:, :-1], "euclidean")


def test_cosine_distance() -> None:
    references = make_references().embeddings
    np.testing.assert_allclose(
        distances(QUERIES, references, "cosine"), cosine_distances(QUERIES, references), atol=1e-6
    )
    assert distances(np.zeros((1, 6), np.float32), references, "cosine") == pytest.approx(1.0)


@pytest.mark.parametrize("k", [1, 2, 3, 13, 14, 99])
@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
def test_mean_of_the_k_nearest_of_the_own_section(k: int, metric: str) -> None:
    references = make_references()
    scorer = one_view(ScoringConfig(metric, k=k), references)
    for section in ("00", "01", "02"):
        own = references.embeddings[references.sections == section]
        nearest = NearestNeighbors(n_neighbors=min(k, len(own)), metric=metric).fit(own)
        for query in QUERIES:
            expected = nearest.kneighbors(query[np.newaxis])[0].mean()
            result = score(scorer, query, section)
            assert result.score == pytest.approx(expected, abs=1e-6)
            assert (result.section, result.section_known) == (section, True)


def test_mean_of_the_k_nearest_of_many() -> None:
    references = make_references(900)
    own = references.embeddings[references.sections == "01"]
    nearest = np.sort(cdist(QUERIES[:1], own)[0])
    for k in range(1, len(own) + 1):
        scorer = one_view(ScoringConfig(k=k), references)
        expected = nearest[:k].mean()
        assert score(scorer, QUERIES[0], "01").score == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("k", [1, 2, 3, None])
@pytest.mark.parametrize("pool", [False, True])
def test_an_unknown_section_is_scored_against_the_nearest(k: int | None, pool: bool) -> None:
    references = make_references()
    scorer = one_view(ScoringConfig(k=k, pool_sections=pool), references)
    for query in QUERIES:
        by_section = {s: score(scorer, query, s) for s in scorer.sections}
        nearest = min(by_section.values(), key=lambda result: result.score)
        for section in (None, "77"):
            result = score(scorer, query, section)
            assert result.section == nearest.section
            assert result.score == pytest.approx(nearest.score, rel=1e-12)
            assert result.nearest == nearest.nearest
            assert not result.section_known


def test_of_sections_that_are_as_near_the_first_is_named() -> None:
    x = np.ones((2, 3), np.float32)
    names = np.array(["b", "a"])
    scorer = one_view(ScoringConfig(k=1), References(x, names, names, names))
    assert score(scorer, np.zeros(3, np.float32)).section == "a"


@pytest.mark.parametrize("distance", [0.0, 1e-3, 0.5, 30.0])
def test_the_shares_of_the_views_sum_to_the_score(distance: float) -> None:
    """Also without standards, where they are distances, and of a clip that is a reference."""
    references = make_references()
    query = references.embeddings[4] + np.float32([distance, 0, 0, 0, 0, 0])
    result = score(one_view(ScoringConfig(k=1), references), query, "01")
    assert result.views == {"embedding": pytest.approx(result.score)}
    assert (result.score == 0) == (distance == 0)


def test_a_recording_in_parts_scores_as_the_whole() -> None:
    standards = {s: Standard((1.0,), (0.2,), 5.0, 0.1) for s in ("00", "01", "02")}
    references = make_references()
    views = {
        "one": View(ScoringConfig(k=1), references, standards),
        "two": View(ScoringConfig("cosine", k=2), references, standards),
    }
    scorer = Scorer(views)
    whole = score(scorer, QUERIES, "01")
    parts = [score(scorer, QUERIES[a:b], "01") for a, b in ((0, 3), (3, 5))]
    joined = join_scores(parts, True)
    assert joined.score == pytest.approx(whole.score)
    assert joined.windows == whole.windows
    assert joined.views == pytest.approx(whole.views)
    worst = max(parts, key=lambda part: max(part.windows))
    assert (joined.nearest, joined.section) == (worst.nearest, "01")
    assert joined.section_known
    assert not join_scores(parts, False).section_known


def test_the_score_of_a_clip_is_the_mean_over_its_windows() -> None:
    scorer = one_view(ScoringConfig(k=2), make_references())
    one_by_one = [score(scorer, query, "01").score for query in QUERIES]
    result = score(scorer, QUERIES, "01")
    assert result.score == pytest.approx(np.mean(one_by_one))
    assert result.windows == pytest.approx(one_by_one)


def test_a_small_distance_between_large_vectors_is_exact() -> None:
    """|a|^2 + |b|^2 - 2ab would lose it."""
    base = np.full((1, 8), 1000.0, np.float32)
    near = base.copy()
    near[0, 0] += 0.5
    assert distances(near, base, "euclidean")[0, 0] == 0.5


@pytest.mark.parametrize("wrong", [{"metric": "manhattan"}, {"k": 0}, {"local_density": -1}])
def test_senseless_values_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ParameterError, match=next(iter(wrong))):
        ScoringConfig(**wrong)


def test_references_are_checked() -> None:
    names = np.array(["a", "b"])
    with pytest.raises(ParameterError, match="shape"):
        References(np.zeros((0, 3), np.float32), names[:0], names[:0], names[:0])
    with pytest.raises(ParameterError, match="finite"):
        References(np.full((2, 3), np.nan, np.float32), names, names, names)
    with pytest.raises(ParameterError, match="rows"):
        References(np.zeros((2, 3), np.float32), names, names, names[:1])
    x = np.zeros((2, 3), np.float32)
    with pytest.raises(ParameterError, match="density"):
        References(x, names, names, names, density=np.ones(3, np.float32))
    with pytest.raises(ParameterError, match="density is '0 or less'"):
        References(x, names, names, names, density=np.zeros(2, np.float32))
    with pytest.raises(ParameterError, match="whitening"):
        References(x, names, names, names, whitening=np.ones(3, np.float16))
    with pytest.raises(ParameterError, match="whitening"):
        References(x, names, names, names, whitening=np.ones(6, np.float32))
    references = References(x, names, names, names)
    with pytest.raises(ParameterError, match="whitening"):
        View(ScoringConfig("whitened"), references)
    with pytest.raises(ParameterError, match="density"):
        View(ScoringConfig(local_density=1), references)
    standard = Standard((1.0,), (0.1,), 10.0, 1.0)
    with pytest.raises(ParameterError, match="standards"):
        View(ScoringConfig(), references, {"a": standard})
    with pytest.raises(ParameterError, match="standards"):
        View(ScoringConfig(parts={"p": (0, 1)}), references, {"a": standard, "b": standard})
    with pytest.raises(ParameterError, match="parts"):
        View(ScoringConfig(parts={"p": (0, 4)}), references)
    for wrong in (
        ((1.0,), (0.0,), 10.0, 1.0),
        ((1.0,), (0.1, 0.1), 10.0, 1.0),
        ((1.0,), (0.1,), 10.0, 0.0),
        ((np.nan,), (0.1,), 10.0, 1.0),
    ):
        with pytest.raises(ParameterError, match="standard"):
            Standard.checked(*wrong)
    with pytest.raises(ParameterError, match="views"):
        Scorer({})
    two = Scorer(
        {"one": View(ScoringConfig(), references), "two": View(ScoringConfig(), references)}
    )
    with pytest.raises(ParameterError, match="standards"):
        two.score({"one": x, "two": x}, "a")
    with pytest.raises(ParameterError, match="exponent"):
        Scorer(
            {
                "one": View(ScoringConfig(), references),
                "two": View(ScoringConfig(exponent=1.0), references),
            }
        )


def test_the_score_of_several_views_is_their_weighted_sum() -> None:
    """As schema 2 had it: exponent 1, no centre."""
    references = make_references()
    weights = {"00": 2.0, "01": 0.5, "02": 1.0}, {"00": 1.0, "01": 3.0, "02": 0.25}
    configs = (
        ScoringConfig("euclidean", k=3, exponent=1.0),
        ScoringConfig("cosine", k=None, exponent=1.0),
    )
    scorer = Scorer(
        {
            name: View(
                config,
                references,
                {s: Standard((0.0,), (1.0,), 0.0, weight) for s, weight in own.items()},
            )
            for name, config, own in zip(("one", "two"), configs, weights, strict=True)
        }
    )
    alone = [one_view(config, references) for config in configs]
    for query in QUERIES:
        for section in ("00", "01", "02"):
            result = score(scorer, query, section)
            parts = [
                own[section] * score(single, query, section).score
                for own, single in zip(weights, alone, strict=True)
            ]
            assert result.views == pytest.approx(dict(zip(("one", "two"), parts, strict=True)))
            assert result.score == pytest.approx(sum(parts))
        nearest = min(score(scorer, query, section).score for section in ("00", "01", "02"))
        assert score(scorer, query).score == nearest


def test_the_largest_deviation_of_whole_and_parts_decides() -> None:
    references = make_references()
    config = ScoringConfig(parts={"left": (0, 2), "right": (2, 6)}, emphasis=0.25)
    standard = Standard((1.0, 0.8, 0.9), (0.2, 0.1, 0.3), 5.0, 0.1)
    view = View(config, references, dict.fromkeys(("00", "01", "02"), standard))
    scorer = Scorer({"statistics": view})
    own = references.embeddings[references.sections == "01"].astype(np.float64)
    for query in QUERIES:
        d = [cdist(query[np.newaxis, c], own[:, c]).min() for c in np.s_[0:6, 0:2, 2:6]]
        z = (np.cbrt(d) - standard.centres) / standard.spreads
        expected = (0.1 * max(z.max() + 0.25 * z[0] + 5, 0)) ** 3
        assert score(scorer, query, "01").score == pytest.approx(expected, rel=1e-5)


def test_whitened_is_the_distance_of_projections_and_density_divides() -> None:
    references = make_references()
    rng = np.random.default_rng(3)
    triangle = rng.standard_normal(21).astype(np.float16)
    density = rng.uniform(0.5, 2, 40).astype(np.float32)
    view = View(
        ScoringConfig("whitened", k=1, local_density=4),
        dataclasses.replace(references, whitening=triangle, density=density),
    )
    matrix = np.zeros((6, 6))
    matrix[np.tril_indices(6)] = triangle
    precision = matrix @ matrix.T
    for query in QUERIES:
        own = references.sections == "02"
        expected = min(
            mahalanobis(query, r, precision) / w
            for r, w in zip(references.embeddings[own], density[own], strict=True)
        )
        scorer = Scorer({"statistics": view})
        assert score(scorer, query, "02").score == pytest.approx(expected, rel=1e-5)
        row = scorer.nearest({"statistics": query[np.newaxis]}, "statistics", "02")
        assert own[row]


@pytest.mark.parametrize("k", [1, 3])
def test_one_factor_says_how_much_farther_references_reach(k: int) -> None:
    """The whole takes the domain that suits it; its parts go by the same factor."""
    rng = np.random.default_rng(9)
    references = dataclasses.replace(
        make_references(), reach=rng.uniform(1, 2, 40).astype(np.float32)
    )
    standard = Standard((1.0, 0.7, 0.9), (0.2, 0.1, 0.3), 5.0, 0.1)
    config = ScoringConfig(k=k, parts={"a": (0, 2), "b": (2, 6)})
    sections = sorted(set(references.sections.tolist()))
    view = View(config, references, dict.fromkeys(sections, standard))
    scorer = Scorer({"statistics": view})
    for query in QUERIES:
        expected = {}
        for section in sections:
            own = references.sections == section
            x, reach = references.embeddings[own], references.reach[own]

            def mean(d: np.ndarray) -> float:
                return float(np.sort(d)[:k].mean())

            d = [cdist(query[np.newaxis, c], x[:, c])[0] for c in np.s_[0:6, 0:2, 2:6]]
            factor = mean(d[0] / reach) / mean(d[0])
            z = (np.cbrt([factor * mean(part) for part in d]) - standard.centres) / standard.spreads
            expected[section] = (0.1 * max(z.max() + 5, 0)) ** 3
            assert score(scorer, query, section).score == pytest.approx(expected[section], rel=1e-5)
        of_all = score(scorer, query, None)
        assert of_all.score == pytest.approx(min(expected.values()), rel=1e-5)
    known = score(scorer, references.embeddings[0])  # at distance 0
    assert known.nearest == references.clips[0]
    assert np.isfinite(known.score)


def test_the_nearest_reference_is_named() -> None:
    references = make_references()
    scorer = one_view(ScoringConfig(k=3), references)
    for query in QUERIES:
        own = np.flatnonzero(references.sections == "01")
        distance = np.linalg.norm(references.embeddings[own] - query, axis=1)
        expected = references.clips[own[np.argmin(distance)]]
        assert score(scorer, query, "01").nearest == expected


def test_the_nearest_reference_of_a_recording_is_that_of_all_windows_together() -> None:
    references = make_references()
    scorer = one_view(ScoringConfig(k=3), references)
    own = np.flatnonzero(references.sections == "01")
    # The windows' own nearest ones are far from the other window.
    x = np.stack([references.embeddings[own[0]] + 0.1, references.embeddings[own[5]]])
    summed = cdist(x, references.embeddings[own]).sum(axis=0)
    assert score(scorer, x, "01").nearest == references.clips[own[np.argmin(summed)]]
    more = QUERIES[:3]
    summed = cdist(more, references.embeddings[own]).sum(axis=0)
    assert score(scorer, more, "01").nearest == references.clips[own[np.argmin(summed)]]


def test_a_score_beyond_all_numbers_is_infinite() -> None:
    standards = dict.fromkeys(("00", "01", "02"), Standard((1.0,), (1.0,), 5.0, 1e200))
    scorer = Scorer({"one": View(ScoringConfig(), make_references(), standards)})
    result = score(scorer, QUERIES[:2], "01")
    assert result.score == np.inf
    assert list(result.windows) == [np.inf, np.inf]


@pytest.mark.parametrize("k", [1, 2, None])
def test_an_embedding_that_is_not_a_number_has_no_score(k: int | None) -> None:
    """It must not compare as near; `Analysis.decision` refuses what is not finite."""
    query = QUERIES[0].copy()
    query[3] = np.nan
    assert np.isnan(score(one_view(ScoringConfig(k=k), make_references()), query, "01").score)


def test_a_clip_that_is_a_reference_is_at_distance_0_however_far_others_reach() -> None:
    reach = np.linspace(1, 1.5, 40, dtype=np.float32)
    references = dataclasses.replace(make_references(), reach=reach)
    query = references.embeddings[4]  # of section 01
    assert score(one_view(ScoringConfig(k=1), references), query, "01").score == 0.0


def test_no_cosine_distance_is_below_0() -> None:
    """Rounding makes the cosine of a vector and itself a little more than 1 now and then."""
    x = np.random.default_rng(3).standard_normal((300, 7)).astype(np.float32)
    exact = x.astype(np.float64)
    lengths = np.sqrt(np.square(exact).sum(axis=1))
    assert (np.square(exact).sum(axis=1) / lengths / lengths > 1).any()
    assert (np.diagonal(distances(x, x, "cosine")) >= 0).all()
