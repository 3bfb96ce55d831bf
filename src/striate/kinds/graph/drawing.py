"""Graphs and molecules with the evidence for an output marked on nodes and edges."""

from __future__ import annotations

from typing import Final

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from striate.data.packages import imported
from striate.data.readers.molecule import molecule_reading, parse_smiles
from striate.data.source import Reading, UnreadableItem
from striate.errors import ArgumentError, MissingExtraError
from striate.explain import EXPLANATIONS, explain_graph
from striate.explain.drawing import OPACITY, colourize
from striate.explain.graph_drawing import SIZE, check_count, draw_graph
from striate.explain.method import GraphExplainable, to_peak
from striate.explain.occlusion import edge_occlusion
from striate.kinds.graph.inputs import GraphInputs
from striate.kinds.graph.molecules import without_atom
from striate.report import Picture

OCCLUSION: Final = "occlusion"

MAX_EDGES: Final = 1000
"""Of a graph with more edges only the nodes are explained: each edge takes a pass."""


def picture(
    network: GraphExplainable,
    inputs: GraphInputs,
    reading: Reading,
    target: int,
    method: str,
    *,
    device: torch.device,
    item: str,
    steps: int = 0,
) -> Picture:
    """Draw a graph with the evidence for an output.

    A molecule is drawn as chemists do where the item's name is its SMILES, and any other graph as
    circles and lines.

    Args:
        network: A network of graphs, in evaluation mode.
        inputs: What makes the network's inputs.
        reading: The graph.
        target: Number of the output to explain.
        method: Name of a method in `EXPLANATIONS`, for the nodes. An edge is always explained by
            leaving it out, but where the network takes features of molecules as wholes; see
            `atom_occlusion`.
        device: Where the network is.
        item: Name of the graph.
        steps: Points of the curves by which the explanation is checked; 0 for no check. Graphs are never checked.

    Raises:
        UnknownNameError: There is no such method.
        ArgumentError: The method cannot explain the network.
    """
    graph = inputs.inputs([reading]).to(device)
    edges = np.zeros(graph.edges.shape[1])
    if inputs.whole:
        nodes = _array(atom_occlusion(network, inputs, reading, target, method, device=device))
    else:
        nodes = _array(explain_graph(network, graph, target, method).heat)
        if len(edges) <= MAX_EDGES:
            edges = _array(edge_occlusion(network, graph, target))
    ends = graph.edges.cpu().numpy()
    if _is_molecule(reading, item):
        drawn = draw_molecule(item, nodes, bond_importance(item, ends, edges))
    else:
        drawn = draw_graph(ends, nodes, edges)
    return Picture(image=drawn, found=bool(nodes.any() or edges.any()))


def atom_occlusion(
    network: GraphExplainable,
    inputs: GraphInputs,
    reading: Reading,
    target: int,
    method: str = OCCLUSION,
    *,
    device: torch.device,
) -> Float[Tensor, " atoms"]:
    """How far the logit falls where an atom is one that rdkit knows nothing of, 0 to 1.

    Descriptors and fingerprints are of a molecule as a whole. They are computed anew for each atom,
    with an unknown one in its place.

    Args:
        network: A network that takes features of molecules as wholes, in evaluation mode.
        inputs: What makes its inputs.
        reading: The molecule.
        target: Number of the output to explain.
        method: Name of the method, which must be occlusion.
        device: Where the network is.

    Raises:
        ArgumentError: It is another method.
    """
    EXPLANATIONS.get(method)
    if method != OCCLUSION:
        raise ArgumentError(
            "this method of explanation",
            why="the network's features are of molecules as wholes, not of atoms",
            fix=f"choose {OCCLUSION}",
        )
    graph = inputs.inputs([reading])
    assert graph.whole is not None, "such inputs have them"
    molecule = parse_smiles(reading.smiles)
    rows = [without_atom(molecule, atom) for atom in range(molecule.GetNumAtoms())]
    whole = torch.cat([graph.whole, torch.from_numpy(np.stack(rows))]).to(device)
    with torch.inference_mode():
        scores = network.forward_head(whole, graph)[:, target]
    return to_peak((scores[0] - scores[1:]).relu())


def _array(values: torch.Tensor) -> Float[np.ndarray, "*shape"]:
    return values.cpu().numpy().astype(np.float64)


def _is_molecule(reading: Reading, item: str) -> bool:
    """Tell whether the graph is that of the molecule which the item's name spells."""
    try:
        return molecule_reading(item).sha256 == reading.sha256
    except (UnreadableItem, MissingExtraError):
        return False


def draw_molecule(
    smiles: str,
    atoms: Float[np.ndarray, " atoms"],
    bonds: Float[np.ndarray, " bonds"],
    *,
    size: int = SIZE,
) -> str:
    """Draw a molecule as an SVG, its atoms and bonds on grounds coloured by importance.

    Args:
        smiles: SMILES of the molecule.
        atoms: Importance of each atom, 0 to 1, in the SMILES' order.
        bonds: Importance of each bond, 0 to 1, in rdkit's order; see `bond_importance`.
        size: Side of the drawing, in pixels.

    Raises:
        ArgumentError: The numbers of atoms or bonds differ, or the SMILES does not parse.
        MissingExtraError: rdkit is not installed.
    """
    try:
        molecule = parse_smiles(smiles)
    except UnreadableItem as error:
        raise ArgumentError(error.reason) from None
    rdMolDraw2D = imported("rdkit.Chem.Draw.rdMolDraw2D", "molecule")
    check_count(atoms, molecule.GetNumAtoms(), "atom")
    check_count(bonds, molecule.GetNumBonds(), "bond")
    drawer = rdMolDraw2D.MolDraw2DSVG(size, size)
    drawer.drawOptions().clearBackground = False
    rdMolDraw2D.PrepareAndDrawMolecule(
        drawer,
        molecule,
        highlightAtoms=list(range(len(atoms))),
        highlightAtomColors=dict(enumerate(_grounds(atoms))),
        highlightBonds=list(range(len(bonds))),
        highlightBondColors=dict(enumerate(_grounds(bonds))),
    )
    drawer.FinishDrawing()
    return str(drawer.GetDrawingText())


def bond_importance(
    smiles: str, edges: Int64[np.ndarray, "2 edges"], importance: Float[np.ndarray, " edges"]
) -> Float[np.ndarray, " bonds"]:
    """Return the importance of a molecule's bonds, from that of its graph's edges (both ways)."""
    of_pair = dict(zip(map(tuple, edges.T.tolist()), importance.tolist(), strict=True))
    bonds = parse_smiles(smiles).GetBonds()
    ends = [(bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()) for bond in bonds]
    return np.array([max(of_pair.get((a, b), 0.0), of_pair.get((b, a), 0.0)) for a, b in ends])


def _grounds(importance: Float[np.ndarray, " n"]) -> list[tuple[float, ...]]:
    """Return RGBA colours pale enough for black letters, clear where nothing matters."""
    return [
        (*(float(part) / 255 for part in colour), OPACITY * float(value))
        for colour, value in zip(colourize(importance), importance, strict=True)
    ]
