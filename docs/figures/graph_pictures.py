"""The pictures of the page on graphs, made by Striate's own functions from samples."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from striate.data.layouts.layout import open_source
from striate.data.source import Reading
from striate.explain import explain_graph
from striate.explain.drawing import svg_card
from striate.explain.graph_drawing import draw_graph
from striate.explain.occlusion import edge_occlusion
from striate.kinds.graph.drawing import bond_importance, draw_molecule
from striate.kinds.graph.inputs import GraphInputs
from striate.kinds.node.drawing import picture
from striate.kinds.node.inputs import NodeInputs
from striate.models import create_model
from striate.run.predictor import Predictor

CPU = torch.device("cpu")

SHOWN = "c1ccc2c(c1)cccc2O"
"""1-naphthol: rings that avoid water and a group that seeks it."""

MEMBER = 8
"""One with ties to both sides."""


def naphthol() -> bytes:
    """Evidence for the hydration free energy that a small GIN predicts for 1-naphthol."""
    source = open_source("sample:freesolv")
    others = [item for item in source.listing.items if item.id != SHOWN]
    shown = next(item for item in source.listing.items if item.id == SHOWN)
    readings = [source.read(item) for item in others]
    inputs = GraphInputs.fitted(readings, {})
    targets = torch.tensor([item.target for item in others])
    targets = (targets - targets.mean()) / targets.std()
    torch.manual_seed(0)
    network = create_model(
        "gin_small",
        in_channels=inputs.input_shape[0],
        edge_channels=inputs.edge_channels,
        num_classes=1,
    )
    optimizer = torch.optim.AdamW(network.parameters(), lr=2e-3)
    for start in [s for _ in range(8) for s in range(0, len(others), 64)]:
        optimizer.zero_grad()
        outputs = network(inputs.inputs(readings[start : start + 64]))[:, 0]
        # With the sign reversed: what lowers the energy, and so draws the molecule into water.
        F.mse_loss(-outputs, targets[start : start + 64]).backward()
        optimizer.step()
    network.eval()
    one = inputs.inputs([source.read(shown)])
    bonds = bond_importance(SHOWN, one.edges.numpy(), edge_occlusion(network, one, 0).numpy())
    atoms = explain_graph(network, one, 0).heat.numpy()
    drawing = draw_molecule(SHOWN, atoms, bonds, size=320)
    caption = ("1-naphthol", "Evidence for: a lower energy (method: gradcam)")
    return svg_card(drawing, caption).encode()


class KarateClub:
    """The members of the club, and a GCN that knows the sides of the two leaders alone."""

    def __init__(self) -> None:
        source = open_source("sample:karate-club")
        self.items = source.listing.items
        self.readings = [source.read(item) for item in self.items]
        self.sides = sorted({str(item.label) for item in self.items})
        leaders = [place for place, item in enumerate(self.items) if item.split == "train"]
        known = [self.readings[place] for place in leaders]
        inputs = NodeInputs.fitted(known, {})
        labels = torch.tensor([self.sides.index(str(self.items[place].label)) for place in leaders])
        torch.manual_seed(0)
        network = create_model("gcn_small", in_channels=len(self.items), level="node")
        optimizer = torch.optim.AdamW(network.parameters(), lr=0.01)
        for _ in range(60):
            optimizer.zero_grad()
            F.cross_entropy(network(inputs.inputs(known)), labels).backward()
            optimizer.step()
        self.predictor = Predictor(network=network.eval(), inputs=inputs, device=CPU)

    @property
    def graph(self) -> Reading:
        """The club as a whole."""
        graph = self.readings[0].graph
        assert graph is not None
        return graph


def karate_club() -> bytes:
    """The two sides of the club, as the network sees them."""
    club = KarateClub()
    belief = club.predictor.outputs(club.readings).softmax(1)[:, 0].numpy()
    edges = club.graph.edges
    assert edges is not None
    names = tuple(item.id for item in club.items)
    return draw_graph(edges[:, edges[0] < edges[1]], belief, names=names, size=400).encode()


def karate_member() -> bytes:
    """Why the network assigns one member to a side."""
    club = KarateClub()
    item, reading = club.items[MEMBER], club.readings[MEMBER]
    side = int(club.predictor.outputs([reading]).argmax())
    network, inputs = club.predictor.network, club.predictor.inputs
    drawing = picture(network, inputs, reading, side, "gradcam", device=CPU, item=item.id).image
    caption = (f"Member {item.id}", f"Evidence for: {club.sides[side]} (method: gradcam)")
    return svg_card(drawing, caption).encode()
