"""Sources of graphs, molecules and nodes, and their feed."""

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from striate.data.layouts import open_source
from striate.data.layouts.graphs import NodeSource, graph_reading, whole_graph
from striate.data.layouts.pyg import from_pyg
from striate.data.layouts.smiles import open_smiles
from striate.data.randomness import Draws
from striate.data.readers.molecule import ATOM_FEATURES, BOND_FEATURES, molecule_reading
from striate.data.samples.sample import SAMPLES
from striate.data.source import Reading, UnreadableItem
from striate.errors import ArgumentError, DataError, UnknownNameError
from striate.kinds.graph.inputs import GraphInputs
from striate.kinds.node.inputs import NodeInputs, sample_neighbours
from striate.models import create_model


def fixed(numbers):
    """Draws that give these numbers."""
    return SimpleNamespace(uniforms=lambda count: numbers[:, :count])


def atoms(smiles):
    return dict(zip(ATOM_FEATURES, molecule_reading(smiles).array, strict=True))


def test_features_of_atoms_are_what_their_names_say():
    of = atoms("C[N+](=O)c1ccccc1Cl")
    assert of["C"].tolist() == [1, 0, 0, 1, 1, 1, 1, 1, 1, 0]
    assert of["Cl"].tolist() == [0] * 9 + [1]
    assert of["charge"].tolist() == [0, 1] + [0] * 8
    assert of["3 hydrogens"].tolist() == [1] + [0] * 9
    assert of["3 neighbours"].tolist() == [0, 1, 0, 1, 0, 0, 0, 0, 1, 0]
    assert of["aromatic"].tolist() == of["in a ring of 6"].tolist() == [0, 0, 0] + [1] * 6 + [0]
    assert of["SP3"][0] == 1 and of["SP2"][3] == 1
    assert atoms("[Xe]")["other element"] == 1


def test_shares_of_logp_add_up_to_rdkits():
    from rdkit.Chem import Crippen, MolFromSmiles

    for smiles in ("CCO", "c1ccccc1C(=O)O"):
        # Hydrogens are not nodes, but their share is in the atoms' table only when they are drawn.
        total = float(atoms(smiles)["logP"].sum())
        contributions = Crippen.rdMolDescriptors._CalcCrippenContribs(MolFromSmiles(smiles))
        assert total == pytest.approx(sum(share for share, _ in contributions), abs=1e-5)


def test_bonds_are_edges_both_ways_in_the_order_of_targets():
    reading = molecule_reading("C/C=C/C#N")
    assert reading.edges.tolist() == [[1, 0, 2, 1, 3, 2, 4, 3], [0, 1, 1, 2, 2, 3, 3, 4]]
    of = dict(zip(BOND_FEATURES, reading.edge_features, strict=True))
    assert of["DOUBLE"].tolist() == of["E"].tolist() == [0, 0, 1, 1, 0, 0, 0, 0]
    assert of["TRIPLE"].tolist() == [0, 0, 0, 0, 0, 0, 1, 1]
    assert molecule_reading("[He]").edges.shape == (2, 0)
    assert molecule_reading("[He]").edge_features.shape == (len(BOND_FEATURES), 0)


def test_one_molecule_has_one_hash_however_it_is_written():
    assert molecule_reading("OCC").sha256 == molecule_reading("CCO").sha256
    assert molecule_reading("OCC").sha256 != molecule_reading("CCN").sha256


def write(path, text):
    path.write_text(text)
    return path


def test_a_table_of_molecules(tmp_path):
    table = write(
        tmp_path / "m.csv",
        "smiles,label,split\nCCO,a,train\nCCN,b,train\nc1ccccc1O,a,test\nc1ccccc1N,b,test\n",
    )
    source = open_source(table)
    assert source.kind == "graph"
    assert [(i.id, i.label, i.split) for i in source.listing.items][2] == ("c1ccccc1O", "a", "test")
    assert source.read(source.listing.items[0]).array.shape == (len(ATOM_FEATURES), 3)


