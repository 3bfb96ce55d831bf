"""`Classifier` and `Regressor` on lists of SMILES."""

import pickle
import sys

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.model_selection import cross_val_score

from striate import Classifier, Regressor
from striate.errors import DataError, MissingExtraError

pytest.importorskip("rdkit")

OPTIONS = {"model": "gcn_small", "epochs": 6, "device": "cpu"}
SMILES = ["C" * length + end for length in range(1, 16) for end in ("O", "N", "", "Cl")]
OXYGEN = ["alcohol" if "O" in smiles else "other" for smiles in SMILES]
ATOMS = [len(smiles.replace("Cl", "X")) for smiles in SMILES]


@pytest.fixture(scope="module")
def classifier(own_cache):
    return Classifier(**OPTIONS).fit(SMILES, OXYGEN)


def test_classes(classifier):
    assert classifier.run_.record.kind == "graph"
    assert classifier.classes_.tolist() == ["alcohol", "other"]
    assert classifier.score(SMILES, OXYGEN) > 0.9
    assert classifier.predict(["OCCCCC", "CCCCCC"]).tolist() == ["alcohol", "other"]
    probabilities = classifier.predict_proba(np.array(SMILES))
    assert probabilities.shape == (60, 2)
    np.testing.assert_allclose(probabilities.sum(1), 1)
    assert not hasattr(classifier, "n_features_in_")


@pytest.mark.parametrize("form", [tuple, np.array, lambda texts: np.array(texts, object)])
def test_molecules_come_in_any_sequence(form, classifier):
    expected = classifier.predict_proba(SMILES[:4])
    np.testing.assert_array_equal(classifier.predict_proba(form(SMILES[:4])), expected)


def test_a_pickle_predicts(classifier):
    twin = pickle.loads(pickle.dumps(classifier))
    np.testing.assert_array_equal(twin.predict_proba(SMILES), classifier.predict_proba(SMILES))


def test_numbers(own_cache):
    regressor = Regressor(**OPTIONS).fit(SMILES, ATOMS)
    assert regressor.run_.record.kind == "graph"
    answers = regressor.predict(SMILES)
    assert answers.shape == (60,) and answers.dtype == np.float64
    assert regressor.score(SMILES, ATOMS) > 0.6


@pytest.mark.slow
def test_cross_validation(own_cache):
    scores = cross_val_score(Classifier(**OPTIONS), SMILES, OXYGEN, cv=2, error_score="raise")
    assert scores.shape == (2,) and scores.min() > 0.7


def test_what_does_not_parse_is_named(classifier):
    with pytest.raises(DataError, match=r"item 1 .* cannot be used: the SMILES 'C\(' does not"):
        clone(classifier).fit(["C", "C("], ["a", "b"])
    with pytest.warns(UserWarning, match="items 1 cannot be used .* the SMILES '' has no atoms"):
        assert classifier.predict(["C", ""])[1] is None


@pytest.mark.parametrize("path", ["photos/cat/1.jpg", "C.CSV", "scan.nii.gz"])
def test_paths_are_told_from_smiles(path):
    with pytest.raises(DataError, match=f"'{path}': that is the name of a file, not a SMILES"):
        Classifier().fit(["CCO", path], ["a", "b"])


def test_a_smiles_that_ends_like_nothing_else_is_one(classifier):
    assert len(classifier.predict(["C/C=C/C", "CC.CO", "[Na+].[Cl-]"])) == 3


def test_numbers_are_no_molecules(classifier):
    with pytest.raises(DataError, match=r"float64 of the shape \(4, 3\): molecules are SMILES"):
        Classifier(kind="graph").fit(np.zeros((4, 3)), [0, 1, 0, 1])
    with pytest.raises(DataError, match="molecules are SMILES"):
        classifier.predict(np.zeros((4, 3)))


def test_molecules_are_no_signals():
    with pytest.raises(DataError, match="signals are numbers"):
        Classifier(kind="signal").fit(SMILES, OXYGEN)


def test_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "rdkit", None)
    with pytest.raises(MissingExtraError, match=r'pip install "striate\[molecule\]"'):
        Classifier().fit(SMILES, OXYGEN)
