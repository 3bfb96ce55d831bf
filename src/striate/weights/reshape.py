"""Pretrained weights for another number of spatial axes or of input channels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal, TypeAlias

import torch
from torch import Tensor

from striate.errors import ArgumentError
from striate.nn.ranks import layers

InflationMode: TypeAlias = Literal["center", "average"]

DEFAULT_MODES: Final[Mapping[int, InflationMode]] = {1: "average", 2: "center", 3: "center"}
"""What `inflate` does by rank. A slice of a volume then gives exactly what it gives as an image; a
series what it gives as an image whose rows are all alike (away from the borders)."""


def as_filters(state: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights of linear layers over flattened maps as filters, where the network has filters.

    A convolution as large as its input computes the same as flattening and a linear layer.

    Args:
        state: Weights of a network of rank 2.
        expected: The network's own weights, of any rank; its filters tell the side of the maps.
    """

    def reshape(key: str, weight: Tensor) -> Tensor:
        shape = expected[key].shape
        if weight.ndim != 2 or len(shape) < 3 or weight[0].numel() != shape[1] * shape[2] ** 2:
            return weight
        return weight.view(len(weight), shape[1], shape[2], shape[2])

    return {key: reshape(key, tensor) for key, tensor in state.items()}


def inflate(
    state: Mapping[str, Tensor], rank: int, mode: InflationMode | None = None
) -> dict[str, Tensor]:
    """Weights of images made to fit series or volumes.

    To three axes, `center` puts a filter in the middle slice of a cube and `average` spreads it
    over all slices (Carreira and Zisserman 2017, arXiv:1705.07750); an input without change along
    the new axis gives the same response. To one axis, `center` takes the middle row and `average`
    sums the rows: the response to an image of one row, and to one of equal rows.

    Args:
        state: Weights of a network of rank 2; only filters (tensors of four axes) are changed.
        rank: Number of spatial axes wanted.
        mode: `center` or `average`; by default the one of `DEFAULT_MODES`.

    Raises:
        ArgumentError: The rank or the mode is unknown.
    """
    layers(rank)
    mode = mode or DEFAULT_MODES[rank]
    if mode not in ("center", "average"):
        raise ArgumentError(f"mode={mode!r}", fix="choose center or average")
    if rank == 2:
        return dict(state)
    change = _to_series if rank == 1 else _to_volume
    return {key: change(w, mode) if w.ndim == 4 else w for key, w in state.items()}


def _to_series(weight: Tensor, mode: InflationMode) -> Tensor:
    rows = weight.shape[2]
    return weight.sum(2) if mode == "average" else weight[:, :, rows // 2].clone()


def _to_volume(weight: Tensor, mode: InflationMode) -> Tensor:
    depth = weight.shape[2]
    slices = weight.unsqueeze(2).expand(-1, -1, depth, -1, -1)
    if mode == "average":
        return slices / depth
    middle = torch.arange(depth, device=weight.device) == depth // 2
    return slices * middle.view(-1, 1, 1).to(weight.dtype)


def adapt_channels(weight: Tensor, in_channels: int) -> Tensor:
    """The first filter for another number of input channels, as timm adapts it.

    One channel gets the sum of the old ones; more get the old ones in turn, scaled by the old
    number over the new, so that the sum of all weights stays where the new number is a multiple.

    Args:
        weight: Filter (out_channels, channels, *kernel).
        in_channels: Number of channels wanted.
    """
    channels = weight.shape[1]
    if in_channels == channels:
        return weight
    if in_channels == 1:
        return weight.sum(1, keepdim=True)
    return weight[:, torch.arange(in_channels) % channels] * (channels / in_channels)


def match_unit_axes(
    state: Mapping[str, Tensor], expected: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """Tensors in the expected shape where the two differ only by axes of one place.

    A linear layer is a convolution of size one: some write it as the one, some as the other.
    """
    return {
        key: tensor.reshape(expected[key].shape)
        if key in expected and _without_units(tensor) == _without_units(expected[key])
        else tensor
        for key, tensor in state.items()
    }


def _without_units(tensor: Tensor) -> tuple[int, ...]:
    return tuple(size for size in tensor.shape if size != 1)
