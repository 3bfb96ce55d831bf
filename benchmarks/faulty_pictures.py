"""Faulty pictures: are cleanvision's nine kinds found, and how many sound pictures are blamed?

    python benchmarks/faulty_pictures.py [--seed 0] [--origins NAME ...] [--cleanvision PYTHON]

Three origins that installed packages ship: parts of photographs and drawings in colour, letters, and
solar cells. In 600 pictures of each, of several sizes, a program makes `NUM_FAULTY` of each kind:
dark, light, blurred, of low information, in grey (not among the solar cells, which are), of odd
proportions, of odd size, exact copies, and near copies (stored again, scaled, or of another
brightness). Printed is for each kind the share that is found, and how many of the pictures that
nothing was done to are blamed for it, by Striate and by cleanvision in its default settings. A
picture counts as found where its own kind is named; what else is said of it counts neither way.

Printed too is the time that `striate check` takes beyond the features: for reading, copies, and
figures of every picture. cleanvision is no dependency: `--cleanvision` names an interpreter that has
it, by default this; without it Striate stands alone.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import numpy as np
from duplicates import brightened, cells, compressed, letters, parts, resized
from PIL import Image, ImageFilter, ImageStat

from striate.fitting.check.examine import copies_of, item_traits
from striate.fitting.options import FitOptions
from striate.fitting.prepare import open_data, read_dataset
from striate.kinds.kind import kind_named
from striate.progress import Progress
from striate.tasks.task import task_of

NUM_FAULTY = 20
"""Pictures of each kind and origin."""

ORIGINS = {origin.__name__: origin for origin in (parts, letters, cells)}
Change = Callable[[Image.Image, np.random.Generator], Image.Image]


def darkened(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    factor = rng.uniform(0.03, 0.15)
    return picture.point(lambda value: round(value * factor))


def washed_out(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    """All of it within the brightest part of the range."""
    factor = rng.uniform(0.03, 0.06)
    return picture.point(lambda value: round(255 - (255 - value) * factor))


def blurred(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    return picture.filter(ImageFilter.GaussianBlur(min(picture.size) * rng.uniform(0.04, 0.08)))


def emptied(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    """One colour but for a spot of the picture, a tenth of each side."""
    width, height = picture.size
    spot = width // 10, height // 10
    left, top = rng.integers(0, width - spot[0]), rng.integers(0, height - spot[1])
    plain = Image.new(picture.mode, picture.size, picture.resize((1, 1)).getpixel((0, 0)))
    plain.paste(picture.crop((left, top, left + spot[0], top + spot[1])), (int(left), int(top)))
    return plain


def without_colour(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    return picture.convert("L")


def strip(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    """A strip of the picture, three to six times as long as it is wide."""
    width, height = picture.size
    if rng.random() < 0.5:
        return picture.crop((0, 0, width, round(height / rng.uniform(3, 6))))
    return picture.crop((0, 0, round(width / rng.uniform(3, 6)), height))


def of_odd_size(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    factor = rng.uniform(5, 8) ** rng.choice([-1, 1])
    return picture.resize(tuple(round(side * factor) for side in picture.size))


def stored_again(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    return (compressed, resized, brightened)[rng.integers(3)](picture, rng)


def same(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    return picture


CHANGES: dict[str, Change] = {
    "dark": darkened,
    "light": washed_out,
    "blurry": blurred,
    "low_information": emptied,
    "grayscale": without_colour,
    "odd_aspect_ratio": strip,
    "odd_size": of_odd_size,
    "exact_duplicates": same,
    "near_duplicates": stored_again,
}
"""What makes a picture of each kind, by cleanvision's names."""

CODES = {
    "blank": ("low_information", "dark", "light"),
    "too-dark": ("dark",),
    "too-bright": ("light",),
    "blurred": ("blurry",),
    "little-content": ("low_information",),
    "grey": ("grayscale",),
    "odd-shape": ("odd_aspect_ratio",),
    "odd-size": ("odd_size",),
}
"""cleanvision's names of each fault that Striate names; what is called blank may be any of three."""

COPIES = ("exact_duplicates", "near_duplicates")

CLEANVISION = """
import json, sys
from pathlib import Path
from cleanvision import Imagelab
lab = Imagelab(data_path=sys.argv[1], verbose=False)
lab.find_issues(n_jobs=1, verbose=False)
root = Path(sys.argv[1]).resolve()
named = [c for c in lab.issues.columns if c.startswith("is_")]
found = {c[3:-6]: [str(Path(p).resolve().relative_to(root)) for p in lab.issues.index[lab.issues[c]]]
         for c in named}
Path(sys.argv[2]).write_text(json.dumps(found))
"""


