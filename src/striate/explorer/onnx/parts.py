"""Which part of an ONNX file is the network: after what prepares an item, up to the logits."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import prod
from typing import Final

from striate.engines.onnx_pictures import seen_by_network
from striate.errors import ArgumentError, DataError
from striate.explorer.onnx.file import Node, OnnxFile
from striate.explorer.onnx.modules import WITH_CONSTANT
from striate.explorer.onnx.network import OnnxNetwork, read_network
from striate.explorer.subjects.sample_items import SIDES

ENDINGS: Final = ("Softmax", "LogSoftmax", "Sigmoid")
"""Functions at the end of a file that make probabilities of logits."""

_MAX_OUTPUTS: Final = 8
"""Outputs of a file that are tried."""

_MAX_CHANNELS: Final = 64
"""Numbers of a constant that scales an item; larger ones are weights."""

_TURNED: Final = {1: [0, 2, 1], 2: [0, 3, 1, 2], 3: [0, 4, 1, 2, 3]}
"""Orders of axes that put the channels first."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Parts:
    """The parts of a file.

    Attributes:
        preparing: From an item to what the network takes; may have no step.
        network: From that to the logits.
        shape: (channels, *space) of an item.
        answers: Name of the value that has the probabilities or numbers that the file answers;
            empty where they are softmax of the logits, or the logits.
        ending: The function that the file makes probabilities by; empty where there is none.
        channels_last: Whether an item is given with the channels behind space.
        views: Number of turned or mirrored copies of an item whose logits the file averages.
    """

    preparing: OnnxNetwork
    network: OnnxNetwork
    shape: tuple[int, ...]
    answers: str
    ending: str
    channels_last: bool
    views: int

    @property
    def outputs(self) -> int:
        """Number of the logits."""
        return self.network.output_shape[1]


def parts_of(file: OnnxFile, wanted: tuple[int, ...] | None = None) -> Parts:
    """Find the network of a file.

    Args:
        file: The file.
        wanted: (channels, *space) of an item, as far as the file leaves them open.

    Raises:
        DataError: There is no part that makes numbers of classes that the page can show.
        ArgumentError: The file takes no items of the wanted shape.
    """
    given, sizes = _given(file)
    rank = len(sizes) - 1
    if rank not in SIDES:
        raise DataError(
            f"cannot open {file.path}",
            why=f"its input has {rank + 2} axes",
            fix="the page shows series, images and volumes: batch, channels and 1 to 3 axes more",
        )
    begin, channels_last = _prepared(file, given, rank)
    if channels_last:
        sizes = (sizes[-1], *sizes[:-1])
    shape = _chosen(file, sizes, wanted)
    axes = (*shape[1:], shape[0]) if channels_last else shape
    preparing = read_network(file, given, begin, axes)
    failed: DataError | None = None
    for name in _outputs(file):
        logits, ending = _before_ending(file, name)
        logits, views = _first_view(file, logits)
        try:
            network = read_network(file, begin, logits, shape)
        except DataError as error:
            failed = failed or error
            continue
        made = network.output_shape
        if made[:1] == (1,) and len(made) > 1 and prod(made[2:]) == 1:
            return Parts(
                preparing=preparing,
                network=network,
                shape=shape,
                answers=_answers(file) or (name if ending == "Sigmoid" else ""),
                ending=ending,
                channels_last=channels_last,
                views=views,
            )
        failed = failed or DataError(
            f"cannot open {file.path}",
            why=f"its output {name!r} is {' x '.join(map(str, made))}, not a number for each class",
            fix="the page shows classifiers",
        )
    raise failed or DataError(f"cannot open {file.path}", why="it has no output")


def _given(file: OnnxFile) -> tuple[str, tuple[int | None, ...]]:
    """Name and sizes of the value that an item is given as: of whole pictures what is seen of them."""
    seen = seen_by_network(file.model, file.card)
    if seen is None:
        return file.input_name, file.input_shape[1:]
    shape = file.card["input"].get("shape")
    sizes = shape[1:] if isinstance(shape, list) else []
    return seen, tuple(size if isinstance(size, int) and size > 0 else None for size in sizes)


