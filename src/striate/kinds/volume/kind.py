"""Volumes as a kind of data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from striate.kinds.inputs import Inputs
from striate.kinds.kind import KINDS, Defaults, Kind
from striate.kinds.volume.drawing import picture
from striate.kinds.volume.inputs import VolumeInputs


class VolumeKind(Kind):
    """Scans and other arrays with three axes."""

    name = "volume"
    nouns = ("volume", "volumes")
    inputs_type = VolumeInputs
    named_options: ClassVar[Mapping[str, str]] = {"image_size": "size", "symmetry": "symmetry"}
    explanation = "occlusion"

    def defaults(self, inputs: Inputs[Any]) -> Defaults:
        """Tri-planar features of an image network's filters."""
        return Defaults(
            methods=("probe", "scratch"),
            network="resnet18",
            features="tri_planar",
            pretrained=True,
        )

    picture = staticmethod(picture)


KINDS.add(VolumeKind.name, VolumeKind())
