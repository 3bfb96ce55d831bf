"""What a network sees, found by differentiating it: the reference for the receptive-field engine."""

import math

import torch
from torch import nn

from striate.nn.ranks import layers


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


class Branches(nn.Module):
    """A sum or a concatenation of branches."""

    def __init__(self, *branches, join):
        super().__init__()
        self.branches = nn.ModuleList(branches)
        self.join = join

    def forward(self, x):
        maps = [branch(x) for branch in self.branches]
        return sum(maps) if self.join == "add" else torch.cat(maps, 1)
