"""A trained network with the inputs that it takes: from items as they are read to outputs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cached_property
from itertools import chain, islice
from typing import Any, Final, cast

import torch
from jaxtyping import Float
from torch import Tensor

from striate.data.source import Reading
from striate.device import use_free_cores
from striate.engines.engine import Session
from striate.kinds.inputs import Inputs
from striate.models import Network
from striate.nn.layout import channels_last, placed
from striate.ops.depthwise_convolution import left_to_torch
from striate.ops.inputs import Inputs as NetworkInputs
from striate.transfer.features import prepare

FEW: Final = 16
"""Items up to which it does not pay to fill batches, or to make the network and fast kernels ready."""


@dataclass(frozen=True, kw_only=True)
class Described:
    """What a network makes of some items.

    Attributes:
        outputs: (n, outputs) Uncalibrated outputs.
        features: (n, features) The pooled features, of which the head makes the outputs; of no
            columns where an engine answered, which gives outputs alone.
    """

    outputs: Tensor
    features: Tensor

    def first(self, count: int) -> Described:
        """Those of the first items, in float32 on the CPU."""
        return Described(
            outputs=self.outputs[:count].float().cpu(), features=self.features[:count].float().cpu()
        )


@dataclass(frozen=True, kw_only=True)
class Predictor:
    """A trained network and how items become its inputs.

    Attributes:
        network: On its device, in float32 and evaluation mode.
        inputs: Of the kind of the items.
        device: Where to compute.
        engine: Makes the session ready that answers in the network's place; None for the network.
        engine_for_few: Whether it answers for a few items too.
    """

    network: Network
    inputs: Inputs[Any]
    device: torch.device
    engine: Callable[[], Session] | None = None
    engine_for_few: bool = False

    def outputs(self, readings: Sequence[Reading]) -> Float[Tensor, "n outputs"]:
        """Uncalibrated outputs in float32: the mean over the symmetries of the inputs."""
        return torch.cat(list(self.output_parts(readings)))

    def output_parts(self, readings: Iterable[Reading]) -> Iterator[Float[Tensor, "n outputs"]]:
        """Uncalibrated outputs of items that come one by one, a batch at a time; see `parts`."""
        for part in self.parts(readings):
            yield part.outputs

    def parts(self, readings: Iterable[Reading]) -> Iterator[Described]:
        """Outputs and features of items that come one by one, a batch at a time.

        A result does not depend on its company: batches are filled to one size, and a few items
        come one by one; between these two it may differ by the rounding of float32.
        """
        iterator = iter(readings)
        first = list(islice(iterator, FEW + 1))
        yield from self.parts_of(chain(first, iterator), together=len(first) > FEW)

    def parts_of(self, readings: Iterable[Reading], *, together: bool) -> Iterator[Described]:
        """Outputs and features of items, computed as `parts` computes many items or a few.

        Args:
            readings: The items.
            together: Whether in filled batches, as of many items.
        """
        size = self.inputs.batch_size and (self.inputs.batch_size if together else 1)
        ahead = iter(readings)
        while part := list(islice(ahead, size)):
            yield self._described_part(part, size, few=not together)

    def _described_part(self, part: Sequence[Reading], size: int | None, *, few: bool) -> Described:
        """Outputs and features of the items of one batch, which is filled up to its size."""
        filled = [*part, *[part[0]] * ((size or len(part)) - len(part))]
        with torch.inference_mode(), left_to_torch() if few else nullcontext():
            inputs = self.inputs.inputs(filled)
            session = None if few and not self.engine_for_few else self._session
            if session is None:
                described = self.described(inputs, few=few)
            else:
                outputs, _, features = map(torch.from_numpy, session(inputs.numpy()))
                described = Described(outputs=outputs, features=features)
        return described.first(len(part))

    def answers(self, inputs: NetworkInputs) -> Tensor:
        """Uncalibrated outputs of what `Inputs.inputs` gave, on the device; see `described`."""
        return self.described(inputs).outputs

    def described(self, inputs: NetworkInputs, *, few: bool = False) -> Described:
        """Uncalibrated outputs and features of what `Inputs.inputs` gave, on the device.

        Args:
            inputs: The inputs.
            few: Whether there are too few for a network that is made ready first.
        """
        use_free_cores()
        network = self.network if few else self._module
        normalized = self.inputs.normalized(placed(inputs, self.device))
        views = self.inputs.views(normalized)
        return averaged(network, map(channels_last, views) if self.inputs.folds else views)

    def make_ready(self) -> None:
        """Make the session of the engine ready, which takes long where its file is to be written."""
        _ = self._session

    @cached_property
    def _session(self) -> Session | None:
        """What answers in the network's place."""
        return None if self.engine is None else self.engine()

    @cached_property
    def _module(self) -> Network:
        """The network, its batch norms folded where that changes nothing but rounding."""
        if not self.inputs.folds:
            return self.network
        return cast("Network", prepare(self.network, self.example, torch.float32))

    @property
    def example(self) -> Float[Tensor, "1 c *space"]:
        """A normalized input that reaches every layer, to fold by."""
        config = self.network.config
        fixed = getattr(config, "fixed_size", False)
        side = config.input_size if fixed else max(self.network.min_size, 32)
        generator = torch.Generator().manual_seed(0)
        shape = (1, config.in_channels, *[side] * config.rank)
        return torch.randn(shape, generator=generator).to(self.device)


def averaged(network: Network, views: Iterable[Any]) -> Described:
    """The mean of outputs and features of the same items under several symmetries."""
    pooled = [network.forward_pooled(view) for view in views]
    outputs = [network.head(features) for features in pooled]
    return Described(outputs=_mean(outputs), features=_mean(pooled))


def _mean(tensors: Sequence[Tensor]) -> Tensor:
    return tensors[0] if len(tensors) == 1 else torch.stack(list(tensors)).mean(0)
