"""Plain networks from a line of text: `[conv-act]xN - pool - ... - fc`, in any rank.

The grammar, in which space between symbols means nothing::

    network := item ("-" item)*
    item    := layer | "[" network "]" "x" COUNT

The layers, `N`, `K`, `S` and `D` being whole numbers and what is in brackets optional:

=========================================  ====================================================
`convN[kK][sS][dD]`                        N filters of size K (3), stride S (1), dilation D (1)
`relu gelu silu tanh sigmoid leaky`        an activation
`bn`, `ln`                                 batch norm, layer norm over channels
`dropoutP`                                 drops with probability P while training
`maxpool[K]`, `avgpool[K]`                 pools windows of K (2) that tile the maps
`gap`, `gmp`, `flatten`                    ends the maps: their mean, their maximum, all of them
`fcN`                                      fully connected; the last one gives the logits
=========================================  ====================================================

The first layer is a `conv`, the last an `fc`, and one of `gap`, `gmp` and `flatten` is between. A
convolution pads so that only its stride makes maps smaller. `flatten` fixes the size of the maps
to that at `input_size`; those of another input are resized by averaging.

Axes: (n, c, *space) before the end of the maps, (n, c) after it.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from torch import nn

from striate.errors import ArgumentError, nearest
from striate.models.catalog import Variant, register_open
from striate.models.network import GridConfig, GridNetwork
from striate.nn.blocks import NORM_EPS, ChannelNorm
from striate.nn.conv import convolution
from striate.nn.heads import GlobalAveragePool, GlobalMaxPool
from striate.nn.ranks import layers

ACTIVATIONS: Final[dict[str, Callable[[], nn.Module]]] = {
    "relu": nn.ReLU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
    "leaky": nn.LeakyReLU,
}

FORMS: Final = {
    "conv": ("convN[kK][sS][dD]", r"conv(\d+)(?:k(\d+))?(?:s(\d+))?(?:d(\d+))?"),
    "maxpool": ("maxpool[K]", r"maxpool(\d+)?"),
    "avgpool": ("avgpool[K]", r"avgpool(\d+)?"),
    "dropout": ("dropoutP", r"dropout(\d*\.?\d+)"),
    "fc": ("fcN", r"fc(\d+)"),
    **{word: (word, word) for word in (*ACTIVATIONS, "bn", "ln", "gap", "gmp", "flatten")},
}
"""How each layer is written: for people, and as a pattern whose groups are its numbers."""

DEFAULTS: Final = {"conv": (0, 3, 1, 1), "maxpool": (2,), "avgpool": (2,)}
"""The numbers of a layer where they are left out."""

ENDS: Final = ("gap", "gmp", "flatten")
POOLS: Final = ("maxpool", "avgpool")
MAX_LAYERS: Final = 10_000


@dataclass(frozen=True, kw_only=True)
class Layer:
    """One layer of the text.

    Attributes:
        kind: Key of `FORMS`.
        numbers: Numbers of the layer, in the order they are written.
        position: Number of its first character in the text, from 1.
    """

    kind: str
    numbers: tuple[float, ...]
    position: int

    @property
    def size(self) -> int:
        """The first number: channels of a convolution, width of a pooling or of `fc`."""
        return int(self.numbers[0])

    @property
    def stride(self) -> int:
        """How much smaller it makes maps."""
        return (
            self.size if self.kind in POOLS else int(self.numbers[2]) if self.kind == "conv" else 1
        )


def parse(text: str) -> list[Layer]:
    """The layers of a text, groups written out.

    >>> [layer.kind for layer in parse("[conv8-relu]x2 - gap - fc3")]
    ['conv', 'relu', 'conv', 'relu', 'gap', 'fc']

    Raises:
        ArgumentError: The text is not of the grammar; the message names the character.
    """
    parser = _Parser(text)
    found = parser.network()
    if parser.position < len(text):
        raise parser.error(f"{text[parser.position]!r} is not expected", "join layers with -")
    _check_order(text, found)
    return found


class _Parser:
    """A text and the place up to which it is read."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.position = 0
        self._skip_space()

    def network(self) -> list[Layer]:
        found = self._item()
        while self._take("-"):
            found += self._item()
            if len(found) > MAX_LAYERS:
                raise self.error(f"there are more than {MAX_LAYERS} layers")
        return found

    def error(self, why: str, fix: str = "") -> ArgumentError:
        return _error(self.text, self.position + 1, why, fix)

    def _item(self) -> list[Layer]:
        start = self.position
        if not self._take("["):
            return [self._layer()]
        inner = self.network()
        if not self._take("]"):
            raise self.error(f"the [ of character {start + 1} is not closed", "add ]")
        if not self._take("x"):
            raise self.error("a group needs its count", "write for example [conv32-relu]x2")
        place, count = self.position, int(self._word(r"\d+") or 0)
        if not 1 <= count * len(inner) <= MAX_LAYERS:
            self.position = place
            raise self.error(
                "the count of a group must be at least 1", f"up to {MAX_LAYERS} layers"
            )
        return inner * count

    def _layer(self) -> Layer:
        place = self.position
        word = self._word(r"[A-Za-z0-9.]+")
        if not word:
            found = repr(self.text[place]) if place < len(self.text) else "the end"
            raise self.error(f"a layer is expected, not {found}")
        for kind, (_, pattern) in FORMS.items():
            if match := re.fullmatch(pattern, word):
                return Layer(kind=kind, numbers=_numbers(kind, match), position=place + 1)
        self.position = place
        for kind, (form, _) in FORMS.items():
            if word.startswith(kind):
                raise self.error(f"{word!r} is not understood", f"it is written {form}")
        near = nearest(word.rstrip("0123456789."), FORMS, 1)
        forms = ", ".join(form for form, _ in FORMS.values())
        raise self.error(
            f"unknown layer {word!r}", f"did you mean {near[0]!r}?" if near else f"known: {forms}"
        )

    def _take(self, symbol: str) -> bool:
        return bool(self._word(re.escape(symbol)))

    def _word(self, pattern: str) -> str:
        match = re.compile(pattern).match(self.text, self.position)
        self.position = match.end() if match else self.position
        self._skip_space()
        return match.group() if match else ""

    def _skip_space(self) -> None:
        while self.position < len(self.text) and self.text[self.position].isspace():
            self.position += 1


