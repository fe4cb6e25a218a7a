from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import f1_score, precision_score, recall_score, roc_auc_score, roc_curve

from asd_edge.errors import ParameterError
from asd_training.errors import DatasetError
from asd_training.evaluation import measures, metrics


def pairwise_auc(labels, scores) -> float:
    """The definition: P(anomaly > normal) + P(anomaly = normal) / 2."""
    labels, scores = np.asarray(labels, dtype=bool), np.asarray(scores, dtype=float)
    pairs = [np.sign(a - n) for a in scores[labels] for n in scores[~labels]]
    return float(np.mean(pairs)) / 2 + 0.5


def integrated_pauc(labels, scores, p) -> float:
    """Trapezoids under the ROC curve up to a false-positive rate of p, then McClish."""
    fpr, tpr, _ = roc_curve(labels, scores, drop_intermediate=False)
    inside = fpr <= p
    x, y = np.append(fpr[inside], p), np.append(tpr[inside], np.interp(p, fpr, tpr))
    # Where the curve steps up exactly at p, the upper end of the step must not count.
    area = float(np.sum(np.diff(x) * (y[1:] + y[:-1]) / 2))
    return (1 + (area - p * p / 2) / (p - p * p / 2)) / 2


@st.composite
def labelled_scores(draw):
    n = draw(st.integers(2, 40))
    labels = draw(st.lists(st.booleans(), min_size=n, max_size=n))
    labels[0], labels[1] = True, False
    scores = draw(st.lists(st.integers(-50, 50), min_size=n, max_size=n))
    return np.array(labels), np.array(scores, dtype=float)


def table(rows, **constant) -> pd.DataFrame:
    """Rows of (label, score, anomalous)."""
    frame = pd.DataFrame(rows, columns=["label", "score", "anomalous"])
    frame["clip"] = [f"{i:04d}.wav" for i in range(len(frame))]
    defaults = {"machine": "fan", "section": "00", "domain": "source"}
    return frame.assign(**(defaults | constant))


# One anomaly above both normals, one between, one below: 3 of 6 pairs ordered rightly.
SMALL = [
    ("normal", 2.0, False),
    ("normal", 4.0, True),
    ("anomaly", 1.0, False),
    ("anomaly", 3.0, False),
    ("anomaly", 5.0, True),
]


def test_auc_closed_form() -> None:
    labels = [label == "anomaly" for label, _, _ in SMALL]
    assert measures.auc(labels, [score for _, score, _ in SMALL]) == 0.5
    assert measures.auc([0, 0, 1, 1], [1, 2, 3, 4]) == 1.0
    assert measures.auc([0, 0, 1, 1], [3, 4, 1, 2]) == 0.0
    assert measures.auc([0, 1, 0, 1], [7, 7, 7, 7]) == 0.5


def test_pauc_closed_form() -> None:
    normals = np.arange(100)
    labels = np.r_[np.zeros(100), np.ones(10)]
    assert measures.pauc(labels, np.r_[normals, np.full(10, 200)]) == 1.0
    # No anomaly above the loudest tenth of the normals: A = 0.
    lowest = (1 - 0.1 / 1.9) / 2
    assert measures.pauc(labels, np.r_[normals, np.full(10, 50.5)]) == pytest.approx(lowest)
    # Half of the anomalies above everything: A = 0.05.
    half = (1 + (0.05 - 0.005) / (0.1 - 0.005)) / 2
    scores = np.r_[normals, np.full(5, 200), np.full(5, -1)]
    assert measures.pauc(labels, scores) == pytest.approx(half)
    assert measures.pauc(labels, scores, max_fpr=1.0) == measures.auc(labels, scores)


@given(labelled_scores())
def test_auc_is_the_share_of_ordered_pairs(data) -> None:
    assert measures.auc(*data) == pytest.approx(pairwise_auc(*data), abs=1e-12)


@given(labelled_scores(), st.floats(0.05, 0.95))
def test_pauc_is_the_standardised_area(data, max_fpr) -> None:
    expected = integrated_pauc(*data, max_fpr)
    assert measures.pauc(*data, max_fpr=max_fpr) == pytest.approx(expected, abs=1e-9)


