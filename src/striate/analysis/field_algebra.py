"""What each position of a tensor sees of the input, through reshapes, windows and merges.

A tensor inside a network has axes of its own: space may be fused into one axis of tokens, split
into blocks, moved behind the channels or folded into the batch. So each axis of a tensor is
described by atoms, the outermost first: an atom follows one axis of the input, or none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import takewhile
from math import gcd, prod
from typing import Final, TypeAlias

from striate.geometry import Field, Window

NONE: Final = -1
"""The axis of an atom that follows no axis of the input (items, channels)."""

ANY: Final = -2
"""The axis of an atom that follows space in an order that is no longer known."""


@dataclass(frozen=True, slots=True)
class Atom:
    """A run of indices along one axis of the input.

    Attributes:
        axis: Spatial axis of the input, NONE or ANY.
        size: Number of indices.
        step: Places on the feature map from one index to the next.
    """

    axis: int
    size: int
    step: int = 1


Axis: TypeAlias = tuple[Atom, ...]
"""One axis of a tensor, the outermost atom first."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What the positions of one tensor see of the input.

    An input axis that no atom follows has no field.

    Attributes:
        axes: Atoms of each axis of the tensor.
        fields: Field of each spatial axis of the input; None is 'everything'.
    """

    axes: tuple[Axis, ...]
    fields: tuple[Field | None, ...]

    @property
    def is_spatial(self) -> bool:
        """Whether positions of the input can still be told apart along every axis."""
        followed = {atom.axis for axis in self.axes for atom in axis}
        return ANY in followed or followed >= set(range(len(self.fields)))

    def at(self, axis: int) -> tuple[tuple[int, Atom], ...]:
        """The atoms that follow this input axis, each with the tensor's axis it is in."""
        return tuple(
            (i, atom) for i, atoms in enumerate(self.axes) for atom in atoms if atom.axis == axis
        )

    def places(self, axis: int) -> int:
        """Number of positions along this input axis that are told apart."""
        return prod(atom.size for _, atom in self.at(axis))


def of_input(shape: Sequence[int]) -> Seen:
    """The input itself: each position sees itself.

    Args:
        shape: (items, channels, *space).
    """
    plain = tuple((Atom(NONE, size),) for size in shape[:2])
    space = tuple((Atom(axis, size),) for axis, size in enumerate(shape[2:]))
    return Seen(plain + space, (Field(),) * len(space))


def everything(shape: Sequence[int], rank: int, like: Seen | None = None) -> Seen:
    """A tensor that sees the whole input.

    Args:
        shape: Shape of the tensor.
        rank: Spatial axes of the input.
        like: A tensor of the same shape whose axes it keeps; None where their order is lost.
    """
    axes = like.axes if like else tuple((Atom(ANY, size),) for size in shape)
    return Seen(axes, (None,) * rank)


def plain(size: int) -> Axis:
    """A tensor's axis that follows no axis of the input."""
    return (Atom(NONE, size),)


def reshape(seen: Seen, shape: Sequence[int]) -> Seen:
    """The same values in the same order under another shape."""
    left = [atom for axis in seen.axes for atom in axis]
    axes = []
    for size in shape:
        taken = _take(left, size)
        if taken is None:
            return everything(shape, len(seen.fields))
        axes.append(taken)
    if left and axes:  # only sizes of 1 are left
        axes[-1] += tuple(left)
    return Seen(tuple(map(_joined, _settled(axes))), seen.fields)


def _settled(axes: Sequence[Axis]) -> list[Axis]:
    """A single place before channels, which either axis could hold, given to the axis before.

    A linear layer on the last axis of (1, 1, 1, 768) flattens to (1, 768): the places are rows.
    """
    settled = [*axes]
    for i in range(1, len(settled)):
        places = tuple(takewhile(lambda a: a.size == 1 and a.axis >= 0, settled[i]))
        rest = settled[i][len(places) :]
        if rest and rest[0].axis == NONE:
            settled[i - 1 : i + 1] = [settled[i - 1] + places, rest]
    return settled


def _take(left: list[Atom], size: int) -> Axis | None:
    """Take atoms of `size` indices off the front of `left`, the last one split where needed.

    None where an atom would have to be cut unevenly.
    """
    taken: list[Atom] = []
    need = size
    while left and (need > 1 or (not taken and left[0].size == 1)):
        atom = left.pop(0)
        if atom.size > need:
            inner, uneven = divmod(atom.size, need)
            left.insert(0, Atom(atom.axis, inner, atom.step))
            atom = Atom(atom.axis, need, atom.step * inner)
        else:
            uneven = need % atom.size
        if uneven:
            return None
        taken.append(atom)
        need //= atom.size
    return tuple(taken)


