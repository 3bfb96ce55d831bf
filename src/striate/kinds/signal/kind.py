"""Signals as a kind of data."""

from __future__ import annotations

from typing import Any, Final

from striate.kinds.inputs import Inputs
from striate.kinds.kind import KINDS, Defaults, Kind
from striate.kinds.signal.corruptions import CORRUPTIONS
from striate.kinds.signal.drawing import picture, thumbnail
from striate.kinds.signal.inputs import SignalInputs
from striate.kinds.signal.quality import faults, measured

MIN_TRAINED: Final = 500
"""Training items below which no network is trained beside the fixed features of series.

On none of the archives' sets of 36 to 270 training items has one won against them.
"""


class SignalKind(Kind):
    """Series and sounds: one axis, which is time."""

    name = "signal"
    nouns = ("recording", "recordings")
    corruptions = CORRUPTIONS
    inputs_type = SignalInputs

    def defaults(self, inputs: Inputs[Any]) -> Defaults:
        """Fixed features of the samples; those of an image network of a spectrogram."""
        if len(inputs.input_shape) == 3:
            return Defaults(
                methods=("probe", "scratch"),
                network="resnet18",
                features="efficientnet_lite0",
                pretrained=True,
            )
        return Defaults(
            methods=("probe", "wide", "scratch"),
            network="inception_time",
            features="minirocket",
            wide_features="multirocket_hydra",
            min_trained=MIN_TRAINED,
            batch_size=16,
        )

    picture = staticmethod(picture)
    measured = staticmethod(measured)
    faults = staticmethod(faults)
    thumbnail = staticmethod(thumbnail)


KINDS.add(SignalKind.name, SignalKind())
