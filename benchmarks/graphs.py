"""Our graph convolutions against PyTorch Geometric's, side by side: time and peak memory.

    OMP_NUM_THREADS=1 python benchmarks/graphs.py                both graphs, every layer
    OMP_NUM_THREADS=1 python benchmarks/graphs.py --graph molecules

Each layer maps 64 channels to 64 (GAT: 4 heads of 16) from the same weights. Two graphs: a batch
of 256 molecules of `sample:solubility`, and random edges, 2 million among 100,000 nodes. A round
times ours, theirs on a tensor of edges and theirs on a sparse matrix (torch.sparse_csr, where the
layer takes one) in turn; the figure is the median over the rounds, and "theirs" the faster of the
two. Time is the process's on the processor, with one thread, so that a busy machine does not
blur it. "new" makes of the edges what a layer wants (our pointers and order by source, their sparse
matrix) anew in every call, as with a new batch in every step; otherwise it is kept, as with one
graph over all steps. Memory is the growth of a process's peak resident set over its second forward
and backward pass, each in a process of its own.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import platform
import statistics
import subprocess
import sys
import time
import warnings
from pathlib import Path

import torch
from torch import nn

LAYERS = ("gcn", "sage", "gin", "gine", "gat")
CHANNELS, EDGE_CHANNELS = 64, 8


def graph_of(name):
    """Edges ascending by target, and the number of nodes."""
    from striate.ops.graph_adjacency import sort_by_target

    if name == "molecules":
        from striate.data.layouts import open_source
        from striate.kinds.graph.inputs import GraphInputs

        source = open_source("sample:solubility")
        readings = [source.read(item) for item in source.listing.items[:256]]
        batch = GraphInputs.fitted(readings, {}).inputs(readings)
        return batch.edges, len(batch.nodes)
    draw = torch.Generator().manual_seed(0)
    count = 100_000
    return sort_by_target(torch.randint(count, (2, 2_000_000), generator=draw))[0], count


def ours_of(layer, edges, count, features, new):
    from striate.nn import graph_layers as layers
    from striate.ops.graph_adjacency import Adjacency

    module = {
        "gcn": lambda: layers.GraphConv(CHANNELS, CHANNELS),
        "sage": lambda: layers.SageConv(CHANNELS, CHANNELS),
        "gin": lambda: layers.IsomorphismConv(nn.Linear(CHANNELS, CHANNELS), CHANNELS),
        "gine": lambda: layers.IsomorphismConv(
            nn.Linear(CHANNELS, CHANNELS), CHANNELS, EDGE_CHANNELS
        ),
        "gat": lambda: layers.AttentionConv(CHANNELS, CHANNELS // 4, heads=4),
    }[layer]()
    kept = Adjacency(sources=edges[0], targets=edges[1], num_nodes=count)

    def call(x):
        fresh = Adjacency(sources=edges[0], targets=edges[1], num_nodes=count) if new else kept
        return module(x, fresh, features) if layer == "gine" else module(x, fresh)

    return module, call


def sparse_matrix(edges, count):
    """Made directly: the edges ascend by target already, which spares the rival a sort."""
    from striate.ops.graph_adjacency import pointers_of

    ones = torch.ones(edges.shape[1])
    return torch.sparse_csr_tensor(pointers_of(edges[1], count), edges[0], ones, (count, count))


def theirs_of(layer, edges, count, features, sparse, new=False):
    from torch_geometric import nn as layers

    module = {
        "gcn": lambda: layers.GCNConv(CHANNELS, CHANNELS),
        "sage": lambda: layers.SAGEConv(CHANNELS, CHANNELS),
        "gin": lambda: layers.GINConv(nn.Linear(CHANNELS, CHANNELS), train_eps=True),
        "gine": lambda: layers.GINEConv(
            nn.Linear(CHANNELS, CHANNELS), train_eps=True, edge_dim=EDGE_CHANNELS
        ),
        "gat": lambda: layers.GATConv(CHANNELS, CHANNELS // 4, heads=4),
    }[layer]()
    if sparse and new:
        return module, lambda x: module(x, sparse_matrix(edges, count))
    if sparse:
        edges = sparse_matrix(edges, count)
    return module, (lambda x: module(x, edges, features)) if layer == "gine" else (
        lambda x: module(x, edges)
    )


def rivals(layer):
    """Theirs, kept."""
    return ("theirs", "theirs_sparse") if layer in ("gcn", "sage", "gin") else ("theirs",)


def candidates(layer, name):
    edges, count = graph_of(name)
    torch.manual_seed(0)
    features = torch.randn(edges.shape[1], EDGE_CHANNELS)
    x = torch.randn(count, CHANNELS, requires_grad=True)
    made = {
        "ours": lambda: ours_of(layer, edges, count, features, new=False),
        "new": lambda: ours_of(layer, edges, count, features, new=True),
        "theirs": lambda: theirs_of(layer, edges, count, features, sparse=False),
    }
    if len(rivals(layer)) > 1:
        made["theirs_sparse"] = lambda: theirs_of(layer, edges, count, features, sparse=True)
        made["theirs_sparse_new"] = lambda: theirs_of(layer, edges, count, features, True, new=True)
    return x, made


def forward(call, x):
    with torch.no_grad():
        call(x)


def both(call, x):
    x.grad = None
    call(x).sum().backward()


def timed(step, call, x):
    start = time.process_time()
    step(call, x)
    return (time.process_time() - start) * 1e3


def measure(layer, name, rounds):
    """{"forward": {candidate: ms}, "both": ...}"""
    x, made = candidates(layer, name)
    calls = {key: make()[1] for key, make in made.items()}
    for call in calls.values():
        both(call, x)
        forward(call, x)
    found = {"forward": {k: [] for k in calls}, "both": {k: [] for k in calls}}
    for _ in range(rounds):
        for key, call in calls.items():
            found["forward"][key].append(timed(forward, call, x))
            found["both"][key].append(timed(both, call, x))
    return {
        kind: {key: statistics.median(times) for key, times in of.items()}
        for kind, of in found.items()
    }


def peak(layer, name, candidate):
    """MiB that one pass adds to the peak of this process, which has done nothing else."""
    x, made = candidates(layer, name)
    call = made[candidate]()[1]
    both(call, x)  # loads what is loaded once
    x.grad = None
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    before = resident("VmRSS")
    both(call, x)
    print(json.dumps((resident("VmHWM") - before) / 1024))


def resident(what):
    """KiB that this process holds (VmRSS), or held at most (VmHWM); Linux."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(what)).split()[1])


