"""What each of torch's operators does to what a tensor sees: one row an operator.

The operators are those that remain below torch's layers and functions (`aten`), so a network is
understood the same however it was written.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import gcd, prod
from typing import Any, Final, TypeAlias

from torch import Tensor

from striate.analysis import field_algebra as algebra
from striate.analysis.field_algebra import ANY, NONE, Atom, Seen
from striate.geometry import Field, Window


@dataclass(frozen=True, kw_only=True)
class Call:
    """One call of an operator on tensors that see the input.

    Attributes:
        name: Name of the operator (`convolution`).
        arguments: Arguments by the names of torch's schema, defaults filled in.
        inputs: What the tensors among the arguments see, in order; None for a constant.
        seen: What a tensor among the arguments sees; None for a constant.
        shapes: Shapes of the tensors that come out.
    """

    name: str
    arguments: Mapping[str, Any]
    inputs: tuple[Seen | None, ...]
    seen: Callable[[Tensor], Seen | None]
    shapes: tuple[tuple[int, ...], ...]

    @property
    def tracked(self) -> tuple[Seen, ...]:
        """What the tensors see that depend on the input."""
        return tuple(seen for seen in self.inputs if seen is not None)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the first tensor that comes out."""
        return self.shapes[0]

    @property
    def subject(self) -> Seen:
        """What the operator's first tensor sees; everything where it is a constant."""
        if self.inputs[0] is not None:
            return self.inputs[0]
        return algebra.everything(self.shape, len(self.tracked[0].fields))


Rule: TypeAlias = Callable[[Call], Seen | list[Seen]]
"""What the first tensor that comes out sees, or each of a list."""


def pointwise(call: Call) -> Seen:
    """Each place from the same place of every input."""
    return algebra.merge(call.tracked, call.shape)


def unknown(call: Call) -> Seen:
    """Everything; the axes are kept where the shape is."""
    rank = len(call.tracked[0].fields)
    for seen in call.tracked:
        if _shape(seen) == call.shape:
            return algebra.everything(call.shape, rank, like=seen)
    return algebra.everything(call.shape, rank)


def _shape(seen: Seen) -> tuple[int, ...]:
    return tuple(prod(atom.size for atom in axis) for axis in seen.axes)


def _convolution(call: Call) -> Seen:
    if call.inputs[0] is None or len(call.tracked) > 1:
        return unknown(call)
    at = call.arguments
    windows = _windows(at, at["weight"].shape[2:], at["stride"])
    move = Field.then_transposed if at["transposed"] else Field.then
    return _mixed(call, lambda i, field: move(field, windows[i]))


def _mixed(call: Call, move: Callable[[int, Field], Field | None]) -> Seen:
    """Windows along space, of which each output channel takes all input channels."""
    channels = algebra.plain(call.shape[1])
    mixed = algebra.with_axis(algebra.contract(call.subject, 1), 1, channels)
    return algebra.slide(mixed, 2, call.shape[2:], move)


def _pool(call: Call) -> Seen:
    at = call.arguments
    rank = int(call.name.split("pool")[1][0])
    kernel = _each(at["kernel_size"], rank)
    windows = _windows(at, kernel, at["stride"] or kernel)
    first = len(call.shape) - rank
    return algebra.slide(call.subject, first, call.shape[first:], lambda i, f: f.then(windows[i]))


def _windows(
    at: Mapping[str, Any], kernel: Sequence[int], stride: int | Sequence[int]
) -> tuple[Window, ...]:
    rank = len(kernel)
    strides, paddings = _each(stride, rank), _each(at["padding"], rank)
    dilations = _each(at.get("dilation", 1), rank)
    return tuple(
        Window(kernel_size=k, stride=s, dilation=d, low=p, high=p)
        for k, s, p, d in zip(kernel, strides, paddings, dilations, strict=True)
    )


