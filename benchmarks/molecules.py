"""Molecules and the karate club: our graph networks against the standard baselines.

    python benchmarks/molecules.py freesolv solubility karate-club --seeds 0 1 2

For molecules the baseline is a random forest of 500 trees on Morgan fingerprints (radius 2, 2048
bits) and sees the same training items as the network; validation items are the network's, which
stops and chooses by them. For the network it is label propagation (scikit-learn's kernel-free rule:
each node takes the mean of its neighbours, the known ones stay). Two CPU cores, minutes a data set.
"""

from __future__ import annotations

import argparse
import json
import time

import numpy as np
import torch
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.metrics import mean_absolute_error, r2_score, root_mean_squared_error
from torch.nn import functional as F

from striate.data.layouts import open_source
from striate.data.randomness import epoch_order
from striate.data.readers.molecule import parse_smiles
from striate.data.splits import complete_splits
from striate.kinds.graph.inputs import GraphInputs
from striate.kinds.node.inputs import NodeInputs
from striate.models import create_model
from striate.tasks.task import task_of


def parts_of(items, seed):
    """{"train", "val", "test"} -> positions; grouped, and stratified by class or by tenths."""
    groups = {}
    numbers = [groups.setdefault(item.group or item.id, len(groups)) for item in items]
    target = task_of(items).encode(items, "these")
    splits = complete_splits(items, target, np.array(numbers), seed=seed)
    return {part: np.flatnonzero(splits == part) for part in ("train", "val", "test")}


def scores(truth, predicted, classes):
    if classes:
        hits = predicted == truth
        recalls = [hits[truth == k].mean() for k in range(classes)]
        return {"accuracy": float(hits.mean()), "balanced": float(np.mean(recalls))}
    return {
        "mae": mean_absolute_error(truth, predicted),
        "rmse": root_mean_squared_error(truth, predicted),
        "r2": r2_score(truth, predicted),
    }


def forest(source, items, answers, parts, classes, seed):
    from rdkit.Chem import rdFingerprintGenerator

    morgan = rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=2048)
    molecules = [parse_smiles(source.read(item).smiles) for item in items]
    x = np.stack([morgan.GetFingerprintAsNumPy(molecule) for molecule in molecules])
    kind = RandomForestClassifier if classes else RandomForestRegressor
    model = kind(500, random_state=seed, n_jobs=1)
    model.fit(x[parts["train"]], answers[parts["train"]])
    return {
        p: scores(answers[parts[p]], model.predict(x[parts[p]]), classes) for p in ("val", "test")
    }


def predict(network, inputs, readings, chosen):
    network.eval()
    with torch.inference_mode():
        outputs = [
            network(inputs.inputs([readings[i] for i in chosen[start : start + 256]]))
            for start in range(0, len(chosen), 256)
        ]
    return torch.cat(outputs).float()