def test_scaffolds_keep_molecules_together_and_those_without_rings_apart(tmp_path):
    rows = ["CCO,1", "CCN,2", "c1ccccc1O,3", "Cc1ccccc1N,4", "C1CCCCC1,5"]
    table = write(tmp_path / "m.csv", "smiles,target\n" + "\n".join(rows) + "\n")
    first, again = open_smiles(table).listing, open_smiles(table).listing
    assert first == again
    groups = [item.group for item in first.items]
    assert groups[:2] == [None, None] and groups[2] == groups[3] == "c1ccccc1"
    assert groups[4] == "C1CCCCC1"
    assert [item.target for item in first.items] == [1, 2, 3, 4, 5]
    assert [note.code for note in first.notes] == ["scaffold-split"]
    named = write(tmp_path / "g.csv", "smiles,target,group\nCCO,1,x\nCCN,2,\n")
    assert [item.group for item in open_smiles(named).listing.items] == ["x", None]


def test_molecules_to_predict_need_no_label(tmp_path):
    table = write(tmp_path / "m.csv", "smiles\nCCO\nCCN\n")
    (first, _) = open_smiles(table, labelled=False).listing.items
    assert (first.label, first.target) == (None, None)
    with pytest.raises(DataError, match="no column label"):
        open_smiles(table)


def test_a_table_of_molecules_with_several_answers(tmp_path):
    table = write(tmp_path / "m.csv", "smiles,NR-AR,SR-p53\nCCO,1,\nCCN,0,1\n")
    items = open_smiles(table).listing.items
    assert [item.extra for item in items] == [
        {"NR-AR": "1", "SR-p53": ""},
        {"NR-AR": "0", "SR-p53": "1"},
    ]
    assert {item.label for item in items} == {item.target for item in items} == {None}


def tu(root, **files):
    root.mkdir(exist_ok=True)
    given = {
        "A": "1, 2\n2, 1\n3, 4\n4, 3\n",
        "graph_indicator": "1\n1\n2\n2\n2\n",
        "graph_labels": "1\n-1\n",
        **files,
    }
    for name, text in given.items():
        if text is not None:
            write(root / f"SET_{name}.txt", text)
    return root


def test_the_tu_format(tmp_path):
    root = tu(
        tmp_path / "set",
        node_labels="0\n2\n0\n2\n0\n",
        node_attributes="0.5\n1\n2\n3\n4\n",
        edge_labels="7\n7\n8\n8\n",
    )
    source = open_source(root)
    assert [(i.id, i.label) for i in source.listing.items] == [("graph 1", "1"), ("graph 2", "-1")]
    second = source.read(source.listing.items[1])
    assert second.array.tolist() == [[1, 0, 1], [0, 1, 0], [2, 3, 4]]
    assert second.edges.tolist() == [[1, 0], [0, 1]]
    assert second.edge_features.tolist() == [[0, 0], [1, 1]]


def test_the_tu_format_with_numbers_to_predict_and_no_features(tmp_path):
    source = open_source(tu(tmp_path / "set", graph_labels=None, graph_attributes="0.5\n1.5\n"))
    assert [item.target for item in source.listing.items] == [0.5, 1.5]
    assert source.read(source.listing.items[1]).array[:, 2].tolist() == [1, 0]
    assert source.listing.notes[0].code == "no-node-features"


def edge_list(root, nodes, edges):
    root.mkdir(exist_ok=True)
    write(root / "nodes.csv", nodes)
    write(root / "edges.csv", edges)
    return root


NODES = "id,label,split,age\nann,x,train,3\nbob,y,train,5\ncem,,,7\ndil,x,test,9\neva,y,test,1\n"


def test_an_edge_list(tmp_path):
    root = edge_list(tmp_path / "net", NODES, "source,target,weight\nann,bob,2\ncem,ann,3\n")
    source = open_source(root)
    assert source.kind == "node"
    assert [(i.id, i.label, i.split) for i in source.listing.items] == [
        ("ann", "x", "train"), ("bob", "y", "train"), ("dil", "x", "test"), ("eva", "y", "test"),
    ]  # fmt: skip
    assert source.graph.array.tolist() == [[3, 5, 7, 9, 1]]
    assert source.graph.edges.tolist() == [[1, 2, 0, 0], [0, 0, 1, 2]]
    assert source.graph.edge_features.tolist() == [[2, 3, 2, 3]]
    assert source.read(source.listing.items[1]).array.tolist() == [[5]]
    hashes = {source.read(item).sha256 for item in source.listing.items}
    assert len(hashes) == 4
    readings = [source.read(item) for item in source.listing.items]
    assert [reading.node for reading in readings] == [0, 1, 3, 4]
    assert all(reading.graph is source.graph for reading in readings)