@given(labelled_scores())
def test_auc_and_pauc_depend_on_the_order_alone(data) -> None:
    labels, scores = data
    for monotone in (np.exp(scores / 10), 3 * scores - 7, scores**3):
        assert measures.auc(labels, monotone) == measures.auc(labels, scores)
        assert measures.pauc(labels, monotone) == measures.pauc(labels, scores)
    assert measures.auc(labels, -scores) == pytest.approx(1 - measures.auc(labels, scores))


@given(labelled_scores())
def test_precision_recall_f1_agree_with_sklearn(data) -> None:
    labels, scores = data
    decisions = scores > 0
    expected = [f(labels, decisions, zero_division=0) for f in (precision_score, recall_score)]
    expected.append(f1_score(labels, decisions, zero_division=0))
    assert measures.precision_recall_f1(labels, decisions) == pytest.approx(expected)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_scores_must_be_finite(bad) -> None:
    for measure in (measures.auc, measures.pauc, measures.threshold_sweep):
        with pytest.raises(ParameterError, match=r"scores\[1\].*finite"):
            measure([0, 1, 1], [0.0, bad, 1.0])
    with pytest.raises(ParameterError, match=r"0002\.wav.*finite"):
        metrics.evaluate(table([*SMALL[:2], ("anomaly", bad, True)]))


def test_labels_are_checked() -> None:
    with pytest.raises(ParameterError, match="only normals"):
        measures.auc([0, 0], [1, 2])
    with pytest.raises(ParameterError, match="only anomalies"):
        measures.auc([1, 1], [1, 2])
    with pytest.raises(ParameterError, match="no clips"):
        measures.auc(np.empty(0, dtype=bool), [])
    # scikit-learn would take "normal" for the positive class.
    with pytest.raises(ParameterError, match="1 for anomaly"):
        measures.auc(["anomaly", "normal"], [1, 2])
    with pytest.raises(ParameterError, match="1 for anomaly"):
        measures.auc([1, 2], [1, 2])
    with pytest.raises(ParameterError, match="shapes"):
        measures.auc([0, 1], [1, 2, 3])
    with pytest.raises(ParameterError, match="max_fpr"):
        measures.pauc([0, 1], [1, 2], max_fpr=0.0)


def test_means_are_those_of_the_evaluator() -> None:
    values = np.random.default_rng(0).uniform(0, 1, (42, 5))
    values[3, 2] = 0.0
    clamped = np.maximum(values, np.finfo(float).eps)
    np.testing.assert_array_equal(measures.arithmetic_mean(values), np.mean(values, axis=0))
    np.testing.assert_allclose(
        measures.harmonic_mean(values), scipy.stats.hmean(clamped, axis=0), rtol=1e-15
    )
    # The memory order of a table must not change the last digit.
    fortran = np.asfortranarray(values)
    np.testing.assert_array_equal(measures.arithmetic_mean(fortran), np.mean(values, axis=0))
    np.testing.assert_array_equal(measures.harmonic_mean(fortran), measures.harmonic_mean(values))


def test_means_leave_missing_values_out() -> None:
    values = [[0.5, np.nan, 0.25], [1.0, np.nan, np.nan]]
    np.testing.assert_allclose(measures.arithmetic_mean(values), [0.75, np.nan, 0.25])
    np.testing.assert_allclose(measures.harmonic_mean(values), [2 / 3, np.nan, 0.25])


def test_evaluate_small() -> None:
    results = metrics.evaluate(table(SMALL))
    (row,) = results.rows.to_dict("records")
    assert (row["n_normal"], row["n_anomaly"], row["n_unknown"]) == (2, 3, 0)
    assert row["auc"] == 0.5
    assert row["precision"] == 0.5
    assert row["recall"] == pytest.approx(1 / 3)
    assert row["f1"] == pytest.approx(0.4)
    assert results.missing == ()
    assert list(results.overall["mean"]) == ["arithmetic", "harmonic"]
    for mean in (results.machine_means, results.overall):
        np.testing.assert_allclose(mean["f1"], 0.4)


