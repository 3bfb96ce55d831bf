"""Six shapes of solids in noise: baselines, a probe of frozen features, and networks trained.

    python benchmarks/volumes.py [--seeds 3] [--methods histogram,forest,...] [--epochs 40]

Synthetic volumes (sample:synthetic-volumes), 600 of 32 x 32 x 32: 400 to train on, 80 to choose on,
120 to test on, split anew for each seed. What it printed is in docs/kinds/volumes.md.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor
from torch.nn import functional as F

from striate.data.layouts import open_source
from striate.data.randomness import Draws, epoch_order, item_keys
from striate.data.source import Reading
from striate.explain import explain
from striate.explain.drawing import image_card
from striate.kinds.volume.drawing import orthogonal_slices
from striate.kinds.volume.inputs import VolumeInputs
from striate.models import Network, create_model
from striate.nn.fuse import fold_batch_norm
from striate.transfer.logistic_probe import fit_probe

SMALL = "conv16s2-bn-leaky-conv32s2-bn-leaky-conv64s2-bn-leaky-conv128s2-bn-leaky-flatten-fc6"
"""As MONAI's classifier is laid out: convolutions of stride 2, then one linear layer."""

HELIX = 3

PLAIN = "conv24k5s2-bn-relu-conv48-bn-relu-maxpool-conv96-bn-relu-maxpool-conv128-bn-relu-gap-fc6"


@dataclass(frozen=True, kw_only=True)
class Split:
    """The volumes of one seed."""

    readings: list[Reading]
    labels: NDArray[np.int64]
    train: NDArray[np.int64]
    val: NDArray[np.int64]
    test: NDArray[np.int64]
    seed: int
    epochs: int

    def accuracy(self, predicted: NDArray[np.int64], part: NDArray[np.int64]) -> float:
        return float((predicted[part] == self.labels[part]).mean())

    def inputs(self, **options: str) -> VolumeInputs:
        return VolumeInputs.fitted((self.readings[i] for i in self.train), options)


def split_of(readings: list[Reading], labels: NDArray[np.int64], seed: int, epochs: int) -> Split:
    rest, test = train_test_split(
        np.arange(len(labels)), test_size=120, stratify=labels, random_state=seed
    )
    train, val = train_test_split(rest, test_size=80, stratify=labels[rest], random_state=seed)
    return Split(
        readings=readings,
        labels=labels,
        train=train,
        val=val,
        test=test,
        seed=seed,
        epochs=epochs,
    )


