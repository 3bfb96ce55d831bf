"""Five exercises about the network at hand, whose answers are its own numbers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, Final
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from striate.explorer.grid import Grid
from striate.explorer.learn.looked import (
    AXES,
    Looked,
    formula,
    is_convolution,
    size_of,
    times,
)
from striate.explorer.maps import PER_PAGE, small_maps
from striate.explorer.numbers import packed, unpacked
from striate.explorer.walked import INPUT

CHOICES: Final = 4
"""Answers to choose from."""

MOST_CHANNELS: Final = 12
"""Input channels of a kernel that can be compared by eye."""

PLAYGROUND: Final = {"size": 24, "kernel": 9, "stride": 6, "padding": 8, "dilation": 5}
"""Where the sliders of the playground end."""

MOST_WINDOWS: Final = 4
"""Layers whose windows are to be put together to a receptive field."""


@dataclass(frozen=True, eq=False)
class _Asked:
    """What the exercises are made from.

    Attributes:
        looked: The network with an item.
        rng: Chooses the layers and the order of answers.
    """

    looked: Looked
    rng: np.random.Generator

    def one_of(self, candidates: Sequence[int]) -> int:
        """One of some layers."""
        return candidates[int(self.rng.integers(len(candidates)))]


def exercises(looked: Looked, seed: int = 0) -> list[dict[str, Any]]:
    """The five exercises, each with its question, what is given, the answer and the reason for it.

    An exercise whose `missing` is set cannot be made of this network, and says why.

    Args:
        looked: The network with an item in it.
        seed: Chooses layers and answers; the same seed asks the same of the same network.
    """
    made = []
    for name, ask in EXERCISES.items():
        key = crc32(f"{looked.network['name']} {name}".encode())
        made.append({"name": name, **ask(_Asked(looked, np.random.default_rng([seed, key])))})
    return made


def _axis_word(rank: int) -> str:
    return {"position": "positions", "row": "rows", "column": "columns"}[AXES[rank][-1]]


def _number(question: str, given: list[list[str]], answer: int, **more: Any) -> dict[str, Any]:
    return {"form": "number", "question": question, "given": given, "answer": answer, **more}


def _missing(why: str) -> dict[str, Any]:
    return {"form": "missing", "missing": why}


def _windowed(looked: Looked) -> list[int]:
    """Layers with a window that is no single place, and whose size the formula gives."""
    return [
        n
        for n, node in enumerate(looked.nodes)
        if node["window"] is not None
        and prod(node["window"]["kernel"]) > 1
        and [size_of(node["window"], axis) for axis in range(len(node["space"]))] == node["space"]
    ]


def _given_window(window: dict[str, Any]) -> list[list[str]]:
    axis = len(window["space"]) - 1
    low, high = window["padding"][axis]
    padding = f"{low} at each end" if low == high else f"{low} before, {high} after"
    rows = [
        ["input size", str(window["space"][axis])],
        ["kernel size", str(window["kernel"][axis])],
        ["stride", str(window["stride"][axis])],
        ["padding", padding],
    ]
    dilation = window["dilation"][axis]
    return rows if dilation == 1 else [*rows, ["dilation", str(dilation)]]


def _size(asked: _Asked) -> dict[str, Any]:
    looked = asked.looked
    found = _windowed(looked)
    if not found:
        return _missing("No layer of this network slides a window of more than one place.")
    changing = [n for n in found if looked.nodes[n]["space"] != looked.nodes[n]["window"]["space"]]
    number = asked.one_of(changing or found)
    node = looked.nodes[number]
    window, axis = node["window"], len(node["space"]) - 1
    dilated = window["dilation"][axis] > 1
    because = (
        "With its dilation the window spans (kernel − 1) · dilation + 1 places. " if dilated else ""
    )
    return _number(
        f"How many {_axis_word(axis + 1)} does the map have that comes out of the "
        f"{looked.named(number)}?",
        _given_window(window),
        node["space"][axis],
        hint="⌊(input size + padding at both ends − kernel size) / stride⌋ + 1; ⌊ ⌋ means rounded "
        "down.",
        because=f"{because}{formula(window, axis)}.",
        look={"view": "network", "node": number, "channel": 0, "position": None},
    )


def _kernel(asked: _Asked) -> dict[str, Any]:
    looked = asked.looked
    number = looked.convolution
    if number is None or prod(looked.nodes[number]["window"]["kernel"]) == 1:
        return _missing("This network has no convolution with a kernel of more than one place.")
    node = looked.nodes[number]
    grid = looked.walked.grid(number)
    middle = [n // 2 for n in grid.space]
    kernels = [
        unpacked(looked.cell(number, c, middle)["kernel"])
        for c in range(min(grid.channels, PER_PAGE))
    ]
    if len(kernels) < 2:
        return _missing(f"The {looked.named(number)} has a single kernel.")
    if len(kernels[0]) > MOST_CHANNELS:
        why = f"reach over {len(kernels[0])} channels, too many to compare by eye"
        return _missing(f"The kernels of the {looked.named(number)} {why}.")
    channels = _unlike(grid.array[: len(kernels)], asked.rng)
    right = int(asked.rng.integers(len(channels)))
    chosen = np.stack([_flat_taps(kernels[c]) for c in channels])
    return {
        "form": "kernel",
        "question": f"Which of these kernels of the {looked.named(number)} made this map?",
        "given": [],
        "maps": small_maps(Grid(grid.array[channels])),
        "kernels": packed(chosen),
        "channels": channels,
        "of_item": node["inputs"] == [INPUT],
        "numbers": _one_window(looked, number, channels, right),
        "answer": right,
        "hint": f"The map is {'high' if len(grid.space) == 1 else 'blue'} where the window looks like the kernel: positive weights over "
        "large numbers, negative weights over small ones. A kernel that is blue on one side and "
        "orange on the other answers to edges.",
        "because": f"It is kernel {channels[right]}, and so this is channel {channels[right]}.",
        "look": {"view": "network", "node": number, "channel": channels[right], "position": None},
    }


def _flat_taps(kernel: NDArray[Any]) -> NDArray[Any]:
    """(channels, rows, columns) of a kernel: of a volume the middle slice, of a series one row."""
    if kernel.ndim == 4:
        return kernel[:, kernel.shape[1] // 2]
    return kernel if kernel.ndim == 3 else kernel[:, None]


def _unlike(maps: NDArray[Any], rng: np.random.Generator) -> list[int]:
    """Channels whose maps are as different as can be, in any order."""
    flat = maps.reshape(len(maps), -1).astype(np.float64)
    flat = flat - flat.mean(axis=1, keepdims=True)
    norms = np.linalg.norm(flat, axis=1)
    alive = np.flatnonzero(norms > 1e-6 * max(norms.max(), 1e-30))
    alive = alive if len(alive) > 1 else np.arange(len(maps))
    unit = flat / np.maximum(norms, 1e-30)[:, None]
    alike = np.abs(unit @ unit.T)
    found = [int(rng.choice(alive))]
    while len(found) < min(CHOICES, len(alive)):
        left = [int(c) for c in alive if c not in found]
        found.append(min(left, key=lambda c: float(alike[c, found].max())))
    return [found[i] for i in rng.permutation(len(found))]


def _one_window(looked: Looked, number: int, channels: Sequence[int], right: int) -> dict[str, Any]:
    """The numbers of one window and what was made of them, for those who compute or cannot see."""
    middle = [n // 2 for n in looked.walked.grid(number).space]
    cells = [looked.cell(number, c, middle) for c in channels]
    return {
        "position": middle,
        "window": cells[right]["window"],
        "value": cells[right]["value"],
        "kernels": [cell["kernel"] for cell in cells],
        "biases": [cell["bias"] for cell in cells],
    }


def _field(asked: _Asked) -> dict[str, Any]:
    looked = asked.looked
    found = [n for n in _windowed(looked) if _windows_before(looked, n)]
    many = [n for n in found if len(_windows_before(looked, n)) > 1]
    if not found:
        return _missing("No layer of this network has a receptive field that can be put together.")
    number = asked.one_of(many or found)
    chain = _windows_before(looked, number)
    axis = len(looked.nodes[number]["space"]) - 1
    given, sums, size, jump = [], [], 1, 1
    for n in chain:
        window = looked.nodes[n]["window"]
        kernel, stride, dilation = (window[k][axis] for k in ("kernel", "stride", "dilation"))
        spread = f", dilation {dilation}" if dilation > 1 else ""
        given.append([looked.named(n), f"kernel {kernel}, stride {stride}{spread}"])
        sums.append(f"{size} + {(kernel - 1) * dilation} · {jump} = ")
        size += (kernel - 1) * dilation * jump
        sums[-1] += str(size)
        jump *= stride
    return _number(
        f"How many {_axis_word(axis + 1)} of the {looked.item} can change one number of the "
        f"{looked.named(number)}?",
        given,
        int(looked.nodes[number]["fields"][axis]["size"]),
        hint="Begin with 1. Each layer adds (kernel − 1) times the product of all strides before "
        "it.",
        because=f"{'; '.join(sums)}: each layer adds (kernel − 1) times the strides before it.",
        look={"view": "fields", "node": number},
    )


def _windows_before(looked: Looked, number: int) -> list[int]:
    """The layers with a window up to this one, if few, one after the other, and all that counts."""
    chain = looked.chain(number)
    node = looked.nodes[number]
    if chain is None or not node["fields"] or not all(node["fields"]):
        return []
    axis = len(node["space"]) - 1
    found = [n for n in chain if looked.nodes[n]["window"] is not None]
    size, jump = 1, 1
    for n in found:
        window = looked.nodes[n]["window"]
        size += (window["kernel"][axis] - 1) * window["dilation"][axis] * jump
        jump *= window["stride"][axis]
    explained = size == node["fields"][axis]["size"] and len(found) <= MOST_WINDOWS
    return found if explained else []


def _weights(asked: _Asked) -> dict[str, Any]:
    looked = asked.looked
    counts = {n: node["parameters"] for n, node in enumerate(looked.nodes) if node["parameters"]}
    most = max(counts, key=lambda n: counts[n], default=None)
    others = [n for n in counts if most is not None and counts[n] < counts[most]]
    if most is None or not others:
        return _missing("Fewer than two layers of this network have weights of different number.")
    heavy = sorted(others, key=lambda n: -counts[n])[: 3 * CHOICES]  # norms would be too easy
    picked = asked.rng.choice(heavy, min(CHOICES - 1, len(heavy)), replace=False)
    options = [most, *map(int, picked)]
    options = [options[i] for i in asked.rng.permutation(len(options))]
    said = [
        f"{looked.nodes[n]['name']} {counts[n]:,}" for n in sorted(options, key=lambda n: counts[n])
    ]
    share = 100 * counts[most] / max(sum(counts.values()), 1)
    return {
        "form": "choice",
        "question": "Which of these layers has most weights?",
        "given": [],
        "options": [_described(looked, n) for n in options],
        "answer": options.index(most),
        "hint": "A kernel has as many weights as its window has places, times the input channels; "
        "there is a kernel for each output channel. A fully connected layer has one weight for "
        "each pair of an input and an output.",
        "because": f"{'; '.join(reversed(said))}. The first has {share:.0f} % of all weights.",
        "look": {"view": "network", "node": most, "channel": 0, "position": None},
    }


def _described(looked: Looked, number: int) -> str:
    node = looked.nodes[number]
    sources = node["inputs"]
    given = looked.walked.grid(sources[0]).channels if len(sources) == 1 else None
    channels = f": {given} channels in, {node['channels']} out" if given else ""
    return f"{looked.named(number)}{channels}"


def _stride(asked: _Asked) -> dict[str, Any]:
    looked = asked.looked
    found = [n for n in _windowed(looked) if size_of(looked.nodes[n]["window"], -1) > 2]
    if not found:
        return _missing("No layer of this network slides a window that could take longer strides.")
    convolutions = [n for n in found if is_convolution(looked.nodes[n])]
    number = asked.one_of(convolutions or found)
    node = looked.nodes[number]
    window = node["window"]
    axes = range(len(node["space"]))
    strides = [2 * window["stride"][axis] for axis in axes]
    after = [size_of(window, axis, strides[axis]) for axis in axes]
    now, then = times(node["space"]), times(after)
    options = [
        f"The map gets {then} places in place of {now}; the number of weights stays the same.",
        f"The map keeps its {now} places; the kernel gets half as many weights.",
        f"The map keeps its {now} places; each number in it is halved.",
        f"The map gets {times(2 * n for n in node['space'])} places in place of {now}.",
    ]
    order = [int(i) for i in asked.rng.permutation(len(options))]
    words = f"{window['stride'][-1]} to {strides[-1]}"
    axis = len(node["space"]) - 1
    return {
        "form": "choice",
        "question": f"What would happen if the stride of the {looked.named(number)} went from "
        f"{words}?",
        "given": _given_window(window),
        "options": [options[i] for i in order],
        "answer": order.index(0),
        "hint": "The stride is how far the window moves from one cell of the map to the next.",
        "because": f"The window would stop at every {_nth(strides[-1])} place: "
        f"{formula(window, axis, strides[-1])}. Its weights stay, and each cell is computed as "
        "before. The receptive fields of all later layers would grow twice as fast.",
        "look": _to_play(number, window, strides[axis]),
    }


def _nth(number: int) -> str:
    if number == 2:
        return "second"
    ending = {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{'th' if number % 100 in (11, 12, 13) else ending}"


def _to_play(number: int, window: dict[str, Any], stride: int) -> dict[str, Any]:
    """The last axis of a window on the playground, or the layer where its sliders end before."""
    values = {
        "size": window["space"][-1],
        "kernel": window["kernel"][-1],
        "stride": stride,
        "padding": window["padding"][-1][0],
        "dilation": window["dilation"][-1],
    }
    even = window["padding"][-1][0] == window["padding"][-1][1]
    if even and all(values[name] <= most for name, most in PLAYGROUND.items()):
        return {"view": "playground", "values": values}
    return {"view": "network", "node": number, "channel": 0, "position": None}


EXERCISES: Final[dict[str, Callable[[_Asked], dict[str, Any]]]] = {
    "What size comes out?": _size,
    "Which kernel made this map?": _kernel,
    "How large is the field?": _field,
    "Which layer has most weights?": _weights,
    "What does the stride do?": _stride,
}
"""The exercises by their titles, in their order."""
