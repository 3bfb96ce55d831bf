"""What an explanation is: a heat map over the input, for one class."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from striate.errors import ArgumentError
from striate.registry import Registry


class Explainable(Protocol):
    """A classifier that can be cut before its head; every `striate.models.Network` is one."""

    def forward_features(self, x: Tensor, /) -> Tensor:
        """The last feature maps, (n, c, *reduced)."""

    def forward_head(self, features: Tensor, /) -> Tensor:
        """Logits (n, classes) of those maps."""


@runtime_checkable
class Mapped(Protocol):
    """A classifier whose last features have no places, but which knows what each place adds."""

    def activation_map(self, x: Tensor, targets: Tensor, /) -> Tensor:
        """What each place of (n, c, *space) inputs adds to the logits of (n,) targets, (n, *space)."""


class Method(Protocol):
    """One way to explain: maps without negative values, at any resolution; see `explain`."""

    def __call__(
        self,
        network: Explainable,
        inputs: Float[Tensor, "n c *space"],
        targets: Int[Tensor, " n"] | None,
    ) -> Float[Tensor, " n *reduced"]:
        """Maps of `inputs` for `targets`, the predicted classes where that is None."""


METHODS: Registry[Method] = Registry("explanation method")


def explain(
    network: Explainable,
    inputs: Float[Tensor, "n c *space"],
    targets: Int[Tensor, " n"] | None = None,
    method: str = "gradcam",
) -> Float[Tensor, " n *space"]:
    """Where each input speaks for a class: 0 (nowhere) to 1 (most), at the input's resolution.

    Modules are put in evaluation mode meanwhile, and no gradient is left on the parameters.

    Args:
        network: the classifier.
        inputs: normalized, as the network takes them.
        targets: the class of each input to explain; the predicted one by default.
        method: a name of `METHODS`.

    Raises:
        UnknownNameError: no such method.
        ArgumentError: targets and inputs differ in number.
    """
    chosen = METHODS.get(method)
    if targets is not None and len(targets) != len(inputs):
        raise ArgumentError(f"{len(targets)} targets for {len(inputs)} inputs", fix="give one each")
    with _evaluating(network), torch.inference_mode(False), torch.no_grad():
        return to_input_scale(chosen(network, inputs, targets), inputs.shape[2:])


def to_input_scale(
    heat: Float[Tensor, " n *reduced"], space: torch.Size
) -> Float[Tensor, " n *space"]:
    """Interpolate maps without negative values to the input's size and scale each to a peak of 1."""
    mode = {1: "linear", 2: "bilinear", 3: "trilinear"}[len(space)]
    heat = F.interpolate(heat.float()[:, None], size=space, mode=mode)[:, 0]
    peaks = heat.flatten(1).amax(1).view(-1, *[1] * len(space))
    return heat / peaks.clamp(min=torch.finfo(heat.dtype).tiny)


@contextmanager
def _evaluating(network: Explainable) -> Iterator[None]:
    """Evaluation mode inside the block; afterwards each module is as it was."""
    modules = list(network.modules()) if isinstance(network, nn.Module) else []
    training = [module.training for module in modules]
    for module in modules:
        module.training = False
    try:
        yield
    finally:
        for module, mode in zip(modules, training, strict=True):
            module.training = mode
