"""Reading images into training batches, beside torchvision's ImageFolder and torch's DataLoader."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from striate.bench.benchmark import BENCHMARKS, Benchmark, Found, Table
from striate.bench.turns import Contender, timed_in_turns
from striate.data.batches import Batches
from striate.data.dataset import Dataset
from striate.data.layouts.layout import open_source
from striate.data.prepare import prepare
from striate.data.randomness import Draws, item_keys
from striate.data.source import Source
from striate.data.stores.pixels import PixelStore
from striate.errors import ArgumentError
from striate.kinds.image.inputs import ImageInputs
from striate.tasks.task import task_of

SIDE, BATCH, WORKERS = 224, 32, 2
"""Pixels of a crop along a side, items in a batch, and workers of both."""

NUM_PHOTOS: Final = 240
"""Photographs that are made where no data are given."""


class Data(Benchmark):
    """An epoch of random crops of every image."""

    name = "data"
    description = "images from files to batches, against torchvision's ImageFolder and DataLoader"
    takes = "a folder of class folders of images, by default some that are made"

    def measure(self, subject: str | None, *, rounds: int) -> Found:
        """Time first epochs, which decode every file, and later ones, which Striate has decoded."""
        with tempfile.TemporaryDirectory() as made:
            if subject is None:
                write_photos(Path(made) / "photos", NUM_PHOTOS)
            folder = subject or str(Path(made) / "photos")
            source = open_source(folder)
            if source.kind != "image":
                raise ArgumentError(f"{folder} holds no images", fix="give a folder of images")
            numbers = count()
            own = count()

            def first() -> None:
                cache = Path(made) / f"cache {next(numbers)}"
                cache.mkdir()
                exhaust(_batches(_dataset(source, cache)).epoch(0))

            kept = Path(made) / "kept"
            kept.mkdir()
            batches = _batches(_dataset(source, kept))
            items = len(source.listing.items)
            contenders = [
                Contender(name="Striate, later epoch", items=items,
                          run=lambda: exhaust(batches.epoch(next(own)))),
                Contender(name="Striate, first epoch", run=first, items=items),
            ]  # fmt: skip
            loader, why_not = _torchvision(folder)
            if loader is not None:
                contenders.append(
                    Contender(name="torchvision", run=partial(exhaust, loader), items=items)
                )
            timings = timed_in_turns(contenders, rounds=rounds, seconds=0.0, warm_up=1)
        title = f"an epoch of {items} images as random crops of {SIDE} pixels, {WORKERS} workers"
        remarks = [
            "Striate's batches are uint8 and normalized on the device, torchvision's float32"
        ]
        table = Table(title=title, unit="images", timings=timings, remarks=remarks)
        return Found(tables=[table], left_out=[why_not] if why_not else [])


def write_photos(folder: Path, number: int, width: int = 500, height: int = 375) -> None:
    """Write smooth pictures with some grain, as JPEG files in two class folders.

    Args:
        folder: Where to.
        number: How many.
        width: Pixels from left to right.
        height: Pixels from top to bottom.
    """
    rng = np.random.default_rng(0)
    for place in range(number):
        coarse = Image.fromarray(rng.integers(0, 256, (12, 16, 3), dtype=np.uint8))
        smooth = np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC), np.int16)
        grain = rng.integers(-12, 13, (height, width, 1), dtype=np.int16)
        path = folder / f"class{place % 2}" / f"{place:04}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray((smooth + grain).clip(0, 255).astype(np.uint8)).save(path, quality=85)


def exhaust(batches: Iterable[object]) -> None:
    """Go through all batches."""
    for _ in batches:
        pass


def _dataset(source: Source, folder: Path) -> Dataset:
    return prepare(
        source,
        task_of(source.listing.items),
        lambda source, items: PixelStore.build(source, items, SIDE, folder=folder),
    )


def _batches(dataset: Dataset) -> Batches:
    inputs = ImageInputs(size=SIDE, symmetry="mirror")
    ids = [item.id for item in dataset.items]
    keys, labels = item_keys(ids), torch.as_tensor(dataset.target.values)

    def make(positions: NDArray[np.int64], number: int) -> tuple[Tensor, Tensor]:
        draws = Draws(keys[positions], seed=0, epoch=number)
        return inputs.augmented(dataset.store.take(positions), draws), labels[positions]

    return Batches(ids, make, batch_size=BATCH, seed=0, workers=WORKERS)


def _torchvision(folder: str) -> tuple[Iterable[Any] | None, str]:
    """torchvision's way to the same batches, or why there is none."""
    try:
        from torchvision import datasets, transforms
    except ImportError:
        return None, "torchvision is not installed"
    steps: list[Callable[..., Any]] = [
        transforms.RandomResizedCrop(SIDE, scale=(0.35, 1.0)),
        transforms.RandomHorizontalFlip(),
        transforms.ToTensor(),
    ]
    images = datasets.ImageFolder(folder, transforms.Compose(steps))
    return torch.utils.data.DataLoader(images, BATCH, shuffle=True, num_workers=WORKERS), ""


BENCHMARKS.add(Data.name, Data())
