"""A trained network together with all it needs to answer for an item."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import Final, TypeVar

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from striate.data.layouts.node_source import NodeSource
from striate.data.source import Item, Reading
from striate.kinds import Feed
from striate.kinds.graph.inputs import GraphFeed
from striate.kinds.image.symmetry import views_of
from striate.kinds.node.inputs import NodeInputs
from striate.metrics import Calibration
from striate.models import Network
from striate.nn.layout import channels_last, placed
from striate.tasks import AnyCalibration
from striate.transfer.features import prepare
from striate.typing import Kind

T = TypeVar("T")

BATCH_SIZE: Final = 8
"""Items computed together. Always this many, so that a result does not depend on its company."""

TOGETHER: Final[Mapping[Kind, int]] = {"signal": 32, "volume": BATCH_SIZE, "graph": 32}
"""The same for items that a feed turns into inputs."""


@dataclass(frozen=True, kw_only=True)
class Predictor:
    """A trained network with what makes its outputs readable.

    Attributes:
        network: on its device, in float32 and evaluation mode.
        calibration: makes probabilities of logits, or numbers of standardized ones.
        device: where to compute.
    """

    network: Network
    calibration: AnyCalibration
    device: torch.device

    def probabilities(self, logits: Float[Tensor, "n classes"]) -> Float[np.ndarray, "n classes"]:
        """Calibrated probabilities, in float64; of a classifier."""
        assert isinstance(self.calibration, Calibration)
        return self.calibration.probabilities(logits.numpy())


@dataclass(frozen=True, kw_only=True)
class ImagePredictor(Predictor):
    """From pixels to outputs.

    Attributes:
        symmetry: name of the set of symmetries whose outputs are averaged.
    """

    symmetry: str

    def outputs(self, pixels: UInt8[Tensor, "n c s s"]) -> Float[Tensor, "n outputs"]:
        """Uncalibrated outputs, in float32: the mean over the symmetries."""
        outputs = []
        for part in torch.split(pixels, BATCH_SIZE):
            inputs = self.network.preprocessing.normalize(_filled(part).to(self.device))
            with torch.inference_mode():
                views = [self._folded(channels_last(v)) for v in views_of(inputs, self.symmetry)]
                outputs.append(torch.stack(views).mean(0)[: len(part)].cpu())
        return torch.cat(outputs)

    @cached_property
    def _folded(self) -> nn.Module:
        """The network with its batch norms folded, which changes nothing but rounding."""
        return prepare(self.network, self.example, torch.float32)

    @property
    def example(self) -> Float[Tensor, "1 c s s"]:
        """A normalized input that reaches every layer, to fold by."""
        config = self.network.config
        side = max(self.network.least_size, 32)
        generator = torch.Generator().manual_seed(0)
        shape = (1, config.in_channels, *[side] * config.rank)
        return torch.randn(shape, generator=generator).to(self.device)


@dataclass(frozen=True, kw_only=True)
class FeedPredictor(Predictor):
    """From readings to outputs.

    Attributes:
        feed: makes inputs of readings.
    """

    feed: Feed

    def outputs(self, readings: Sequence[Reading]) -> Float[Tensor, "n outputs"]:
        """Uncalibrated outputs, in float32."""
        outputs = []
        size = TOGETHER[self.feed.kind]
        for start in range(0, len(readings), size):
            part = list(readings[start : start + size])
            filled = part + [part[0]] * (size - len(part))
            with torch.inference_mode():
                answer = self.network(placed(self.feed.inputs(filled), self.device))
            outputs.append(answer[: len(part)].float().cpu())
        return torch.cat(outputs)


@dataclass(frozen=True, kw_only=True)
class NodePredictor(Predictor):
    """From nodes of a graph to outputs.

    Attributes:
        feed: normalizes the nodes' features.
    """

    feed: GraphFeed

    def outputs(self, source: NodeSource, items: Sequence[Item]) -> Float[Tensor, "n outputs"]:
        """Uncalibrated outputs, in float32; every node sees the whole graph."""
        inputs = NodeInputs(source, self.feed).inputs(items)
        with torch.inference_mode():
            found: Tensor = self.network(placed(inputs, self.device))
        return found.float().cpu()


def in_batches(
    items: Iterable[T], outputs: Callable[[list[T]], Tensor], width: int, size: int = BATCH_SIZE
) -> Tensor:
    """(items, width) outputs of items that come one by one, `size` at a time."""
    iterator = iter(items)
    found = []
    while batch := list(islice(iterator, size)):
        found.append(outputs(batch))
    return torch.cat(found) if found else torch.empty(0, width)


def _filled(pixels: Tensor) -> Tensor:
    """The batch brought to `BATCH_SIZE` with copies of its first item."""
    missing = BATCH_SIZE - len(pixels)
    return torch.cat([pixels, pixels[:1].expand(missing, *pixels.shape[1:])]) if missing else pixels
