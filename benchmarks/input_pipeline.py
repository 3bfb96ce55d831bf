"""Images per second from JPEG files to training batches, against torchvision.

    python benchmarks/input_pipeline.py [--photos 600] [--large 24]

Striate's first epoch decodes every file into its cache; later epochs crop from it. torchvision's
ImageFolder and DataLoader decode in every epoch, with 2 workers. Both end in batches of random
resized, mirrored crops of 224 pixels: uint8 for Striate, which normalizes on the device, and
float32 for torchvision, as its examples do. Everything is measured in one run, in turns; read the
ratios, since absolute figures depend on what else the machine does.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

import numpy as np
import PIL
import torch
import torchvision
from PIL import Image
from torchvision import transforms

from striate.data.batches import Batches
from striate.data.dataset import Dataset
from striate.data.layouts import open_source
from striate.data.prepare import prepare
from striate.data.randomness import Draws, item_keys
from striate.data.stores.pixels import PixelStore
from striate.kinds.image.inputs import ImageInputs
from striate.tasks.task import task_of

SIZE, BATCH, WORKERS = 224, 32, 2


def write_photos(folder: Path, count: int, width: int, height: int) -> None:
    """Smooth pictures with some grain: JPEGs of about 0.3 bytes a pixel, as cameras write."""
    rng = np.random.default_rng(0)
    for n in range(count):
        coarse = rng.integers(0, 256, (12, 16, 3), dtype=np.uint8)
        image = np.asarray(
            Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)
        )
        grain = rng.integers(-12, 13, (height, width, 1), dtype=np.int16)
        path = folder / f"class{n % 2}" / f"{n:04}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        noisy = np.clip(image + grain, 0, 255).astype(np.uint8)
        Image.fromarray(noisy).save(path, quality=85)


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def exhaust(batches: Iterable[object]) -> None:
    for _ in batches:
        pass


def torchvision_epoch(folder: Path) -> Callable[[], None]:
    transform = transforms.Compose(
        [
            transforms.RandomResizedCrop(SIZE, scale=(0.35, 1.0)),
            transforms.RandomHorizontalFlip(),
            transforms.ToTensor(),
        ]
    )
    dataset = torchvision.datasets.ImageFolder(str(folder), transform)
    loader = torch.utils.data.DataLoader(dataset, BATCH, shuffle=True, num_workers=WORKERS)
    return lambda: exhaust(loader)


def striate_batches(dataset: Dataset) -> Batches:
    inputs = ImageInputs(size=SIZE, symmetry="mirror")
    ids = [item.id for item in dataset.items]
    keys = item_keys(ids)
    labels = torch.as_tensor(dataset.target.values)

    def make(positions: np.ndarray, number: int) -> tuple[torch.Tensor, torch.Tensor]:
        draws = Draws(keys=keys[positions], seed=0, epoch=number)
        return inputs.augmented(dataset.store.take(positions), draws), labels[positions]

    return Batches(ids, make, batch_size=BATCH, seed=0, workers=WORKERS)


def measure(name: str, folder: Path, count: int, rounds: int) -> None:
    """Print the rates of one set of files."""
    theirs, first, later = [], [], []
    for _ in range(rounds):
        theirs.append(seconds(torchvision_epoch(folder)))
        with tempfile.TemporaryDirectory() as cache:
            start = time.perf_counter()
            source = open_source(str(folder))
            dataset = prepare(
                source,
                task_of(source.listing.items),
                lambda source, items: PixelStore.build(source, items, SIZE, folder=Path(cache)),
            )
            batches = striate_batches(dataset)
            exhaust(batches.epoch(0))
            first.append(time.perf_counter() - start)
            later += [seconds(partial(exhaust, batches.epoch(e))) for e in range(1, 4)]
    base = statistics.median(theirs)
    print(f"{name}: torchvision {count / base:.1f} images/s with {WORKERS} workers")
    for label, times in (("first epoch", first), ("later epochs", later)):
        taken = statistics.median(times)
        print(f"  striate, {label}: {count / taken:.1f} images/s, {base / taken:.2f} times")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--photos", type=int, default=600, help="number of 500x375 files")
    parser.add_argument("--large", type=int, default=24, help="number of 4000x3000 files")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    print(
        f"{platform.processor() or platform.machine()}, {torch.get_num_threads()} threads, "
        f"Python {platform.python_version()}, torch {torch.__version__}, "
        f"torchvision {torchvision.__version__}, Pillow {PIL.__version__}, numpy {np.__version__}"
    )
    sets = (
        ("500x375", options.photos, 500, 375),
        ("4000x3000", options.large, 4000, 3000),
    )
    for name, count, width, height in sets:
        with tempfile.TemporaryDirectory() as folder:
            write_photos(Path(folder), count, width, height)
            measure(name, Path(folder), count, options.rounds)


if __name__ == "__main__":
    main()
