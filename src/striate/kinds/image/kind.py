"""Images as a kind of data."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Final, cast

import numpy as np

from striate.data.folder_walk import reasons_for
from striate.data.sandbox import read_all
from striate.data.source import Item, Reading, Skip, Source
from striate.data.stores.pixels import PixelStore
from striate.data.stores.store import Built, Store
from striate.errors import DataError, UnknownNameError
from striate.kinds.image.corruptions import CORRUPTIONS
from striate.kinds.image.drawing import picture, thumbnail
from striate.kinds.image.inputs import ENLARGED, SMALL, ImageInputs
from striate.kinds.image.quality import faults, measured
from striate.kinds.image.survey import common_format
from striate.kinds.image.symmetry import SYMMETRIES
from striate.kinds.inputs import Inputs, number_option
from striate.kinds.kind import KINDS, Defaults, Kind
from striate.progress import Progress
from striate.report.schema import Choice

MAX_SIZE: Final = 300
"""Side above which the time is better spent on more epochs."""

LEAST_SIZE: Final = 8
"""Side below which no network has anything to see."""

BATCH_SIZES: Final = ((2_000, 32), (10_000, 64), (math.inf, 128))
"""Items in an update of a network of small images, by the number of training images up to which."""

RATE: Final = 2e-3
"""Learning rate of the smallest of these batches; it grows with the root of a batch's size."""

MANY: Final = 10_000
"""Small training images from which on a network that learns from all of them comes before what
learns from features."""

SHARE_OF_MANY: Final = 0.15
"""Largest share of the time that features take where there are so many."""

_NUM_LOOKED_AT: Final = 25


class ImageKind(Kind):
    """Pictures with two axes and any number of channels."""

    name = "image"
    nouns = ("image", "images")
    hub_tags: ClassVar[Mapping[str, str]] = {
        "classification": "image-classification",
        "multilabel": "image-classification",
    }
    corruptions = CORRUPTIONS
    has_border = True
    inputs_type = ImageInputs
    named_options: ClassVar[Mapping[str, str]] = {
        "image_size": "size",
        "symmetry": "symmetry",
        "framing": "framing",
    }

    def choose(
        self, source: Source, options: Mapping[str, Any]
    ) -> tuple[dict[str, Any], list[Choice]]:
        """The size at which images are kept.

        Raises:
            UnknownNameError: Images have no such symmetry.
        """
        symmetry = options.get("symmetry", "identity")
        if symmetry not in SYMMETRIES:
            raise UnknownNameError("symmetry of images", str(symmetry), SYMMETRIES)
        asked = number_option(options, "size", 0, 8 * ("size" in options), whole=True)
        size, choice = choose_size(source, int(asked) or None)
        return {**options, "size": size, "enlargeable": not asked}, [choice]

    def build_store(
        self,
        source: Source,
        items: Sequence[Item],
        *,
        folder: Path,
        options: Mapping[str, Any],
        progress: Progress,
    ) -> Built[Store]:
        """Decode once into the user's cache; near copies are found too.

        Raises:
            DataError: The images have different numbers of channels, or 8-bit and other values.
        """
        built = PixelStore.build(source, items, int(options["size"]), progress=progress)
        formats = zip(built.store.shapes, built.store.dtypes, strict=True)
        common_format(Counter((shape[0], str(dtype)) for shape, dtype in formats), source.name)
        return built

    def read_size(self, options: Mapping[str, Any]) -> int | None:
        """The shorter side that is kept."""
        return int(options["size"])

    def is_kept(self, source: Source, items: Sequence[Item], *, options: Mapping[str, Any]) -> bool:
        """Whether they lie in the user's cache."""
        return PixelStore.is_built(source, items, int(options["size"]))

    def defaults(self, inputs: Inputs[Any]) -> Defaults:
        """EfficientNet-Lite0, whose ImageNet weights come with Striate, so it works offline.

        Small images have features and a network of their own.
        """
        images = cast("ImageInputs", inputs)
        if images.small:
            return small_defaults(images)
        return Defaults(
            methods=("probe", "kernel", "finetune"),
            network="efficientnet_lite0",
            features="efficientnet_lite0",
            pretrained=True,
            all_scales=True,
            frozen_stride=12,
            min_steps=1,
            max_epochs=40,
            weight_decay=0.05,
            clip_norm=None,
        )

    picture = staticmethod(picture)
    measured = staticmethod(measured)
    faults = staticmethod(faults)
    thumbnail = staticmethod(thumbnail)


def small_defaults(inputs: ImageInputs) -> Defaults:
    """What suits images that are too small for networks made for photographs.

    Args:
        inputs: How they become inputs.
    """
    batch_size = next(size for most, size in BATCH_SIZES if inputs.shapes.count <= most)
    many = inputs.shapes.count >= MANY
    return Defaults(
        methods=("probe", "scratch", "kernel") if many else ("probe", "kernel", "scratch"),
        network="thumbnet",
        quick_network="thumbnet_narrow",
        features_share=SHARE_OF_MANY if many else Defaults.features_share,
        features="patch_filters",
        batch_size=batch_size,
        learning_rate=RATE * math.sqrt(batch_size / BATCH_SIZES[0][1]),
        weight_decay=0.05,
        quick_probes=True,
        judged_symmetry=True,
        all_scales=True,
        clip_norm=None,
    )


def choose_size(source: Source, asked: int | None) -> tuple[int, Choice]:
    """Side of the network's input in pixels: the items' own shorter side, within bounds.

    Small images keep their size; those of a middling one are enlarged a little, so that a network
    that was trained on photographs has something to see.

    Args:
        source: The images.
        asked: What the user chose.

    Raises:
        DataError: Not one of the items looked at can be read.
    """
    if asked is not None:
        return asked, Choice(topic="image size", choice=f"{asked} px", why="chosen by the user")
    items = source.listing.items
    looked_at = items[:: max(1, len(items) // _NUM_LOOKED_AT)]
    read = [reading for _, reading in read_all(source, looked_at, None)]
    sides = [min(reading.array.shape[1:]) for reading in read if isinstance(reading, Reading)]
    if not sides:
        skipped = [skip for skip in read if isinstance(skip, Skip)]
        raise DataError(
            f"{source.name}: not one of the {len(looked_at)} items looked at can be read",
            why=reasons_for(skipped),
            fix="replace these files or take them out of the data",
        )
    median = int(np.median(sides))
    low = LEAST_SIZE if median < SMALL else ENLARGED
    size = min(max(median, low), MAX_SIZE)
    why = f"the items' shorter side is {median} px in the median"
    if size != median:
        why += f", and the bounds are {low} to {MAX_SIZE}"
    return size, Choice(topic="image size", choice=f"{size} px", why=why)


KINDS.add(ImageKind.name, ImageKind())