def test_features_of_nodes_go_by_their_names(tmp_path):
    tables = {
        "old": "id,label,age,size\n1,a,0,90\n2,b,1,91\n3,a,0,92\n",
        "new": "size,label,ID,Age\n90,a,1,0\n91,b,2,1\n92,a,3,0\n",
    }
    graphs = []
    for name, nodes in tables.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "nodes.csv").write_text(nodes)
        (tmp_path / name / "edges.csv").write_text("source,target\n1,2\n2,3\n")
        graphs.append(open_source(tmp_path / name))
    old, new = ([graph.read(item) for item in graph.listing.items] for graph in graphs)
    feed = NodeInputs.from_json(json.loads(json.dumps(NodeInputs.fitted(old, {}).to_json())))
    assert torch.equal(feed.inputs(old).nodes, feed.inputs(new).nodes)


def test_features_of_edges_go_by_their_names(tmp_path):
    tables = {
        "old": "source,target,length,cost\n1,2,0.5,7\n2,3,1.5,3\n",
        "new": "cost,source,Length,target\n7,1,0.5,2\n3,2,1.5,3\n",
        "other": "source,target,length,colour\n1,2,0.5,7\n2,3,1.5,3\n",
    }
    readings = {}
    for name, edges in tables.items():
        root = edge_list(tmp_path / name, "id,label,x\n1,a,0\n2,b,1\n3,a,2\n", edges)
        source = open_source(root)
        readings[name] = [source.read(item) for item in source.listing.items]
    fitted = NodeInputs.fitted(readings["old"], {})
    feed = NodeInputs.from_json(json.loads(json.dumps(fitted.to_json())))
    old, new, other = (feed.inputs(items).edge_features for items in readings.values())
    assert torch.equal(old, new) and not torch.equal(old, old.flip(1))
    assert torch.equal(old, other)  # columns of other names are taken by place


def test_an_edge_list_without_features_and_with_targets(tmp_path):
    root = edge_list(tmp_path / "net", "id,target\na,1\nb,\nc,2.5\n", "source,target\na,b\nb,c\n")
    source = open_source(root)
    assert [(item.id, item.target) for item in source.listing.items] == [("a", 1.0), ("c", 2.5)]
    assert np.array_equal(source.graph.array, np.eye(3))


def test_pyg_graphs_and_nodes():
    from torch_geometric.data import Data

    edges = torch.tensor([[1, 0], [0, 1]])
    many = [
        Data(x=torch.ones(2, 3) * n, edge_index=edges, edge_attr=torch.ones(2), y=torch.tensor(n))
        for n in range(3)
    ]
    source = from_pyg(many)
    assert [item.label for item in source.listing.items] == ["0", "1", "2"]
    reading = source.read(source.listing.items[2])
    assert reading.array.shape == (3, 2) and reading.edge_features.tolist() == [[1, 1]]
    targets = from_pyg([Data(x=torch.ones(1, 1), edge_index=edges[:, :0], y=torch.tensor([0.5]))])
    assert targets.listing.items[0].target == 0.5
    mask = torch.tensor([True, True, False])
    data = Data(x=torch.ones(3, 1), edge_index=edges, y=torch.tensor([0, 1, 1]), train_mask=mask)
    nodes = from_pyg(data)
    assert [(i.id, i.label, i.split) for i in nodes.listing.items] == [
        ("0", "0", "train"),
        ("1", "1", "train"),
    ]
    with pytest.raises(DataError, match="an edge to node 1, which is not there"):
        from_pyg([Data(x=torch.ones(1, 1), edge_index=edges, y=torch.tensor(0))])


@pytest.mark.parametrize(
    ("name", "count", "skipped"),
    [("freesolv", 642, 0), ("solubility", 1264, 18), ("karate-club", 34, 0)],
)
def test_samples_are_what_they_say(name, count, skipped):
    sample = SAMPLES.get(name)
    source = open_source(f"sample:{name}")
    assert sample.kind == source.kind == ("node" if name == "karate-club" else "graph")
    assert (len(source.listing.items), len(source.listing.skipped)) == (count, skipped)
    assert sample.num_items == count + skipped
    reading = source.read(source.listing.items[0])
    assert reading.array.dtype == np.float32 and reading.array.ndim == 2
    parts = {item.split for item in source.listing.items}
    expected = {"freesolv": {None}, "solubility": {"train", "test"}}
    assert parts == expected.get(name, {"train", "val", "test"})


