"""Copies and near copies of an item, found so that they stay on one side of a split.

A near copy is the same picture stored again: scaled, compressed anew, a little brighter. Things
that merely look alike are none, and in some data (textures, parts from one line) all look alike. So
a hash proposes pairs, a correlation of thumbnails confirms them, and a second correlation looks
only at what is particular to the pictures: what is left when the components in which pictures of
this data set usually differ are taken away.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import numpy as np
import torch
from jaxtyping import UInt8
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from striate.data.source import Item, Note

THUMBNAIL: Final = 32
"""The side of the grey thumbnails that are compared, in pixels."""

MAX_DISTANCE: Final = 8
"""The most bits, of 64, in which the hashes of near copies differ."""

MIN_CORRELATION: Final = 0.98
"""The least correlation of the thumbnails of two near copies."""

MIN_PARTICULAR: Final = 0.9
"""The least correlation of what is particular to each of two near copies."""

MIN_CONTRAST: Final = 4.0
"""The standard deviation, in grey levels, under which a thumbnail is too plain to be compared."""

_BANDS: Final = 4
_CHUNK: Final = 1 << 20
_PAIRS_AT_ONCE: Final = 1 << 13
_PICTURES_AT_ONCE: Final = 256
_FREQUENCIES: Final = 8
_MAX_COMPONENTS: Final = 256
_ITEMS_PER_COMPONENT: Final = 8
_MAX_SAMPLE: Final = 4096


def duplicate_groups(
    sha256s: Sequence[str], thumbnails: UInt8[Tensor, "n 32 32"]
) -> NDArray[np.int64]:
    """The group of each item, (items,), from 0 by first appearance; copies and near copies share one.

    Args:
        sha256s: The SHA-256 of each item's stored bytes.
        thumbnails: The items' pictures; see `grey_thumbnails`.
    """
    _, first, exact = np.unique(np.array(sha256s), return_index=True, return_inverse=True)
    pairs = [np.stack([np.arange(len(exact)), first[exact]], 1), near_pairs(thumbnails)]
    return join(len(sha256s), np.concatenate(pairs))


def grey_thumbnails(pictures: Iterable[UInt8[Tensor, "c h w"]]) -> UInt8[Tensor, "n 32 32"]:
    """Pictures in grey, each squeezed to a small square."""
    size = (THUMBNAIL, THUMBNAIL)
    thumbnails = [torch.empty(0, *size, dtype=torch.uint8)]
    for picture in pictures:
        small = F.interpolate(picture[None], size=size, mode="bilinear", antialias=True)[0]
        thumbnails.append(small.float().mean(0).round().to(torch.uint8)[None])
    return torch.cat(thumbnails)


def grey_thumbnails_of_stack(pictures: UInt8[Tensor, "n c h w"]) -> UInt8[Tensor, "n 32 32"]:
    """The same of pictures of one shape, many at a time."""
    size = (THUMBNAIL, THUMBNAIL)
    thumbnails = [torch.empty(0, *size, dtype=torch.uint8)]
    for some in torch.split(pictures, _PICTURES_AT_ONCE):
        small = F.interpolate(some, size=size, mode="bilinear", antialias=True)
        thumbnails.append(small.float().mean(1).round().to(torch.uint8))
    return torch.cat(thumbnails)


def near_pairs(thumbnails: UInt8[Tensor, "n 32 32"]) -> NDArray[np.int64]:
    """The positions of near copies, (pairs, 2), each pair once, ascending."""
    if len(thumbnails) < 2:
        return np.empty((0, 2), np.int64)
    contrast = torch.cat(
        [chunk.float().std((1, 2)) for chunk in torch.split(thumbnails, _PAIRS_AT_ONCE)]
    )
    told = np.flatnonzero(contrast.numpy() >= MIN_CONTRAST)
    pictures = thumbnails[torch.from_numpy(told)]
    hashes = np.concatenate([perceptual_hashes(c) for c in torch.split(pictures, _PAIRS_AT_ONCE)])
    pairs = np.concatenate([np.empty((0, 2), np.int64), *_candidates(hashes)])
    pairs = np.unique(pairs, axis=0)
    pairs = pairs[_correlations(pictures, pairs) >= MIN_CORRELATION]
    if len(pairs):
        # One of each cluster, so that many copies of a picture do not make it the usual one.
        ones = np.unique(join(len(pictures), pairs), return_index=True)[1]
        usual = _components(pictures[torch.from_numpy(ones)])
        pairs = pairs[_correlations(pictures, pairs, usual) >= MIN_PARTICULAR]
    copies: NDArray[np.int64] = told[pairs]
    return copies


def _components(pictures: UInt8[Tensor, "n 32 32"]) -> tuple[Tensor, Tensor]:
    """The mean of the pictures and the orthonormal components (rows) in which they differ most."""
    sample = _unit(pictures[:: -(-len(pictures) // _MAX_SAMPLE)])
    mean = sample.mean(0)
    count = min(_MAX_COMPONENTS, len(sample) // _ITEMS_PER_COMPONENT)
    _, vectors = torch.linalg.eigh((sample - mean).T @ (sample - mean))
    return mean, vectors.T[vectors.shape[1] - count :]


def _correlations(
    pictures: UInt8[Tensor, "n 32 32"],
    pairs: NDArray[np.int64],
    usual: tuple[Tensor, Tensor] | None = None,
) -> NDArray[np.float32]:
    """The correlation of each pair of thumbnails, less the `usual` mean and components."""
    found = [np.empty(0, np.float32)]
    for start in range(0, len(pairs), _PAIRS_AT_ONCE):
        sides = []
        for side in torch.from_numpy(pairs[start : start + _PAIRS_AT_ONCE]).unbind(1):
            flat = _unit(pictures[side])
            if usual is not None:
                mean, components = usual
                flat = flat - mean
                flat = flat - (flat @ components.T) @ components
            sides.append(flat)
        found.append(F.cosine_similarity(sides[0], sides[1]).numpy())
    return np.concatenate(found)


def perceptual_hashes(thumbnails: UInt8[Tensor, "n 32 32"]) -> NDArray[np.uint64]:
    """64 bits an item: the signs of the lowest frequencies about their median.

    Source: the DCT hash of C. Zauner, "Implementation and benchmarking of perceptual image hash
    functions", 2010, section 3.2.1.
    """
    side = torch.arange(THUMBNAIL) + 0.5
    frequency = torch.arange(1, _FREQUENCIES + 1)
    cosines = torch.cos(torch.pi / THUMBNAIL * frequency[:, None] * side)
    coefficients = (cosines @ thumbnails.float() @ cosines.T).flatten(1)
    bits = coefficients > coefficients.median(1, keepdim=True).values
    packed = np.packbits(bits.numpy(), axis=1)
    return np.ascontiguousarray(packed).view(">u8")[:, 0].astype(np.uint64)


def join(count: int, pairs: NDArray[np.int64]) -> NDArray[np.int64]:
    """The connected component of each position, (count,), numbered by first appearance."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    edges = coo_array((np.ones(len(pairs), np.bool_), pairs.T), shape=(count, count))
    _, components = connected_components(edges, directed=False)
    return first_appearance(components)