def test_evaluate_order_of_groups() -> None:
    keys = [("fan", "", "00"), ("fan", "target", "00"), ("fan", "source", "01")]
    keys += [("fan", "source", "00"), ("ToyCar", "target", "02"), ("bandsaw", "source", "00")]
    parts = [table(SMALL, machine=m, domain=d, section=s) for m, d, s in keys]
    rows = metrics.evaluate(pd.concat(parts, ignore_index=True)).rows
    assert list(rows[["machine", "domain", "section"]].itertuples(index=False, name=None)) == [
        ("ToyCar", "target", "02"),
        ("bandsaw", "source", "00"),
        ("fan", "source", "00"),
        ("fan", "source", "01"),
        ("fan", "target", "00"),
        ("fan", "", "00"),
    ]


def test_evaluate_leaves_out_what_cannot_be_measured() -> None:
    perfect = [("normal", 0.0, False), ("anomaly", 1.0, True)]
    scores = pd.concat(
        [
            table([*perfect, ("unknown", 5.0, True)]),
            table(SMALL, section="01"),
            table(perfect[:1] * 3, section="02"),
            table([("unknown", 0.0, True)], section="03"),
            table([("normal", 0.0, None), ("anomaly", 1.0, True)], section="04"),
        ],
        ignore_index=True,
    )
    results = metrics.evaluate(scores)
    np.testing.assert_allclose(results.rows["auc"], [1, 0.5, np.nan, np.nan, 1])
    np.testing.assert_allclose(results.rows["recall"], [1, 1 / 3, np.nan, np.nan, np.nan])
    assert list(results.rows["n_unknown"]) == [1, 0, 0, 1, 0]
    assert results.overall["auc"][0] == pytest.approx(2.5 / 3)
    assert results.overall["recall"][0] == pytest.approx(2 / 3)
    assert [(gap.section, len(gap.metrics)) for gap in results.missing] == [
        ("02", 5),
        ("03", 5),
        ("04", 3),
    ]
    assert "3 normal, 0 anomalous" in results.missing[0].reason


def test_evaluate_without_decisions() -> None:
    results = metrics.evaluate(table(SMALL).drop(columns="anomalous"))
    assert results.rows["auc"][0] == 0.5
    assert results.overall[["precision", "recall", "f1"]].isna().all(axis=None)
    assert results.missing[0].metrics == ("precision", "recall", "f1")


def test_evaluate_refuses_a_set_without_labels() -> None:
    unlabelled = table([("unknown", 1.0, False)] * 4)
    with pytest.raises(DatasetError, match=r"eval_data: none of its 4 test clips is labelled"):
        metrics.evaluate(unlabelled, source="eval_data")
    with pytest.raises(DatasetError, match="none of its 0"):
        metrics.evaluate(unlabelled.iloc[:0])
    with pytest.raises(DatasetError, match="both normal and anomalous"):
        metrics.evaluate(table([("normal", 1.0, False)] * 4))


def test_evaluate_checks_its_table() -> None:
    with pytest.raises(ParameterError, match="domain"):
        metrics.evaluate(table(SMALL).drop(columns="domain"))
    with pytest.raises(ParameterError, match="abnormal"):
        metrics.evaluate(table([("abnormal", 1.0, True)]))


def test_threshold_sweep_closed_form() -> None:
    # Decisions are score > threshold: of 0, 1, 2, 3, 4 the thresholds 1 and 2 separate; the
    # lower one, equal to the highest normal score, is taken.
    sweep = measures.threshold_sweep([0, 0, 1, 1], [0.0, 1.0, 3.0, 4.0], n=5)
    assert sweep == (1.0, 1.0)
    # Nothing beats chance: the lowest of the thresholds that reach it.
    assert measures.threshold_sweep([1, 0], [0.0, 1.0]).auc == 0.5
    assert measures.threshold_sweep([0, 1], [2.0, 2.0]) == (2.0, 0.5)
    with pytest.raises(ParameterError, match="at least 2"):
        measures.threshold_sweep([0, 1], [0, 1], n=1)