def _chosen(
    file: OnnxFile, sizes: Sequence[int | None], wanted: tuple[int, ...] | None
) -> tuple[int, ...]:
    """The shape of an item: what the file fixes, then what is wanted, then what is usual."""
    fits = wanted is None or (
        len(wanted) == len(sizes)
        and all(size in (None, own) for size, own in zip(sizes, wanted, strict=True))
    )
    if not fits:
        fixed = ", ".join("any" if size is None else str(size) for size in sizes)
        raise ArgumentError(
            f"an item of {wanted}", why=f"{file.path} takes ({fixed}): channels, then sizes"
        )
    if wanted is not None:
        return wanted
    usual = (3 if len(sizes) == 3 else 1, *[SIDES[len(sizes) - 1]] * (len(sizes) - 1))
    return tuple(size or own for size, own in zip(sizes, usual, strict=True))


def _outputs(file: OnnxFile) -> tuple[str, ...]:
    """Outputs that may be the logits: of a file of Striate's the uncalibrated ones alone."""
    return file.listed_outputs[:1] or file.outputs[:_MAX_OUTPUTS]


def _answers(file: OnnxFile) -> str:
    """The output of a file of Striate's that has the calibrated answers; else empty."""
    return next(iter(file.listed_outputs[1:2]), "")


def _before_ending(file: OnnxFile, name: str) -> tuple[str, str]:
    """The value that an output's probabilities are made of, and by which function."""
    for node in _made_by(file, name):
        if node.operator in ENDINGS:
            return node.inputs[0], node.operator
        if node.operator not in ("Identity", "Flatten", "Reshape", "Squeeze"):
            break
    return name, ""


def _made_by(file: OnnxFile, name: str) -> Iterator[Node]:
    """The node that gives a value, then the one that gives what it takes first, and so on."""
    node = file.makers.get(name)
    while node is not None:
        yield node
        node = file.makers.get(node.inputs[0]) if node.inputs else None


def _first_view(file: OnnxFile, logits: str) -> tuple[str, int]:
    """The logits of the first copy of an item, where the file averages those of several.

    Striate's files do so for runs that average over symmetries: each copy's logits get an axis,
    all are joined along it, and the mean is taken.
    """
    mean = file.makers.get(logits)
    joined = file.makers.get(mean.inputs[0]) if mean and mean.operator == "ReduceMean" else None
    if not file.card or joined is None or joined.operator != "Concat":
        return logits, 1
    copies = [file.makers.get(name) for name in joined.inputs]
    if any(copy is None or copy.operator != "Unsqueeze" for copy in copies) or copies[0] is None:
        return logits, 1
    return copies[0].inputs[0], len(copies)


def _prepared(file: OnnxFile, given: str, rank: int) -> tuple[str, bool]:
    """The value that an item becomes by what scales it or puts its channels first; whether it does.

    Whatever only changes the type, the scale or the order of the axes belongs to it.
    """
    value, turned = given, False
    while True:
        takers = file.takers.get(value, ())
        if len(takers) != 1 or value in file.outputs:
            return value, turned
        node = takers[0]
        is_turn = node.operator == "Transpose" and node.attributes.get("perm") == _TURNED[rank]
        if is_turn and not turned:
            turned = True
        elif not (node.operator in ("Cast", "Identity") or _scales(file, node, value)):
            return value, turned
        value = node.outputs[0]


def _scales(file: OnnxFile, node: Node, value: str) -> bool:
    """Whether a node scales or shifts an item, by one number or one for each channel."""
    if node.operator not in WITH_CONSTANT:
        return False
    (other,) = [name for name in node.inputs if name != value] or [""]
    constant, maker = file.constants.get(other), file.makers.get(other)
    if constant is None and maker is not None and maker.operator == "Constant":
        constant = maker.attributes.get("value")
    return constant is not None and constant.numel() <= _MAX_CHANNELS
