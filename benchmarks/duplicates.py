"""Planted copies among real pictures: how many are found, and how many pairs are no copies.

    python benchmarks/duplicates.py [--seed 0] [--time 10000]

1,800 pictures: parts of the pictures that scikit-image and scikit-learn ship (neighbouring parts
overlap by up to a third, and many show one texture), letters and digits in the fonts of the system
and of matplotlib, and solar cells of elpv-dataset, which all look alike. 200 more are copies of some
of them, changed in one way each or in all at once. The pictures are written as files and read as a
fit reads them. `--time N` tells how long the search takes for N made thumbnails.

Expected: see docs/performance-details.md.
"""

from __future__ import annotations

import argparse
import io
import itertools
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageEnhance, ImageFont, ImageOps
from scipy.ndimage import gaussian_filter
from torch.nn import functional as F

from striate.data.duplicates import CLOSE, THUMBNAIL, near_pairs
from striate.data.layouts import open_source
from striate.data.stores.pixels import PixelStore
from striate.data.stores.store import Built

NUM_PICTURES = 600
"""Pictures of each origin."""

NUM_COPIES = 200
SIZE = 128
SAME = 0.7
GLYPHS = "ABCDEFGHJKLMNPQRSTUVWXYZabdefghkmnpqrstuy23456789"


def parts(rng: np.random.Generator) -> Iterator[Image.Image]:
    """Parts of photographs, textures and drawings, of several sizes."""
    import skimage
    from sklearn.datasets import load_sample_images

    folder = Path(skimage.__file__).parent / "data"
    whole = [
        Image.open(path)
        for path in sorted(folder.glob("*.*g*"))
        if not path.stem.startswith(("chessboard", "motorcycle_right"))  # seen twice
    ]
    whole += [Image.fromarray(picture) for picture in load_sample_images().images]
    cut: list[Image.Image] = []
    for picture in whole:
        if min(picture.size) < SIZE:
            continue
        step = 2 * SIZE // 3
        columns = range(0, picture.width - SIZE + 1, step)
        rows = range(0, picture.height - SIZE + 1, step)
        corners = list(itertools.product(columns, rows))
        rng.shuffle(corners)
        for left, top in corners[:60]:
            part = picture.convert("RGB").crop((left, top, left + SIZE, top + SIZE))
            if np.asarray(part.convert("L")).std() > 8:  # not the sky alone
                cut.append(part)
    for number in rng.permutation(len(cut))[:NUM_PICTURES]:
        yield cut[number]


def draws_letters(path: str) -> bool:
    """Whether a font has letters of its own, where others draw one box for all of them."""
    font = ImageFont.truetype(path, 40)
    return len({bytes(font.getmask(glyph)) for glyph in "ABab2"}) == 5


