"""What a fit of each kind of items does unless the user says otherwise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from striate.typing import Kind


@dataclass(frozen=True, kw_only=True)
class KindDefaults:
    """Networks and settings that suit a kind.

    Attributes:
        network: trained from scratch.
        features: network whose frozen features the probe takes; None where there is none.
        pretrained: whether those features are of pretrained weights, which can be fine-tuned.
        batch_size: items in an update.
        least_steps: of an epoch; small data is gone through several times in one.
        max_epochs: however much time there is.
        learning_rate: at the peak of the schedule, from scratch.
        fine_tuning_rate: the same from pretrained weights.
        weight_decay: of AdamW.
        clip_norm: greatest norm of a gradient; None for no limit.
    """

    network: str
    features: str | None
    pretrained: bool = False
    batch_size: int = 32
    least_steps: int = 16
    max_epochs: int = 100
    learning_rate: float = 2e-3
    fine_tuning_rate: float = 3e-4
    weight_decay: float = 0.02
    clip_norm: float | None = 1.0


DEFAULTS: Final[dict[Kind, KindDefaults]] = {
    "signal": KindDefaults(network="inception_time", features="minirocket", batch_size=16),
    "volume": KindDefaults(network="resnet18", features="three_views", pretrained=True),
    "graph": KindDefaults(network="gin", features=None),
}

SPECTROGRAM_DEFAULTS: Final = KindDefaults(
    network="resnet18", features="efficientnet_lite0", pretrained=True
)
"""Where signals are seen as spectrograms, which are images."""

NODE_DEFAULTS: Final = KindDefaults(
    network="gcn_small",
    features=None,
    batch_size=256,
    learning_rate=1e-2,
    weight_decay=5e-2,
    max_epochs=20,
)
"""Where the items are nodes of one graph."""


def defaults_of(kind: Kind, input_shape: Sequence[int]) -> KindDefaults:
    """What suits a kind whose inputs have this shape, channels first."""
    if kind == "signal" and len(input_shape) == 3:
        return SPECTROGRAM_DEFAULTS
    return DEFAULTS[kind]
