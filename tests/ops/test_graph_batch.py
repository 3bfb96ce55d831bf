"""A batch of graphs, whole and in parts."""

import pytest
import torch

from striate.ops.graph_batch import GraphBatch


def batch(**changes) -> GraphBatch:
    """Four graphs of 2, 0, 1 and 3 nodes."""
    edges = torch.tensor([[1, 0, 4, 3, 5], [0, 1, 3, 4, 4]])
    fields = {
        "nodes": torch.arange(12.0).view(6, 2),
        "edges": edges,
        "graph_of_node": torch.tensor([0, 0, 2, 3, 3, 3]),
        "num_graphs": 4,
        "edge_features": torch.arange(5.0)[:, None],
    }
    return GraphBatch(**{**fields, **changes})


@pytest.mark.parametrize("parts", [1, 2, 3, 4])
def test_parts_hold_whole_graphs(parts):
    whole = batch()
    split = whole.tensor_split(parts)
    assert [len(part) for part in split] == [len(t) for t in torch.arange(4).tensor_split(parts)]
    assert torch.equal(torch.cat([part.nodes for part in split]), whole.nodes)
    assert torch.equal(torch.cat([part.edge_features for part in split]), whole.edge_features)
    ends = [part.nodes[part.edges[0], 0] for part in split]
    assert torch.equal(torch.cat(ends), whole.nodes[whole.edges[0], 0])
    for part in split:
        assert (part.graph_of_node < part.num_graphs).all()
        assert part.pointers.tolist()[-1] == len(part.nodes)


def test_seeds_are_dealt_out_and_the_graph_stays():
    split = batch(seeds=torch.tensor([5, 0, 2])).tensor_split(2)
    assert [part.seeds.tolist() for part in split] == [[5, 0], [2]]
    assert [len(part) for part in split] == [2, 1]
    assert all(len(part.nodes) == 6 for part in split)


def test_moved_batches_keep_everything():
    moved = batch(seeds=torch.tensor([1])).to("meta")
    assert moved.device.type == "meta" and moved.seeds.device.type == "meta"
    assert (moved.num_graphs, len(moved)) == (4, 1)
    assert batch(edge_features=None).to("cpu").edge_features is None


def test_pointers_count_empty_graphs():
    assert batch().pointers.tolist() == [0, 2, 2, 3, 6]
