"""What the pages compute with: networks without values, geometry, and tables."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Sequence
from dataclasses import MISSING
from functools import cache

import torch
from torch import nn

from striate.analysis import EffectiveField, Summary, effective_field, summary
from striate.cli.fit import flag_of, help_of
from striate.fitting.methods import finetune as fine_tuning
from striate.fitting.options import declared_options
from striate.geometry import (
    Cost,
    convolution_cost,
    dense_cost,
    plan_windows,
)
from striate.kinds.image.inputs import ImageInputs
from striate.kinds.kind import kind_named
from striate.models import MODELS, Network, create_model, describe
from striate.models.catalog import Description
from striate.models.kernel_machine import ScaleFeatures
from striate.nn.ranks import CONV_TYPES, layers

__all__ = ["dense_cost"]
"""Used by the pages alone."""


def table(*rows: Sequence[object]) -> str:
    """Markdown; the first row is the head, numbers stand to the right."""
    head, *body = [[_cell(value) for value in row] for row in rows]
    columns = zip(*body, strict=True)
    marks = [
        "---:" if all(re.fullmatch(r"-?[\d.,]+|-|all", x) for x in c) else "---" for c in columns
    ]
    return "\n".join(f"| {' | '.join(row)} |" for row in [head, marks, *body])


def _cell(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) else str(value)


@cache
def network(name: str, rank: int = 2) -> Network:
    """A network by name, without values for its weights."""
    with torch.device("meta"):
        return create_model(name, rank=rank)


@cache
def of(name: str, side: int | None = None, rank: int = 2) -> Summary:
    """What a network by name holds, computes and sees, at its own size or another."""
    model = network(name, rank)
    return summary(model, (3, *[side or model.config.input_size] * rank))


def times(values: Iterable[object]) -> str:
    """3 x 224 x 224."""
    return " x ".join(map(str, values))


def axes(values: Sequence[object] | None) -> object:
    """One number where all axes are alike; `all` for None."""
    if values is None:
        return "all"
    return times(values) if len(set(values)) > 1 else values[0]


def share(part: int, whole: int) -> str:
    """A percentage."""
    return f"{100 * part / whole:.1f} %"


def scale_features(name: str) -> int:
    """Features of every scale that a network gives of an item."""
    return ScaleFeatures(network(name)).num_features


def late_blocks(name: str) -> list[str]:
    """Blocks whose maps give the features of every scale."""
    model = network(name)
    described = ScaleFeatures(model).described
    return [block for (block, _), used in zip(model.blocks(), described, strict=True) if used]


def parameters_of(name: str, *modules: str) -> int:
    """Parameters of some of a network's parts."""
    parts = [network(name).get_submodule(module) for module in modules]
    return sum(p.numel() for part in parts for p in part.parameters())


# Convolution


def windows_table(size: int, settings: Sequence[tuple[int, int, object, int]]) -> str:
    """Output sizes of settings (kernel_size, stride, padding, dilation) on one axis."""
    rows = []
    for kernel_size, stride, padding, dilation in settings:
        (window,) = plan_windows(
            (size,), kernel_size, stride=stride, padding=(padding,), dilation=dilation
        )
        ends = f"{window.low} + {window.high}"
        out = window.output_size(size)
        rows.append((kernel_size, stride, padding, dilation, ends, window.extent, out))
    head = ("kernel", "stride", "padding", "dilation", "zeros added", "extent", "output")
    return table(head, *rows)


def costs_table(steps: dict[str, Cost]) -> str:
    """Costs side by side, with those of the first as one."""
    first = next(iter(steps.values()))
    rows = [
        (name, c.parameters, c.multiply_adds, _ratio(c.multiply_adds / first.multiply_adds))
        for name, c in steps.items()
    ]
    return table(("layers", "weights", "multiply-adds", "times the first"), *rows)