def _joined(axis: Axis) -> Axis:
    """Adjacent atoms that run on from one another, as one."""
    joined: list[Atom] = []
    for atom in axis:
        last = joined[-1] if joined else None
        if last and last.axis == atom.axis == NONE:
            joined[-1] = Atom(NONE, last.size * atom.size)
        elif last and last.axis == atom.axis and last.step == atom.step * atom.size:
            joined[-1] = Atom(atom.axis, last.size * atom.size, atom.step)
        else:
            joined.append(atom)
    return tuple(joined)


def permute(seen: Seen, order: Sequence[int]) -> Seen:
    """The tensor's axes in another order."""
    return replace(seen, axes=tuple(seen.axes[i] for i in order))


def with_axis(seen: Seen, index: int, axis: Axis) -> Seen:
    """One of the tensor's axes replaced."""
    return replace(seen, axes=(*seen.axes[:index], axis, *seen.axes[index + 1 :]))


def forget(seen: Seen, axes: Iterable[int]) -> Seen:
    """Every position sees all of these input axes (ANY: of all of them)."""
    gone = set(axes)
    if ANY in gone:
        gone.update(range(len(seen.fields)))
    return replace(
        seen, fields=tuple(None if a in gone else field for a, field in enumerate(seen.fields))
    )


def mix(seen: Seen, indices: Iterable[int]) -> Seen:
    """Positions along these axes of the tensor exchange what they see (softmax, layer norm)."""
    return forget(seen, (atom.axis for i in indices for atom in seen.axes[i] if atom.axis != NONE))


def contract(seen: Seen, index: int) -> Seen:
    """The sum over one axis of the tensor, which is left without atoms."""
    atoms = seen.axes[index]
    seen = with_axis(seen, index, ())
    for atom in atoms:
        if atom.axis >= 0:
            seen = _widen(seen, atom.axis, (atom.size - 1) * atom.step)
    return _rescaled(seen)


def select(seen: Seen, index: int, position: int) -> Seen:
    """One place of one axis of the tensor, which is left without atoms."""
    atoms = seen.axes[index]
    seen = with_axis(seen, index, ())
    for atom in reversed(atoms):
        position, here = divmod(position, atom.size)
        if atom.axis >= 0:
            seen = _widen(_shift(seen, atom.axis, here * atom.step), atom.axis, 0)
    return _rescaled(seen)


def _widen(seen: Seen, axis: int, places: int) -> Seen:
    """Positions see `places` more of the feature map; without atoms left, everything."""
    field = seen.fields[axis]
    if field is None:
        return seen
    if not seen.at(axis):
        return forget(seen, [axis])
    return _with_field(seen, axis, replace(field, size=field.size + places * field.jump))


def _shift(seen: Seen, axis: int, places: int) -> Seen:
    field = seen.fields[axis]
    if field is None:
        return seen
    return _with_field(seen, axis, replace(field, start=field.start + places * field.jump))


def _with_field(seen: Seen, axis: int, field: Field | None) -> Seen:
    return replace(seen, fields=(*seen.fields[:axis], field, *seen.fields[axis + 1 :]))