def write(folder: Path, origin: str, seed: int) -> dict[str, str]:
    """Write the pictures in two classes; the kind of each that is none of the sound ones.

    The originals of copies are of the copies' kind too, for no program can tell which is which.
    """
    rng = np.random.default_rng(seed)
    for label in ("a", "b"):
        (folder / label).mkdir(parents=True)
    names, faulty = [], {}
    for number, picture in enumerate(ORIGINS[origin](rng)):
        if origin == "parts" and not ImageStat.Stat(picture.convert("HSV")).mean[1] > 8:
            continue  # in grey
        side = rng.uniform(0.8, 1.25)
        picture = picture.resize(tuple(round(length * side) for length in picture.size))
        names.append(f"{'ab'[number % 2]}/{number:04d}.png")
        picture.save(folder / names[-1])
    kinds = [kind for kind in CHANGES if origin != "cells" or kind != "grayscale"]
    chosen = rng.permutation(len(names))[: NUM_FAULTY * len(kinds)]
    for place, number in enumerate(chosen):
        name, kind = names[number], kinds[place % len(kinds)]
        picture = CHANGES[kind](Image.open(folder / name), rng)
        faulty[name] = kind
        if kind in COPIES:
            name = name.replace(".png", "-again.png")
            faulty[name] = kind
        picture.save(folder / name)
    return faulty


def by_striate(folder: Path) -> tuple[dict[str, set[str]], float]:
    """The pictures of each kind, and seconds."""
    began = time.monotonic()
    options = FitOptions()
    os.environ["STRIATE_CACHE"] = str(folder.parent / "cache")
    source = open_data(folder, options)
    kind, task = kind_named(source.kind), task_of(source.listing.items)
    chosen, _ = kind.choose(source, options.for_inputs(kind.named_options))
    progress = Progress(quiet=True)
    with tempfile.TemporaryDirectory() as work:
        dataset, _ = read_dataset(
            source, kind, task, folder=Path(work), options=chosen, seed=0, progress=progress
        )
        traits = item_traits(source, kind, dataset, progress) or {}
        found: defaultdict[str, set[str]] = defaultdict(set)
        for fault in kind.faults(traits):
            for code in CODES[fault.code]:
                found[code] |= set(dataset.ids(np.flatnonzero(fault.found)))
        for copies in copies_of(dataset):
            found[COPIES[not copies["exact"]]] |= set(copies["items"])
    return found, time.monotonic() - began


def by_cleanvision(folder: Path, interpreter: str) -> tuple[dict[str, set[str]], float] | None:
    """The pictures of each kind, and seconds; None where cleanvision is not installed."""
    with tempfile.TemporaryDirectory() as work:
        result = Path(work) / "found.json"
        began = time.monotonic()
        command = [interpreter, "-c", CLEANVISION, str(folder), str(result)]
        if subprocess.run(command, check=False, capture_output=True).returncode:
            return None
        found = json.loads(result.read_text())
        return {kind: set(names) for kind, names in found.items()}, time.monotonic() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--origins", nargs="+", default=list(ORIGINS), choices=ORIGINS)
    parser.add_argument("--cleanvision", default=sys.executable, help="interpreter that has it")
    arguments = parser.parse_args()
    for origin in arguments.origins:
        with tempfile.TemporaryDirectory() as work:
            folder = Path(work) / "pictures"
            faulty = write(folder, origin, arguments.seed)
            results = {
                "Striate": by_striate(folder),
                "cleanvision": by_cleanvision(folder, arguments.cleanvision),
            }
            table(origin, faulty, {name: one for name, one in results.items() if one})


def table(
    origin: str, faulty: dict[str, str], results: dict[str, tuple[dict[str, set[str]], float]]
) -> None:
    """Print what each program found of each kind, and how many sound pictures it blamed."""
    times = ", ".join(f"{name} {seconds:.1f} s" for name, (_, seconds) in results.items())
    sound = f"{origin}: {len(faulty)} pictures changed or copied; {times}"
    heads = [f"{name}: {what}" for name in results for what in ("found", "blamed wrongly")]
    print(f"\n{sound}\n\n| kind | {' | '.join(heads)} |\n|---{'|---:' * len(heads)}|")
    totals = dict.fromkeys(results, 0)
    for kind in CHANGES:
        planted = {name for name, own in faulty.items() if own == kind}
        row = []
        for program, (found, _) in results.items():
            named = found.get(kind, set())
            wrongly = len(named - set(faulty))
            totals[program] += wrongly
            row += [f"{len(named & planted) / len(planted):.2f}" if planted else "", str(wrongly)]
        print(f"| {kind} | {' | '.join(row)} |")
    print(f"| all | {' | '.join(f' | {total}' for total in totals.values())} |", flush=True)


if __name__ == "__main__":
    main()
