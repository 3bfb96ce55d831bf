"""Volumes as a kind of data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from striate.data.source import Item, Source
from striate.data.stores.store import Built, ReadingStore, Store, without
from striate.kinds.inputs import Inputs
from striate.kinds.kind import KINDS, Defaults, Kind
from striate.kinds.volume.corruptions import CORRUPTIONS
from striate.kinds.volume.drawing import picture, thumbnail
from striate.kinds.volume.inputs import VolumeInputs
from striate.kinds.volume.quality import faults, measured
from striate.progress import Progress


class VolumeKind(Kind):
    """Scans and other arrays with three axes."""

    name = "volume"
    nouns = ("volume", "volumes")
    corruptions = CORRUPTIONS
    inputs_type = VolumeInputs
    named_options: ClassVar[Mapping[str, str]] = {"image_size": "size", "symmetry": "symmetry"}
    explanation = "occlusion"

    def build_store(
        self,
        source: Source,
        items: Sequence[Item],
        *,
        folder: Path,
        options: Mapping[str, Any],
        progress: Progress,
    ) -> Built[Store]:
        """Read volumes once; where most have a spacing, those without one are left out."""
        built = ReadingStore.build(source, items, folder, progress)
        unknown = [i for i in range(len(built.items)) if not built.store[i].spacing]
        if options.get("spacing") == "ignore" or 2 * len(unknown) >= len(built.items):
            return built
        return without(built, dict.fromkeys(unknown, "no spacing, and most of the others have one"))

    def defaults(self, inputs: Inputs[Any]) -> Defaults:
        """Tri-planar features of an image network's filters."""
        return Defaults(
            methods=("probe", "scratch"),
            network="resnet18",
            features="tri_planar",
            pretrained=True,
        )

    picture = staticmethod(picture)
    measured = staticmethod(measured)
    faults = staticmethod(faults)
    thumbnail = staticmethod(thumbnail)


KINDS.add(VolumeKind.name, VolumeKind())
