"""`striate fit sample:NAME` on every sample that is no image, over three seeds.

    python benchmarks/samples.py [NAME ...] [--seeds 0 1 2] [--time 5m]

A row a fit: what was kept, the figures on the test items, the same of the linear probe where there
is one, and seconds. At most 5 minutes a fit on 2 CPU cores; most need less. Expected: the tables of
docs/kinds/.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np

import striate
from striate.data.layouts.layout import load_formats
from striate.data.samples.sample import SAMPLES

FIGURES = ("accuracy", "roc_auc", "mae", "rmse", "r2")


def main() -> None:
    load_formats()
    known = [name for name, sample in SAMPLES.items() if sample.kind != "image"]
    parser = argparse.ArgumentParser()
    parser.add_argument("names", nargs="*", default=known, metavar="NAME")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--time", default="5m")
    parser.add_argument("--method", default="auto")
    arguments = parser.parse_args()
    for name in arguments.names:
        kept: dict[str, list[float]] = {}
        for seed in arguments.seeds:
            for figure, value in fit(name, seed, arguments.time, arguments.method).items():
                kept.setdefault(figure, []).append(value)
        means = ", ".join(
            f"{figure} {np.mean(values):.4f} ± {np.std(values):.4f}"
            for figure, values in kept.items()
        )
        print(f"{name}, {len(arguments.seeds)} seeds: {means}", flush=True)


def fit(name: str, seed: int, limit: str, method: str) -> dict[str, float]:
    """The figures of one fit on its test items."""
    with tempfile.TemporaryDirectory() as folder:
        began = time.monotonic()
        run = striate.fit(
            f"sample:{name}", out=Path(folder) / "run", seed=seed, time=limit, method=method
        )
        seconds = time.monotonic() - began
        report = run.report
    found = {key: run.metrics[key] for key in FIGURES if run.metrics.get(key) is not None}
    line = ", ".join(f"{key} {value:.4f}" for key, value in found.items())
    probe = report.baselines.probe
    if probe is not None:
        value = probe.accuracy.value if report.classes else probe.rmse.value
        line += f" (baseline probe {value:.4f})"
    print(
        f"{name}, seed {seed}: {run.record.model.name} by {report.method}: {line}, {seconds:.0f} s",
        flush=True,
    )
    return {**found, "seconds": seconds}


if __name__ == "__main__":
    main()
