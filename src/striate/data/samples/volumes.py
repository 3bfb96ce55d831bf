"""Samples of volumes: made by a generator, for no package ships real ones with labels."""

from __future__ import annotations

import hashlib
from typing import Final

from striate.data.samples.sample import PREFIX, SAMPLES, Sample
from striate.data.samples.synthetic_volumes import make_volume, volume_label
from striate.data.source import Item, Listing, Note, Reading, Source

NUM_VOLUMES: Final = 600


class SyntheticVolumes(Source):
    """Solids of six shapes in noise; see `striate.data.samples.synthetic_volumes`.

    Args:
        num_items: how many volumes, the classes in turn.
    """

    kind = "volume"
    name = f"{PREFIX}synthetic-volumes"

    def __init__(self, num_items: int = NUM_VOLUMES) -> None:
        items = tuple(
            Item(id=f"{index:04d}", label=volume_label(index)) for index in range(num_items)
        )
        message = "these volumes are synthetic: made by a program, not measured"
        note = Note(code="synthetic", message=message, severity="info")
        self.listing = Listing(items=items, notes=(note,))

    def read(self, item: Item, size: int | None = None) -> Reading:
        """Make the item: uint8 (1, 32, 32, 32)."""
        volume = make_volume(int(item.id))
        return Reading(array=volume[None], sha256=hashlib.sha256(volume.data).hexdigest())


SAMPLES.add(
    "synthetic-volumes",
    Sample(
        kind="volume",
        num_items=NUM_VOLUMES,
        licence="Apache-2.0",
        description="synthetic solids in noise, 32x32x32: box, cross, ellipsoid, helix, shell, torus",
        open=SyntheticVolumes,
    ),
)
