"""Descriptors, fingerprints and explanations of molecules, against rdkit's other ways to them."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from rdkit.Chem import Descriptors, MolFromSmiles, rdFingerprintGenerator

from striate.data.readers.molecule import molecule_reading
from striate.data.source import UnreadableItem
from striate.errors import ArgumentError
from striate.kinds.graph.drawing import atom_occlusion
from striate.kinds.graph.inputs import GraphInputs
from striate.kinds.graph.molecules import (
    FINGERPRINT_SIZE,
    MAX_VALUE,
    RADIUS,
    descriptors,
    fingerprint,
    num_descriptors,
    signed_logarithms,
    whole_features,
    without_atom,
)
from striate.models import create_model

ASPIRIN = "CC(=O)Oc1ccccc1C(=O)O"


@pytest.mark.parametrize("smiles", [ASPIRIN, "C", "[Na+].[Cl-]", "c1ccc2ccccc2c1", "O=C=O"])
def test_descriptors_are_those_of_rdkits_list(smiles):
    molecule = MolFromSmiles(smiles)
    found = descriptors(molecule)
    for name in ("MolWt", "TPSA", "MolLogP", "MolMR", "FractionCSP3", "NumHDonors", "PEOE_VSA1"):
        value = getattr(Descriptors, name)(molecule)
        assert np.isclose(found, value, rtol=1e-4, atol=1e-4).any(), name
    assert found.shape == (num_descriptors(),) and np.isfinite(found).all()


def test_descriptors_without_a_value_are_0_and_large_ones_are_cut_off():
    found = descriptors(MolFromSmiles("[Fe]"))  # its partial charges are not known
    assert np.isfinite(found).all() and np.abs(found).max() <= MAX_VALUE


def test_a_fingerprint_counts_every_surrounding():
    molecule = MolFromSmiles(ASPIRIN)
    generator = rdFingerprintGenerator.GetMorganGenerator(radius=RADIUS)
    sparse = generator.GetSparseCountFingerprint(molecule).GetNonzeroElements()
    expected = np.zeros(FINGERPRINT_SIZE)
    for number, count in sparse.items():
        expected[number % FINGERPRINT_SIZE] += count
    np.testing.assert_allclose(np.expm1(fingerprint(molecule)), expected, atol=1e-5)


def test_a_blank_atom_changes_the_features_and_not_the_molecule():
    molecule = MolFromSmiles(ASPIRIN)
    before = whole_features(ASPIRIN)
    for atom in range(molecule.GetNumAtoms()):
        changed = without_atom(molecule, atom)
        assert changed.shape == before.shape and np.isfinite(changed).all()
        assert not np.array_equal(changed, before)
    known = descriptors(molecule)
    parts = [known, signed_logarithms(known), fingerprint(molecule)]
    np.testing.assert_array_equal(np.concatenate(parts), before)


def test_logarithms_keep_the_sign_and_can_be_undone():
    known = np.array([-1e6, -3.0, -0.25, 0.0, 0.5, 7.0, 1e6], np.float32)
    found = signed_logarithms(known)
    assert found.dtype == np.float32 and (np.diff(found) > 0).all()
    np.testing.assert_allclose(np.sign(found) * np.expm1(np.abs(found)), known, rtol=1e-5)


@pytest.fixture(scope="module")
def readings():
    return [molecule_reading(smiles) for smiles in (ASPIRIN, "CCO", "c1ccccc1", "CC(C)N")]


@pytest.fixture(scope="module")
def made(readings):
    inputs = GraphInputs.fitted(readings, {})
    network = create_model(
        "graph_features", num_classes=2, **inputs.network_options("graph_features")
    )
    return network.eval(), inputs.for_network(network)


def test_inputs_have_whole_features_for_the_network_that_takes_them(readings, made):
    network, inputs = made
    assert inputs.whole and not GraphInputs.fitted(readings, {}).whole
    batch = inputs.inputs(readings)
    np.testing.assert_array_equal(batch.whole[1], whole_features("CCO"))
    assert network(batch).shape == (4, 2)
    gin = create_model("gin_small", **inputs.network_options("gin_small"))
    assert inputs.for_network(gin).inputs(readings).whole is None
    assert GraphInputs.from_json(inputs.to_json()) == inputs


def test_graphs_without_smiles_have_no_whole_features(readings, made):
    stripped = [type(one)(array=one.array, sha256="", edges=one.edges) for one in readings]
    inputs = GraphInputs.fitted(stripped, {})
    assert not inputs.molecules
    assert inputs.network_options("graph_features")["whole_channels"] == 0
    with pytest.raises(UnreadableItem):
        made[1].inputs(stripped[:1])


def test_occlusion_finds_the_atom_that_a_logit_is_of(readings, made):
    network, inputs = made
    molecule = MolFromSmiles("CCO")
    with torch.no_grad():
        # The logit of output 1 is the polar surface, which ethanol's oxygen alone has.
        place = int(np.isclose(descriptors(molecule), Descriptors.TPSA(molecule)).argmax())
        network.classifier.weight.zero_()
        network.classifier.weight[1, place] = 1
    cpu = torch.device("cpu")
    heat = atom_occlusion(network, inputs, readings[1], 1, device=cpu)
    assert heat.tolist() == [0.0, 0.0, 1.0]
    with pytest.raises(ArgumentError, match="molecules as wholes, not of atoms; choose occlusion"):
        atom_occlusion(network, inputs, readings[1], 1, "saliency", device=cpu)


def test_features_of_a_molecule_load_no_more_of_rdkit_than_they_need():
    code = (
        "import sys; from striate.kinds.graph.molecules import whole_features; "
        "whole_features('CCO'); "
        "print([name for name in sys.modules if name in ('rdkit.Chem.Descriptors', 'sklearn', "
        "'scipy', 'pandas', 'rdkit.Chem.AllChem')])"
    )
    found = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    ).stdout
    assert found.strip() == "[]"
