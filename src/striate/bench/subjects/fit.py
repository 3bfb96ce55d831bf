"""A whole fit, beside a support vector machine of scikit-learn's on the samples themselves."""

from __future__ import annotations

import csv
import tempfile
import time
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from striate.bench.benchmark import BENCHMARKS, Benchmark, Found, Table
from striate.bench.turns import Timing
from striate.data.layouts.layout import open_source
from striate.data.source import Reading
from striate.errors import ArgumentError
from striate.fitting.fit import fit
from striate.metrics.intervals import share_estimate
from striate.run.folder import LOCK, PREDICTIONS

DATA: Final = "sample:gun-point"

SECONDS: Final = 60
"""Time of Striate's fit."""

SIDE: Final = 32
"""Images are averaged down to as many pixels along a side, for the machine."""


class Fit(Benchmark):
    """One fit, on the split that it makes."""

    name = "fit"
    description = "a fit of classes, against scikit-learn's support vector machine on the samples"
    takes = f"data of classes whose items have one shape, by default {DATA}"

    def measure(self, subject: str | None, *, rounds: int) -> Found:
        """Fit once, and the machine once on the same items."""
        source = open_source(subject or DATA)
        if not all(item.label is not None for item in source.listing.items):
            raise ArgumentError(f"{source.name} has items without a class", fix="give classes")
        with tempfile.TemporaryDirectory() as folder:
            began = time.perf_counter()
            run = fit(source, out=Path(folder) / "run", time=f"{SECONDS}s")
            own = time.perf_counter() - began
            split = run.folder.read_json(LOCK)
            with (run.folder.path / PREDICTIONS).open(newline="") as file:
                rows = [row for row in csv.DictReader(file) if row["split"] == "test"]
        part = {item["id"]: item["split"] for item in split["items"]}
        hits = np.array([row["prediction"] == row["label"] for row in rows])
        items = [item for item in source.listing.items if item.id in part]
        began = time.perf_counter()
        samples = np.stack([_flat(source.read(item)) for item in items])
        labels = np.array([item.label for item in items])
        test = np.array([part[item.id] == "test" for item in items])
        theirs = _machine(samples[~test], labels[~test], samples[test]) == labels[test]
        their_seconds = time.perf_counter() - began
        timings = [_once("Striate", own), _once("scikit-learn's SVC", their_seconds)]
        remarks = [f"Striate ({run.record.method}): {_accuracy(hits)}", f"SVC: {_accuracy(theirs)}"]
        title = f"a fit of {source.name}, {SECONDS} s at most, and the same items to a machine"
        return Found(tables=[Table(title=title, unit="fits", timings=timings, remarks=remarks)])


def _once(name: str, seconds: float) -> Timing:
    rate = 1 / seconds
    return Timing(name=name, items_per_second=rate, slowest=rate, fastest=rate)


def _accuracy(hits: NDArray[np.bool_]) -> str:
    found = share_estimate(float(hits.mean()), np.arange(len(hits)))
    low, high = found.ci95 or (0.0, 1.0)
    return (
        f"accuracy {hits.mean():.4f} (95 % interval {low:.4f} to {high:.4f}) on {len(hits)} items"
    )


def _flat(reading: Reading) -> NDArray[np.float32]:
    """The samples in one row; images averaged down."""
    array = np.asarray(reading.array, np.float32)
    if array.ndim == 3 and max(array.shape[1:]) > SIDE:
        import torch

        array = torch.nn.functional.adaptive_avg_pool2d(torch.from_numpy(array), SIDE).numpy()
    return array.ravel()


def _machine(train: NDArray[Any], labels: NDArray[Any], test: NDArray[Any]) -> NDArray[Any]:
    from sklearn.model_selection import GridSearchCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from sklearn.svm import SVC

    machine = make_pipeline(StandardScaler(), SVC())
    search = GridSearchCV(machine, {"svc__C": [1, 10, 100]}, cv=3).fit(train, labels)
    return np.asarray(search.predict(test))


BENCHMARKS.add(Fit.name, Fit())