# The feed


def readings():
    edges = np.array([[1, 0, 2, 1], [0, 1, 1, 2]])
    first = graph_reading(np.array([[0, 1, 1], [10, 20, 30]]), edges, np.array([[1, 2, 3, 4.0]]))
    lone = graph_reading(np.array([[1], [40]]), edges[:, :0], np.empty((1, 0)))
    return [first, lone]


def fitted(**options):
    return GraphInputs.fitted(readings(), options)


def test_continuous_features_are_normalized_and_others_left_alone():
    feed = fitted()
    assert feed.input_shape == (2,) and feed.edge_channels == 1
    batch = feed.inputs(readings())
    assert batch.nodes[:, 0].tolist() == [0, 1, 1, 1]
    values = np.array([10, 20, 30, 40])
    assert np.allclose(batch.nodes[:, 1], (values - values.mean()) / values.std(), atol=1e-6)
    assert batch.edge_features.mean() == pytest.approx(0, abs=1e-6)
    assert batch.nodes.dtype == batch.edge_features.dtype == torch.float32
    assert batch.graph_of_node.tolist() == [0, 0, 0, 1] and len(batch) == 2


def test_edges_are_shifted_and_sorted():
    feed = fitted()
    first, lone = readings()
    shuffled = Reading(
        array=first.array,
        sha256="",
        edges=first.edges[:, ::-1],
        edge_features=first.edge_features[:, ::-1],
    )
    batch, expected = feed.inputs([lone, shuffled]), feed.inputs([lone, first])
    assert torch.equal(batch.edges, expected.edges)
    assert torch.equal(batch.edge_features, expected.edge_features)
    assert batch.edges.tolist() == [[2, 1, 3, 2], [1, 2, 2, 3]]
    empty = feed.inputs([])
    assert len(empty) == 0 and empty.nodes.shape == (0, 2)


def test_a_feed_survives_json():
    import json

    feed = fitted(drop_edges=0.25)
    assert type(feed).from_json(json.loads(json.dumps(feed.to_json()))) == feed


def test_left_out_edges_go_both_ways_and_depend_on_the_draw_alone():
    feed = GraphInputs.fitted(readings(), {"drop_edges": 0.5})
    draws = np.linspace(0.01, 0.99, 60)[:, None]
    batch = feed.augmented([readings()[0]] * 60, fixed(draws))
    counts = torch.bincount(batch.graph_of_node[batch.edges[0]], minlength=60)
    assert set(counts.tolist()) == {0, 2, 4}
    assert 1.4 < counts.float().mean() < 2.6
    pairs = set(map(tuple, batch.edges.T.tolist()))
    assert {(b, a) for a, b in pairs} == pairs
    again = feed.augmented([readings()[0]] * 60, fixed(draws))
    assert torch.equal(batch.edges, again.edges)


def test_bad_options_and_graphs_are_refused():
    with pytest.raises(UnknownNameError, match="drop_edges"):
        fitted(drop_edge=0.5)
    with pytest.raises(ArgumentError, match="drop_edges=1"):
        fitted(drop_edges=1)
    with pytest.raises(DataError, match="no graph to train on"):
        GraphInputs.fitted([], {})
    other = graph_reading(np.ones((3, 2)), np.empty((2, 0), np.int64))
    with pytest.raises(DataError, match="nodes have 3 features in one graph, 2 in others"):
        GraphInputs.fitted([*readings(), other], {})
    with pytest.raises(UnreadableItem, match="nodes have 3 features, those of training 2"):
        fitted().inputs([other])


# Nodes of one graph


def inputs_of(source, train, **options):
    """Inputs fitted to the first nodes, and a function from items to readings."""
    fitted = NodeInputs.fitted(map(source.read, source.listing.items[:train]), {})
    return replace(fitted, **options), lambda items: [source.read(item) for item in items]


def drawn(epoch=0):
    return Draws(np.empty(0, np.uint64), seed=1, epoch=epoch)


def test_the_whole_graph_with_the_nodes_asked_for():
    source = open_source("sample:karate-club")
    items = source.listing.items
    inputs, read = inputs_of(source, 2)
    batch = inputs.inputs(read([items[5], items[3]]))
    assert batch.seeds.tolist() == [5, 3] and len(batch) == 2
    assert batch.edges.shape == (2, 156)
    network = create_model("gcn_small", in_channels=34, level="node").eval()
    assert torch.equal(network(batch), network(inputs.whole(source.graph))[[5, 3]])


