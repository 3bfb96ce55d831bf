"""Series: 1-NN DTW, probes on fixed features, and InceptionTime, on the samples of aeon.

    python benchmarks/series.py [--samples NAME ...] [--seeds 3] [--seconds 60] [--skip dtw]

The probes are those of `striate fit`: logistic regression on MiniRocket's features, ridge regression
on MultiRocket's and Hydra's, and the one of the two that cross-validation in the training items
prefers ("chosen"). Each sample keeps its archive's split into train and test; everything is chosen and fitted on the
training part. Of a sample of numbers (`--samples covid`) the nearest neighbours alone are shown. Prints a line of JSON a figure. `PUBLISHED` holds InceptionTime's accuracies (the mean
of five networks) from its authors' tables of results, results-InceptionTime-128.csv and
results-mts.csv at https://github.com/hfawaz/InceptionTime.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch
from numba import njit
from torch import Tensor

from striate.data.layouts import open_source
from striate.data.randomness import Draws, epoch_order, item_keys
from striate.kinds.signal.inputs import SignalInputs
from striate.metrics.calibration import negative_log_likelihood
from striate.models import create_model
from striate.tasks.classification.scoring import ClassCalibration
from striate.transfer.logistic_probe import class_folds, cross_outputs, fit_probe
from striate.transfer.probe import ProbeConfig
from striate.transfer.ridge_probe import (
    RIDGE_CS,
    fit_ridge_probe,
    ridge_cross_outputs,
    wanted_logits,
)

NETWORKS = {"minirocket": False, "multirocket_hydra": True}
"""Networks of fixed features, and whether their probe is a ridge regression."""

PUBLISHED = {
    "arrow-head": 0.8457,
    "gun-point": 1.0,
    "italy-power": 0.9650,
    "osu-leaf": 0.9421,
    "appliances": 0.92,
    "basic-motions": 1.0,
    "japanese-vowels": 0.9919,
    "pickup-gesture": 0.76,
}


@njit(cache=True)
def dtw(a: np.ndarray, b: np.ndarray, bound: float) -> float:
    """Squared distance of (c, l) and (c, m) along the best warping; inf once over `bound`."""
    n, m = a.shape[1], b.shape[1]
    before = np.full(m + 1, np.inf)
    before[0] = 0.0
    row = np.empty(m + 1)
    for i in range(n):
        row[0] = np.inf
        least = np.inf
        for j in range(m):
            cost = 0.0
            for c in range(a.shape[0]):
                cost += (a[c, i] - b[c, j]) ** 2
            row[j + 1] = cost + min(before[j], before[j + 1], row[j])
            least = min(least, row[j + 1])
        if least > bound:
            return np.inf
        before, row = row, before
        before[0] = np.inf
    return before[m]


def nearest(train: list[np.ndarray], labels: np.ndarray, test: list[np.ndarray]) -> np.ndarray:
    """The class of the nearest training item of each test item."""
    found = []
    for item in test:
        best, answer = np.inf, -1
        for other, label in zip(train, labels, strict=True):
            distance = dtw(item, other, best)
            if distance < best:
                best, answer = distance, label
        found.append(answer)
    return np.array(found)


def show(name: str, method: str, **facts: Any) -> None:
    print(json.dumps({"sample": name, "method": method, **facts}), flush=True)


def show_neighbours(name: str, source: Any) -> None:
    """Numbers: the mean of the nearest training items' by DTW, and that of all."""
    items = source.listing.items
    parts = {part: [i for i in items if i.split == part] for part in ("train", "test")}
    arrays = {p: [np.asarray(source.read(i).array, np.float64) for i in parts[p]] for p in parts}
    known, truth = (np.array([item.target for item in parts[p]]) for p in ("train", "test"))
    distances = [[dtw(b, a, np.inf) for a in arrays["train"]] for b in arrays["test"]]
    order = np.argsort(distances, axis=1, kind="stable")
    for count in (1, 5, len(known)):
        errors = known[order[:, :count]].mean(1) - truth
        rmse = float(np.sqrt(np.mean(errors**2)))
        show(name, f"{count}-NN DTW", rmse=rmse)


def train_scratch(
    inputs: Any, readings: list[Any], ids: list[str], labels: Tensor, num_classes: int, seed: int,
    *, model: str, epochs: int, seconds: float, rate: float, batch: int,
) -> tuple[torch.nn.Module, int]:  # fmt: skip
    """InceptionTime, trained on all readings; the epochs done are said."""
    torch.manual_seed(seed)
    network = create_model(
        model,
        rank=len(inputs.input_shape) - 1,
        in_channels=inputs.channels,
        num_classes=num_classes,
    )
    decayed = [p for p in network.parameters() if p.ndim > 1]
    other = [p for p in network.parameters() if p.ndim <= 1]
    optimizer = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": 0.05}, {"params": other, "weight_decay": 0.0}], lr=rate
    )
    keys, start, count = item_keys(ids), time.monotonic(), len(readings)
    network.train()
    done = 0.0
    epoch = 0
    while done < 1:
        order = epoch_order(seed, epoch, count)
        pieces = max(1, round(count / batch))
        for items in np.array_split(order, pieces):
            done = max(epoch / epochs, (time.monotonic() - start) / seconds)
            for group in optimizer.param_groups:
                group["lr"] = (
                    rate * min(1, 20 * done + 0.05) * (1 + math.cos(math.pi * min(done, 1))) / 2
                )
            draws = Draws(keys=keys[items], seed=seed, epoch=epoch)
            x = inputs.augmented([readings[i] for i in items], draws)
            loss = torch.nn.functional.cross_entropy(network(x), labels[items])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        epoch += 1
        done = max(epoch / epochs, (time.monotonic() - start) / seconds)
    return network.eval(), epoch


