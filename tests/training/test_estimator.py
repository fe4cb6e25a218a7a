"""The estimator is enrolment with scikit-learn's names."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.utils import estimator_checks
from sklearn.utils.estimator_checks import check_estimator

from asd_edge import Detector, enroll
from asd_edge.errors import ParameterError
from asd_edge.estimator import EnrolledDetector

# check_estimator feeds tables of a few numbers a row. A clip is a sound of a thousand samples or
# more, and one that short is an error, so the tag two_d_array=False is set and check_estimator
# leaves out all checks that fit such tables. Those that need no data are called here by name.
WITHOUT_DATA = (
    "check_estimator_cloneable",
    "check_estimator_repr",
    "check_estimator_tags_renamed",
    "check_get_params_invariance",
    "check_no_attributes_set_in_init",
    "check_parameters_default_constructible",
    "check_set_params",
    "check_valid_tag_types",
    "check_mixin_order",
)


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
