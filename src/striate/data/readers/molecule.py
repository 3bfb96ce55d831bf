"""Molecules as graphs: atoms are nodes, bonds edges both ways; rdkit reads them.

Features of an atom (`ATOM_FEATURES` names them, in order): the element, one of twelve; the number
of neighbours, 0 to 5 and more; of hydrogens, 0 to 4 and more; hybridization; in a ring, and in one
of 3, 4, 5, 6 and of more atoms; aromatic; formal charge; its share of Crippen's logP and molar
refractivity, in rdkit's units (Wildman and Crippen, J. Chem. Inf. Comput. Sci. 1999, 39, 868).
Features of a bond (`BOND_FEATURES`): single, double, triple or aromatic, conjugated, in a ring, and
on a double bond E or Z. Hydrogens are counted, not drawn.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from striate.data.packages import imported
from striate.data.readers.reader import ARRAYS, ArrayKind, Arrays, suffixes_of
from striate.data.source import Reading, UnreadableItem
from striate.errors import DataError

ELEMENTS: Final = ("B", "C", "N", "O", "F", "Si", "P", "S", "Cl", "Br", "I")
HYBRIDIZATIONS: Final = ("SP", "SP2", "SP3")
RING_SIZES: Final = (3, 4, 5, 6)
BONDS: Final = ("SINGLE", "DOUBLE", "TRIPLE", "AROMATIC")

ATOM_FEATURES: Final = (
    *ELEMENTS,
    "other element",
    *(f"{n} neighbours" for n in (0, 1, 2, 3, 4, "5 or more")),
    *(f"{n} hydrogens" for n in (0, 1, 2, 3, "4 or more")),
    *HYBRIDIZATIONS,
    "other hybridization",
    "in a ring",
    *(f"in a ring of {n}" for n in (*RING_SIZES, "more")),
    "aromatic",
    "charge",
    "logP",
    "refractivity",
)
BOND_FEATURES: Final = (*BONDS, "conjugated", "in a ring", "E", "Z")


def parse_smiles(smiles: str) -> Any:
    """The molecule that a SMILES names, as rdkit's.

    Raises:
        UnreadableItem: The SMILES does not parse, or has no atoms.
        MissingExtraError: rdkit is not installed.
    """
    Chem, rdBase = imported("rdkit.Chem", "molecule"), imported("rdkit.rdBase", "molecule")
    with rdBase.BlockLogs():  # its reasons go to standard error, many lines each
        molecule = Chem.MolFromSmiles(smiles)
    if molecule is None:
        raise UnreadableItem(f"the SMILES {smiles!r} does not parse")
    if not molecule.GetNumAtoms():
        raise UnreadableItem(f"the SMILES {smiles!r} has no atoms")
    return molecule


def scaffold_of(molecule: Any) -> str | None:
    """The SMILES of a molecule's Bemis-Murcko scaffold: its rings and what joins them.

    Bemis and Murcko, J. Med. Chem. 1996, 39, 2887. None for a molecule without rings: such have no
    scaffold in common.
    """
    from rdkit import rdBase
    from rdkit.Chem.Scaffolds.MurckoScaffold import MurckoScaffoldSmiles

    with rdBase.BlockLogs():
        return str(MurckoScaffoldSmiles(mol=molecule)) or None  # type: ignore[no-untyped-call]  # from rdkit


def molecule_reading(smiles: str) -> Reading:
    """A molecule as a graph; its hash is of the canonical SMILES, so one molecule has one.

    Raises:
        UnreadableItem: The SMILES does not parse, or has no atoms.
        MissingExtraError: rdkit is not installed.
    """
    molecule = parse_smiles(smiles)
    from rdkit.Chem import MolToSmiles

    bonds = list(molecule.GetBonds())
    ends = np.array([(b.GetBeginAtomIdx(), b.GetEndAtomIdx()) for b in bonds], np.int64)
    ends = ends.reshape(-1, 2).T
    edges = np.concatenate([ends, ends[::-1]], 1)
    of_bonds = np.array([_bond_features(bond) for bond in bonds], np.float32)
    of_bonds = of_bonds.reshape(-1, len(BOND_FEATURES)).T
    order = np.lexsort((edges[0], edges[1]))
    return Reading(
        array=_atoms(molecule),
        sha256=hashlib.sha256(MolToSmiles(molecule).encode()).hexdigest(),
        edges=edges[:, order],
        edge_features=np.concatenate([of_bonds, of_bonds], 1)[:, order],
        smiles=smiles,
    )


def _atoms(molecule: Any) -> NDArray[np.float32]:
    """The features of the atoms, (features, atoms), in the order of `ATOM_FEATURES`."""
    from rdkit.Chem import rdMolDescriptors

    shares = rdMolDescriptors._CalcCrippenContribs(molecule)
    rows = [_atom_features(a) + list(s) for a, s in zip(molecule.GetAtoms(), shares, strict=True)]
    return np.ascontiguousarray(np.array(rows, np.float32).T)


def _atom_features(atom: Any) -> list[float]:
    hybridization = atom.GetHybridization().name
    in_ring = atom.IsInRing()
    sizes = [atom.IsInRingSize(size) for size in RING_SIZES]
    return [
        *_one_of(atom.GetSymbol(), ELEMENTS),
        *_one_of(min(atom.GetDegree(), 5), range(5)),
        *_one_of(min(atom.GetTotalNumHs(), 4), range(4)),
        *_one_of(hybridization, HYBRIDIZATIONS),
        float(in_ring),
        *map(float, sizes),
        float(in_ring and not any(sizes)),
        float(atom.GetIsAromatic()),
        float(atom.GetFormalCharge()),
    ]


def _bond_features(bond: Any) -> list[float]:
    stereo = bond.GetStereo().name
    return [
        *(float(bond.GetBondType().name == name) for name in BONDS),
        float(bond.GetIsConjugated()),
        float(bond.IsInRing()),
        float(stereo in ("STEREOE", "STEREOTRANS")),
        float(stereo in ("STEREOZ", "STEREOCIS")),
    ]


def _one_of(value: object, known: Any) -> list[float]:
    """A one-hot vector over the known values, with a last place for any other."""
    places = [float(value == other) for other in known]
    return [*places, float(not any(places))]


def _array_reader(
    arrays: Arrays, extras: Mapping[str, NDArray[Any]], name: str
) -> Callable[[int], Reading]:
    """Molecules in an array (N,) of SMILES.

    A text that parses is a SMILES; one that does not, and ends as the name of a file that is read
    here, is taken for the path of a file.
    """
    texts = np.asarray(arrays)
    if texts.ndim != 1 or texts.dtype.kind != "U":
        raise DataError(
            f"{name} holds {texts.dtype} of the shape {texts.shape}",
            why="molecules are SMILES, text of the shape (N,)",
        )
    for index, text in enumerate(texts.tolist()):
        try:
            parse_smiles(text)
        except UnreadableItem as error:
            if text.lower().endswith(tuple(suffixes_of())):
                raise DataError(
                    f"item {index} of {name} is {text!r}",
                    why="that is the name of a file, not a SMILES",
                    fix="fit the folder of the files, or a table of their paths",
                ) from None
            if "unlabelled" not in extras:
                raise DataError(
                    f"item {index} of {name} cannot be used", why=error.reason
                ) from None
    return lambda index: molecule_reading(str(texts[index]))


ARRAYS.add(
    "graph",
    ArrayKind(
        lambda shape, dtype: len(shape) == 1 and dtype.kind == "U",
        lambda shape, channels: not shape,
        _array_reader,
    ),
)
