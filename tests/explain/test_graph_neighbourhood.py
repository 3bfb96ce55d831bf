"""How far nodes are from one, and which of them a picture has room for."""

import networkx as nx
import numpy as np
import pytest

from striate.explain.graph_neighbourhood import most_important, steps_to


@pytest.mark.parametrize("seed", range(3))
def test_steps_are_those_of_shortest_ways(seed):
    graph = nx.gnp_random_graph(60, 0.03, seed=seed, directed=True)
    edges = np.array(graph.edges, np.int64).T
    steps, onward = steps_to(edges, 7, 60)
    expected = dict(nx.single_target_shortest_path_length(graph, 7))
    assert steps.tolist() == [expected.get(node, -1) for node in range(60)]
    for node in range(60):
        if steps[node] > 0:
            assert graph.has_edge(node, onward[node])
            assert steps[onward[node]] == steps[node] - 1
        else:
            assert onward[node] == -1
    assert steps.max() > 2 and steps.min() == -1


def test_of_a_graph_without_edges_the_node_is_alone():
    steps, onward = steps_to(np.empty((2, 0), np.int64), 1, 3)
    assert steps.tolist() == [-1, 0, -1]
    assert most_important(np.ones(3), steps, onward, count=5).tolist() == [1]


def test_the_most_important_are_kept_with_their_ways():
    # 0 <- 1 <- 2 <- 3, and 4, 5 and 6 beside 0; 6 is too far to be kept.
    steps = np.array([0, 1, 2, 3, 1, 1, -1])
    onward = np.array([-1, 0, 1, 2, 0, 0, 0])
    importance = np.array([0.0, 0.0, 0.0, 1.0, 0.5, 0.5, 2.0])
    kept = {n: most_important(importance, steps, onward, count=n).tolist() for n in range(1, 8)}
    assert kept[1] == [0]
    assert kept[2] == [0, 4]  # no room for the way of 3
    assert kept[3] == [0, 4, 5]
    assert kept[4] == [0, 1, 2, 3]
    assert kept[5] == [0, 1, 2, 3, 4]
    assert kept[7] == [0, 1, 2, 3, 4, 5]
    near = most_important(np.zeros(7), steps, onward, count=3).tolist()
    assert near == [0, 1, 4]  # of equal ones the nearer
