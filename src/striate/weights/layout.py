"""Tensors of a checkpoint under our names, whoever named them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from torch import Tensor

from striate.errors import WeightsError
from striate.weights.manifest import Layout

_BLOCK: Final = re.compile(r"stages\.(\d+)\.(\d+)\.")

_AVERAGED: Final = ("ema", "teacher")
"""Parts of a name which say that weights are the mean over a training's last steps."""

LETTERS: Final = "abcdefghijklmnopqrstuvwxyz"

TRAINING_ONLY: Final = "auxiliary."
"""Starts the names of heads that only training uses: a checkpoint may be without them."""

HEAD: Final = "head."
"""Starts the names of what makes logits of the pooled features."""

CLASSES: Final = (HEAD, TRAINING_ONLY)
"""Starts the names of tensors that belong to the classes."""

COUNTER: Final = "num_batches_tracked"
"""Batch norm's count of batches: old checkpoints have none, and none of our norms reads it."""


def their_keys(keys: Sequence[str], layout: Layout) -> dict[str, str]:
    """Our key to theirs, for each of ours that the layout knows.

    >>> layout = Layout(keys={"stages.{stage}.{block}.conv": "layer{stage1}.{block}.conv1"})
    >>> their_keys(["stages.0.1.conv.weight"], layout)
    {'stages.0.1.conv.weight': 'layer1.1.conv1.weight'}
    """
    if not layout.keys:
        return {key: key for key in keys}
    numbers = _block_numbers(keys)
    found = {}
    for key in keys:
        path, _, leaf = key.rpartition(".")
        whole, template = _template(key, layout), _template(path, layout)
        if whole is None and template is not None:
            whole = f"{template}.{leaf}"
        if whole is not None:
            match = _BLOCK.match(key)
            found[key] = whole.format(**(numbers[match.group()] if match else {}))
    return found


@dataclass(frozen=True, kw_only=True)
class Part:
    """The part of a checkpoint that is the network.

    Attributes:
        state: The tensors whose names begin with `prefix`, without it.
        layout: How they are named.
        place: Dotted keys under which their table lies in the file; empty at the top.
        prefix: What stood before every name.
        num_others: Number of tensors of that table which have another prefix.
    """

    state: Mapping[str, Tensor]
    layout: Layout
    place: str = ""
    prefix: str = ""
    num_others: int = 0


def best_part(
    tables: Mapping[str, Mapping[str, Tensor]],
    known: Sequence[str],
    layouts: Sequence[Layout],
) -> Part:
    """The part of a checkpoint, and the way of naming, that explain most of a network's names.

    Of equals the averaged weights are taken (`ema`, `teacher`), then the first.

    Args:
        tables: Tables of tensors by the dotted keys under which they lie.
        known: The network's names, ours.
        layouts: Ways of naming, the preferred first.

    Raises:
        WeightsError: None explains any.
    """
    best, found = (0, False), None
    for place, table in tables.items():
        for layout in layouts:
            for prefix, count in _prefixes(table, set(their_keys(known, layout).values())).items():
                score = (count, _is_averaged(f"{place}.{prefix}"))
                if score > best:
                    best, found = score, (place, prefix, layout)
    if found is None:
        first = next(iter(tables.values()), {})
        raise WeightsError(
            "no layout is known for these weights",
            why=f"their first keys are {_first(list(first))}",
            fix=f"rename them to Striate's ({_first(known)})",
        )
    place, prefix, layout = found
    table = tables[place]
    state = {k.removeprefix(prefix): tensor for k, tensor in table.items() if k.startswith(prefix)}
    num_others = len(table) - len(state)
    return Part(state=state, layout=layout, place=place, prefix=prefix, num_others=num_others)


def _prefixes(table: Mapping[str, Tensor], names: set[str]) -> Counter[str]:
    """How many names stand in a table, by the dotted prefix that they have there."""
    counts: Counter[str] = Counter()
    for key in table:
        parts = key.split(".")
        for start in range(len(parts)):
            if ".".join(parts[start:]) in names:
                counts["".join(f"{part}." for part in parts[:start])] += 1
    return counts