def _ratio(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def filters(in_channels: int, out_channels: int, kernel: int, side: int, groups: int = 1) -> Cost:
    """Cost of a 2-D convolution without bias that gives maps of `side` x `side`."""
    return convolution_cost(
        in_channels, out_channels, [kernel] * 2, [side] * 2, groups=groups, bias=False
    )


def together(*costs: Cost) -> Cost:
    """Costs of layers one after the other."""
    return Cost(sum(c.parameters for c in costs), sum(c.multiply_adds for c in costs))


def shares_table(*names: str) -> str:
    """How networks spread their multiply-adds over kinds of layers, in percent."""
    head = ("network", "1x1", "depthwise", "larger windows", "dense")
    return table(head, *((f"`{name}`", *_shares(name)) for name in names))


def _shares(name: str) -> list[str]:
    modules = dict(network(name).named_modules())
    maps = {layer.name for stage in of(name).stages() for layer in stage.layers}
    spent = dict.fromkeys(("1x1", "depthwise", "larger", "dense"), 0)
    for layer in of(name).layers:
        module = modules.get(layer.name)
        if layer.name not in maps:
            kind = "dense"
        elif not isinstance(module, CONV_TYPES):
            kind = "1x1"  # a linear layer at every position
        elif module.groups == module.in_channels:
            kind = "depthwise"
        else:
            kind = "1x1" if set(module.kernel_size) == {1} else "larger"
        spent[kind] += layer.multiply_adds
    return [f"{100 * count / of(name).multiply_adds:.1f}" for count in spent.values()]


# Receptive fields

pictured_depth = 16
"""Layers of the stack whose effective field is drawn."""


def field_table(name: str) -> str:
    """Fields of a network's convolutions and poolings, up to its head."""
    kinds = ("Conv2d", "MaxPool2d")
    rows = [
        (x.name, times(x.output_shape), axes(x.receptive_field), axes(x.jump), axes(x.start))
        for x in of(name).layers
        if x.kind in kinds and not x.name.startswith(("pool.", "head."))
    ]
    return table(("layer", "output", "field", "jump", "start"), *rows)


def stack_effective_field(depth: int) -> EffectiveField:
    """Of 3x3 convolutions whose weights are all alike, in the middle of a large enough input."""
    conv = layers(2).conv(1, 1, 3, padding=1, bias=False)
    nn.init.constant_(conv.weight, 1 / 9)
    side = 2 * depth + 1
    return effective_field(
        nn.Sequential(*[conv.double()] * depth), torch.zeros(1, 1, side, side, dtype=torch.float64)
    )


def effective_table(depths: Sequence[int]) -> str:
    """Theoretical and effective fields of stacks of 3x3 convolutions."""
    rows = [(d, 2 * d + 1, stack_effective_field(d).size(0.95)[0]) for d in depths]
    return table(("3x3 convolutions", "field", "effective field"), *rows)


# Architectures


@cache
def described() -> dict[str, Description]:
    """Every network's row, by name."""
    return {d.name: d for d in describe()}


def families() -> dict[str, list[str]]:
    """Names of the networks of each file that has every rank, the oldest family first."""
    names: dict[str, list[str]] = {}
    for name, variant in MODELS.items():
        if len(variant.ranks) == 3 and name not in ("kernel_machine", "memory_bank"):
            names.setdefault(variant.build.__module__, []).append(name)
    return dict(sorted(names.items(), key=lambda item: _described(item[1][0])[2]))


def families_table() -> str:
    """A row for each family: the first sentence of its module, its year and its sizes."""
    rows = []
    for names in families().values():
        title, idea, year = _described(names[0])
        sizes = sorted(described()[name].parameters for name in names)
        low, high = f"{sizes[0] / 1e6:.3g}", f"{sizes[-1] / 1e6:.3g}"
        rows.append((f"**{title}**", year, idea, len(names), low, high))
    head = ("family", "year", "idea", "networks", "smallest, M", "largest, M")
    return table(head, *((r[0], str(r[1]), *r[2:]) for r in rows))


def networks_table() -> str:
    """A row for each network."""
    rows = [
        (
            f"`{d.name}`",
            d.parameters,
            d.input_size or "-",
            ", ".join(f"`{w}`" for w in d.weights) or "-",
        )
        for d in described().values()
    ]
    return table(("network", "parameters", "input", "weights"), *rows)


def costs_of_families() -> str:
    """What the smallest network of each family computes and sees, at its own size."""
    rows = []
    for names in families().values():
        name = min(names, key=lambda n: described()[n].parameters)
        found = of(name)
        field = axes(found.receptive_field)
        last = found.stages()[-1]
        shape = times((last.channels, *last.space))
        size = found.input_shape[-1]
        rows.append((f"`{name}`", size, found.multiply_adds, shape, field))
    return table(("network", "input", "multiply-adds", "last map", "receptive field"), *rows)


def ranks_table(*names: str) -> str:
    """Parameters of networks in one, two and three dimensions."""
    rows = [
        (f"`{name}`", *(sum(p.numel() for p in network(name, r).parameters()) for r in (1, 2, 3)))
        for name in names
    ]
    return table(("network", "1-D", "2-D", "3-D"), *rows)


def _described(name: str) -> tuple[str, str, int]:
    """Family name, idea and year, from the first lines of its module."""
    text = sys.modules[MODELS.get(name).build.__module__].__doc__ or ""
    first, _, rest = text.partition("\n")
    sentence = first.removesuffix(".").removesuffix(" in one, two or three dimensions")
    title, idea = [*re.split("[:,] ", sentence.removesuffix(","), maxsplit=1), ""][:2]
    years = re.findall(r"(?<![\d:.])\b(?:19|20)\d\d\b(?!\.\d)", rest)
    return title, idea, min(map(int, years), default=0)


# Transfer and the command line


def blocks_table(name: str) -> str:
    """Each block's cost, and whether fine-tuning trains it."""
    frozen = set(frozen_blocks(name))
    rows = []
    for block, module in network(name).blocks():
        spent = sum(x.multiply_adds for x in of(name).layers if x.name.startswith(f"{block}."))
        count = sum(p.numel() for p in module.parameters())
        rows.append((f"`{block}`", count, spent, "stays" if block in frozen else "trained further"))
    head = network(name).get_submodule("head")
    count = sum(p.numel() for p in head.parameters())
    rows.append(("`head`", count, of(name).layers[-1].multiply_adds, "fitted anew"))
    return table(("block", "parameters", "multiply-adds", "in fine-tuning"), *rows)


def frozen_blocks(name: str) -> list[str]:
    """The first blocks, which fine-tuning leaves as they are."""
    model = network(name)
    inputs = ImageInputs(size=model.config.input_size)
    stride = kind_named("image").defaults(inputs).frozen_stride
    assert stride is not None
    count = fine_tuning.frozen_blocks(model, inputs.input_shape, stride)
    return [block for block, _ in model.blocks()[:count]]


def options_table() -> str:
    """The options of `fit` as the command line spells them."""
    rows = []
    for declared in declared_options():
        default = "" if _says_nothing(declared.default) else f"`{declared.default}`"
        rows.append((f"`{flag_of(declared.name)}`", help_of(declared), default))
    return table(("option", "meaning", "default"), *rows)


def _says_nothing(default: object) -> bool:
    return any(default is nothing for nothing in (None, False, MISSING))


def of_frozen(name: str, count: str) -> tuple[int, int]:
    """Parameters or multiply-adds of the blocks that fine-tuning leaves alone, and of all."""
    frozen = tuple(f"{block}." for block in frozen_blocks(name))
    counts = [(layer.name, getattr(layer, count)) for layer in of(name).layers]
    return sum(n for x, n in counts if x.startswith(frozen)), sum(n for _, n in counts)
