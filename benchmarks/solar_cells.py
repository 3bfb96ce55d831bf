"""Transfer learning on the solar cells: accuracy, ROC AUC and seconds over three seeds.

    python benchmarks/solar_cells.py [--seeds 0 1 2] [--time 9m30s] [--plain]

The protocol of Deitsch et al. (Solar Energy 2019): 1,968 cells to train, 656 to test, stratified.
A part of the 1,968 (12 %) is held out for validation; the test cells choose nothing. About 10
minutes a seed on 2 CPU cores; `--plain` adds a plain fine-tuning loop of the same network, for up
to 30 minutes a seed. Expected: see docs/performance-details.md.
"""

from __future__ import annotations

import argparse
import csv
import platform
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import train_test_split

import striate
from striate.data.layouts import open_source
from striate.device import fast_dtype
from striate.progress import Progress

NUM_TEST = 656
VALIDATION = 0.12


def write_manifest(folder: Path, seed: int) -> Path:
    """The paper's split as a manifest of the installed pictures."""
    source = open_source("sample:solar-cells")
    items = source.listing.items
    labels = [item.label for item in items]
    train, test = train_test_split(
        np.arange(len(items)), test_size=NUM_TEST, stratify=labels, random_state=seed
    )
    _, val = train_test_split(
        train,
        test_size=VALIDATION,
        stratify=[labels[i] for i in train],
        random_state=seed + 100,
    )
    part = dict.fromkeys(train, "train") | dict.fromkeys(val, "val") | dict.fromkeys(test, "test")
    path = folder / f"solar-cells-{seed}.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "label", "split"])
        for i, item in enumerate(items):
            writer.writerow([source.path(item), item.label, part[i]])
    return path


def fit_seed(
    manifest: Path, folder: Path, seed: int, time_limit: str
) -> tuple[float, float, float]:
    began = time.monotonic()
    # A solar cell has no up or down, and nothing about it depends on a mirror.
    run = striate.fit(
        manifest,
        out=folder,
        seed=seed,
        time=time_limit,
        symmetry="dihedral",
        progress=Progress(),
    )
    seconds = time.monotonic() - began
    probe = run.report.baselines.probe
    print(
        f"seed {seed}: {run.report.method}, probe {probe.accuracy.value:.4f} accuracy "
        f"{probe.roc_auc.value:.4f} AUC"
    )
    return run.metrics["accuracy"], run.metrics["roc_auc"], seconds


def plain_loop(manifest: Path, seed: int, target: float, limit: float) -> None:
    """The same network trained as one would by hand; says when its test AUC reaches the target.

    bfloat16 autocast, channels last, every layer trained, flips and transpositions, one-cycle AdamW.
    """
    from PIL import Image
    from torch import nn

    from striate.models import create_model

    with manifest.open() as file:
        rows = list(csv.DictReader(file))
    pixels = {
        part: torch.stack(
            [
                torch.from_numpy(np.array(Image.open(row["path"])))
                for row in rows
                if row["split"] == part
            ]
        )
        for part in ("train", "test")
    }
    labels = {
        part: torch.tensor([row["label"] == "defective" for row in rows if row["split"] == part])
        for part in ("train", "test")
    }
    torch.manual_seed(seed)
    network = create_model("efficientnet_lite0", weights="imagenet", num_classes=2)
    network.to(memory_format=torch.channels_last)
    mean, std = 127 / 255, 128 / 255
    epochs, size = 40, 32
    steps = len(pixels["train"]) // size

    def inputs(batch: torch.Tensor) -> torch.Tensor:
        scaled = (batch[:, None].float() / 255 - mean) / std
        return scaled.expand(-1, 3, -1, -1).contiguous(memory_format=torch.channels_last)

    optimizer = torch.optim.AdamW(network.parameters(), lr=5e-4)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 5e-4, total_steps=epochs * steps)
    began = time.monotonic()
    for epoch in range(epochs):
        network.train()
        for chosen in torch.randperm(len(pixels["train"]))[: steps * size].split(size):
            batch = torch.stack(
                [torch.rot90(pixels["train"][i], int(torch.randint(4, ())), (0, 1)) for i in chosen]
            )
            with torch.autocast("cpu", fast_dtype("cpu")):
                loss = nn.functional.cross_entropy(
                    network(inputs(batch)), labels["train"][chosen].long()
                )
            loss.backward()
            optimizer.step()
            schedule.step()
            optimizer.zero_grad(set_to_none=True)
        network.eval()
        with torch.inference_mode(), torch.autocast("cpu", fast_dtype("cpu")):
            scores = torch.cat(
                [network(inputs(part)).float() for part in pixels["test"].split(size)]
            )
        area = roc_auc_score(labels["test"], scores[:, 1])
        seconds = time.monotonic() - began
        print(f"plain loop, seed {seed}, epoch {epoch + 1}: AUC {area:.4f} at {seconds:.0f} s")
        if area >= target or seconds > limit:
            return


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--time", default="9m30s")
    parser.add_argument("--plain", action="store_true")
    arguments = parser.parse_args()
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, {platform.machine()}")
    results = []
    with tempfile.TemporaryDirectory() as name:
        for seed in arguments.seeds:
            manifest = write_manifest(Path(name), seed)
            result = fit_seed(manifest, Path(name) / f"run-{seed}", seed, arguments.time)
            results.append(result)
            print("seed {}: accuracy {:.4f}, ROC AUC {:.4f}, {:.0f} s".format(seed, *result))
            sys.stdout.flush()
            if arguments.plain:
                plain_loop(manifest, seed, result[1], limit=1800)
    accuracy, area, seconds = np.mean(results, axis=0)
    print(f"mean: accuracy {accuracy:.4f}, ROC AUC {area:.4f}, {seconds:.0f} s")


if __name__ == "__main__":
    main()
