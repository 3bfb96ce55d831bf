"""Molecules and graphs as SVG drawings, their atoms and bonds coloured by importance."""

from __future__ import annotations

from typing import Final
from xml.sax.saxutils import escape

import numpy as np
from jaxtyping import Float, Int64
from numpy.typing import NDArray

from striate.errors import ArgumentError, MissingExtraError
from striate.explain.picture import colourize

SIZE: Final = 480
"""Side of a drawing, in pixels."""

_MARGIN: Final = 24
_LINE: Final = 16
_PALE: Final = 0xF4
_GREY: Final = 0xBB
_ROUNDS: Final = 150


def draw_molecule(
    smiles: str,
    atoms: Float[np.ndarray, " atoms"],
    bonds: Float[np.ndarray, " bonds"] | None = None,
    *,
    size: int = SIZE,
) -> str:
    """A molecule as an SVG, its atoms and bonds on grounds coloured by importance.

    Args:
        smiles: of the molecule.
        atoms: importance of each atom, 0 to 1, in the SMILES' order.
        bonds: of each bond, in rdkit's order (see `bond_importance`); by default as its ends'.
        size: side of the drawing, in pixels.

    Raises:
        ArgumentError: other numbers of atoms or bonds, or a SMILES that does not parse.
        MissingExtraError: rdkit is not installed.
    """
    try:
        from rdkit import Chem, rdBase
        from rdkit.Chem.Draw import rdMolDraw2D
    except ImportError:
        raise MissingExtraError("rdkit", "molecule") from None
    with rdBase.BlockLogs():
        molecule = Chem.MolFromSmiles(smiles)
    if molecule is None:
        raise ArgumentError(f"the SMILES {smiles!r} does not parse")
    ends = [(bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()) for bond in molecule.GetBonds()]
    _check(atoms, molecule.GetNumAtoms(), "atom")
    if bonds is None:
        bonds = np.array([min(atoms[a], atoms[b]) for a, b in ends])
    _check(bonds, len(ends), "bond")
    drawer = rdMolDraw2D.MolDraw2DSVG(size, size)
    # rdkit's stubs take this flag for a set of options.
    drawer.drawOptions().clearBackground = False  # type: ignore[assignment]
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
    """Importance of a molecule's bonds, from that of its graph's edges (both ways)."""
    from rdkit import Chem

    of_pair = {
        (int(a), int(b)): float(v) for a, b, v in zip(edges[0], edges[1], importance, strict=True)
    }
    bonds = Chem.MolFromSmiles(smiles).GetBonds()
    ends = [(bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()) for bond in bonds]
    return np.array([max(of_pair.get((a, b), 0.0), of_pair.get((b, a), 0.0)) for a, b in ends])


def draw_graph(
    edges: Int64[np.ndarray, "2 edges"],
    nodes: Float[np.ndarray, " nodes"],
    edge_importance: Float[np.ndarray, " edges"] | None = None,
    *,
    names: tuple[str, ...] = (),
    marked: int | None = None,
    caption: str = "",
    size: int = SIZE,
) -> str:
    """A graph as an SVG of circles and lines, coloured by importance.

    Args:
        edges: source and target of each.
        nodes: importance of each node, 0 to 1.
        edge_importance: of each edge, 0 to 1.
        names: written beside the nodes, where they are not empty; none by default.
        marked: a node with a ring around it, its name in bold.
        caption: written below.
        size: side of the drawing, in pixels.

    Raises:
        ArgumentError: other numbers of edges or names.
    """
    if edge_importance is None:
        edge_importance = np.zeros(edges.shape[1])
    _check(edge_importance, edges.shape[1], "edge")
    if names and len(names) != len(nodes):
        raise ArgumentError(f"{len(names)} names for {len(nodes)} nodes", fix="give one each")
    places = _MARGIN + layout(edges, len(nodes)) * (size - 2 * _MARGIN)
    fills = _mixed(nodes, _PALE)
    lines = _mixed(edge_importance, _GREY)
    radius = float(np.clip(size / (6 * np.sqrt(max(len(nodes), 1))), 2, 10))
    height = size + (_LINE if caption else 0)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{size}" height="{height}" '
        f'viewBox="0 0 {size} {height}">'
    ]
    for number in np.argsort(edge_importance, kind="stable"):
        (x1, y1), (x2, y2) = places[edges[:, number]]
        weight = float(edge_importance[number])
        parts.append(
            f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" '
            f'stroke="{lines[number]}" stroke-width="{1 + 2 * weight:.1f}"/>'
        )
    if marked is not None:
        x, y = places[marked]
        parts.append(
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius + 4:.1f}" fill="white" '
            'stroke="black" stroke-width="2"/>'
        )
    for (x, y), fill in zip(places, fills, strict=True):
        parts.append(
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius:.1f}" fill="{fill}" stroke="#888888"/>'
        )
    for number, name in enumerate(names):
        parts.append(_name(name, places[number], radius, size, bold=number == marked))
    if caption:
        parts.append(f'<text x="{_MARGIN}" y="{size + 6}" font-size="11">{escape(caption)}</text>')
    return "".join([*parts, "</svg>"])