def peak_of(layer, name, candidate):
    command = [sys.executable, __file__, "--peak", layer, name, candidate]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def main():
    warnings.filterwarnings("ignore")
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--graph", choices=("molecules", "large"), action="append")
    parser.add_argument("--layer", choices=LAYERS, action="append")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--peak", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.peak:
        peak(*options.peak)
        return
    import torch_geometric

    print(
        f"torch {torch.__version__}, torch_geometric {torch_geometric.__version__}, "
        f"{torch.get_num_threads()} threads, {platform.processor() or platform.machine()}"
    )
    for name in options.graph or ("molecules", "large"):
        for layer in options.layer or LAYERS:
            found = measure(layer, name, options.rounds or (51 if name == "molecules" else 3))
            row = {"graph": name, "layer": layer}
            for kind, times in found.items():
                kept = min(times[k] for k in ("theirs", "theirs_sparse") if k in times)
                anew = min(times[k] for k in ("theirs", "theirs_sparse_new") if k in times)
                row[kind] = {k: round(v, 3) for k, v in times.items()}
                row[f"{kind}_ratio"] = round(kept / times["ours"], 2)
                row[f"{kind}_new_ratio"] = round(anew / times["new"], 2)
            row["MiB"] = {k: round(peak_of(layer, name, k), 1) for k in ("new", *rivals(layer))}
            least = min(row["MiB"][k] for k in rivals(layer))
            row["memory_ratio"] = round(row["MiB"]["new"] / least, 2)
            print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
