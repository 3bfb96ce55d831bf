"""What a network sees, found by differentiating it: the reference for the receptive-field engine."""

import math

import torch
import torch.nn.functional as F
from torch import nn

from striate.analysis import receptive_field
from striate.geometry import same_padding
from striate.models.lenet import ConnectedConv, ScaledTanh
from striate.nn.ranks import BATCH_NORM_TYPES, CONV_TYPES, layers

POINTWISE = (
    *BATCH_NORM_TYPES, nn.LayerNorm, nn.ReLU, nn.ReLU6, nn.SiLU, nn.GELU, nn.Hardswish,
    ScaledTanh,
)  # fmt: skip
"""Layers each of whose outputs sees its own place alone."""


def make_linear(model, rank):
    """Positive weights and no max pooling, no ReLU: no gradient cancels or stops."""
    generator = torch.Generator().manual_seed(0)
    for parent in list(model.modules()):
        for name, child in parent.named_children():
            if isinstance(child, layers(rank).max_pool):
                arguments = (child.kernel_size, child.stride, child.padding, child.ceil_mode)
                setattr(parent, name, layers(rank).avg_pool(*arguments))
            elif isinstance(child, nn.ReLU | nn.ReLU6):  # the latter has no gradient above 6
                setattr(parent, name, nn.Identity())
    for parameter in model.parameters():
        fan_in = max(parameter[0].numel(), 1) if parameter.ndim > 1 else 1
        values = torch.rand(parameter.shape, generator=generator, dtype=torch.double) + 0.5
        parameter.data = values / fan_in
    return model.double().eval()


class OneMap(nn.Module):
    """One positive filter on the mean of its input's maps, in place of any convolution's."""

    def __init__(self, conv, rank):
        super().__init__()
        taps = (conv.kernel_size, conv.stride, conv.padding, conv.dilation)
        self.conv = layers(rank).conv(1, 1, *taps, bias=False, device="cpu")
        self.ends = getattr(conv, "padding_for", None)
        if getattr(conv, "pads_by_size", False):
            self.ends = self.same

    def same(self, space):
        axes = zip(space, self.conv.kernel_size, self.conv.stride, self.conv.dilation, strict=True)
        return [same_padding(*axis) for axis in axes]

    def forward(self, x):
        x = x.mean(1, keepdim=True)
        if self.ends:
            x = F.pad(x, [end for axis in reversed(self.ends(x.shape[2:])) for end in axis])
        return self.conv(x)


class MeanOfLast(nn.Module):
    """In place of a linear layer on the last axis."""

    def forward(self, x):
        return x.mean(-1, keepdim=True)


def make_one_map(model, rank):
    """The network with one positive map in place of each layer's many, and all else linear.

    Every map of a layer sees the same places: which ones does not depend on how many maps there
    are. So the gradient has the support of the full network's at a thousandth of the cost. The
    network is on the meta device; what its modules' own forwards do in between stays.
    """
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, CONV_TYPES):
                setattr(parent, name, OneMap(child, rank))
            elif isinstance(child, ConnectedConv):
                setattr(parent, name, OneMap(child.convs[0], rank))
            elif isinstance(child, nn.Linear):
                setattr(parent, name, MeanOfLast())
            elif isinstance(child, POINTWISE):
                setattr(parent, name, nn.Identity())
    for parent in model.modules():
        for name, parameter in list(parent.named_parameters(recurse=False)):
            if parameter.is_meta:
                assert parameter.ndim == 1, name  # a scale of each map
                setattr(parent, name, nn.Parameter(torch.ones(1)))
    return make_linear(model, rank)


def support(model, shape, index):
    """(first, last) input position along each axis with a gradient to output `index`."""
    x = torch.ones(1, *shape, dtype=torch.double, requires_grad=True)
    y = model(x)
    place = (slice(None), slice(None), *index)
    (gradient,) = torch.autograd.grad(y[place].sum(), x)
    touched = gradient[0].abs().sum(0) > 0
    bounds = []
    for axis in range(touched.ndim):
        line = touched.movedim(axis, 0).flatten(1).any(1) if touched.ndim > 1 else touched
        where = line.nonzero().flatten()
        bounds.append((int(where[0]), int(where[-1])))
    return bounds


def inside(field, size, output_size):
    """An output whose whole field lies inside the input, near the middle; None without any."""
    for index in sorted(range(output_size), key=lambda i: abs(i - output_size // 2)):
        first = field.start + index * field.jump
        if first >= 0 and first + field.size <= size:
            return index
    return None


def room(field):
    """A side at which some output's field lies inside the input."""
    return math.ceil(field.size + 3 * field.jump - min(field.start, 0))


def last_map(model, shape):
    """The row of the last feature map."""
    return [layer for layer in receptive_field(model, shape) if layer.space is not None][-1]


class Features(nn.Module):
    """A network up to its last feature map."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, x):
        return self.model.forward_features(x)


class Branches(nn.Module):
    """A sum or a concatenation of branches."""

    def __init__(self, *branches, join):
        super().__init__()
        self.branches = nn.ModuleList(branches)
        self.join = join

    def forward(self, x):
        maps = [branch(x) for branch in self.branches]
        return sum(maps) if self.join == "add" else torch.cat(maps, 1)