def _numbers(kind: str, match: re.Match[str]) -> tuple[float, ...]:
    given = match.groups()
    defaults = DEFAULTS.get(kind, (0,) * len(given))
    return tuple(
        default if number is None else float(number) if kind == "dropout" else int(number)
        for number, default in zip(given, defaults, strict=True)
    )


def _error(text: str, position: int, why: str, fix: str = "") -> ArgumentError:
    shown = text if len(text) <= 60 else f"{text[:57]}..."
    return ArgumentError(f"{shown!r}, at character {position}", why=why, fix=fix)


def _check_order(text: str, found: Sequence[Layer]) -> None:
    """Refuse layers that have no sense where, or with the numbers that, they stand."""
    if found[0].kind != "conv":
        raise _error(text, found[0].position, "the first layer must be a conv")
    ended = False
    for layer in found:
        _check_numbers(text, layer)
        if layer.kind in ENDS and ended:
            raise _error(text, layer.position, "the maps have ended before", "leave it out")
        if layer.kind in ("conv", *POOLS) and ended:
            raise _error(text, layer.position, f"{layer.kind} cannot follow the end of the maps")
        if layer.kind == "fc" and not ended:
            raise _error(text, layer.position, "maps cannot enter fc", "put gap - before it")
        ended = ended or layer.kind in ENDS
    if found[-1].kind != "fc":
        raise _error(text, len(text), "the last layer must be fc", "end with - gap - fc10")


def _check_numbers(text: str, layer: Layer) -> None:
    if layer.kind == "dropout" and not layer.numbers[0] < 1:
        raise _error(text, layer.position, "the probability must be below 1")
    if layer.kind != "dropout" and min(layer.numbers, default=1) < 1:
        raise _error(text, layer.position, "each number must be at least 1")
    if layer.kind == "conv" and layer.numbers[1] % 2 == 0:
        raise _error(text, layer.position, "the size of a filter must be odd")


@dataclass(frozen=True, kw_only=True)
class TextConfig(GridConfig):
    """One plain network.

    Attributes:
        text: The layers, as above; its last number gives way to `num_classes`.

    Raises:
        ArgumentError: The text is not of the grammar, or `input_size` is too small for it.
    """

    text: str

    def __post_init__(self) -> None:
        super().__post_init__()
        minimum = min_side(parse(self.text))
        if self.input_size < minimum:
            raise ArgumentError(
                f"input_size={self.input_size}", why=f"the minimum for {self.text!r} is {minimum}"
            )