def _is_averaged(place: str) -> bool:
    return any(word in _AVERAGED for word in re.split(r"[._]", place.lower()))


def rename(part: Part, known: Sequence[str]) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """The checkpoint's tensors under our names, and what a user should know of them.

    A checkpoint may be without the layers of the classes, or have others of its own in their place.

    Args:
        part: What of the checkpoint is the network.
        known: The network's names, ours.

    Raises:
        WeightsError: Keys are missing or left over.
    """
    state, theirs = part.state, their_keys(known, part.layout)
    head = {key for ours, key in theirs.items() if ours.startswith(HEAD)}
    missing = [
        theirs.get(key, key)
        for key in known
        if theirs.get(key) not in state and not key.startswith(TRAINING_ONLY)
    ]
    headless = any(key in head for key in missing)
    lost = [key for key in missing if key not in head and not key.endswith(COUNTER)]
    named = set(theirs.values())
    heads = _roots(head, named - head) if headless else ()
    unexpected = [key for key in state if key not in named and not key.startswith(heads)]
    if lost or unexpected:
        reasons = [
            f"{len(keys)} keys are {what} ({_first(keys)})"
            for what, keys in (("missing", lost), ("unexpected", unexpected))
            if keys
        ]
        raise WeightsError(
            "the weights are of another network",
            why=", ".join(reasons),
            fix="give the name of the network they were saved from",
        )
    renamed = {ours: state[key] for ours, key in theirs.items() if key in state}
    if headless:
        renamed = {key: tensor for key, tensor in renamed.items() if not key.startswith(CLASSES)}
    return renamed, _notes(part, headless)


def _roots(head: set[str], others: set[str]) -> tuple[str, ...]:
    """What begins the names of a head, of whatever layers it is made."""
    roots = {f"{key.partition('.')[0]}." for key in head}
    shared = {root for root in roots if any(key.startswith(root) for key in others)}
    narrow = {f"{key.rpartition('.')[0]}." for key in head if key.startswith(tuple(shared))}
    return tuple(roots - shared | narrow)


def _notes(part: Part, headless: bool) -> tuple[str, ...]:
    notes = []
    if part.num_others or _is_averaged(f"{part.place}.{part.prefix}"):
        where = ".".join(filter(None, (part.place, part.prefix.rstrip(".")))) or "the top"
        more = f", {part.num_others} other tensors are left out" if part.num_others else ""
        notes.append(f"taken from {where!r}{more}")
    if headless:
        notes.append("they have no layer for the classes, which starts afresh")
    return tuple(notes)


def check_shapes(state: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> None:
    """Compare the shapes of tensors with the network's.

    Raises:
        WeightsError: A shape is another one.
    """
    wrong = [
        f"{key}: {tuple(tensor.shape)} instead of {tuple(expected[key].shape)}"
        for key, tensor in state.items()
        if tensor.shape != expected[key].shape
    ]
    if wrong:
        raise WeightsError(
            "the weights are of another network",
            why=f"{len(wrong)} tensors have another shape ({_first(wrong)})",
            fix="give the name and options of the network they were saved from",
        )


def _template(path: str, layout: Layout) -> str | None:
    """The layout's template for a path of ours; one for a certain stage goes first."""
    any_block = re.sub(r"^(stages\.\d+)\.\d+", r"\1.{block}", path)
    any_stage = re.sub(r"^stages\.\d+\.\d+", "stages.{stage}.{block}", path)
    return next((layout.keys[p] for p in (path, any_block, any_stage) if p in layout.keys), None)


def _block_numbers(keys: Sequence[str]) -> dict[str, dict[str, int | str]]:
    """The numbers and the letter that templates may name, by each block's prefix."""
    found = {match.group(): match for key in keys if (match := _BLOCK.match(key))}
    numbers: dict[str, dict[str, int | str]] = {}
    for index, (prefix, match) in enumerate(found.items()):
        stage, block = map(int, match.groups())
        numbers[prefix] = {
            "stage": stage,
            "stage1": stage + 1,
            "block": block,
            "block1": block + 1,
            "letter": LETTERS[block % len(LETTERS)],
            "index": index,
            "index1": index + 1,
        }
    return numbers


def _first(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
