"""Features of molecules as wholes, computed by rdkit: descriptors, their logarithms, fingerprints.

Descriptors are numbers that chemists compute of a structure: counts of atoms, bonds and rings,
polar surface, contributions to logP, connectivity and shape indices, and the surface that atoms of
a range of charge, logP or refractivity have. Most are counts or grow with the size, so that a
difference means more between small ones: kernels may compare their logarithms too. A Morgan
fingerprint counts the surroundings of atoms (Rogers and Hahn, J. Chem. Inf. Model. 2010, 50, 742):
of each atom what lies within no, one and two bonds, its hash folded into a place of the fingerprint.
"""

from __future__ import annotations

from functools import cache
from typing import Any, Final

import numpy as np
from jaxtyping import Float32

from striate.data.packages import imported
from striate.data.readers.molecule import parse_smiles

RADIUS: Final = 2
"""Bonds around an atom that a fingerprint sees."""

FINGERPRINT_SIZE: Final = 1024
"""Places of a fingerprint."""

MAX_VALUE: Final = 1e6
"""Descriptors are cut off here: some grow exponentially with a molecule's size."""


@cache
def num_descriptors() -> int:
    """Number of descriptors that this version of rdkit computes.

    Raises:
        MissingExtraError: rdkit is not installed.
    """
    return len(descriptors(parse_smiles("C")))


def descriptors(molecule: Any) -> Float32[np.ndarray, " descriptors"]:
    """The descriptors of one molecule of rdkit's; 0 where one has no value."""
    computed = _properties().ComputeProperties(molecule)
    R = imported("rdkit.Chem.rdMolDescriptors", "molecule")
    surfaces = [*R.SlogP_VSA_(molecule), *R.SMR_VSA_(molecule), *R.PEOE_VSA_(molecule)]
    values = np.array([*computed, *surfaces, *R.MQNs_(molecule)], np.float64)
    found = np.nan_to_num(values).clip(-MAX_VALUE, MAX_VALUE)
    return np.asarray(found, np.float32)


def signed_logarithms(
    values: Float32[np.ndarray, " descriptors"],
) -> Float32[np.ndarray, " descriptors"]:
    """log(1 + |x|) with the sign of x, of each number."""
    return np.asarray(np.copysign(np.log1p(np.abs(values)), values), np.float32)


def fingerprint(molecule: Any) -> Float32[np.ndarray, " places"]:
    """How often each surrounding occurs in one molecule of rdkit's, as log(1 + count)."""
    counts = _morgan().GetCountFingerprintAsNumPy(molecule)
    return np.asarray(np.log1p(counts), np.float32)


def whole_features(smiles: str) -> Float32[np.ndarray, " features"]:
    """The descriptors of a molecule, then their signed logarithms, then its fingerprint.

    Args:
        smiles: SMILES of the molecule.

    Raises:
        UnreadableItem: The SMILES does not parse.
        MissingExtraError: rdkit is not installed.
    """
    return _whole(parse_smiles(smiles))


def without_atom(molecule: Any, atom: int) -> Float32[np.ndarray, " features"]:
    """The features of a molecule in which an atom is one that rdkit knows nothing of.

    Args:
        molecule: A molecule of rdkit's, which stays as it is.
        atom: Number of the atom.
    """
    Chem = imported("rdkit.Chem", "molecule")
    changed = Chem.RWMol(molecule)
    blank = Chem.Atom(0)
    blank.SetIsAromatic(molecule.GetAtomWithIdx(atom).GetIsAromatic())
    changed.ReplaceAtom(atom, blank)
    Chem.FastFindRings(changed)
    changed.UpdatePropertyCache(strict=False)
    return _whole(changed)


def _whole(molecule: Any) -> Float32[np.ndarray, " features"]:
    known = descriptors(molecule)
    return np.concatenate([known, signed_logarithms(known), fingerprint(molecule)])


@cache
def _properties() -> Any:
    R = imported("rdkit.Chem.rdMolDescriptors", "molecule")
    return R.Properties(list(R.Properties.GetAvailableProperties()))


@cache
def _morgan() -> Any:
    generators = imported("rdkit.Chem.rdFingerprintGenerator", "molecule")
    return generators.GetMorganGenerator(radius=RADIUS, fpSize=FINGERPRINT_SIZE)