def fitted_probe(
    name: str, squared: bool, known: Tensor, labels: Tensor, asked: Tensor, seed: int
) -> tuple[Tensor, dict[str, Any]]:
    """Outputs of a probe on fixed features, and what it took and promises."""
    start, count = time.monotonic(), int(labels.max()) + 1
    network = create_model(
        name, rank=1, in_channels=known.shape[1], input_size=known.shape[2], num_classes=count
    )
    network.fit_features(known, seed)

    def features(x: Tensor) -> Tensor:
        with torch.inference_mode():
            return torch.cat([network.pool(network.forward_features(p)) for p in x.split(32)])

    of_known = features(known)
    if squared:
        config = ProbeConfig(Cs=RIDGE_CS, seed=seed, squared=True)
        wanted = wanted_logits(labels.numpy()[:, None] == np.arange(count))
        probe = fit_ridge_probe(of_known, wanted, config)
        folds = class_folds(labels.numpy(), None, config)
        held_out = ridge_cross_outputs(of_known, wanted, folds, replace(config, Cs=(probe.C,)))
    else:
        config = ProbeConfig(seed=seed)
        probe = fit_probe(of_known, labels, count, config=config)
        held_out = cross_outputs(of_known, labels, count, config=replace(config, Cs=(probe.C,)))
    outputs, truth = held_out[0].numpy(), labels.numpy()[held_out[1]]
    scaled = ClassCalibration.fitted(outputs, truth).scaled(outputs)
    logits = probe.logits(features(asked))
    return logits, {
        "cross_loss": round(negative_log_likelihood(scaled, truth), 4),
        "C": probe.C,
        "seconds": round(time.monotonic() - start, 1),
    }


def predict(network: torch.nn.Module, inputs: Tensor) -> Tensor:
    with torch.inference_mode():
        return torch.cat([network(part) for part in inputs.split(64)])


def accuracy(answers: Any, truth: Any) -> float:
    return float(np.mean(np.asarray(answers) == np.asarray(truth)))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--samples", nargs="*", default=list(PUBLISHED))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--epochs", type=int, default=600)
    parser.add_argument("--rate", type=float, default=2e-3)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--augment", type=float, default=1.0)
    parser.add_argument("--normalize", default="train")
    parser.add_argument("--model", default="inception_time")
    parser.add_argument("--skip", nargs="*", default=[], choices=["dtw", "probes", "scratch"])
    parser.add_argument("--hold-out", type=float, default=0.0, help="judge on so much of train")
    args = parser.parse_args()
    for name in args.samples:
        source = open_source(f"sample:{name}")
        items = source.listing.items
        if items[0].target is not None:
            show_neighbours(name, source)
            continue
        readings = [source.read(item) for item in items]
        classes = sorted({str(item.label) for item in items})
        labels = torch.tensor([classes.index(str(item.label)) for item in items])
        train = np.array([i for i, item in enumerate(items) if item.split == "train"])
        test = np.array([i for i, item in enumerate(items) if item.split == "test"])

        say = partial(show, name)
        if name in PUBLISHED:
            say("published InceptionTime", accuracy=PUBLISHED[name])
        if "dtw" not in args.skip:
            arrays = [np.asarray(reading.array, np.float64) for reading in readings]
            start = time.monotonic()
            answers = nearest(
                [arrays[i] for i in train], labels[train].numpy(), [arrays[i] for i in test]
            )
            seconds = round(time.monotonic() - start, 1)
            say("1-NN DTW", accuracy=accuracy(answers, labels[test]), seconds=seconds)
        for seed in range(args.seeds):
            part, judged = train, test
            if args.hold_out:
                part, judged = _hold_out(train, labels, args.hold_out, seed)
            options = {"augment": args.augment, "normalize": args.normalize}
            inputs = SignalInputs.fitted([readings[i] for i in part], options)
            truth = labels[judged]
            x = inputs.inputs([readings[i] for i in judged])
            if "probes" not in args.skip:
                known = inputs.inputs([readings[i] for i in part])
                probes = {
                    network: fitted_probe(network, squared, known, labels[part], x, seed)
                    for network, squared in NETWORKS.items()
                }
                best = min(probes, key=lambda name: probes[name][1]["cross_loss"])
                for network, (logits, facts) in zip(
                    [*probes, "chosen"], [*probes.values(), probes[best]], strict=True
                ):
                    hits = accuracy(logits.argmax(1), truth)
                    say(f"{network}, probe", seed=seed, accuracy=hits, **facts)
            if "scratch" not in args.skip:
                start = time.monotonic()
                net, epochs = train_scratch(
                    inputs, [readings[i] for i in part], [items[i].id for i in part], labels[part],
                    len(classes), seed, model=args.model, epochs=args.epochs,
                    seconds=args.seconds, rate=args.rate, batch=args.batch,
                )  # fmt: skip
                logits = predict(net, x)
                loss = float(torch.nn.functional.cross_entropy(logits, truth))
                say(
                    args.model, seed=seed, accuracy=accuracy(logits.argmax(1), truth),
                    log_loss=round(loss, 4), epochs=epochs,
                    seconds=round(time.monotonic() - start, 1),
                )  # fmt: skip


def _hold_out(
    train: np.ndarray, labels: Tensor, share: float, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """The training items parted, each class by that share, one of it at least."""
    kept, held = [], []
    for label in np.unique(labels[train]):
        of_class = train[(labels[train] == label).numpy()]
        order = np.random.default_rng([seed, int(label)]).permutation(of_class)
        count = max(1, round(share * len(order)))
        held += order[:count].tolist()
        kept += order[count:].tolist()
    return np.array(kept), np.array(held)


if __name__ == "__main__":
    main()