def histogram(split: Split) -> NDArray[np.int64]:
    """Logistic regression on how often each intensity occurs."""
    X = np.stack([np.bincount(r.array.ravel() // 4, minlength=64) for r in split.readings])
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=2000))
    return np.asarray(model.fit(X[split.train], split.labels[split.train]).predict(X))


def coarse_voxels(split: Split) -> NDArray[np.float64]:
    volumes = np.stack([r.array[0] for r in split.readings])
    return volumes.reshape(-1, 8, 4, 8, 4, 8, 4).mean((2, 4, 6)).reshape(len(volumes), -1)


def linear(split: Split) -> NDArray[np.int64]:
    """Logistic regression on 8 x 8 x 8 voxels."""
    X = coarse_voxels(split)
    model = make_pipeline(StandardScaler(), LogisticRegression(C=1e-3, max_iter=2000))
    return np.asarray(model.fit(X[split.train], split.labels[split.train]).predict(X))


def forest(split: Split) -> NDArray[np.int64]:
    """A random forest on 8 x 8 x 8 voxels."""
    X = coarse_voxels(split)
    model = RandomForestClassifier(500, random_state=split.seed)
    return np.asarray(model.fit(X[split.train], split.labels[split.train]).predict(X))


def probe(split: Split) -> NDArray[np.int64]:
    """A linear layer on frozen features."""
    inputs = split.inputs()
    network = create_model("tri_planar", rank=3, in_channels=1, num_classes=6, weights="imagenet")
    fit_head(network, inputs, split)
    return predicted(network, inputs, split.readings)


def fit_head(network: Network, inputs: VolumeInputs, split: Split) -> None:
    """Put a linear probe of the training volumes in the head's place."""
    training = [split.readings[i] for i in split.train]
    frozen = fold_batch_norm(network.eval(), inputs.inputs(training[:1]))
    assert isinstance(frozen, Network)
    features = []
    for start in range(0, len(training), 8):
        with torch.inference_mode():
            maps = frozen.forward_features(inputs.inputs(training[start : start + 8]))
            features.append(frozen.pool(maps).flatten(1))
    head = fit_probe(torch.cat(features), torch.from_numpy(split.labels[split.train]), 6)
    network.classifier.load_state_dict(head.as_head().state_dict())


def draw(split: Split, path: str) -> None:
    """Where the probe looks in the first helix to test on that it names rightly."""
    inputs = split.inputs()
    network = create_model("tri_planar", rank=3, in_channels=1, num_classes=6, weights="imagenet")
    fit_head(network, inputs, split)
    helices = [i for i in split.test if split.labels[i] == HELIX]
    guesses = predicted(network, inputs, [split.readings[i] for i in helices])
    chosen = helices[int(np.flatnonzero(guesses == HELIX)[0])]
    reading = split.readings[chosen]
    heat = explain(network, inputs.inputs([reading]), method="occlusion").heat[0]
    slices = orthogonal_slices(reading.array[0].astype(np.float32), heat.numpy())
    image_card([slices], ("Evidence for: helix (method: occlusion)",)).save(path, optimize=True)
    print(f"item {chosen:04d} -> {path}")


def trained(
    name: str, *, weights: str | None = None, rate: float = 3e-3, size: int = 16, share: float = 1.0
) -> Callable[[Split], NDArray[np.int64]]:
    def train(split: Split) -> NDArray[np.int64]:
        torch.manual_seed(split.seed)
        inputs = split.inputs(symmetry="cube")
        options = {} if weights else {"input_size": 32}
        network = create_model(
            name, rank=3, in_channels=1, num_classes=6, weights=weights, **options
        )
        if weights:
            fit_head(network, inputs, split)
        epochs = max(1, round(share * split.epochs))
        fit(network, inputs, split, epochs, rate, size)
        return predicted(network, inputs, split.readings)

    return train


def fit(
    network: Network, inputs: VolumeInputs, split: Split, epochs: int, rate: float, size: int
) -> None:
    """AdamW under one cycle, from the head that is there; nothing is chosen on validation."""
    labels = torch.from_numpy(split.labels)
    keys = item_keys([str(i) for i in range(len(labels))])
    optimizer = torch.optim.AdamW(network.parameters(), rate, weight_decay=0.05)
    steps = len(split.train) // size
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, rate, total_steps=epochs * steps, pct_start=0.2
    )
    for epoch in range(epochs):
        network.train()
        order = split.train[epoch_order(split.seed, epoch, len(split.train))]
        losses = []
        for step in range(steps):
            batch = order[step * size : (step + 1) * size]
            draws = Draws(keys=keys[batch], seed=split.seed, epoch=epoch)
            batch_inputs = inputs.augmented([split.readings[i] for i in batch], draws)
            loss = F.cross_entropy(network(batch_inputs), labels[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            losses.append(loss.item())
        if epoch % 5 == 4 or epochs < 10 or epoch == epochs - 1:
            held = predicted(network, inputs, [split.readings[i] for i in split.val])
            accuracy = float((held == split.labels[split.val]).mean())
            print(
                f"    epoch {epoch + 1}: loss {np.mean(losses):.3f}, validation {accuracy:.3f}",
                flush=True,
            )


def predicted(network: Network, inputs: VolumeInputs, readings: list[Reading]) -> NDArray[np.int64]:
    network.eval()
    found: list[Tensor] = []
    for start in range(0, len(readings), 16):
        with torch.inference_mode():
            found.append(network(inputs.inputs(readings[start : start + 16])).argmax(1))
    return torch.cat(found).numpy()


METHODS: dict[str, Callable[[Split], NDArray[np.int64]]] = {
    "histogram": histogram,
    "linear": linear,
    "forest": forest,
    "probe": probe,
    "small": trained(SMALL),
    "plain": trained(PLAIN),
    "finetune": trained("tri_planar", weights="imagenet", rate=5e-4, size=8, share=0.16),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--methods", default=",".join(METHODS))
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--items", type=int, default=600)
    parser.add_argument("--picture", help="draw where the probe looks into this file instead")
    arguments = parser.parse_args()
    torch.set_num_threads(min(2, torch.get_num_threads()))
    source = open_source("sample:synthetic-volumes")
    items = source.listing.items[: arguments.items]
    readings = [source.read(item) for item in items]
    classes = sorted({str(item.label) for item in items})
    labels = np.array([classes.index(str(item.label)) for item in items])
    if arguments.picture:
        draw(split_of(readings, labels, 0, 0), arguments.picture)
        return
    for name in arguments.methods.split(","):
        rows = []
        for seed in range(arguments.seeds):
            split = split_of(readings, labels, seed, arguments.epochs)
            began = time.monotonic()
            guess = METHODS[name](split)
            took = time.monotonic() - began
            rows.append((split.accuracy(guess, split.val), split.accuracy(guess, split.test), took))
            print(
                f"  {name} seed {seed}: validation {rows[-1][0]:.3f}, test {rows[-1][1]:.3f}, "
                f"{took:.0f} s",
                flush=True,
            )
        val, test, seconds = np.array(rows).T
        print(
            f"| {name} | {val.mean():.3f} | {test.mean():.3f} ± {np.std(test, ddof=min(1, len(test) - 1)):.3f} "
            f"| {seconds.mean():.0f} s |",
            flush=True,
        )


if __name__ == "__main__":
    main()
