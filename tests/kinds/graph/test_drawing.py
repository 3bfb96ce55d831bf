"""Drawings of molecules."""

import xml.etree.ElementTree as ET

import numpy as np
import pytest
import torch

from striate.data.readers.molecule import molecule_reading
from striate.errors import ArgumentError
from striate.kinds.graph import drawing
from striate.kinds.graph.drawing import bond_importance, draw_molecule
from striate.kinds.graph.inputs import GraphInputs
from striate.models import create_model

SVG = "{http://www.w3.org/2000/svg}"
NO_BONDS = np.zeros(2)


def test_a_molecule_is_drawn_with_its_important_atoms_coloured():
    svg = draw_molecule("CCO", np.array([0.0, 0.0, 1.0]), NO_BONDS)
    assert ET.fromstring(svg).tag == f"{SVG}svg"
    assert "FEF257" in svg.upper()  # the colour of 1
    assert "FEF257" not in draw_molecule("CCO", np.zeros(3), NO_BONDS).upper()
    with pytest.raises(ArgumentError, match="2 values for 3 atoms"):
        draw_molecule("CCO", np.zeros(2), NO_BONDS)
    with pytest.raises(ArgumentError, match="3 values for 2 bonds"):
        draw_molecule("CCO", np.zeros(3), np.zeros(3))
    with pytest.raises(ArgumentError, match="does not parse"):
        draw_molecule("C1CC(", np.zeros(3), NO_BONDS)


def test_bonds_take_the_importance_of_their_edges():
    edges = molecule_reading("CCO").edges
    of_bonds = bond_importance("CCO", edges, np.array([0.1, 0.1, 0.7, 0.7]))
    assert of_bonds.tolist() == [0.1, 0.7]
    assert draw_molecule("CCO", np.zeros(3), of_bonds) != draw_molecule(
        "CCO", np.zeros(3), NO_BONDS
    )


@pytest.fixture
def aspirin():
    """A function: aspirin drawn under a name, by a method."""
    reading = molecule_reading("CC(=O)Oc1ccccc1")
    feed = GraphInputs.fitted([reading], {})
    torch.manual_seed(0)
    network = create_model("gcn", in_channels=len(reading.array), num_classes=2).eval()
    cpu = torch.device("cpu")
    return lambda item, method="gradcam": (
        drawing.picture(network, feed, reading, 0, method, device=cpu, item=item).image
    )


def test_a_graph_is_drawn_as_a_molecule_where_its_name_is_its_smiles(aspirin):
    assert "bond-0" in aspirin("CC(=O)Oc1ccccc1")
    for name in ("graph 7", "CCO", ""):
        other = aspirin(name)
        assert other.count("<circle") == 10 and "bond-0" not in other
    lines = ET.fromstring(other).findall(f".//{SVG}line")
    assert "#fef257" in {line.get("stroke") for line in lines}  # one edge matters most


def test_of_a_graph_with_many_edges_the_nodes_are_explained(aspirin, monkeypatch):
    monkeypatch.setattr(drawing, "MAX_EDGES", 3)
    root = ET.fromstring(aspirin("graph 7", "occlusion"))
    assert {line.get("stroke") for line in root.findall(f".//{SVG}line")} == {"#bbbbbb"}
    assert len({circle.get("fill") for circle in root.findall(f".//{SVG}circle")}) > 1


def test_the_method_is_handed_on(aspirin):
    assert aspirin("graph 7") != aspirin("graph 7", "occlusion")
