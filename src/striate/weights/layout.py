"""Tensors of a checkpoint under our names, whoever named them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final

from torch import Tensor

from striate.errors import WeightsError
from striate.weights.manifest import OWN_LAYOUT, Layout

_BLOCK: Final = re.compile(r"stages\.(\d+)\.(\d+)\.")

LETTERS: Final = "abcdefghijklmnopqrstuvwxyz"

TRAINING_ONLY: Final = "auxiliary."
"""Starts the names of heads that only training uses: a checkpoint may be without them."""

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


def recognize(keys: Sequence[str], known: Sequence[str], layouts: Mapping[str, Layout]) -> Layout:
    """The layout that explains most of a checkpoint's keys.

    Args:
        keys: The checkpoint's.
        known: The network's, under our names.
        layouts: Other people's ways of naming.

    Raises:
        WeightsError: None explains any.
    """
    there = set(keys)
    candidates = [OWN_LAYOUT, *layouts.values()]
    scores = [len(there & set(their_keys(known, c).values())) for c in candidates]
    best = max(scores)
    if best == 0:
        raise WeightsError(
            "no layout is known for these weights",
            why=f"their first keys are {_first(keys)}",
            fix=f"rename them to Striate's ({_first(known)})",
        )
    return candidates[scores.index(best)]


def rename(state: Mapping[str, Tensor], known: Sequence[str], layout: Layout) -> dict[str, Tensor]:
    """The checkpoint's tensors under our names.

    Args:
        state: The checkpoint.
        known: The network's keys.
        layout: How the checkpoint's tensors are named.

    Raises:
        WeightsError: Keys are missing or left over.
    """
    theirs = their_keys(known, layout)
    named = set(theirs.values())
    needed = [key for key in known if not key.startswith(TRAINING_ONLY)]
    missing = [theirs.get(key, key) for key in needed if theirs.get(key) not in state]
    missing = [key for key in missing if not key.endswith(COUNTER)]
    unexpected = [key for key in state if key not in named]
    if missing or unexpected:
        reasons = [
            f"{len(keys)} keys are {what} ({_first(keys)})"
            for what, keys in (("missing", missing), ("unexpected", unexpected))
            if keys
        ]
        raise WeightsError(
            "the weights are of another network",
            why=", ".join(reasons),
            fix="give the name of the network they were saved from",
        )
    return {ours: state[key] for ours, key in theirs.items() if key in state}


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
