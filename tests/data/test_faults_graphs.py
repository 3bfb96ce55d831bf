"""faults.md, 'Signals, volumes, graphs', the cases of graphs: one test a case, by its number."""

import pytest
import torch

from striate.data.folder_walk import check_losses
from striate.data.layouts import open_source
from striate.errors import DataError
from striate.kinds.graph.inputs import GraphInputs
from striate.models import create_model


def write(path, text, encoding="utf-8"):
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(text.encode(encoding))
    return path


def edge_list(root, nodes, edges):
    write(root / "nodes.csv", nodes)
    write(root / "edges.csv", edges)
    return root


def tu(root, **files):
    given = {"A": "1,2\n2,1\n3,4\n", "graph_indicator": "1\n1\n2\n2\n", "graph_labels": "0\n1\n"}
    for name, text in {**given, **files}.items():
        write(root / f"SET_{name}.txt", text)
    return root


def refusal(data):
    with pytest.raises(DataError) as caught:
        open_source(data)
    assert caught.value.exit_code == 2 and "\n" not in str(caught.value)
    return str(caught.value)


NODES = "id,label\na,x\nb,y\n"


def test_fault_55_an_edge_to_a_node_that_is_not_there(tmp_path):
    said = refusal(edge_list(tmp_path / "net", NODES, "source,target\na,b\na,zoe\n"))
    assert "edges.csv" in said and "line 3 names 'zoe'" in said
    said = refusal(tu(tmp_path / "set", A="1,2\n2,9\n"))
    assert "SET_A.txt, line 2" in said and "node 9" in said and "1 to 4" in said
    said = refusal(tu(tmp_path / "across", A="1,2\n2,3\n"))
    assert "line 2" in said and "between two graphs, nodes 2 and 3" in said


def test_fault_56_isolated_nodes_and_empty_graphs(tmp_path):
    root = tu(
        tmp_path / "set", A="1,2\n", graph_indicator="1\n1\n3\n3\n", graph_labels="0\n1\n1\n0\n"
    )
    source = open_source(root)  # the second and the fourth graph have no nodes, the third no edges
    readings = [source.read(item) for item in source.listing.items]
    assert [reading.array.shape[1] for reading in readings] == [2, 0, 2, 0]
    feed = GraphInputs.fitted(readings, {})
    network = create_model("gin", in_channels=2, num_classes=2).eval()
    logits = network(feed.inputs(readings))
    assert logits.shape == (4, 2) and logits.isfinite().all()
    assert torch.equal(logits[1], network.classifier.bias)
    isolated = open_source(edge_list(tmp_path / "net", NODES + "c,x\n", "source,target\na,b\n"))
    assert [item.id for item in isolated.listing.items] == ["a", "b", "c"]


def test_fault_57_ragged_tables_marks_and_semicolons(tmp_path):
    plain = "smiles,label\nCCO,a\nCCN,b\n"
    expected = [
        (i.id, i.label) for i in open_source(write(tmp_path / "p.csv", plain)).listing.items
    ]
    for number, text in enumerate(
        ("\ufeff" + plain, plain.replace(",", ";"), "\ufeff" + plain.replace("\n", "\r\n"))
    ):
        source = open_source(write(tmp_path / f"{number}.csv", text))
        assert [(i.id, i.label) for i in source.listing.items] == expected
    said = refusal(write(tmp_path / "ragged.csv", "smiles,label\nCCO,a\nCCN\nCCC,b,7\n"))
    assert "line 3 has 1, line 4 has 3" in said and "ragged.csv" in said
    said = refusal(edge_list(tmp_path / "net", NODES + "c\n", "source,target\na,b\n"))
    assert "nodes.csv" in said and "line 4 has 1" in said
    said = refusal(
        edge_list(tmp_path / "age", "id,label,age\na,x,old\nb,y,3\n", "source,target\na,b\n")
    )
    assert "line 2" in said and "'old' in column age is not a finite number" in said
    said = refusal(tu(tmp_path / "set", A="1,2\n2\n"))
    assert "SET_A.txt, line 2: '2' is not 2 finite numbers" in said


def test_fault_58_a_smiles_that_does_not_parse(tmp_path):
    rows = "".join(f"{'C' * n}O,{'ab'[n % 2]}\n" for n in range(1, 30))
    table = write(tmp_path / "m.csv", "smiles,label\n" + rows + "C1CC(,a\n")
    listing = open_source(table).listing
    (skip,) = listing.skipped
    assert skip.id == "C1CC(" and skip.reason == "the SMILES 'C1CC(' does not parse"
    assert len(listing.items) == 29
    check_losses(listing.items, listing.skipped)
    table = write(tmp_path / "bad.csv", "smiles,label\n" + rows + "C1CC(,a\nxyz,b\n")
    listing = open_source(table).listing
    with pytest.raises(DataError, match="2 of 31 items cannot be read"):
        check_losses(listing.items, listing.skipped)


def test_answers_that_make_no_sense_are_named(tmp_path):
    assert "line 3: 'inf' in column target" in refusal(
        write(tmp_path / "inf.csv", "smiles,target\nCCO,1\nCCN,inf\n")
    )
    assert "line 3" in refusal(write(tmp_path / "none.csv", "smiles,label\nCCO,\nCCN,\n"))
    assert "'tets'" in refusal(
        write(tmp_path / "s.csv", "smiles,label,split\nCCO,a,tets\nCCN,b,\n")
    )
    assert "nodes of one id" in refusal(
        edge_list(tmp_path / "net", NODES + "a,x\n", "source,target\na,b\n")
    )
    assert "3 lines" in refusal(tu(tmp_path / "set", node_labels="1\n2\n3\n"))
    assert "1 lines" in refusal(tu(tmp_path / "labels", graph_labels="1\n"))
