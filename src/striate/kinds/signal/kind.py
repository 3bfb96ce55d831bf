"""Signals as a kind of data."""

from __future__ import annotations

from typing import Any

from striate.kinds.inputs import Inputs
from striate.kinds.kind import KINDS, Defaults, Kind
from striate.kinds.signal.drawing import picture
from striate.kinds.signal.inputs import SignalInputs
from striate.models.minirocket import fit_biases


class SignalKind(Kind):
    """Series and sounds: one axis, which is time."""

    name = "signal"
    nouns = ("recording", "recordings")
    inputs_type = SignalInputs

    def defaults(self, inputs: Inputs[Any]) -> Defaults:
        """MiniRocket's features of the samples; those of an image network of a spectrogram."""
        if len(inputs.input_shape) == 3:
            return Defaults(
                methods=("probe", "scratch"),
                network="resnet18",
                features="efficientnet_lite0",
                pretrained=True,
            )
        return Defaults(
            methods=("probe", "scratch"),
            network="inception_time",
            features="minirocket",
            fit_features=fit_biases,
            batch_size=16,
        )

    picture = staticmethod(picture)


KINDS.add(SignalKind.name, SignalKind())
