"""Batch norm folded into the convolution before it: the same outputs, one pass less over the map.

In evaluation a batch norm is the affine map y = gamma * (x - mean) / sqrt(var + eps) + beta, so its
scale goes into the convolution's filters and its shift into the bias.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd

from striate.nn.ranks import BATCH_NORM_TYPES, CONV_TYPES, Conv

_TOLERANCE = 1e-3
"""Relative difference above which the folded copy is another network (rounding stays below 1e-5)."""


def fold_batch_norm(network: nn.Module, example: Float[Tensor, "n c *space"]) -> nn.Module:
    """A copy of the network for inference, its batch norms folded into the convolutions they follow.

    Which norm follows which convolution is seen by running the copy once, not read from names. A
    convolution whose output is also used elsewhere cannot take in its norm; as no hook shows that,
    both copies are compared on `example` and the plain one is returned where they differ.

    Args:
        network: The network, in float32; it stays as it is.
        example: An input that reaches every layer, on the network's device.
    """
    plain = copy.deepcopy(network).eval()
    folded = copy.deepcopy(plain)
    with torch.no_grad():
        for conv, norm in _pairs(folded, example):
            _fold(conv, norm)
            replace_module(folded, norm, nn.Identity())
        expected, got = plain(example), folded(example)
    agree = (got - expected).abs().max() <= _TOLERANCE * expected.abs().max()
    return folded if bool(agree) else plain


def unfold_batch_norm(
    folded: nn.Module, network: nn.Module, example: Float[Tensor, "n c *space"]
) -> None:
    """Give a network the function of its folded copy, after the copy was trained.

    A norm that the copy has no more becomes a mere shift, by the bias that its convolution had in
    the copy; everything else is taken as it is.

    Args:
        folded: A trained copy from `fold_batch_norm`.
        network: The network it was made from; it is changed in place.
        example: The input that was given to `fold_batch_norm`.
    """
    names = {module: name for name, module in network.named_modules()}
    was_training = network.training
    pairs = _pairs(network.eval(), example)
    network.train(was_training)
    state = dict(folded.state_dict())
    with torch.no_grad():
        for conv, norm in pairs:
            if names[norm] and isinstance(folded.get_submodule(names[norm]), nn.Identity):
                bias = state.pop(f"{names[conv]}.bias")
                if conv.bias is not None:
                    state[f"{names[conv]}.bias"] = torch.zeros_like(bias)
                state |= {f"{names[norm]}.{key}": value for key, value in _shift(norm, bias)}
    network.load_state_dict({**network.state_dict(), **state})


def _shift(norm: _BatchNorm, bias: Tensor) -> Iterator[tuple[str, Tensor]]:
    """The state of a norm that only adds `bias`."""
    yield "running_var", torch.full_like(bias, 1 - norm.eps)
    if norm.affine:
        yield "running_mean", torch.zeros_like(bias)
        yield "weight", torch.ones_like(bias)
        yield "bias", bias
    else:
        yield "running_mean", -bias


def followers(
    network: nn.Module, example: Tensor, follows: Callable[[nn.Module], bool]
) -> list[tuple[Conv, nn.Module, Tensor]]:
    """Convolutions and what is applied to their outputs, where each runs once, with its input.

    Args:
        network: The network; it is run once.
        example: An input that reaches every layer.
        follows: Whether a module is of those that are looked for.

    Returns:
        The convolution, the module that is given its output, and the input of the convolution.
    """
    outputs: dict[int, tuple[Conv, Tensor, Tensor]] = {}
    found: list[tuple[Conv, nn.Module, Tensor]] = []
    runs: dict[nn.Module, int] = {}

    def watch(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        runs[module] = runs.get(module, 0) + 1
        if isinstance(module, CONV_TYPES):
            # The tensor is kept, so its id stays its own.
            outputs[id(output)] = (module, inputs[0], output)
        elif id(inputs[0]) in outputs:
            conv, x, _ = outputs[id(inputs[0])]
            found.append((conv, module, x))

    watched = (m for m in network.modules() if isinstance(m, CONV_TYPES) or follows(m))
    handles = [module.register_forward_hook(watch) for module in watched]
    try:
        with torch.no_grad():
            network(example)
    finally:
        for handle in handles:
            handle.remove()
    return [(conv, module, x) for conv, module, x in found if runs[conv] == runs[module] == 1]


def _pairs(network: nn.Module, example: Tensor) -> list[tuple[_ConvNd, _BatchNorm]]:
    """Convolutions and batch norms that each run once, the norm on the convolution's output."""
    found = followers(network, example, _is_affine)
    return [(conv, norm) for conv, norm, _ in found if isinstance(norm, BATCH_NORM_TYPES)]


def _is_affine(module: nn.Module) -> bool:
    # A subclass of a batch norm may also hold an activation; only torch's own are known to be affine.
    return type(module) in BATCH_NORM_TYPES and getattr(module, "running_mean", None) is not None


def _fold(conv: _ConvNd, norm: _BatchNorm) -> None:
    """Give the convolution the norm's scale and shift, computed in float64."""
    assert norm.running_mean is not None and norm.running_var is not None
    scale = (norm.running_var.double() + norm.eps).rsqrt()
    if norm.weight is not None:
        scale = scale * norm.weight.double()
    shift = -norm.running_mean.double() * scale
    if norm.bias is not None:
        shift = shift + norm.bias.double()
    if conv.bias is not None:
        shift = shift + conv.bias.double() * scale
    weight = conv.weight.double() * scale.view(-1, *(1,) * (conv.weight.ndim - 1))
    dtype = conv.weight.dtype
    conv.weight = nn.Parameter(weight.to(dtype), requires_grad=False)
    conv.bias = nn.Parameter(shift.to(dtype), requires_grad=False)


def replace_module(network: nn.Module, old: nn.Module, new: nn.Module) -> None:
    """Put a module into the place of another, wherever that is.

    Args:
        network: Changed in place.
        old: What is replaced.
        new: What takes its place.
    """
    for parent in list(network.modules()):  # those inside the new one are left alone
        for name, child in parent.named_children():
            if child is old:
                setattr(parent, name, new)
