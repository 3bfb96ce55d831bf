"""Images as a kind of data."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Final

import numpy as np

from striate.data.folder_walk import reasons_for
from striate.data.sandbox import read_all
from striate.data.source import Item, Reading, Skip, Source
from striate.data.stores.pixels import PixelStore
from striate.data.stores.store import Built, Store
from striate.errors import DataError
from striate.kinds.image.drawing import picture
from striate.kinds.image.inputs import ImageInputs
from striate.kinds.image.survey import common_format
from striate.kinds.inputs import Inputs, number_option
from striate.kinds.kind import KINDS, Defaults, Kind
from striate.progress import Progress
from striate.report.schema import Choice

MIN_SIZE: Final = 128
"""Side below which a network made for 224 pixels has too few positions left to see with."""

MAX_SIZE: Final = 300
"""Side above which the time is better spent on more epochs."""

_NUM_LOOKED_AT: Final = 25


class ImageKind(Kind):
    """Pictures with two axes and any number of channels."""

    name = "image"
    nouns = ("image", "images")
    inputs_type = ImageInputs
    named_options: ClassVar[Mapping[str, str]] = {
        "image_size": "size",
        "symmetry": "symmetry",
        "framing": "framing",
    }

    def choose(
        self, source: Source, options: Mapping[str, Any]
    ) -> tuple[dict[str, Any], list[Choice]]:
        """The size at which images are kept."""
        asked = number_option(options, "size", 0, 8 * ("size" in options), whole=True)
        size, choice = choose_size(source, int(asked) or None)
        return {**options, "size": size}, [choice]

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

    def defaults(self, inputs: Inputs[Any]) -> Defaults:
        """EfficientNet-Lite0, whose ImageNet weights come with Striate, so it works offline."""
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


def choose_size(source: Source, asked: int | None) -> tuple[int, Choice]:
    """Side of the network's input in pixels: the items' own shorter side, within bounds.

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
    size = min(max(median, MIN_SIZE), MAX_SIZE)
    why = f"the items' shorter side is {median} px in the median"
    if size != median:
        why += f", and the bounds are {MIN_SIZE} to {MAX_SIZE}"
    return size, Choice(topic="image size", choice=f"{size} px", why=why)


KINDS.add(ImageKind.name, ImageKind())