def letters(rng: np.random.Generator) -> Iterator[Image.Image]:
    """Letters and digits, turned and placed at random, in two colours."""
    import matplotlib

    folders = (Path("/usr/share/fonts"), Path(matplotlib.get_data_path()) / "fonts" / "ttf")
    fonts = [str(path) for folder in folders for path in sorted(folder.rglob("*.ttf"))]
    fonts = [f for f in fonts if not any(w in f for w in ("Display", "NonUni", "SizF", "cmex", "cmsy", "cmmi", "SizOne", "SizTwo", "SizThree", "SizFour", "SizFive"))]  # fmt: skip
    fonts = [path for path in fonts if draws_letters(path)]
    pairs = list(itertools.product(fonts, GLYPHS))
    for number in rng.permutation(len(pairs))[:NUM_PICTURES]:
        path, glyph = pairs[number]
        font = ImageFont.truetype(path, int(rng.integers(60, 96)))
        dark, bright = rng.integers(0, 90, 3), rng.integers(150, 256, 3)
        paper, ink = (dark, bright) if rng.random() < 0.5 else (bright, dark)
        picture = Image.new("RGB", (SIZE, SIZE), tuple(paper.tolist()))
        place = tuple((rng.integers(-12, 13, 2) + SIZE // 2).tolist())
        ImageDraw.Draw(picture).text(place, glyph, tuple(ink.tolist()), font, anchor="mm")
        yield picture.rotate(rng.uniform(-15, 15), Image.Resampling.BICUBIC, fillcolor=tuple(paper.tolist()))  # fmt: skip


def cells(rng: np.random.Generator) -> Iterator[Image.Image]:
    """Solar cells, which differ by little but the cracks and stains in them.

    Some show one wafer twice, neighbouring wafers of one block, or nothing but the common design. So
    one is left out where its fine detail correlates with that of another by more than `SAME`.
    """
    source = open_source("sample:solar-cells")
    items = source.listing.items
    taken: list[np.ndarray] = []
    for number in rng.permutation(len(items)):
        picture = Image.open(source.path(items[number])).convert("L")
        pixels = np.asarray(picture.resize((150, 150)), np.float32)
        pixels = pixels / max(pixels.std(), 1)
        detail = gaussian_filter(pixels, 1) - gaussian_filter(pixels, 6)
        detail = detail - np.median(detail, axis=1, keepdims=True)  # bus bars run across
        detail = detail[8:-8, 8:-8].clip(-1, 1).ravel()
        detail = detail / max(np.linalg.norm(detail), 1e-6)
        if taken and (np.array(taken) @ detail).max() > SAME:
            continue
        taken.append(detail)
        yield picture
        if len(taken) == NUM_PICTURES:
            return


def compressed(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=int(rng.integers(50, 91)))
    return Image.open(buffer)


def resized(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    factor = rng.uniform(0.5, 1.5)
    return picture.resize(tuple(round(side * factor) for side in picture.size))


def flipped(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    return ImageOps.mirror(picture) if rng.random() < 0.5 else ImageOps.flip(picture)


def brightened(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    return ImageEnhance.Brightness(picture).enhance(rng.choice([0.8, 0.9, 1.1, 1.2]))


def cropped(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Without 5 % of its width and height, anywhere."""
    width, height = picture.size
    kept = round(0.95 * width), round(0.95 * height)
    left, top = rng.integers(0, width - kept[0] + 1), rng.integers(0, height - kept[1] + 1)
    return picture.crop((left, top, left + kept[0], top + kept[1]))


def trimmed(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Without 5 % at each of its sides."""
    across, down = round(0.05 * picture.width), round(0.05 * picture.height)
    return picture.crop((across, down, picture.width - across, picture.height - down))


def all_at_once(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    for change in (cropped, flipped, brightened, resized, compressed):
        picture = change(picture, rng)
    return picture


CHANGES: dict[str, Callable[[Image.Image, np.random.Generator], Image.Image]] = {
    "compressed at 50 to 90": compressed,
    "resized to 0.5 to 1.5": resized,
    "flipped": flipped,
    "brightness +-20 %": brightened,
    "5 % cropped": cropped,
    "5 % off each side": trimmed,
    "all of it": all_at_once,
}


def write(folder: Path, seed: int) -> dict[tuple[str, str], str]:
    """Write the pictures; the change of each planted pair, by the names of the two."""
    rng = np.random.default_rng(seed)
    names, planted = [], {}
    for origin in (parts, letters, cells):
        (folder / origin.__name__).mkdir(parents=True)
        for number, picture in enumerate(origin(rng)):
            name = f"{origin.__name__}/{number:04d}.png"
            picture.save(folder / name)
            names.append(name)
    changes = itertools.cycle(CHANGES)
    for number in rng.permutation(len(names))[:NUM_COPIES]:
        change = next(changes)
        copy = names[number].replace(".png", "-copy.png")
        picture = CHANGES[change](Image.open(folder / names[number]), rng)
        picture.save(folder / copy)
        planted[names[number], copy] = change
    return planted


def measure(seed: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        planted = write(folder / "pictures", seed)
        source = open_source(str(folder / "pictures"))
        items = source.listing.items
        began = time.monotonic()
        built = PixelStore.build(source, items, SIZE, folder / "cache")
        seconds = time.monotonic() - began
        told(planted, pairs_of(built))
        print(f"  {len(built.items)} pictures read and compared in {seconds:.0f} s")


def pairs_of(built: Built[PixelStore]) -> set[tuple[str, str]]:
    """All pairs within groups of copies, the original first."""
    groups: dict[int, list[str]] = {}
    for item, group in zip(built.items, built.duplicate_groups.tolist(), strict=True):
        groups.setdefault(group, []).append(item.id)
    return {
        pair
        for names in groups.values()
        for pair in itertools.combinations(sorted(names, key=lambda name: (len(name), name)), 2)
    }


def told(planted: dict[tuple[str, str], str], found: set[tuple[str, str]]) -> None:
    """Print what was found by change and by origin, and what was found that is no copy."""
    hits, false = found & set(planted), sorted(found - set(planted))
    for name in (planted, {k: k[0].partition("/")[0] for k in planted}):
        total = Counter(name.values())
        right = Counter(name[pair] for pair in hits)
        for key, count in total.items():
            print(f"  {key:24} {right[key]:4} of {count}")
    print(f"  found {len(hits) / len(planted):.1%}")
    print(f"  false pairs: {len(false)} of {len(found)}, {len(false) / max(1, len(found)):.1%}")
    for pair in false[:20]:
        print("   ", *pair)


def time_search(count: int) -> None:
    """Tell how long the search takes for so many made thumbnails, of which 1 % are copies."""
    rng = np.random.default_rng(0)
    coarse = torch.from_numpy(rng.uniform(0, 255, (count, 1, 9, 9)).astype(np.float32))
    coarse[: count // 100] = coarse[-(count // 100) :]
    pictures = F.interpolate(coarse, size=(CLOSE, CLOSE), mode="bicubic").clamp(0, 255)[:, 0]
    small = F.avg_pool2d(pictures, CLOSE // THUMBNAIL).to(torch.uint8)
    close = pictures.to(torch.uint8)
    began, cpu = time.monotonic(), time.process_time()
    pairs = near_pairs(small, lambda at: close[torch.from_numpy(at)][:, None].expand(-1, 3, -1, -1))
    print(
        f"{count} thumbnails: {len(pairs)} pairs in {time.monotonic() - began:.1f} s, "
        f"{time.process_time() - cpu:.1f} s of processors"
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--time", type=int, default=0)
    arguments = parser.parse_args()
    if arguments.time:
        time_search(arguments.time)
    else:
        measure(arguments.seed)
