"""The estimator is enrolment with scikit-learn's names."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline
from sklearn.utils import estimator_checks
from sklearn.utils.estimator_checks import check_estimator

from asd_edge import Detector, enroll
from asd_edge.errors import AsdError, ParameterError
from asd_edge.estimator import EnrolledDetector

# check_estimator feeds tables of a few numbers a row. A clip is a sound of a thousand samples or
# more, and one that short is an error, so the tag two_d_array=False is set and check_estimator
# leaves out all checks that fit such tables. All checks of scikit-learn are listed here: those that
# need no data are called by name; what those with data ask for is asked of sounds, by the tests
# below; the others have their reason.
WITHOUT_DATA = (
    "check_do_not_raise_errors_in_init_or_set_params",
    "check_estimator_cloneable",
    "check_estimator_repr",
    "check_estimator_tags_renamed",
    "check_estimators_unfitted",
    "check_get_params_invariance",
    "check_mixin_order",
    "check_no_attributes_set_in_init",
    "check_non_transformer_estimators_n_iter",
    "check_parameters_default_constructible",
    "check_set_params",
    "check_valid_tag_types",
)
OF_SOUNDS = {
    "check_classifier_data_not_an_array": "test_kinds_of_arrays",
    "check_dict_unchanged": "test_predicting_changes_nothing",
    "check_dont_overwrite_parameters": "test_fitting",
    "check_estimators_dtypes": "test_kinds_of_arrays",
    "check_estimators_empty_data_messages": "test_what_it_refuses",
    "check_estimators_fit_returns_self": "test_fitting",
    "check_estimators_nan_inf": "test_what_it_refuses",
    "check_estimators_overwrite_params": "test_fitting",
    "check_estimators_pickle": "test_it_is_enrolment",
    "check_f_contiguous_array_estimator": "test_kinds_of_arrays",
    "check_fit1d": "test_what_it_refuses",
    "check_fit2d_1sample": "test_what_it_refuses",
    "check_fit_check_is_fitted": "test_it_is_enrolment",
    "check_fit_idempotent": "test_fitting",
    "check_fit_score_takes_y": "test_fitting",
    "check_methods_sample_order_invariance": "test_predicting_changes_nothing",
    "check_methods_subset_invariance": "test_predicting_changes_nothing",
    "check_outliers_fit_predict": "test_fitting",
    "check_pipeline_consistency": "test_in_a_pipeline",
    "check_positive_only_tag_during_fit": "test_it_is_enrolment",
    "check_readonly_memmap_input": "test_kinds_of_arrays",
}
REASONS = {
    "check_array_api_input": "it needs SCIPY_ARRAY_API, and clips are NumPy arrays or paths",
    "check_complex_data": "a list of clips is no table; complex samples are refused as such",
    "check_dtype_object": "objects are no samples; they are refused by their type",
    "check_estimator_sparse_array": "sounds are not sparse",
    "check_estimator_sparse_matrix": "sounds are not sparse",
    "check_estimator_sparse_tag": "sounds are not sparse",
    "check_fit2d_1feature": "a clip of one sample is too short, which is said of it",
    "check_fit2d_predict1d": "a list of clips has no second dimension to be missing",
    "check_n_features_in": "clips of any length are taken: there is no number of features",
    "check_n_features_in_after_fitting": "clips of any length are taken",
    "check_outliers_train": "it wants a contamination that is exact on the clips of the fit; here "
    "the false-alarm rate is that of new clips",
}


class _Tabular(EnrolledDetector):
    """With the tag that makes scikit-learn list all its checks."""

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = True
        return tags


def test_every_check_runs_or_has_its_reason() -> None:
    checks = estimator_checks.estimator_checks_generator(_Tabular())
    names = {(getattr(check, "func", check)).__name__ for _, check in checks}
    known = {*WITHOUT_DATA, *OF_SOUNDS, *REASONS}
    assert len(known) == len(WITHOUT_DATA) + len(OF_SOUNDS) + len(REASONS)
    # Versions of scikit-learn differ; a check that is new to this list wants a decision.
    assert names <= known
    assert set(OF_SOUNDS.values()) <= set(globals())


@pytest.fixture(scope="module")
def sounds() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    t = np.arange(8000) / 8000

    def clips(count: int, pitch: float) -> np.ndarray:
        phase = rng.uniform(0, 6, (count, 1))
        return 0.1 * np.sin(2 * np.pi * pitch * t + phase) + 0.02 * rng.normal(size=(count, 8000))

    return clips(20, 200), clips(5, 200), clips(5, 330)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
@pytest.mark.filterwarnings("ignore:Can't test estimator")
def test_scikit_learn_s_own_checks() -> None:
    assert {r["status"] for r in check_estimator(EnrolledDetector(sr=8000), on_fail=None)} == {
        "passed"
    }


@pytest.mark.parametrize("name", WITHOUT_DATA)
def test_checks_without_data(name: str) -> None:
    check = getattr(estimator_checks, name)
    of_class = name == "check_parameters_default_constructible"
    check("EnrolledDetector", EnrolledDetector(sr=8000) if not of_class else EnrolledDetector())


def test_fitting(tiny_bundle: Path, sounds: tuple[np.ndarray, ...]) -> None:
    """It returns itself, changes neither parameters nor the clips, and may be repeated."""
    normal, other, _ = sounds
    detector = EnrolledDetector(tiny_bundle, sr=8000)
    before, kept = detector.get_params(), normal.copy()
    assert detector.fit(normal, [1] * len(normal)) is detector
    assert detector.get_params() == before
    np.testing.assert_array_equal(normal, kept)
    first = detector.score_samples(other)
    assert detector.fit(normal).score_samples(other).tolist() == first.tolist()
    set_in_fit = set(vars(detector)) - set(before) - {"_detector"}
    assert all(name.endswith("_") for name in set_in_fit)
    both = clone(detector).fit_predict(normal)
    assert both.tolist() == detector.fit(normal).predict(normal).tolist()


def test_predicting_changes_nothing(tiny_bundle: Path, sounds: tuple[np.ndarray, ...]) -> None:
    """Each clip is judged by itself, whatever the others are and their order."""
    normal, other, odd = sounds
    detector = EnrolledDetector(tiny_bundle, sr=8000).fit(normal)
    clips = np.concatenate([other, odd])
    before = vars(detector).copy()
    for method in (detector.predict, detector.score_samples, detector.decision_function):
        whole = method(clips)
        assert method(clips[::-1])[::-1].tolist() == whole.tolist()
        assert [method(clips[i : i + 1])[0] for i in range(len(clips))] == whole.tolist()
    assert vars(detector) == before


def test_kinds_of_arrays(tmp_path: Path, tiny_bundle: Path, sounds: tuple[np.ndarray, ...]) -> None:
    """Lists, other orders in memory, read-only files and other types of numbers are the same."""
    normal, other, _ = sounds
    detector = EnrolledDetector(tiny_bundle, sr=8000).fit(normal)
    expected = detector.score_samples(other)
    np.save(tmp_path / "clips.npy", other)
    mapped = np.load(tmp_path / "clips.npy", mmap_mode="r")
    for clips in (list(other), np.asfortranarray(other), mapped):
        assert detector.score_samples(clips).tolist() == expected.tolist()
    for dtype in (np.float32, np.float16, np.int16, np.int32):
        scale = np.iinfo(dtype).max if np.issubdtype(dtype, np.integer) else 1
        rounded = (other * scale).astype(dtype)
        np.testing.assert_allclose(detector.score_samples(rounded), expected, rtol=0.05)


def test_in_a_pipeline(tiny_bundle: Path, sounds: tuple[np.ndarray, ...]) -> None:
    normal, other, _ = sounds
    alone = EnrolledDetector(tiny_bundle, sr=8000).fit(normal)
    pipeline = make_pipeline(EnrolledDetector(tiny_bundle, sr=8000)).fit(normal)
    assert pipeline.predict(other).tolist() == alone.predict(other).tolist()


def test_it_is_enrolment(tmp_path: Path, tiny_bundle: Path, sounds: tuple[np.ndarray, ...]) -> None:
    normal, other, odd = sounds
    detector = EnrolledDetector(tiny_bundle, sr=8000).fit(normal)
    assert (detector.predict(odd) == -1).all()
    assert (detector.predict(other) == 1).sum() >= 4
    enroll(list(normal), tmp_path / "own.asd", sr=8000, source=tiny_bundle, section="00")
    own = Detector.load(tmp_path / "own.asd")
    scores = [-own.score(clip, 8000, section="00").score for clip in odd]
    assert detector.score_samples(odd).tolist() == scores
    signs = np.sign(detector.decision_function(np.concatenate([other, odd])))
    assert (signs == detector.predict(np.concatenate([other, odd]))).all()
    again = pickle.loads(pickle.dumps(detector))
    assert again.score_samples(odd).tolist() == scores
    assert copy.deepcopy(detector).predict(odd).tolist() == [-1] * 5
    with pytest.raises(NotFittedError):
        clone(detector).predict(odd)


def test_what_it_refuses(sounds: tuple[np.ndarray, ...]) -> None:
    with pytest.raises(ParameterError, match="rate of the arrays"):
        EnrolledDetector().fit(sounds[0])
    with pytest.raises(ParameterError, match="into a list"):
        EnrolledDetector().fit("monday.wav")
    with pytest.raises(ParameterError, match="at least one clip"):
        EnrolledDetector(sr=8000).fit([])
    with pytest.raises(AsdError, match="at least 5 are needed"):
        EnrolledDetector(sr=8000).fit(sounds[0][:1])
    with pytest.raises(ParameterError, match="into a list"):
        EnrolledDetector(sr=8000).fit(sounds[0][0])
    for value in (np.nan, np.inf):
        broken = sounds[0].copy()
        broken[3, 100] = value
        with pytest.raises(AsdError, match=r"NaN|finite"):
            EnrolledDetector(sr=8000).fit(broken)