def train(readings, answers, parts, classes, seed, options):
    """Train as the recipe would: AdamW, one cycle of the rate, the best epoch on validation."""
    torch.manual_seed(seed)
    inputs = GraphInputs.fitted([readings[i] for i in parts["train"]], {})
    network = create_model(
        options.model,
        in_channels=inputs.input_shape[0],
        num_classes=classes or 1,
        edge_channels=inputs.edge_channels,
        **json.loads(options.options),
    )
    known = answers[parts["train"]]
    centre, scale = (0.0, 1.0) if classes else (known.mean(), known.std())
    optimizer = torch.optim.AdamW(network.parameters(), lr=options.rate, weight_decay=options.decay)
    size, count = options.batch, len(parts["train"])
    steps = options.epochs * -(-count // size)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, options.rate, total_steps=steps)
    best, state, average = np.inf, None, None
    for epoch in range(options.epochs):
        network.train()
        order = parts["train"][epoch_order(seed, epoch, count)]
        for start in range(0, count, size):
            chosen = order[start : start + size]
            out = network(inputs.inputs([readings[i] for i in chosen]))
            optimizer.zero_grad()
            loss(out, answers[chosen], classes, centre, scale).backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            average = averaged(average, network)
        if epoch % 5 == 4 or epoch == options.epochs - 1:
            current = {k: v.clone() for k, v in network.state_dict().items()}
            network.load_state_dict({**current, **average})
            val = predict(network, inputs, readings, parts["val"])
            value = float(loss(val, answers[parts["val"]], classes, centre, scale))
            if value < best:
                best, state = value, {k: v.clone() for k, v in network.state_dict().items()}
            network.load_state_dict(current)
    network.load_state_dict(state)
    found = {}
    for part in ("val", "test"):
        out = predict(network, inputs, readings, parts[part])
        predicted = out.argmax(1).numpy() if classes else out[:, 0].numpy() * scale + centre
        found[part] = scores(answers[parts[part]], predicted, classes)
    return found


def averaged(average, network, decay=0.98):
    now = {k: v.detach() for k, v in network.named_parameters()}
    if average is None:
        return {k: v.clone() for k, v in now.items()}
    return {k: average[k].lerp_(v, 1 - decay) for k, v in now.items()}


def loss(out, truth, classes, centre, scale):
    if classes:
        return F.cross_entropy(out, torch.from_numpy(truth))
    return F.mse_loss(out[:, 0], torch.from_numpy((truth - centre) / scale).float())


def measure_molecules(name, options):
    source = open_source(f"sample:{name}")
    items = source.listing.items
    labels = sorted({item.label for item in items if item.label})
    if labels:
        answers = np.array([labels.index(item.label) for item in items])
    else:
        answers = np.array([item.target for item in items])
    readings = [source.read(item) for item in items]
    for seed in options.seeds:
        parts = parts_of(items, seed)
        row = {"data": name, "seed": seed, "items": {k: len(v) for k, v in parts.items()}}
        start = time.perf_counter()
        row[options.model] = train(readings, answers, parts, len(labels), seed, options)
        row["seconds"] = round(time.perf_counter() - start, 1)
        if not options.no_baseline:
            row["forest"] = forest(source, items, answers, parts, len(labels), seed)
        show(row)


def propagate(graph, labels, known, classes, rounds=100):
    """Zhu and Ghahramani, 2002: each node takes the mean of its neighbours; known ones stay."""
    adjacency = np.zeros((graph.nodes.shape[1],) * 2)
    adjacency[graph.edges[1], graph.edges[0]] = 1
    adjacency /= np.maximum(adjacency.sum(1, keepdims=True), 1)
    given = np.zeros((len(labels), classes))
    given[known, labels[known]] = 1
    belief = given.copy()
    for _ in range(rounds):
        belief = adjacency @ belief
        belief[known] = given[known]
    return belief.argmax(1)


def measure_nodes(name, options):
    source = open_source(f"sample:{name}")
    items = source.listing.items
    classes = sorted({item.label for item in items})
    labels = np.array([classes.index(item.label) for item in items])
    parts = {
        p: [i for i, item in enumerate(items) if item.split == p] for p in ("train", "val", "test")
    }
    spread = propagate(source.graph, labels, parts["train"], len(classes))
    readings = [source.read(item) for item in items]
    inputs = NodeInputs.fitted([readings[i] for i in parts["train"]], {})
    for seed in options.seeds:
        torch.manual_seed(seed)
        network = create_model(
            options.node_model,
            in_channels=source.graph.array.shape[0],
            num_classes=len(classes),
            level="node",
            **json.loads(options.node_options),
        )
        optimizer = torch.optim.AdamW(
            network.parameters(), lr=0.01, weight_decay=options.node_decay
        )
        batch = inputs.inputs([readings[i] for i in parts["train"]])
        truth = torch.from_numpy(labels[parts["train"]])
        best, found = np.inf, {}
        for _ in range(200):
            network.train()
            optimizer.zero_grad()
            F.cross_entropy(network(batch), truth).backward()
            optimizer.step()
            network.eval()
            with torch.inference_mode():
                out = network(inputs.inputs(readings))
            value = float(
                F.cross_entropy(out[parts["val"]], torch.from_numpy(labels[parts["val"]]))
            )
            if value < best:
                best = value
                found = {
                    p: scores(labels[parts[p]], out.argmax(1).numpy()[parts[p]], 2)
                    for p in ("val", "test")
                }
        row = {"data": name, "seed": seed, options.node_model: found}
        row["propagation"] = {
            p: scores(labels[parts[p]], spread[parts[p]], 2) for p in ("val", "test")
        }
        show(row)


def show(row):
    rounded = json.loads(json.dumps(row), parse_float=lambda text: round(float(text), 4))
    print(json.dumps(rounded), flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", nargs="+")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--model", default="gin")
    parser.add_argument("--options", default="{}", help="of the network, as JSON")
    parser.add_argument("--epochs", type=int, default=100)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--rate", type=float, default=2e-3)
    parser.add_argument("--decay", type=float, default=0.05)
    parser.add_argument("--node-model", default="gcn_small")
    parser.add_argument("--node-options", default="{}")
    parser.add_argument("--node-decay", type=float, default=0.05)
    parser.add_argument("--no-baseline", action="store_true")
    options = parser.parse_args()
    for name in options.data:
        (measure_nodes if name == "karate-club" else measure_molecules)(name, options)


if __name__ == "__main__":
    main()
