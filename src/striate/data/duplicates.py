"""Copies and near copies of an item, found so that they stay on one side of a split.

A near copy is the same picture stored again: scaled, compressed anew, a little brighter. Two
pictures of things that look alike are none. So a perceptual hash proposes pairs and two
correlations decide: of the pictures, and of their fine detail, in which look-alikes differ.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Final

import numpy as np
import torch
from jaxtyping import UInt8
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from striate.data.cache import PixelStore
from striate.data.source import Item, Note

THUMBNAIL: Final = 32
"""Side of the grey thumbnails that are compared, in pixels."""

MAX_DISTANCE: Final = 8
"""Hashes of near copies differ in at most so many of 64 bits."""

MIN_CORRELATION: Final = 0.98
"""Of two near copies' thumbnails."""

MIN_DETAIL_CORRELATION: Final = 0.9
"""Of the thumbnails less their own blur."""

MIN_CONTRAST: Final = 4.0
"""Standard deviation, in grey levels, under which a thumbnail is too plain to be told."""

_BANDS: Final = 6
_CHUNK: Final = 1 << 20
_FREQUENCIES: Final = 8


def duplicate_groups(
    sha256s: Sequence[str], thumbnails: UInt8[Tensor, "n 32 32"]
) -> NDArray[np.int64]:
    """(items,) a group number each, from 0 by first appearance; copies and near copies share one.

    Args:
        sha256s: (items,) of the stored bytes.
        thumbnails: grey, see `grey_thumbnails`.
    """
    _, first, exact = np.unique(np.array(sha256s), return_index=True, return_inverse=True)
    pairs = [np.stack([np.arange(len(exact)), first[exact]], 1), near_pairs(thumbnails)]
    return join(len(sha256s), np.concatenate(pairs))


def grey_thumbnails(store: PixelStore) -> UInt8[Tensor, "n 32 32"]:
    """Every item of the store in grey, squeezed to a small square."""
    thumbnails = torch.empty(len(store), THUMBNAIL, THUMBNAIL, dtype=torch.uint8)
    size = (THUMBNAIL, THUMBNAIL)
    for index in range(len(store)):
        pixels = store.view(index)[None]
        small = F.interpolate(pixels, size=size, mode="bilinear", antialias=True)[0]
        thumbnails[index] = small.float().mean(0).round().to(torch.uint8)
    return thumbnails


def near_pairs(thumbnails: UInt8[Tensor, "n 32 32"]) -> NDArray[np.int64]:
    """(pairs, 2) positions of near copies, each pair once, ascending."""
    pixels = thumbnails.float()
    contrasted = np.flatnonzero(pixels.std((1, 2)).numpy() >= MIN_CONTRAST)
    if len(contrasted) < 2:
        return np.empty((0, 2), np.int64)
    pixels = pixels[torch.from_numpy(contrasted)]
    hashes = perceptual_hashes(pixels)
    whole, detail = _unit(pixels), _unit(pixels - _blurred(pixels))
    found = []
    for i, j in _candidates(hashes):
        alike = ((whole[i] * whole[j]).sum(1) >= MIN_CORRELATION) & (
            (detail[i] * detail[j]).sum(1) >= MIN_DETAIL_CORRELATION
        )
        keep = alike.numpy()
        found.append(np.stack([i[keep], j[keep]], 1))
    if not found:
        return np.empty((0, 2), np.int64)
    pairs = np.sort(contrasted[np.concatenate(found)], axis=1)
    return np.unique(pairs, axis=0)


def perceptual_hashes(pixels: Tensor) -> NDArray[np.uint64]:
    """(items,) 64 bits: the signs of the lowest frequencies about their median.

    Source: the DCT hash of C. Zauner, "Implementation and benchmarking of perceptual image hash
    functions", 2010, section 3.2.1.
    """
    side = torch.arange(THUMBNAIL) + 0.5
    frequency = torch.arange(1, _FREQUENCIES + 1)
    cosines = torch.cos(torch.pi / THUMBNAIL * frequency[:, None] * side)
    coefficients = (cosines @ pixels @ cosines.T).flatten(1)
    bits = coefficients > coefficients.median(1, keepdim=True).values
    packed = np.packbits(bits.numpy(), axis=1)
    return np.ascontiguousarray(packed).view(">u8")[:, 0].astype(np.uint64)


def join(count: int, pairs: NDArray[np.int64]) -> NDArray[np.int64]:
    """(count,) the connected component of each position, numbered by first appearance."""
    parent = list(range(count))

    def root(position: int) -> int:
        while parent[position] != position:
            parent[position] = position = parent[parent[position]]
        return position

    for i, j in pairs.tolist():
        parent[root(j)] = root(i)
    return first_appearance(np.array([root(position) for position in range(count)], np.int64))


