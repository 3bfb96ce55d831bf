"""Small images: kept at their own size, prepared without a step for each, moved by whole pixels."""

import numpy as np
import pytest
import torch

from striate.data.layouts.arrays import ArraySource
from striate.data.randomness import Draws, item_keys
from striate.data.stores.pixels import PixelStore
from striate.data.stores.store import Stack
from striate.kinds.image.augment import AugmentPolicy, augment
from striate.kinds.image.inputs import ImageInputs
from striate.kinds.image.kind import ImageKind, choose_size


def source(side: int, count: int = 12) -> ArraySource:
    pixels = np.random.default_rng(0).integers(0, 256, (count, side, side), np.uint8)
    return ArraySource(pixels, ["a", "b"] * (count // 2), kind="image")


@pytest.mark.parametrize(
    ("side", "size"), [(5, 8), (8, 8), (28, 28), (63, 63), (64, 128), (200, 200)]
)
def test_small_images_keep_their_size(side: int, size: int) -> None:
    assert choose_size(source(side), None)[0] == size


def test_a_named_network_for_large_images_has_them_enlarged() -> None:
    chosen, _ = ImageKind().choose(source(28), {})
    inputs = ImageInputs.fitted([], {"size": chosen["size"], "enlargeable": True})
    sizes = {
        name: inputs.for_model(name).size
        for name in ("thumbnet", "lenet5", "resnet18", "conv8-relu - gap - fc2")
    }
    assert sizes == {"thumbnet": 28, "lenet5": 32, "resnet18": 128, "conv8-relu - gap - fc2": 28}
    asked, _ = ImageKind().choose(source(28), {"size": 28})
    assert ImageInputs.fitted([], asked).for_model("resnet18").size == 28
    photographs = ImageInputs.fitted([], asked).for_photographs()
    assert photographs.size == 28 and not photographs.small


@pytest.mark.parametrize("symmetry", ["identity", "mirror", "dihedral"])
def test_a_stack_is_prepared_as_its_images_one_by_one(tmp_path, symmetry) -> None:
    """The same bits, plain and augmented."""
    data = source(20)
    store = PixelStore.build(data, data.listing.items, 20, folder=tmp_path).store
    inputs = ImageInputs.fitted(store.each(range(12)), {"size": 20}).with_symmetry(symmetry)
    places = np.array([3, 0, 7, 7])
    stack, singles = store.take(places), [store[int(place)] for place in places]
    assert isinstance(stack, Stack) and len(stack) == 4
    assert [reading.sha256 for reading in stack] == [reading.sha256 for reading in singles]
    draws = Draws(item_keys(["d", "a", "h", "i"]), seed=0, epoch=2)
    assert torch.equal(inputs.inputs(stack), inputs.inputs(singles))
    assert torch.equal(inputs.augmented(stack, draws), inputs.augmented(singles, draws))


def test_images_are_moved_by_whole_pixels_and_the_border_is_repeated() -> None:
    pixels = torch.arange(64, dtype=torch.uint8).view(1, 1, 8, 8).repeat(200, 1, 1, 1)
    draws = Draws(item_keys(map(str, range(200))), seed=0, epoch=0)
    moved = augment(pixels, draws, AugmentPolicy(shift=0.13), 8)
    found = set()
    for image in moved[:, 0]:
        matches = [
            (down, right)
            for down in (-1, 0, 1)
            for right in (-1, 0, 1)
            if torch.equal(
                image,
                pixels[0, 0][(torch.arange(8) - down).clamp(0, 7)][
                    :, (torch.arange(8) - right).clamp(0, 7)
                ],
            )
        ]
        assert len(matches) == 1
        found.update(matches)
    assert len(found) == 9  # every move, each in about a ninth of the cases