def _name(name: str, place: NDArray[np.float64], radius: float, size: int, *, bold: bool) -> str:
    """A node's name beside it, on the side where there is more room."""
    if not name:
        return ""
    left = place[0] > 0.75 * size
    x = place[0] + (-1 if left else 1) * (radius + (6 if bold else 2))
    weight = ' font-weight="bold"' if bold else ""
    anchor = ' text-anchor="end"' if left else ""
    ground = 'stroke="white" stroke-width="3" paint-order="stroke"'
    return (
        f'<text x="{x:.1f}" y="{place[1] + 3:.1f}" font-size="10" {ground}{anchor}{weight}>'
        f"{escape(name)}</text>"
    )


def layout(edges: Int64[np.ndarray, "2 edges"], count: int) -> Float[np.ndarray, "nodes 2"]:
    """A place in the unit square for each node: springs along edges, repulsion among all.

    Fruchterman and Reingold, "Graph Drawing by Force-directed Placement", 1991, from a circle, so
    that one graph has one drawing. A graph of over 500 nodes stays on the circle.
    """
    angles = 2 * np.pi * np.arange(count) / max(count, 1)
    # Not quite round: on a circle the forces of a regular graph would balance where it starts.
    places = np.stack([np.cos(angles), np.sin(angles)], 1) * (1 + 0.1 * np.cos(3 * angles))[:, None]
    if 1 < count <= 500:
        length = 2 / np.sqrt(count)
        for round_number in range(_ROUNDS):
            step = 0.2 * (1 - round_number / _ROUNDS)
            places = places + _moves(places, edges, length, step)
    low, high = places.min(0, initial=np.inf), places.max(0, initial=-np.inf)
    return (places - low) / np.maximum(high - low, 1e-9) if count > 1 else np.full((count, 2), 0.5)


def _moves(
    places: NDArray[np.float64], edges: NDArray[np.int64], length: float, step: float
) -> NDArray[np.float64]:
    """One round of moves, none longer than `step`."""
    apart = places[:, None] - places[None]
    distance = np.maximum(np.linalg.norm(apart, axis=2), 1e-3)
    force = (apart * (length**2 / distance**2)[..., None]).sum(1)
    along = places[edges[0]] - places[edges[1]]
    pull = along * (np.linalg.norm(along, axis=1) / length)[:, None] / 2
    np.add.at(force, edges[0], -pull)
    np.add.at(force, edges[1], pull)
    size = np.maximum(np.linalg.norm(force, axis=1, keepdims=True), 1e-9)
    moves: NDArray[np.float64] = force / size * np.minimum(size, step)
    return moves


def _grounds(importance: NDArray[np.floating]) -> list[tuple[float, float, float, float]]:
    """Colours under atoms, pale enough for black letters; clear where nothing matters."""
    colours = colourize(np.asarray(importance, np.float64)[None])[0] / 255
    pairs = zip(colours.tolist(), importance.tolist(), strict=True)
    return [(r, g, b, 0.75 * v) for (r, g, b), v in pairs]


def _mixed(importance: NDArray[np.floating], plain: int) -> list[str]:
    """Colours of importance, paled to a plain grey where little matters, lest the dark stand out."""
    values = np.asarray(importance, np.float64)
    share = np.minimum(2 * values, 1)[:, None]
    colours = (share * colourize(values[None])[0] + (1 - share) * plain).round().astype(int)
    return [f"#{r:02x}{g:02x}{b:02x}" for r, g, b in colours]


def _check(values: NDArray[np.floating], count: int, what: str) -> None:
    if len(values) != count:
        raise ArgumentError(f"{len(values)} values for {count} {what}s", fix="give one each")