def first_appearance(values: NDArray[np.generic]) -> NDArray[np.int64]:
    """(items,) equal values share a number; numbers count up in the order of appearance."""
    _, first, inverse = np.unique(values, return_index=True, return_inverse=True)
    rank = np.empty(len(first), np.int64)
    rank[np.argsort(first)] = np.arange(len(first))
    return rank[inverse]


def leaked(groups: NDArray[np.int64], splits: NDArray[np.str_]) -> NDArray[np.bool_]:
    """(items,) whether an item outside training has a copy or near copy in training."""
    training: NDArray[np.bool_] = splits == "train"
    return ~training & np.isin(groups, groups[training])


def duplicate_notes(
    items: Sequence[Item],
    labels: NDArray[np.int64],
    groups: NDArray[np.int64],
    splits: NDArray[np.str_],
    sha256s: Sequence[str],
) -> tuple[Note, ...]:
    """What a user should know of copies: how many, with two labels, on two sides of a split."""
    members = _groups_of_several(groups)
    notes = []
    extra = sum(len(inside) - 1 for inside in members)
    if extra:
        copies = len(items) - len(set(sha256s))
        message = f"{copies} exact and {extra - copies} near copies of other items"
        ids = tuple(items[i].id for inside in members for i in inside)
        notes.append(Note(code="duplicates", message=message, ids=ids, severity="info"))
    conflicts = [inside for inside in members if len(set(labels[inside].tolist())) > 1]
    if conflicts:
        ids = tuple(items[i].id for inside in conflicts for i in inside)
        message = f"{len(conflicts)} pictures with several labels: {_listing(items, conflicts)}"
        notes.append(Note(code="label-conflict", message=message, ids=ids))
    across = [inside for inside in members if len(set(splits[inside].tolist())) > 1]
    if across:
        ids = tuple(items[i].id for inside in across for i in inside)
        count = int(leaked(groups, splits).sum())
        message = f"{count} items outside train have a copy in train: {_listing(items, across)}"
        notes.append(Note(code="duplicate-across-splits", message=message, ids=ids))
    return tuple(notes)


def _groups_of_several(groups: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """The members of each group of at least two."""
    order = np.argsort(groups, kind="stable")
    starts = np.flatnonzero(np.diff(groups[order])) + 1
    return [inside for inside in np.split(order, starts) if len(inside) > 1]


def _listing(items: Sequence[Item], groups: Sequence[NDArray[np.int64]]) -> str:
    shown = "; ".join(" = ".join(items[i].id for i in inside[:3]) for inside in groups[:5])
    return shown if len(groups) <= 5 else f"{shown}; and {len(groups) - 5} more"


def _candidates(hashes: NDArray[np.uint64]) -> Iterator[tuple[NDArray[np.int64], ...]]:
    """Chunks of pairs (i, j) of which some band of bits agrees and at most MAX_DISTANCE differ.

    Six bands: hashes that differ in up to five bits agree in one at least (pigeonhole), and most
    that differ in a few more do; a band of 10 bits cuts the work by a factor of 1,000.
    """
    edges = np.linspace(0, 64, _BANDS + 1).astype(int)
    for low, high in pairwise(edges.tolist()):
        band = (hashes >> np.uint64(low)) & np.uint64((1 << (high - low)) - 1)
        order = np.argsort(band, kind="stable")
        ends = np.searchsorted(band[order], band[order], side="right")
        yield from _pairs_in_runs(hashes, order, ends)


def _pairs_in_runs(
    hashes: NDArray[np.uint64], order: NDArray[np.int64], ends: NDArray[np.int64]
) -> Iterator[tuple[NDArray[np.int64], ...]]:
    """Pairs inside runs of equal bands; position p of `order` pairs with p+1 .. ends[p]-1."""
    partners = ends - np.arange(len(order)) - 1
    total = np.cumsum(partners)
    start = 0
    while start < len(order):
        done = total[start - 1] if start else 0
        stop = max(start + 1, int(np.searchsorted(total, done + _CHUNK, side="right")))
        counts = partners[start:stop]
        first = np.repeat(np.arange(start, stop), counts)
        offset = np.arange(len(first)) - np.repeat(np.cumsum(counts) - counts, counts)
        i, j = order[first], order[first + offset + 1]
        near = np.bitwise_count(hashes[i] ^ hashes[j]) <= MAX_DISTANCE
        yield i[near], j[near]
        start = stop


def _blurred(pixels: Tensor) -> Tensor:
    """The mean of each pixel's 5x5 surroundings."""
    padded = F.pad(pixels[:, None], (2, 2, 2, 2), mode="reflect")
    return F.avg_pool2d(padded, 5, stride=1)[:, 0]


def _unit(pixels: Tensor) -> Tensor:
    """(items, pixels) centred and of length 1, so that a product is a correlation."""
    flat = pixels.flatten(1)
    return F.normalize(flat - flat.mean(1, keepdim=True))
