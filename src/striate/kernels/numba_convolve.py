"""Machine code for the depthwise convolution and its input's gradient on the CPU, written with numba.

One inner loop serves every rank, stride, dilation and layout: `y[i] = sum_t w[t] * x[i + offset[t]]`
over vectors of 16 floats (see `numba_pack`), a few outputs at a time with their sums in registers.

A convolution is one pass over its outputs. The gradient of the input with a stride of s takes s
passes along each axis: the inputs of one remainder modulo s read the same taps.

Sums are in float32, in the order of the taps, whatever the number of threads.
"""

# numba's decorators and intrinsics change what a type checker sees of a signature.
# mypy: disable-error-code="attr-defined, call-arg, import-untyped, no-untyped-call"
# mypy: disable-error-code="unreachable, untyped-decorator, var-annotated"

from __future__ import annotations

from typing import Any, Final

import numpy as np
from llvmlite import ir
from numba import carray, cfunc, types
from numba.core import cgutils
from numba.core.errors import RequireLiteralValue
from numba.extending import intrinsic

from striate.kernels.numba_pack import (
    FLOAT,
    I64,
    JOB_TYPE,
    LANES,
    LINE,
    VECTOR,
    compiled,
    fused_multiply_add,
    load_integer,
    load_vector,
    narrow,
    pack_input,
    pointer_to,
    take_ticket,
    unpack_line,
    widen,
)

WIDEST_TILE: Final = 4
"""Output vectors whose sums are held in registers at once."""


@intrinsic
def _sum_tile(
    typing: Any, y: Any, weights: Any, bias: Any, offsets: Any, taps: Any, x: Any, vectors: Any,
    lanes: Any,
) -> Any:  # fmt: skip
    """y[i] = bias + sum over taps t of weights[t] * x[i + offsets[t]], for so many vectors i."""
    if not (hasattr(vectors, "literal_value") and hasattr(lanes, "literal_value")):
        raise RequireLiteralValue("vectors and lanes")
    count, is_vector = vectors.literal_value, lanes.literal_value == LANES
    signature = types.void(y, weights, bias, offsets, taps, x, vectors, lanes)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        y, weights, bias, offsets, taps, x, _, _ = args

        def factor(base: Any, offset: Any) -> Any:
            if is_vector:
                return load_vector(builder, base, offset)
            number = builder.load(pointer_to(builder, base, offset, FLOAT), align=4)
            one = builder.insert_element(ir.Constant(VECTOR, ir.Undefined), number, I64(0))
            first = ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES)
            return builder.shuffle_vector(one, one, first)

        totals = [cgutils.alloca_once(builder, VECTOR) for _ in range(count)]
        start = factor(bias, I64(0))
        for total in totals:
            builder.store(start, total)
        with cgutils.for_range(builder, taps) as tap:
            weight = factor(weights, builder.mul(tap.index, I64(LINE if is_vector else 4)))
            place = pointer_to(builder, offsets, builder.mul(tap.index, I64(8)), I64)
            here = builder.add(x, builder.load(place))
            for i, total in enumerate(totals):
                value = load_vector(builder, here, I64(i * LINE))
                sum_ = fused_multiply_add(builder, value, weight, builder.load(total))
                builder.store(sum_, total)
        for i, total in enumerate(totals):
            target = pointer_to(builder, y, I64(i * LINE), VECTOR)
            builder.store(builder.load(total), target, align=4)
        return context.get_dummy_value()

    return signature, generate


def _row_of(lanes: int) -> Any:
    """The sums of a row of vectors: of 16 positions of one channel, or of so many channels of one."""

    @compiled("void(int64, int64, int64, int64, int64, int64, int64)")
    def sum_row(
        y: int, weights: int, bias: int, offsets: int, taps: int, x: int, vectors: int
    ) -> None:
        done = 0
        while done + WIDEST_TILE <= vectors:
            at = LINE * done
            _sum_tile(y + at, weights, bias, offsets, taps, x + at, WIDEST_TILE, lanes)
            done += WIDEST_TILE
        at, left = LINE * done, vectors - done
        if left == 3:
            _sum_tile(y + at, weights, bias, offsets, taps, x + at, 3, lanes)
        elif left == 2:
            _sum_tile(y + at, weights, bias, offsets, taps, x + at, 2, lanes)
        elif left == 1:
            _sum_tile(y + at, weights, bias, offsets, taps, x + at, 1, lanes)

    return sum_row


