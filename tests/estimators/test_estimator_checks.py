"""scikit-learn's own checks of `Classifier` and `Regressor`, on signals of a few samples."""

import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from striate import Classifier, Regressor

# The checks give tables of one to ten columns, which are stretched to what MiniRocket takes.
OPTIONS = {
    "method": "probe",
    "options": {"length": 9, "lengths": "resample"},
    "device": "cpu",
    "time": "2s",
}

_OWN_ANSWER = {
    "check_estimators_nan_inf": (
        "fitting refuses NaN, but in prediction an item with NaN costs its own answer and no other"
    )
}

NOT_FOR = {
    Classifier: _OWN_ANSWER,
    Regressor: {
        **_OWN_ANSWER,
        "check_regressors_no_decision_function": (
            "ten items of ten different values are too few to train, to validate and to test"
        ),
    },
}
"""The checks that do not apply, and why."""

SLOW = (
    "check_classifiers_classes",
    "check_classifiers_train",
    "check_dtype_object",
    "check_estimators_dtypes",
    "check_fit_idempotent",
    "check_methods_subset_invariance",
    "check_regressors_train",
    "check_supervised_y_2d",
)
"""Checks of several fits or of many predictions."""


def checks():
    """The checks of scikit-learn that apply, the slow ones marked."""
    mark = parametrize_with_checks(
        [Classifier(**OPTIONS), Regressor(**OPTIONS)],
        expected_failed_checks=lambda estimator: NOT_FOR[type(estimator)],
    ).mark
    for case in mark.args[1]:
        values, marks = getattr(case, "values", case), getattr(case, "marks", ())
        slow = name_of(values[1]) in SLOW
        yield pytest.param(*values, marks=[*marks, pytest.mark.slow] if slow else marks)


def name_of(value):
    """How a test is called by its estimator or its check."""
    function = getattr(value, "func", value)
    return getattr(function, "__name__", type(value).__name__)


@pytest.fixture(autouse=True)
def _cache(own_cache):
    """The items that the checks draw are not kept."""


@pytest.mark.parametrize(("estimator", "check"), [*checks()], ids=name_of)
def test_scikit_learn_check(estimator, check):
    check(estimator)
