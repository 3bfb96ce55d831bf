"""The pictures of the page on graphs, made by Striate's own functions from samples."""

from __future__ import annotations

from pathlib import Path

import torch
from torch.nn import functional as F

from striate.data.layouts import open_source
from striate.data.layouts.node_source import NodeSource
from striate.data.layouts.smiles import MoleculeSource
from striate.explain.graph_picture import bond_importance, draw_graph, draw_molecule
from striate.explain.graph_saliency import edge_saliency, node_saliency
from striate.kinds import feed_of
from striate.kinds.node.drawing import node_picture
from striate.kinds.node.inputs import NodeInputs, node_feed
from striate.metrics import Calibration
from striate.models import create_graph_model
from striate.ops.graph_batch import GraphBatch
from striate.run.predictor import NodePredictor

SHOWN = "c1ccc2c(c1)cccc2O"
"""1-naphthol: rings that avoid water and a group that seeks it."""

MEMBER = 8
"""One with ties to both sides."""


def naphthol() -> bytes:
    """What a small GIN goes by when it predicts 1-naphthol's hydration free energy."""
    source = open_source("sample:freesolv")
    assert isinstance(source, MoleculeSource)
    items = [i for i in source.listing.items if source.smiles[i.id] != SHOWN]
    readings = [source.read(item) for item in items]
    feed = feed_of("graph").fitted(readings, {})
    targets = torch.tensor([item.target for item in items])
    targets = (targets - targets.mean()) / targets.std()
    torch.manual_seed(0)
    network = create_graph_model(
        "gin_small",
        in_channels=feed.input_shape[0],
        edge_channels=feed.edge_channels,
        num_classes=1,
    )
    optimizer = torch.optim.AdamW(network.parameters(), lr=2e-3)
    for start in [s for _ in range(8) for s in range(0, len(items), 64)]:
        batch = feed.inputs(readings[start : start + 64])
        assert isinstance(batch, GraphBatch)
        optimizer.zero_grad()
        # Turned round: what lowers the energy, and so draws the molecule into water, is shown.
        F.mse_loss(-network(batch)[:, 0], targets[start : start + 64]).backward()
        optimizer.step()
    network.eval()
    one = feed.inputs([source.read(next(i for i in source.listing.items if i.id == SHOWN))])
    assert isinstance(one, GraphBatch)
    bonds = bond_importance(SHOWN, one.edges.numpy(), edge_saliency(network, one).numpy())
    return draw_molecule(SHOWN, node_saliency(network, one).numpy(), bonds, size=320).encode()


def karate_network() -> tuple[NodeInputs, NodePredictor]:
    """A GCN that knows the sides of the two leaders alone."""
    source = open_source("sample:karate-club")
    assert isinstance(source, NodeSource)
    items = source.listing.items
    leaders = [item for item in items if item.split == "train"]
    inputs = NodeInputs(source, node_feed(source, leaders))
    sides = sorted({str(item.label) for item in items})
    labels = torch.tensor([sides.index(str(item.label)) for item in leaders])
    torch.manual_seed(0)
    network = create_graph_model("gcn_small", in_channels=len(items), level="node")
    optimizer = torch.optim.AdamW(network.parameters(), lr=0.01)
    for _ in range(60):
        optimizer.zero_grad()
        F.cross_entropy(network(inputs.inputs(leaders)), labels).backward()
        optimizer.step()
    predictor = NodePredictor(
        network=network.eval(),
        feed=inputs.feed,
        calibration=Calibration(),
        device=torch.device("cpu"),
    )
    return inputs, predictor


def karate_club() -> bytes:
    """The two sides of the club, as the network sees them."""
    inputs, predictor = karate_network()
    source = inputs.source
    outputs = predictor.outputs(source, source.listing.items)
    belief = predictor.probabilities(outputs)[:, 0]
    edges = source.graph.edges[:, source.graph.edges[0] < source.graph.edges[1]]
    return draw_graph(edges, belief, names=tuple(source.position), size=400).encode()


def karate_member() -> bytes:
    """Why the network counts one member to the side that it does."""
    inputs, predictor = karate_network()
    item = inputs.source.listing.items[MEMBER]
    side = int(predictor.outputs(inputs.source, [item]).argmax())
    drawing = node_picture(predictor, inputs, item, side, "gradcam").image
    assert isinstance(drawing, str)
    return drawing.encode()


if __name__ == "__main__":
    images = Path(__file__).with_name("images")
    (images / "naphthol.svg").write_bytes(naphthol())
    (images / "karate-club.svg").write_bytes(karate_club())
    (images / "karate-member.svg").write_bytes(karate_member())
