"""Which explanation holds best on items that the model did not learn from, and how to tell before.

    python benchmarks/explanations.py RUN ... [--validation 8] [--test 24] [--methods NAME ...]

Of each run some validation and some test items are explained for the class that it predicts, by each
method, and checked by deletion and insertion as `striate explain` does. A row a method: its mean gain
(how far the logit follows the marks, beyond 0 for random ones) and the share of items whose check it
passes, on validation items and on test items. Then what three rules for one method reach on the test
items: the kind's own, the highest mean gain on the validation items, and the best for each test item.
"""

from __future__ import annotations

import argparse
import json
import time

import numpy as np
import torch
from numpy.typing import NDArray

import striate
from striate.data.layouts.layout import open_source
from striate.data.snapshot import from_json
from striate.data.source import Reading
from striate.errors import ArgumentError
from striate.explain import explain
from striate.explain.fidelity import fidelity
from striate.nn.layout import channels_last, placed
from striate.run.folder import LOCK
from striate.run.run import Run

METHODS = (
    "gradcam",
    "occlusion",
    "integrated-gradients",
    "layercam",
    "gradcam-plus-plus",
    "saliency",
)


def some_items(run: Run, split: str, count: int) -> list[Reading]:
    """Items of a split, drawn by a fixed seed, as the model takes them."""
    named = [i.id for i in from_json(run.folder.read_json(LOCK)).items if i.split == split]
    drawn = set(np.random.default_rng(0).permutation(named)[:count].tolist())
    source = open_source(run.record.data)
    items = [item for item in source.listing.items if item.id in drawn]
    return [reading for _, reading in run.read(source, items) if isinstance(reading, Reading)]


class Tried:
    """The gains of each method on some items, each divided by the spread of random orders."""

    def __init__(self, run: Run, split: str, count: int, methods: list[str]) -> None:
        predictor = run.predictor
        self.gains: dict[str, list[float]] = {name: [] for name in methods}
        self.passed: dict[str, list[bool]] = {name: [] for name in methods}
        self.seconds = dict.fromkeys(methods, 0.0)
        for reading in some_items(run, split, count):
            (target,) = run.outputs(iter([reading])).argmax(1).tolist()
            given = placed(predictor.inputs.inputs([reading]), predictor.device)
            x = channels_last(predictor.inputs.normalized(given))
            for name in list(self.gains):
                begin = time.perf_counter()
                try:
                    heat = explain(predictor.network, x, torch.tensor([target]), name).heat[0]
                except (ArgumentError, RuntimeError) as error:
                    print(f"  {name}: {error}", flush=True)
                    del self.gains[name], self.passed[name]
                    continue
                self.seconds[name] += time.perf_counter() - begin
                found = fidelity(predictor.network, x, target, heat.numpy())
                spread = float(np.sqrt(np.square(found.random_gains).mean()))
                self.gains[name].append(found.gain / max(spread, 1e-12))
                self.passed[name].append(bool(heat.any()) and found.beats_random)

    def mean(self, name: str) -> float:
        return float(np.mean(self.gains[name]))

    def share(self, name: str) -> float:
        return float(np.mean(self.passed[name]))

    def __len__(self) -> int:
        return len(next(iter(self.passed.values())))


def falls_through(tried: Tried, order: list[str]) -> NDArray[np.bool_]:
    """Whether any of the methods passes, item by item: what going on to the next one reaches."""
    return np.any([tried.passed[name] for name in order if name in tried.passed], axis=0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("runs", nargs="+", metavar="RUN")
    parser.add_argument("--validation", type=int, default=8)
    parser.add_argument("--test", type=int, default=24)
    parser.add_argument("--methods", nargs="+", default=list(METHODS))
    args = parser.parse_args()
    for path in args.runs:
        run = striate.load(path, device="cpu")
        print(f"{path}: {run.kind.name}, {run.record.model.name}", flush=True)
        before = Tried(run, "val", args.validation, args.methods)
        after = Tried(run, "test", args.test, args.methods)
        for name in after.gains:
            print(
                f"  {name:22} gain {before.mean(name):6.2f} and {after.mean(name):6.2f}, passed "
                f"{before.share(name):.2f} and {after.share(name):.2f}, "
                f"{after.seconds[name] / len(after):.2f} s each",
                flush=True,
            )
        rule = run.kind.explanation
        chosen = max(before.gains, key=before.mean)
        others = ["occlusion", "gradcam"]
        row = {
            "run": path,
            "kind": run.kind.name,
            "items": len(after),
            "rule": [rule, round(after.share(rule), 3), round(after.mean(rule), 2)],
            "validation": [chosen, round(after.share(chosen), 3), round(after.mean(chosen), 2)],
            "rule, then the next": float(falls_through(after, [rule, *others]).mean()),
            "validation, then the next": float(falls_through(after, [chosen, *others]).mean()),
        }
        print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