def _adaptive_pool(call: Call) -> Seen:
    """Output o of m pools the places from floor(o n / m) to ceil((o + 1) n / m) - 1 of n."""
    rank = int(call.name.split("pool")[1][0])
    before, sizes = _shape(call.subject)[-rank:], call.shape[-rank:]

    def move(number: int, field: Field) -> Field | None:
        n, m = before[number], sizes[number]
        if m == 1:
            return None
        ratio = Fraction(n, m)
        uneven = Fraction(m // gcd(n, m) - 1, m // gcd(n, m))
        return algebra.resample(field, ratio, Fraction(0), uneven, ratio - 1 + uneven)

    return algebra.slide(call.subject, len(call.shape) - rank, sizes, move)


def _upsample(call: Call) -> Seen:
    before, sizes = _shape(call.subject)[2:], call.shape[2:]
    nearest, exact = "nearest" in call.name, "exact" in call.name
    align = bool(call.arguments.get("align_corners"))
    # Taps at floor(place) + 1 - taps to floor(place) + taps.
    taps = 2 if "cubic" in call.name else 1

    def move(number: int, field: Field) -> Field | None:
        n, m = before[number], sizes[number]
        ratio = Fraction(n - 1, max(m - 1, 1)) if align else Fraction(n, m)
        grain = 1 - Fraction(1, ratio.denominator)
        if nearest:
            offset = ratio / 2 if exact else Fraction(0)
            grain = 1 - Fraction(1, offset.denominator * ratio.denominator) if exact else grain
            return algebra.resample(field, ratio, offset, grain, Fraction(0))
        offset = Fraction(0) if align else ratio / 2 - Fraction(1, 2)
        grain = 1 - Fraction(1, ratio.denominator if align else 2 * ratio.denominator)
        return algebra.resample(field, ratio, offset, grain + taps - 1, grain + taps - 1)

    return algebra.slide(call.subject, 2, sizes, move)


def _shuffle(call: Call) -> Seen:
    """Channels to places, or the other way round."""
    up = call.arguments.get("upscale_factor")
    factor = up or call.arguments["downscale_factor"]
    window, move = (
        Window(kernel_size=factor, stride=factor),
        Field.then_transposed if up else Field.then,
    )
    return _mixed(call, lambda _, field: move(field, window))


def _pad(call: Call) -> Seen:
    widths = call.arguments.get("pad") or call.arguments["padding"]
    seen = call.subject
    for number in range(len(widths) // 2):
        index = len(call.shape) - 1 - number
        seen = algebra.crop(seen, index, -widths[2 * number], 1, call.shape[index])
    return seen


def _slice(call: Call) -> Seen:
    at = call.arguments
    index = at["dim"] % len(call.shape)
    before = _shape(call.subject)[index]
    start = range(before)[at["start"] or 0 :].start
    return algebra.crop(call.subject, index, start, at["step"], call.shape[index])


def _split(call: Call) -> list[Seen]:
    index = call.arguments["dim"] % len(call.shape)
    parts, start = [], 0
    for shape in call.shapes:
        parts.append(algebra.crop(call.subject, index, start, 1, shape[index]))
        start += shape[index]
    return parts


def _select(call: Call) -> Seen:
    index, position = call.arguments["dim"], call.arguments["index"]
    return _selected(call.subject, index % len(call.subject.axes), position)


def _unbind(call: Call) -> list[Seen]:
    index = call.arguments["dim"] % len(call.subject.axes)
    return [_selected(call.subject, index, i) for i in range(len(call.shapes))]


def _selected(seen: Seen, index: int, position: int) -> Seen:
    position %= max(_shape(seen)[index], 1)
    return _drop(algebra.select(seen, index, position), [index])


def _drop(seen: Seen, indices: Sequence[int]) -> Seen:
    axes = tuple(axis for i, axis in enumerate(seen.axes) if i not in indices)
    return Seen(axes, seen.fields)


def _cat(call: Call) -> Seen:
    index = call.arguments["dim"] % len(call.shape)
    size = call.shape[index]
    follows = [any(a.axis != NONE for a in seen.axes[index]) for seen in call.tracked]
    if not any(follows):
        parts = [algebra.with_axis(seen, index, algebra.plain(size)) for seen in call.tracked]
        return algebra.merge(parts, call.shape)
    if len(call.tracked) == 1:
        before = 0
        for tensor in call.arguments["tensors"]:
            if call.seen(tensor) is not None:
                break
            before += tensor.shape[index]
        return algebra.crop(call.tracked[0], index, -before, 1, size)
    mixed = [algebra.mix(seen, [index]) for seen in call.tracked]
    parts = [algebra.with_axis(seen, index, (Atom(ANY, size),)) for seen in mixed]
    return algebra.merge(parts, call.shape)


def _stack(call: Call) -> Seen:
    index = call.arguments["dim"] % len(call.shape)
    parts = [_insert(seen, index, algebra.plain(call.shape[index])) for seen in call.tracked]
    return algebra.merge(parts, call.shape)


def _insert(seen: Seen, index: int, axis: algebra.Axis) -> Seen:
    return Seen((*seen.axes[:index], axis, *seen.axes[index:]), seen.fields)


def _view(call: Call) -> Seen:
    return algebra.reshape(call.subject, call.shape)


def _keep(call: Call) -> Seen:
    return call.subject


def _permute(call: Call) -> Seen:
    rank = len(call.shape)
    return algebra.permute(call.subject, [d % rank for d in call.arguments["dims"]])


def _transpose(call: Call) -> Seen:
    order = list(range(len(call.shape)))
    i, j = call.arguments.get("dim0", 0), call.arguments.get("dim1", -1)
    order[i], order[j] = order[j], order[i]
    return algebra.permute(call.subject, order)


def _unsqueeze(call: Call) -> Seen:
    return _insert(call.subject, call.arguments["dim"] % len(call.shape), ())


def _dims(call: Call) -> list[int]:
    """The axes of the subject that an operator names, all where it names none."""
    rank, dims = len(call.subject.axes), call.arguments.get("dim")
    if dims is None or dims == []:
        return list(range(rank))
    return [d % rank for d in ([dims] if isinstance(dims, int) else dims)]


def _squeeze(call: Call) -> Seen:
    """An axis of size 1 that follows space goes with its atom: one position is all there is."""
    sizes = _shape(call.subject)
    gone = [d for d in _dims(call) if sizes[d] == 1]
    return _drop(_contract(call.subject, gone), gone)


def _reduce(call: Call) -> Seen:
    indices = _dims(call)
    seen = _contract(call.subject, indices)
    return seen if call.arguments.get("keepdim") else _drop(seen, indices)


def _contract(seen: Seen, indices: Sequence[int]) -> Seen:
    for index in indices:
        seen = algebra.contract(seen, index)
    return seen


def _softmax(call: Call) -> Seen:
    return algebra.mix(call.subject, _dims(call))


def _layer_norm(call: Call) -> Seen:
    rank, last = len(call.shape), len(call.arguments["normalized_shape"])
    return algebra.mix(call.subject, range(rank - last, rank))


def _group_norm(call: Call) -> Seen:
    return algebra.mix(call.subject, range(1, len(call.shape)))


def _batch_norm(call: Call) -> Seen:
    if call.arguments.get("training"):
        return algebra.forget(call.subject, [ANY])
    return call.subject


def _matrix_product(call: Call) -> Seen:
    """(..., n, k) by (..., k, m), and what is added to it."""
    names = FACTORS[call.name]
    left, right = (call.seen(call.arguments[name]) for name in names)
    parts = []
    if left is not None:
        parts.append(algebra.contract(left, len(left.axes) - 1))
    if right is not None:
        parts.append(algebra.contract(right, len(right.axes) - 2))
    added = None if "self" in names else call.seen(call.arguments["self"])
    if added is not None:
        parts.append(added)
    return algebra.merge(parts, call.shape)


def _strided(call: Call) -> Seen:
    return call.subject if _shape(call.subject) == call.shape else unknown(call)


def _each(value: int | Sequence[int], rank: int) -> tuple[int, ...]:
    values = (value,) if isinstance(value, int) else tuple(value)
    return values * rank if len(values) == 1 else values


CONSTANTS: Final = frozenset(
    [
        "empty_like",
        "full_like",
        "new_empty",
        "new_full",
        "new_ones",
        "new_zeros",
        "ones_like",
        "rand_like",
        "randn_like",
        "zeros_like",
    ]
)
"""Operators that take a tensor for its shape and type alone."""

FACTORS: Final = {
    "mm": ("self", "mat2"),
    "addmm": ("mat1", "mat2"),
    "bmm": ("self", "mat2"),
    "baddbmm": ("batch1", "batch2"),
}
"""The two factors of each matrix product, by their names in torch's schema."""

_TABLE: Final[Mapping[Rule, str]] = {
    _convolution: "convolution",
    _pool: "avg_pool1d avg_pool2d avg_pool3d max_pool2d_with_indices max_pool3d_with_indices",
    _adaptive_pool: "_adaptive_avg_pool2d _adaptive_avg_pool3d adaptive_max_pool2d "
    "adaptive_max_pool3d",
    _upsample: "upsample_nearest1d upsample_nearest2d upsample_nearest3d "
    "_upsample_nearest_exact1d _upsample_nearest_exact2d _upsample_nearest_exact3d "
    "upsample_linear1d upsample_bilinear2d upsample_trilinear3d upsample_bicubic2d",
    _shuffle: "pixel_shuffle pixel_unshuffle",
    _pad: "constant_pad_nd reflection_pad1d reflection_pad2d reflection_pad3d replication_pad1d "
    "replication_pad2d replication_pad3d",
    _slice: "slice",
    _split: "split split_with_sizes chunk",
    _select: "select",
    _unbind: "unbind",
    _cat: "cat",
    _stack: "stack",
    _view: "view _unsafe_view reshape _reshape_alias",
    _keep: "alias detach contiguous _to_copy native_dropout channel_shuffle lift_fresh",
    _strided: "as_strided",
    _permute: "permute",
    _transpose: "transpose t",
    _unsqueeze: "unsqueeze",
    _squeeze: "squeeze",
    _reduce: "mean sum amax amin prod var std logsumexp linalg_vector_norm norm any all",
    _softmax: "_softmax _log_softmax _safe_softmax cumsum cumprod",
    _layer_norm: "native_layer_norm _fused_rms_norm",
    _group_norm: "native_group_norm",
    _batch_norm: "native_batch_norm cudnn_batch_norm _native_batch_norm_legit_no_training",
    _matrix_product: " ".join(FACTORS),
    pointwise: "expand copy hardswish _prelu_kernel prelu",
}

RULES: Final = {name: rule for rule, names in _TABLE.items() for name in names.split()}
"""Operators that are more than pointwise, by the name without namespace, overload and `_`."""


def multiply_adds(name: str, arguments: Mapping[str, Any], shape: Sequence[int]) -> int:
    """Products summed by one call; 0 for operators that are not sums of products.

    Args:
        name: Name of the operator.
        arguments: Arguments by the names of torch's schema.
        shape: Shape of the first tensor that comes out.
    """
    if name == "convolution":
        weight, x = arguments["weight"], arguments["input"]
        space = x.shape[2:] if arguments["transposed"] else shape[2:]
        return int(x.shape[0] * weight.numel() * prod(space))
    if name in FACTORS:
        return int(prod(shape) * arguments[FACTORS[name][0]].shape[-1])
    if name.startswith("_scaled_dot_product"):
        query, key, value = (arguments[n] for n in ("query", "key", "value"))
        return int(query.numel() * key.shape[-2] + prod(query.shape[:-1]) * value[0, 0].numel())
    return 0