def _rescale(seen: Seen, axis: int) -> Seen:
    """Steps of an axis made as small as they go; the jump takes what they have in common."""
    steps = [atom.step for _, atom in seen.at(axis)]
    common = gcd(*steps) if steps else 1
    field = seen.fields[axis]
    if common == 1 or field is None:
        return seen
    axes = tuple(
        tuple(replace(a, step=a.step // common) if a.axis == axis else a for a in atoms)
        for atoms in seen.axes
    )
    return _with_field(replace(seen, axes=axes), axis, replace(field, jump=field.jump * common))


def _rescaled(seen: Seen) -> Seen:
    for axis in range(len(seen.fields)):
        seen = _rescale(seen, axis)
    return seen


def crop(seen: Seen, index: int, start: int, step: int, size: int) -> Seen:
    """Every `step`-th place from `start` of one axis of the tensor; a negative start pads.

    Args:
        seen: The tensor.
        index: Which axis.
        start: First place; negative in a padding.
        step: Places from one kept to the next.
        size: Places kept.
    """
    atoms = seen.axes[index]
    if start == 0 and step == 1 and size == prod(a.size for a in atoms):
        return seen
    if len(atoms) == 1 and atoms[0].axis >= 0:
        atom = atoms[0]
        seen = _shift(seen, atom.axis, start * atom.step)
        seen = with_axis(seen, index, (Atom(atom.axis, size, atom.step * step),))
        return _rescale(seen, atom.axis)
    followed = {atom.axis for atom in atoms} - {NONE}
    return with_axis(mix(seen, [index]), index, (Atom(ANY if followed else NONE, size),))


def slide(
    seen: Seen, first: int, sizes: Sequence[int], move: Callable[[int, Field], Field | None]
) -> Seen:
    """A windowed operation along the tensor's last axes, from `first` on.

    Args:
        seen: The tensor.
        first: The first axis of the tensor along which windows slide.
        sizes: Sizes of these axes after it.
        move: The field of an input axis after the operation, from the number of the window
            (0 for axis `first`) and the field before.
    """
    for number, size in enumerate(sizes):
        index = first + number
        seen, axis = _as_space(seen, index)
        if axis is None:
            seen = with_axis(mix(seen, [index]), index, plain(size))
            continue
        if axis >= 0:
            field = seen.fields[axis]
            seen = _with_field(seen, axis, None if field is None else move(number, field))
        seen = with_axis(seen, index, (Atom(axis, size),))
    return seen


def _as_space(seen: Seen, index: int) -> tuple[Seen, int | None]:
    """The input axis that an axis of the tensor follows place by place; None for no axis."""
    atoms = tuple(a for a in seen.axes[index] if a.size > 1 or a.axis >= 0)
    followed = {a.axis for a in atoms} - {NONE}
    if not followed:
        return seen, None
    if len(followed) > 1 or ANY in followed or atoms[0].axis == NONE:
        return mix(seen, [index]), ANY
    axis = atoms[0].axis
    seen = _rescale(seen, axis)
    head, *inner = [a for a in seen.axes[index] if a.size > 1 or a.axis >= 0]
    field = seen.fields[axis]
    if field is None:
        return seen, axis
    if head.step != 1 or any(a.axis != NONE for a in inner):
        return forget(seen, [axis]), axis
    factor = prod(a.size for a in inner)
    if factor > 1:
        up = Window(kernel_size=factor, stride=factor)
        seen = _with_field(seen, axis, field.then_transposed(up))
    return seen, axis


def merge(parts: Sequence[Seen], shape: Sequence[int]) -> Seen:
    """A tensor computed place by place from several that are broadcast to `shape`."""
    rank = len(parts[0].fields)
    padded = [replace(p, axes=((),) * (len(shape) - len(p.axes)) + p.axes) for p in parts]
    if len(parts) > 1:
        padded = [_rescaled(part) for part in padded]
    axes = tuple(
        _broadcast(max((p.axes[i] for p in padded), key=_weight), size)
        for i, size in enumerate(shape)
    )
    merged = Seen(axes, tuple(_merged_field(padded, axis) for axis in range(rank)))
    return forget(merged, (axis for axis in range(rank) if not merged.at(axis)))


def _merged_field(parts: Sequence[Seen], axis: int) -> Field | None:
    """The union of what the parts see, where they follow the axis alike."""
    union, place = parts[0].fields[axis], parts[0].at(axis)
    for part in parts[1:]:
        field = part.fields[axis]
        if union is None or field is None or part.at(axis) != place:
            return None
        if all(atom.size == 1 for _, atom in place):  # one position: the jump means nothing
            field = replace(field, jump=union.jump)
        union = union.union(field)
    return union


def _weight(axis: Axis) -> tuple[int, int]:
    """Which of several atoms describe a broadcast axis: the fullest, that follow space first."""
    return prod(atom.size for atom in axis), sum(atom.axis != NONE for atom in axis)


def _broadcast(axis: Axis, size: int) -> Axis:
    return axis if prod(a.size for a in axis) == size else plain(size)


def resample(
    field: Field, ratio: Fraction, offset: Fraction, below: Fraction, above: Fraction
) -> Field:
    """The field after an interpolation: output o stands on place `offset + o * ratio`.

    Args:
        field: Before it.
        ratio: Places from one output to the next.
        offset: Place of output 0.
        below: Places before its own that an output reaches at most.
        above: Places after its own.
    """
    return Field(
        field.size + (below + above) * field.jump,
        field.jump * ratio,
        field.start + (offset - below) * field.jump,
    )