def test_samples_with_every_neighbour_give_the_whole_graphs_logits():
    source = open_source("sample:karate-club")
    items = source.listing.items
    inputs, read = inputs_of(source, 2, fanouts=(99, 99))
    network = create_model("sage_small", in_channels=34, level="node").eval()
    batch = inputs.augmented(read([items[33], items[11]]), drawn())
    assert len(batch.nodes) < 34
    expected = network(inputs.inputs(read([items[33], items[11]])))
    torch.testing.assert_close(network(batch), expected, rtol=0, atol=1e-5)


def scattered(count=150, num_edges=190, features=5):
    """A source of nodes in a thin random graph, with an isolated node and a loop."""
    draw = np.random.default_rng(0)
    pairs = draw.integers(0, count - 1, (2, num_edges))
    edges = np.concatenate([pairs, pairs[::-1], [[3], [3]]], 1)
    return NodeSource(
        name="scattered",
        graph=whole_graph(draw.normal(size=(features, count)), edges),
        names=[f"n{node}" for node in range(count)],
        labels=["ab"[node % 2] for node in range(count)],
    )


@pytest.mark.parametrize("name", ["gcn", "gcn_small", "gin", "gat", "gatv2", "sage"])
def test_a_nodes_surroundings_give_the_whole_graphs_logits(name):
    source = scattered()
    items = source.listing.items
    inputs, _read = inputs_of(source, 60)
    torch.manual_seed(0)
    network = create_model(name, in_channels=5, num_classes=3, level="node")
    network(inputs.whole(source.graph))  # the batch norms take in what they see
    network.eval()
    expected = network(inputs.whole(source.graph))
    sizes = []
    for item in (*items[:25], items[-1]):
        part, places = inputs.around(source.read(item), network.config.depth)
        sizes.append(len(places))
        assert torch.equal(part.nodes, inputs.whole(source.graph).nodes[torch.from_numpy(places)])
        assert places[int(part.seeds[0])] == source.position[item.id]
        torch.testing.assert_close(
            network(part)[0], expected[source.position[item.id]], rtol=0, atol=1e-5
        )
    assert sizes[-1] == 1 and 10 < max(sizes) < 150


def test_a_gcn_needs_one_step_more_than_it_has_convolutions():
    source = scattered()
    items = source.listing.items[:25]
    inputs, read = inputs_of(source, len(items))
    torch.manual_seed(0)
    network = create_model("gcn_small", in_channels=5, num_classes=3, level="node").eval()
    expected = network(inputs.inputs(read(items)))
    depth = network.config.depth
    found = torch.cat([network(inputs.around(source.read(item), depth - 1)[0]) for item in items])
    assert (found - expected).abs().max() > 1e-3


def test_neighbours_are_drawn_up_to_the_fanout_and_the_same_again():
    source = open_source("sample:karate-club")
    items = source.listing.items
    inputs, read = inputs_of(source, 2, fanouts=(3, 2))
    for start in range(0, 34, 10):
        chosen = items[start : start + 10]
        batch = inputs.augmented(read(chosen), drawn(2))
        into = torch.bincount(batch.edges[1], minlength=len(batch.nodes))
        assert into.max() <= 3 and (into[batch.seeds] >= 1).all()
        assert (batch.edges[1].diff() >= 0).all()
        again = inputs.augmented(read(chosen), drawn(2))
        assert torch.equal(batch.edges, again.edges) and torch.equal(batch.nodes, again.nodes)
    other = inputs.augmented(read(items[:10]), drawn(3))
    assert not torch.equal(other.edges, inputs.augmented(read(items[:10]), drawn(2)).edges)
    with pytest.raises(ArgumentError, match="fanouts"):
        inputs_of(source, 2, fanouts=(0,))


def test_sampled_edges_are_among_the_real_ones():
    source = open_source("sample:karate-club")
    whole = inputs_of(source, 2)[0].whole(source.graph)
    nodes, edges = sample_neighbours(whole, np.array([0, 33]), (5,), seed=0, epoch=0)
    assert len(edges) == 10 and len(set(edges.tolist())) == 10
    assert set(whole.edges[1, edges].tolist()) == {0, 33}
    assert set(nodes.tolist()) == {0, 33, *whole.edges[0, edges].tolist()}