_sum_positions, _sum_channels = _row_of(1), _row_of(LANES)


@compiled(types.void(JOB_TYPE, *[types.int64] * 5))
def _run_pass(job: Any, x: int, row: int, item: int, channel: int, width: int) -> None:
    """The outputs of one pass, a row at a time, of one channel or of a group of them."""
    block = channel // job.lanes
    row_step = LINE * job.count_width
    for z in range(job.count_depth):
        for y in range(job.count_height):
            source = x + 4 * job.lanes * ((z * job.q_height + y) * job.q_width)
            for part in range((width + job.lanes - 1) // job.lanes):
                weights = job.weights + job.pitch * (block + part)
                bias = weights + 4 * job.lanes * job.all_taps
                taps = weights + 4 * job.lanes * job.first_tap
                if job.lanes == 1:
                    vectors = (job.count_width + LANES - 1) // LANES
                    _sum_positions(row, taps, bias, job.offsets, job.taps, source, vectors)
                else:
                    _sum_channels(
                        row + row_step * part, taps, bias, job.offsets, job.taps,
                        source + 4 * job.x_floats * part, job.count_width,
                    )  # fmt: skip
            at_z = job.start_depth + z * job.step_depth
            at_y = job.start_height + y * job.step_height
            if job.lanes == 1:
                line = ((item * job.channels + channel) * job.out_depth + at_z) * job.out_height
                to = job.y + job.size * ((line + at_y) * job.out_width + job.start_width)
                narrow(to, row, job.count_width, job.step_width, job.size)
            else:
                line = ((item * job.out_depth + at_z) * job.out_height + at_y) * job.out_width
                to = job.y + job.size * ((line + job.start_width) * job.channels + channel)
                step = job.size * job.channels * job.step_width
                unpack_line(to, row, job.count_width, step, LINE, width, row_step, job.size)


@compiled(types.void(types.CPointer(JOB_TYPE)), cfunc)
def arrange(pointer: Any) -> None:
    """Lay the weights out by blocks of channels, taps in the order of the passes, then the bias."""
    job = carray(pointer, 1)[0]
    line = 4 * job.lanes
    for channel in range(0, job.channels, job.lanes):
        count = min(job.lanes, job.channels - channel)
        to = job.weights + job.pitch * (channel // job.lanes)
        for i in range(job.all_taps):
            tap = load_integer(job.order + 8 * i)
            source = job.kernel + job.size * (channel * job.kernel_taps + tap)
            widen(to + line * i, source, count, job.kernel_taps, job.size)
        if job.bias != 0:
            widen(to + line * job.all_taps, job.bias + job.size * channel, count, 1, job.size)


@compiled(types.void(types.CPointer(JOB_TYPE)), cfunc)
def work(pointer: Any) -> None:
    """What each thread runs: take tasks until there are none left.

    The jobs of a call are the passes over each slab; the numbers of all are in the first.
    """
    first = carray(pointer, 1)[0]
    jobs = carray(pointer, first.slabs * first.passes)
    task = take_ticket(first.ticket)
    if task >= first.tasks:
        return
    x = np.zeros(first.parts * first.x_floats, np.float32)
    row = np.empty(first.parts * first.out_width * first.lanes + LANES, np.float32)
    group = first.lanes * first.parts
    tasks_of_slab = first.items * first.groups
    before = task // tasks_of_slab
    while task < first.tasks:
        slab = task // tasks_of_slab
        item = task % tasks_of_slab // first.groups
        channel = task % first.groups * group
        width = min(group, first.channels - channel)
        if slab != before:
            x[:] = 0.0  # the padding lies elsewhere
            before = slab
        pack_input(jobs[slab * first.passes], x.ctypes.data, item, channel, width)
        for i in range(slab * first.passes, (slab + 1) * first.passes):
            _run_pass(jobs[i], x.ctypes.data, row.ctypes.data, item, channel, width)
        task = take_ticket(first.ticket)