def min_side(found: Sequence[Layer]) -> int:
    """The smallest side of an input that leaves a map of one place."""
    side = 1
    for layer in reversed(found):
        side = side * layer.stride if layer.kind in POOLS else (side - 1) * layer.stride + 1
    return side


def final_side(found: Sequence[Layer], side: int) -> int:
    """The side of the last maps for an input of a side."""
    for layer in found:
        side = side // layer.stride if layer.kind in POOLS else -(-side // layer.stride)
    return side


class TextNetwork(GridNetwork):
    """A plain network of any rank. Each block begins with a convolution or a pool."""

    config: TextConfig

    def __init__(self, config: TextConfig) -> None:
        found = parse(config.text)
        end = next(i for i, layer in enumerate(found) if layer.kind in ENDS)
        channels = config.in_channels
        stages: list[list[list[nn.Module]]] = [[]]
        for layer, after in pairwise(found[: end + 1]):
            biased = after.kind != "bn"  # its shift would take the place of a bias
            module = _map_layer(config.rank, channels, layer, biased)
            if (layer.kind in POOLS or layer.stride > 1) and stages[0]:
                stages.append([])
            if layer.kind in ("conv", *POOLS):
                stages[-1].append([])
            stages[-1][-1].append(module)
            channels = layer.size if layer.kind == "conv" else channels
        stem = nn.Sequential(*stages[0].pop(0))
        blocks = [[nn.Sequential(*block) for block in stage] for stage in stages]
        pool, num_features = _after_maps(config, found, end, channels)
        super().__init__(config, stem=stem, stages=blocks, num_features=num_features)
        self.pool = pool
        self.min_size = min_side(found)


def _map_layer(rank: int, channels: int, layer: Layer, biased: bool) -> nn.Module:
    if layer.kind == "conv":
        filters, size, stride, dilation = map(int, layer.numbers)
        return convolution(
            rank, channels, filters, size, stride=stride, dilation=dilation, bias=biased
        )
    if layer.kind in POOLS:
        pools = {"maxpool": layers(rank).max_pool, "avgpool": layers(rank).avg_pool}
        return pools[layer.kind](layer.size)
    if layer.kind == "bn":
        return layers(rank).batch_norm(channels)
    return ChannelNorm(channels) if layer.kind == "ln" else _pointwise(layer)


def _after_maps(
    config: TextConfig, found: Sequence[Layer], end: int, channels: int
) -> tuple[nn.Module, int]:
    """What ends the maps with the layers up to the last, and the features that come out."""
    parts: OrderedDict[str, nn.Module] = OrderedDict()
    if found[end].kind == "flatten":
        side = final_side(found, config.input_size)
        parts["resize"] = layers(config.rank).adaptive_avg_pool(side)
        parts["flatten"] = nn.Flatten(1)
        channels *= side**config.rank
    else:
        pools = {"gap": GlobalAveragePool, "gmp": GlobalMaxPool}
        parts[found[end].kind] = pools[found[end].kind]()
    for index, layer in enumerate(found[end + 1 : -1]):
        name = f"{layer.kind}{index}"
        if layer.kind == "fc":
            parts[name] = nn.Linear(channels, layer.size)
            channels = layer.size
        elif layer.kind == "bn":
            parts[name] = layers(1).batch_norm(channels)
        elif layer.kind == "ln":
            parts[name] = nn.LayerNorm(channels, eps=NORM_EPS)
        else:
            parts[name] = _pointwise(layer)
    return nn.Sequential(parts), channels


def _pointwise(layer: Layer) -> nn.Module:
    if layer.kind == "dropout":
        return nn.Dropout(layer.numbers[0])
    return ACTIVATIONS[layer.kind]()


def _is_text(name: str) -> bool:
    """Whether a name is meant as layers: a group, or a convolution or `fc` among them."""
    words = re.split(r"[-\s]+", name)
    return "[" in name or any(
        re.fullmatch(FORMS[kind][1], w) for kind in ("conv", "fc") for w in words
    )


def _variant(name: str) -> Variant:
    config = TextConfig(text=name, num_classes=parse(name)[-1].size)
    return Variant(family="text", config=config, build=TextNetwork)


register_open(_is_text, _variant)
