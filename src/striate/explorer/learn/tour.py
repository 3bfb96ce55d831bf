"""A tour in eight steps, from a number of the item to the answer, on the network at hand."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, Final

from striate.explorer.learn.looked import (
    Looked,
    formula,
    is_convolution,
    place,
    shown,
    times,
    title,
)
from striate.explorer.walked import INPUT
from striate.progress import counted

MOST_VALUES: Final = 4
"""Numbers that are read out one by one."""


@dataclass(frozen=True, eq=False)
class _Followed:
    """The one number that the first steps follow.

    Attributes:
        looked: The network with the item.
        number: The first layer with products; None where there is none.
        cell: How the number came about.
    """

    looked: Looked
    number: int | None
    cell: dict[str, Any]

    @property
    def node(self) -> dict[str, Any]:
        """The layer of the number."""
        return self.looked.nodes[self.number or 0]

    @property
    def start(self) -> list[int]:
        """The first place of the window that lies inside the item; empty where all is taken."""
        return [max(0, start) for start in self.cell.get("start", ())]


def tour(looked: Looked) -> list[dict[str, Any]]:
    """Eight steps, each with a title, a text, the numbers of it, and where they are seen.

    The first steps follow one number: the strongest that the first convolution makes of this item.
    Where the network has no such layer, a step says so.

    Args:
        looked: The network with the item.
    """
    number = looked.convolution
    if number is None:
        number = next((n for n in range(len(looked.nodes)) if looked.adds_up(n)), None)
    cell: dict[str, Any] = {}
    if number is not None:
        cell = looked.cell(number, *looked.strongest(number))
    followed = _Followed(looked, number, cell)
    return [step(followed) for step in STEPS]


def _step(
    heading: str,
    text: str,
    facts: Sequence[tuple[str, float | str]] = (),
    look: dict[str, Any] | None = None,
) -> dict[str, Any]:
    rows = [[name, value if isinstance(value, str) else shown(value)] for name, value in facts]
    return {"title": heading, "text": text, "facts": rows, "look": look}


def _at(number: int, channel: int, position: Sequence[int], part: str = "cell") -> dict[str, Any]:
    """A cell in the view of the network; `part` is where to look there, its "layer" or "cell", or
    "then", what is made of the cell's number.
    """
    where = {"node": number, "channel": channel, "position": list(position), "part": part}
    return {"view": "network", **where}


def _numbers(followed: _Followed) -> dict[str, Any]:
    looked = followed.looked
    grid = looked.walked.item
    position = followed.start
    if followed.number is None or looked.nodes[followed.number]["inputs"] != [INPUT]:
        position = []
    position = position or [n // 2 for n in grid.space]
    channels = range(min(grid.channels, MOST_VALUES))
    colours = {3: ("red", "green", "blue")}.get(grid.channels, ()) if len(position) == 2 else ()
    names = {c: f"channel {c}" + (f" ({colours[c]})" if colours else "") for c in channels}
    text = (
        f"The network never sees a {looked.item}. It is given "
        f"{counted(prod(grid.array.shape), 'number')}: {times(grid.array.shape)}, "
        f"{counted(grid.channels, 'channel')} of {times(grid.space)} places. They have been "
        f"shifted and scaled so that they lie around 0. These are the ones at {place(position)}."
    )
    facts = [(names[c], grid.at(c, position)) for c in channels]
    return _step(f"A {looked.item} is numbers", text, facts, _at(INPUT, 0, position, "layer"))


def _window(followed: _Followed) -> dict[str, Any]:
    looked, cell = followed.looked, followed.cell
    heading = "A small window"
    if followed.number is None:
        return _step(heading, "No layer of this network multiplies a window with a kernel.")
    shape = cell["window"]["shape"]
    look = _at(cell["node"], cell["channel"], cell["position"], "layer")
    name = looked.named(followed.number)
    if "start" not in cell:
        text = (
            "This network has no convolution whose steps can be shown here. Its first layer with "
            f"known weights, the {name}, takes all {counted(shape[0], 'number')} of one place at "
            "once."
        )
        return _step("No window", text, [("numbers taken", str(prod(shape)))], look)
    outside = any(start < 0 for start in cell["start"])
    padded = " What lies outside is padding, and counts as 0." if outside else ""
    source = looked.nodes[followed.number]["inputs"]
    of = f"the {looked.item}" if source == [INPUT] else "the maps before it"
    earlier = any(is_convolution(node) for node in looked.nodes[: followed.number])
    wider = " with a window of more than one place" if earlier else ""
    channel_text = counted(shape[0], "channel")
    text = (
        f"The first convolution{wider}, {looked.nodes[followed.number]['name']}, does not look at all of "
        f"{of} at once, but through a window of {times(shape[1:])} places, in {channel_text}: "
        f"{counted(prod(shape), 'number')}. Here the window begins at {place(cell['start'])}."
        f"{padded} It was chosen because the number that comes of it is large."
    )
    facts = [("window", times(shape[1:])), ("numbers in it", str(prod(shape)))]
    return _step(heading, text, facts, look)


def _kernel(followed: _Followed) -> dict[str, Any]:
    cell = followed.cell
    heading = "Times a kernel, and added up"
    if followed.number is None:
        return _step(heading, "No layer of this network adds up products.")
    bias = cell["bias"]
    added = "" if bias is None else " Then a bias is added, one number for the whole kernel."
    learnt = "The weights were learnt" if followed.looked.trained else "The weights are random here"
    text = (
        f"Each of the {counted(prod(cell['window']['shape']), 'number')} is multiplied with a "
        f"weight of its own, and the products are added up.{added} The weights together are a "
        f"kernel; this is kernel {cell['channel']} of {followed.node['channels']}. {learnt}, and "
        "the sum is large where the window looks like the kernel."
    )
    facts = [("sum of the products", cell["sum"])]
    facts += [] if bias is None else [("bias", bias)]
    facts += [("result", cell["result"])]
    return _step(heading, text, facts, _at(cell["node"], cell["channel"], cell["position"]))


def _activation(followed: _Followed) -> dict[str, Any]:
    looked, cell = followed.looked, followed.cell
    heading = "What becomes of the number"
    after = cell.get("then", [])
    if not after:
        text = "In this network nothing is done to this number by itself: it is handed on as it is."
        return _step(heading, text)
    before = cell["value"]
    facts: list[tuple[str, float | str]] = [("before", before)]
    sentences = []
    for step in after:
        name = title(looked.nodes[step["node"]])
        if step["form"] == "norm":
            sentences.append(
                f"The {name} takes away the mean of {step['over']} and divides by their standard "
                "deviation, so that no layer gets numbers that are far too large or too small."
            )
        elif step["form"] == "function":
            sentences.append(
                f"Then the activation {name}, {step['formula']}, is applied. Without a bend like "
                "this many layers could do no more than a single one."
            )
        facts.append((f"after {name}", step["value"]))
    text = " ".join(sentences)
    look = _at(cell["node"], cell["channel"], cell["position"], "then")
    return _step(heading, text, facts, look)


def _map(followed: _Followed) -> dict[str, Any]:
    node, heading = followed.node, "One kernel, one map"
    if followed.number is None or not is_convolution(node):
        text = "This network has no convolution whose steps can be shown here."
        return _step(heading, text)
    cell, window = followed.cell, node["window"]
    dense = node["dense_parameters"]
    fewer = f" A fully connected layer in its place would need {dense:,}." if dense else ""
    text = (
        f"The same kernel is laid over every place, and each result is one cell of a map of "
        f"{times(node['space'])}. There are {counted(node['channels'], 'kernel')}, so there are as "
        f"many maps. All of them together have {counted(node['parameters'], 'weight')}.{fewer} Along "
        "each axis there are as many cells as the window makes stops: ⌊(size + padding − kernel) / "
        "stride⌋ + 1."
    )
    facts = [
        ("maps", times([node["channels"], *node["space"]])),
        ("cells along the last axis", formula(window, len(node["space"]) - 1)),
    ]
    return _step(
        heading, text, facts, _at(cell["node"], cell["channel"], cell["position"], "layer")
    )


def _smaller(followed: _Followed) -> dict[str, Any]:
    looked, heading = followed.looked, "Smaller maps"
    found = [
        (n, node)
        for n, node in enumerate(looked.nodes)
        if node["window"] is not None
        and prod(node["space"]) < prod(node["window"]["space"])
        and max(node["window"]["stride"]) > 1
    ]
    if not found:
        text = "No layer of this network is known to move a window by more than one place."
        return _step(heading, text)
    number, node = found[0]
    window = node["window"]
    how = {"M": "keeps the largest number of each", "A": "takes the mean of each"}.get(
        node["kind"][0], "adds up products in each"
    )
    text = (
        f"The {looked.named(number)} moves its window by {times(window['stride'])} places at a "
        f"time and {how}. So {times(window['space'])} places become {times(node['space'])}: there "
        "is less to compute from here on, and the next window spans more of the item."
    )
    facts = [("before", times(window["space"])), ("after", times(node["space"]))]
    channel, position = looked.strongest(number)
    return _step(heading, text, facts, _at(number, channel, position))


def _field(followed: _Followed) -> dict[str, Any]:
    looked, heading = followed.looked, "Deeper units see more"
    item = looked.network["input_shape"][1:]
    known = [
        (n, node)
        for n, node in enumerate(looked.nodes)
        if node["window"] is not None and node["fields"] and all(node["fields"])
    ]
    if not known:
        text = (
            f"No unit of this network is known to see less than the whole {looked.item}: any place "
            "of it can change any number."
        )
        return _step(heading, text, [], {"view": "fields"})
    # Branches lie beside each other, so that a later layer may see less than one before it.
    by_size = {tuple(int(field["size"]) for field in node["fields"]): n for n, node in known[::-1]}
    sizes = sorted(by_size, key=prod)
    picked = [sizes[i] for i in sorted({0, len(sizes) // 2, len(sizes) - 1})]
    facts = [(looked.named(by_size[size]), times(size)) for size in picked]
    if len(picked) == 1:
        text = (
            f"A unit of the {looked.named(by_size[picked[0]])} sees {times(picked[0])} of the "
            f"{times(item)} places of the {looked.item}. No later layer looks through a wider window: "
            f"what follows may take from the whole {looked.item} at once, as attention does, where "
            "every token takes from all others."
        )
        return _step(heading, text, facts, {"view": "fields"})
    larger = any(size > n for size, n in zip(sizes[-1], item, strict=True))
    beyond = " A field may be larger than that; it then reaches into the padding." if larger else ""
    text = (
        f"A unit of an early layer sees a few places of the {looked.item}. A unit of the next "
        "one sees several of those units, and so more of the item; layer by layer this receptive "
        f"field grows. The {looked.item} has {times(item)} places.{beyond}"
    )
    return _step(heading, text, facts, {"view": "fields"})


def _answer(followed: _Followed) -> dict[str, Any]:
    looked, heading = followed.looked, "From maps to an answer"
    last = len(looked.nodes) - 1
    outputs = looked.outputs
    best = outputs[0]
    look = _at(last, best["number"], [])
    if looked.walked.grid(last).space:
        look = _at(last, 0, [n // 2 for n in looked.walked.grid(last).space])
    if len(outputs) == 1:
        text = f"The last layer, the {looked.named(last)}, makes one number of it all: the answer."
        return _step(heading, text, [("answer", best["logit"] or 0.0)], look)
    random = (
        ""
        if looked.trained
        else " The weights of this network are random, so this answer means nothing yet."
    )
    text = (
        f"The last layer, the {looked.named(last)}, makes {counted(len(outputs), 'number')}, one "
        f"for each class. Softmax turns them into shares that add up to 1: the exponential of each "
        f"over the sum of all. The largest is “{best['class']}”.{random}"
    )
    facts: list[tuple[str, float | str]] = [(best["class"], best["logit"] or 0.0)]
    facts.append(("its share", f"{100 * (best['share'] or 0.0):.1f} %"))
    if best["probability"] is not None:
        facts.append(("calibrated", f"{100 * best['probability']:.1f} %"))
    return _step(heading, text, facts, look)


STEPS: Final[tuple[Callable[[_Followed], dict[str, Any]], ...]] = (
    _numbers,
    _window,
    _kernel,
    _activation,
    _map,
    _smaller,
    _field,
    _answer,
)
"""The steps in their order."""