def first_appearance(values: NDArray[np.generic]) -> NDArray[np.int64]:
    """A number for each value, equal ones sharing one, counted up in the order of appearance."""
    _, first, inverse = np.unique(values, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[inverse]


def leaked(groups: NDArray[np.int64], splits: NDArray[np.str_]) -> NDArray[np.bool_]:
    """Whether each item lies outside training and has a copy or near copy in training."""
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
        notes.append(_note("duplicates", message, items, members, severity="info"))
    conflicts = [inside for inside in members if len(np.unique(labels[inside])) > 1]
    if conflicts:
        message = f"{len(conflicts)} items with several labels, each in copies"
        notes.append(_note("label-conflict", message, items, conflicts, listed=True))
    across = [inside for inside in members if len(np.unique(splits[inside])) > 1]
    if across:
        message = f"{int(leaked(groups, splits).sum())} items outside train have a copy in train"
        notes.append(_note("duplicate-across-splits", message, items, across, listed=True))
    return tuple(notes)


def _note(
    code: str,
    message: str,
    items: Sequence[Item],
    groups: Sequence[NDArray[np.int64]],
    *,
    severity: str = "warning",
    listed: bool = False,
) -> Note:
    """A note on the items of some groups, with the first few where they are `listed`."""
    if listed:
        shown = "; ".join(" = ".join(items[i].id for i in inside[:3]) for inside in groups[:5])
        more = f"; and {len(groups) - 5} more" if len(groups) > 5 else ""
        message = f"{message}: {shown}{more}"
    ids = tuple(items[i].id for inside in groups for i in inside)
    return Note(code=code, message=message, ids=ids, severity=severity)


def _groups_of_several(groups: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """The members of each group of at least two."""
    order = np.argsort(groups, kind="stable")
    starts = np.flatnonzero(np.diff(groups[order])) + 1
    return [inside for inside in np.split(order, starts) if len(inside) > 1]


def _candidates(hashes: NDArray[np.uint64]) -> Iterator[NDArray[np.int64]]:
    """Pairs of all that differ in less than twice _BANDS bits, and of some that do not, in chunks.

    Cut in four bands, hashes that differ in up to seven bits differ in at most one bit of some
    band (pigeonhole). So each hash is looked up in each band as it is and with each bit flipped,
    among sorted values: far from all pairs, also where most pictures look alike.
    """
    width = 64 // _BANDS
    for band in range(_BANDS):
        values = (hashes >> np.uint64(band * width)) & np.uint64((1 << width) - 1)
        order = np.argsort(values, kind="stable")
        for flipped in (0, *(1 << bit for bit in range(width))):
            wanted = values ^ np.uint64(flipped)
            starts = np.searchsorted(values[order], wanted, side="left")
            ends = np.searchsorted(values[order], wanted, side="right")
            yield from _near_in_runs(hashes, order, starts, ends)


def _near_in_runs(
    hashes: NDArray[np.uint64],
    order: NDArray[np.int64],
    starts: NDArray[np.int64],
    ends: NDArray[np.int64],
) -> Iterator[NDArray[np.int64]]:
    """Pairs of each item i with the later ones in order[starts[i]:ends[i]], a chunk at a time."""
    total = np.cumsum(ends - starts)
    low = 0
    while low < len(order):
        done = total[low - 1] if low else 0
        high = max(low + 1, int(np.searchsorted(total, done + _CHUNK, side="right")))
        counts = (ends - starts)[low:high]
        i = np.repeat(np.arange(low, high), counts)
        j = order[
            np.arange(len(i)) + np.repeat(starts[low:high] - np.cumsum(counts) + counts, counts)
        ]
        near = (i < j) & (np.bitwise_count(hashes[i] ^ hashes[j]) <= MAX_DISTANCE)
        yield np.stack([i[near], j[near]], 1)
        low = high


def _unit(thumbnails: UInt8[Tensor, "n 32 32"]) -> Tensor:
    """Thumbnails as vectors, (items, pixels), centred and of length 1."""
    flat = thumbnails.flatten(1).float()
    return F.normalize(flat - flat.mean(1, keepdim=True))