@pytest.mark.parametrize("n", [2, 7, 100])
@pytest.mark.parametrize("seed", range(4))
def test_threshold_sweep_agrees_with_brute_force(seed: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    labels = np.r_[np.zeros(30, dtype=bool), np.ones(20, dtype=bool)]
    # Rounded: many ties, between scores and between thresholds.
    scores = np.round(rng.normal(labels * (seed - 1), 1.0), 1)
    thresholds = np.linspace(scores.min(), scores.max(), n)
    areas = [roc_auc_score(labels, scores > threshold) for threshold in thresholds]
    sweep = measures.threshold_sweep(labels, scores, n=n)
    assert sweep.auc == pytest.approx(max(areas), abs=1e-12)
    assert sweep.threshold == thresholds[np.flatnonzero(np.array(areas) > max(areas) - 1e-12)[0]]


def years_table() -> pd.DataFrame:
    """Two machines of two sections with 5 + 4 source and 3 + 2 target clips each."""
    rng = np.random.default_rng(3)
    counts = {
        ("source", "normal"): 5,
        ("source", "anomaly"): 4,
        ("target", "normal"): 3,
        ("target", "anomaly"): 2,
    }
    return pd.DataFrame(
        [
            {
                "clip": f"{m}_{s}_{domain}_{label}_{i}",
                "machine": m,
                "section": s,
                "domain": domain,
                "label": label,
                "score": rng.normal(0.8 * (label == "anomaly") + 0.3 * (domain == "target")),
                "anomalous": bool(rng.integers(2)),
            }
            for m in ("fan", "pump")
            for s in ("00", "01")
            for (domain, label), n in counts.items()
            for i in range(n)
        ]
    )


def sklearn_auc(clips: pd.DataFrame, **how: float) -> float:
    return roc_auc_score(clips["label"] == "anomaly", clips["score"], **how)


@pytest.mark.parametrize("year", [2022, 2023, 2024, 2025])
def test_rules_of_2022_and_later(year: int) -> None:
    """AUC: a domain's normals against all anomalies of the section; pAUC: the section."""
    scores = years_table()
    results = metrics.evaluate(scores, year=year)
    values = []
    for _, row in results.rows.iterrows():
        here = scores[(scores["machine"] == row["machine"]) & (scores["section"] == row["section"])]
        anomalous = here["label"] == "anomaly"
        in_domain = here["domain"] == row["domain"]
        assert row["auc"] == pytest.approx(sklearn_auc(here[anomalous | in_domain]))
        assert row["auc_all"] == pytest.approx(sklearn_auc(here))
        assert row["pauc"] == pytest.approx(sklearn_auc(here, max_fpr=0.1))
        own = here[in_domain]
        assert row["recall"] == pytest.approx(
            recall_score(own["label"] == "anomaly", own["anomalous"])
        )
        assert (row["n_normal"], row["n_anomaly"]) in ((5, 4), (3, 2))
        values += [row["auc"]] + [row["pauc"]] * (row["domain"] == "source")
    assert len(values) == 4 * 3
    assert results.official_score == pytest.approx(scipy.stats.hmean(values))
    within = metrics.evaluate(scores, year=2021).rows
    assert (within["auc"] != results.rows["auc"]).any()


def test_rules_of_2021_and_2020() -> None:
    scores = years_table()
    results = metrics.evaluate(scores, year=2021)
    both = np.concatenate([results.rows["auc"], results.rows["pauc"]])
    assert results.official_score == pytest.approx(scipy.stats.hmean(both))

    results = metrics.evaluate(scores, year=2020)
    assert list(results.rows["domain"]) == [""] * 4
    means = []
    for machine, part in scores.groupby("machine"):
        aucs = [sklearn_auc(clips) for _, clips in part.groupby("section")]
        paucs = [sklearn_auc(clips, max_fpr=0.1) for _, clips in part.groupby("section")]
        means.append((np.mean(aucs) + np.mean(paucs)) / 2)
        assert results.rows.loc[results.rows["machine"] == machine, "auc"].tolist() == (
            pytest.approx(aucs)
        )
    assert results.official_score == pytest.approx(np.mean(means))
    with pytest.raises(ParameterError, match="2020 to 2025"):
        metrics.evaluate(scores, year=2019)


# AUC (source), AUC (target) and pAUC of the 2023 and 2025 evaluation sets, and the official score,
# as nttcslab/dcase2023_task2_evaluator and dcase2025_task2_evaluator print them for the
# autoencoder baseline (MSE) in their READMEs.
PUBLISHED = {
    2023: (
        [
            [0.6667348190554078, 0.48287671232876717, 0.5091087658743451],
            [0.706837186424004, 0.5516569200779727, 0.5846166760294185],
            [0.69428983714698, 0.5604118104118104, 0.5491654428600755],
            [0.7968000000000001, 0.561, 0.5368421052631579],
            [0.77, 0.4716, 0.5178947368421053],
            [0.7212000000000001, 0.6468, 0.5826315789473684],
            [0.8816, 0.45320000000000005, 0.5947368421052631],
        ],
        0.5925469043549957,
    ),
    2025: (
        [
            [0.8102, 0.3436, 0.5421052631578948],
            [0.8140000000000001, 0.4976, 0.5284210526315789],
            [0.677, 0.36699999999999994, 0.55],
            [0.5284, 0.6271999999999999, 0.5552631578947368],
            [0.7198, 0.3956, 0.5205263157894737],
            [0.7303999999999999, 0.4436, 0.5342105263157895],
            [0.6686000000000001, 0.443, 0.5231578947368422],
            [0.6486, 0.6592, 0.6210526315789474],
        ],
        0.5442827820713174,
    ),
}


@pytest.mark.parametrize("year", sorted(PUBLISHED))
def test_official_score_of_the_organisers(year: int) -> None:
    machines, published = PUBLISHED[year]
    rows = pd.DataFrame(
        {"machine": str(i), "section": "00", "domain": domain, "auc": auc, "pauc": pauc}
        for i, (source, target, pauc) in enumerate(machines)
        for domain, auc in (("source", source), ("target", target))
    )
    assert metrics.official_score(rows, year) == pytest.approx(published, rel=1e-12)


def test_a_domain_without_anomalies_of_its_own() -> None:
    """From 2022 on it has an AUC, but no precision and recall."""
    scores = years_table()
    scores = scores[(scores["domain"] == "source") | (scores["label"] == "normal")]
    results = metrics.evaluate(scores, year=2022)
    target = results.rows[results.rows["domain"] == "target"]
    assert target["auc"].notna().all()
    assert target[["precision", "recall", "f1"]].isna().all(axis=None)
    assert metrics.evaluate(scores, year=2021).rows["auc"].isna().sum() == 4


def test_error_of_an_auc_is_the_spread_of_repeated_draws() -> None:
    rng = np.random.default_rng(0)
    labels = np.repeat([False, True], [30, 50])
    areas = [measures.auc(labels, rng.normal(labels * 1.0)) for _ in range(2000)]
    expected = measures.auc_error(float(np.mean(areas)), 30, 50)
    assert np.std(areas) == pytest.approx(expected, rel=0.1)
    assert measures.auc_error(1.0, 30, 50) == 0


def test_error_of_the_mean() -> None:
    scores = years_table()
    results = metrics.evaluate(scores, year=2021)
    errors = results.rows.apply(
        lambda r: measures.auc_error(r["auc"], r["n_normal"], r["n_anomaly"]), axis=1
    )
    sections = errors.groupby([results.rows["machine"], results.rows["section"]]).sum()
    assert metrics.mean_auc_error(scores, 2021) == pytest.approx(np.sqrt((sections**2).sum()) / 8)


@pytest.mark.parametrize("first", ["source", "target"])
def test_a_domain_without_normals_does_not_hide_the_section_s_pauc(first: str) -> None:
    """The official score takes a section's pAUC from whichever domain has it."""
    rng = np.random.default_rng(0)
    rows = [("target" if first == "source" else "source", "normal", s) for s in rng.normal(size=20)]
    rows += [(d, "anomaly", s) for d in ("source", "target") for s in rng.normal(1, size=10)]
    scores = pd.DataFrame(rows, columns=["domain", "label", "score"]).assign(
        clip=[f"{i}.wav" for i in range(40)], machine="fan", section="00"
    )
    results = metrics.evaluate(scores, year=2022)
    positive = (scores["label"] == "anomaly").to_numpy()
    area = roc_auc_score(positive, scores["score"])
    partial = roc_auc_score(positive, scores["score"], max_fpr=0.1)
    assert results.official_score == pytest.approx(2 / (1 / area + 1 / partial))


def exponential_chances(mean: float) -> tuple[float, float, float]:
    """AUC, chance that two anomalies lie above one normal, and one above two.

    Anomalies are exponential with a mean, normals with mean 1: the model of Hanley and McNeil,
    whose integrals are these.
    """
    both_above = mean / (mean + 2)
    above_both = 1 - 2 / (1 + mean) + 1 / (1 + 2 * mean)
    return mean / (1 + mean), both_above, above_both


@pytest.mark.parametrize("mean", [1.0, 4.0, 30.0])
@pytest.mark.parametrize(("n_normal", "n_anomaly"), [(1, 1), (1, 2), (2, 1), (3, 40), (40, 3)])
def test_error_of_an_auc_is_that_of_pairs(mean: float, n_normal: int, n_anomaly: int) -> None:
    """The variance of a mean over pairs, from the covariances of pairs that share a clip."""
    area, both_above, above_both = exponential_chances(mean)
    shared = (n_anomaly - 1) * (both_above - area**2) + (n_normal - 1) * (above_both - area**2)
    variance = (area * (1 - area) + shared) / (n_normal * n_anomaly)
    assert measures.auc_error(area, n_normal, n_anomaly) ** 2 == pytest.approx(variance, rel=1e-12)


def test_error_of_the_mean_of_groups_that_lack_clips() -> None:
    """One anomaly is enough; a group without any, or without normals, has no part in it."""
    one = table([("normal", 0.0, None), ("normal", 2.0, None), ("anomaly", 1.0, None)])
    expected = measures.auc_error(0.5, 2, 1)
    assert metrics.mean_auc_error(one, 2021) == pytest.approx(expected)
    lacking = [table([("normal", 0.0, None)] * 2, section="01")]
    lacking.append(table([("anomaly", 0.0, None)] * 2, section="02"))
    assert metrics.mean_auc_error(pd.concat([one, *lacking]), 2021) == pytest.approx(expected)
    assert metrics.mean_auc_error(lacking[0], 2021) == 0.0


def test_what_is_left_to_defaults() -> None:
    results = metrics.evaluate(years_table())
    assert results.year == 2021
    assert list(results.overall.columns) == ["mean", *metrics.METRICS]
    assert list(results.machine_means.columns) == ["machine", "mean", *metrics.METRICS]
    labels, scores = np.arange(50) % 2, np.random.default_rng(0).normal(size=50)
    assert measures.threshold_sweep(labels, scores) == measures.threshold_sweep(labels, scores, 100)
    assert measures.pauc(labels, scores) == measures.pauc(labels, scores, 0.1)


def test_what_else_is_refused() -> None:
    with pytest.raises(ParameterError, match="shapes"):
        measures.auc([[0, 1], [1, 0]], [[1, 2], [3, 4]])
    with pytest.raises(ParameterError, match="max_fpr"):
        measures.pauc([0, 1], [1, 2], max_fpr=1.5)
    with pytest.raises(ParameterError, match=r"labels is \[0, 1, 2, 3\]; expected"):
        measures.auc(range(9), range(9))


def test_domains_that_no_challenge_has_come_last_by_name() -> None:
    keys = [("y", "00"), ("x", "01"), ("x", "00"), ("target", "01"), ("source", "02")]
    parts = [table(SMALL, domain=domain, section=section) for domain, section in keys]
    rows = metrics.evaluate(pd.concat(parts)).rows
    assert list(rows[["domain", "section"]].itertuples(index=False, name=None)) == [
        ("source", "02"),
        ("target", "01"),
        ("x", "00"),
        ("x", "01"),
        ("y", "00"),
    ]


def test_a_sweep_over_the_largest_numbers() -> None:
    """Their difference is infinite; the thresholds are not."""
    sweep = measures.threshold_sweep([0, 1, 0, 1], [-1.7e308, 1.7e308, -1e308, 1.2e308], n=11)
    assert sweep.auc == 1.0
    assert -1e308 <= sweep.threshold < 1.2e308
    thresholds = np.linspace(-1.7, 1.7, 11) * 1e308
    assert sweep.threshold == pytest.approx(thresholds[thresholds >= -1e308][0])
