"""Augmented variants of items, drawn before training so that frozen blocks see each only once."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from striate.data.dataset import ImageDataset
from striate.data.randomness import item_keys
from striate.errors import StoppedError
from striate.fitting.baseline import READ
from striate.kinds.image.augment import POLICIES, AugmentPolicy, augment
from striate.kinds.image.symmetry import SYMMETRIES, apply_symmetry

_POLICY_NAMES: Final = {
    "identity": "upright",
    "mirror": "natural",
    "flips": "dihedral",
    "dihedral": "dihedral",
}


def variants_of(
    dataset: ImageDataset,
    indices: NDArray[np.int64],
    size: int,
    symmetry: str,
    num_variants: int,
    seed: int,
    stop: Callable[[], bool],
) -> Iterator[Tensor]:
    """Batches (n, variants, c, size, size) of the items, the first variant the plain one.

    The variants go through the symmetries in turn, each with its own crop and colours.

    Raises:
        StoppedError: `stop` said so.
    """
    keys = item_keys(dataset.ids(indices))
    policy = replace(
        policy_for(symmetry), dihedral=False, horizontal_flip=False, vertical_flip=False
    )
    numbers = SYMMETRIES[symmetry]
    for start in range(0, len(indices), READ):
        if stop():
            raise StoppedError
        chosen = slice(start, start + READ)
        variants = [dataset.pixels.center_crops(indices[chosen], size)]
        views = [dataset.pixels.view(int(i)) for i in indices[chosen]]
        for number in range(1, num_variants):
            pixels = augment(views, keys[chosen], policy, size, seed=seed, epoch=number)
            variants.append(apply_symmetry(pixels, numbers[number % len(numbers)]))
        yield torch.stack(variants, dim=1)


def policy_for(symmetry: str) -> AugmentPolicy:
    """The augmentation that suits a set of symmetries."""
    return POLICIES[_POLICY_NAMES[symmetry]]


def data_key(
    dataset: ImageDataset,
    indices: NDArray[np.int64],
    size: int,
    symmetry: str,
    num_variants: int,
    seed: int,
) -> str:
    """A digest of everything that the variants' pixels depend on."""
    policy = asdict(policy_for(symmetry))
    digest = hashlib.sha256(repr((size, symmetry, num_variants, seed, policy)).encode())
    for index in indices:
        digest.update(
            f"{dataset.items[index].id}\0{dataset.sha256[index]}\0".encode(errors="surrogateescape")
        )
    return digest.hexdigest()
