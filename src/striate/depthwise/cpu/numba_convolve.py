"""Machine code for the depthwise convolution and its input's gradient on the CPU, written with numba.

One inner loop serves every rank, stride, dilation and layout: `y[i] = sum_t w[t] * x[i + offset[t]]`
over vectors of 16 floats (see `numba_pack`), a register of each at a time, with a few outputs in
registers, and so the weights of up to seven taps that read neighbours: each input is then read once
for all of them.

A convolution is one pass over its outputs. The gradient of the input with a stride of s takes s
passes along each axis: the inputs of one remainder modulo s read the same taps.

Sums are in float32, in an order that does not depend on the number of threads.
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

from striate.depthwise.cpu.numba_pack import (
    FLOAT,
    I32,
    I64,
    JOB_TYPE,
    LANES,
    LINE,
    REGISTER,
    REGISTER_BYTES,
    REGISTER_LANES,
    aligned,
    compiled,
    fused_multiply_add,
    generated,
    load,
    load_integer,
    narrow,
    pack_input,
    prefetch,
    store,
    take_ticket,
    unpack_line,
    widen,
)

LONGEST_RUN: Final = 7
"""Taps that read neighbouring vectors and are summed together, their weights held in registers."""

BAND: Final = 8
"""Rows of one vector of channels that are summed before the next: they stay in the first cache."""

WIDEST_TILE: Final = 8
"""Registers of outputs that are summed at once; half as many where no more are left."""


def _tile_sum(of_channels: bool) -> Any:
    """The inner loop over vectors of channels, or over those of positions, where a run is one tap."""
    step = LINE if of_channels else REGISTER_BYTES
    tap_step = LINE if of_channels else 4

    def factor(builder: Any, base: Any, offset: Any) -> Any:
        if of_channels:
            return load(builder, REGISTER, base, offset)
        number = load(builder, FLOAT, base, offset)
        one = builder.insert_element(ir.Constant(REGISTER, ir.Undefined), number, I64(0))
        first = ir.Constant(ir.VectorType(I32, REGISTER.count), None)
        return builder.shuffle_vector(one, one, first)

    @generated(types.void)
    def sum_tile(
        builder: Any, y: Any, start: Any, start_step: Any, weights: Any, offsets: Any, runs: Any,
        length: Any, x: Any, is_narrow: Any,
    ) -> None:  # fmt: skip
        """y[i] = start[i] + the sum over runs r and taps t of weights[r, t] * x[i + t + offsets[r]].

        `y`, `start` and `x` are addresses of registers, which lie a vector apart where a vector is of
        channels, and end to end where it is of positions.
        """

        def sum_runs(taps: int, tile: int) -> None:
            totals = [cgutils.alloca_once(builder, REGISTER) for _ in range(tile)]
            for i, total in enumerate(totals):
                begin = load(builder, REGISTER, start, builder.mul(start_step, I64(i)))
                builder.store(begin, total)
            with cgutils.for_range(builder, runs) as run:
                own = builder.add(weights, builder.mul(run.index, I64(taps * tap_step)))
                factors = [factor(builder, own, I64(t * tap_step)) for t in range(taps)]
                offset = load(builder, I64, offsets, builder.mul(run.index, I64(8)), align=8)
                here = builder.add(x, offset)
                # Each register of the input is read once, for all outputs that it is part of.
                for j in range(tile + taps - 1):
                    value = load(builder, REGISTER, here, I64(j * step))
                    for t in range(max(0, j - tile + 1), min(taps, j + 1)):
                        total = totals[j - t]
                        term = builder.load(total)
                        builder.store(fused_multiply_add(builder, value, factors[t], term), total)
            for i, total in enumerate(totals):
                store(builder, builder.load(total), y, I64(i * step))

        for taps in range(1, LONGEST_RUN + 1 if of_channels else 2):
            is_length = builder.icmp_signed("==", length, I64(taps))
            with (
                builder.if_then(is_length),
                builder.if_else(is_narrow) as (narrow, wide),
            ):
                with narrow:
                    sum_runs(taps, WIDEST_TILE // 2)
                with wide:
                    sum_runs(taps, WIDEST_TILE)

    return sum_tile


_sum_channels, _sum_positions = _tile_sum(True), _tile_sum(False)


@compiled("void(int64, int64, int64, int64, int64, int64, int64, int64, int64)")
def _sum_row(
    y: int, start: int, weights: int, offsets: int, length: int, runs: int, x: int,
    registers: int, lanes: int,
) -> None:  # fmt: skip
    """A row of registers, from the bias at `start` on, or from the sums so far where that is 0.

    What lies behind the row, up to a tile, is overwritten with numbers that mean nothing.
    """
    step = LINE if lanes == LANES else REGISTER_BYTES
    for first in range(0, registers, WIDEST_TILE):
        is_narrow = registers - first <= WIDEST_TILE // 2
        to, at = y + step * first, x + step * first
        begin, begin_step = (start, 0) if start != 0 else (to, step)
        if lanes == LANES:
            _sum_channels(to, begin, begin_step, weights, offsets, runs, length, at, is_narrow)
        else:
            _sum_positions(to, begin, begin_step, weights, offsets, runs, length, at, is_narrow)


@compiled(types.int64(JOB_TYPE, *[types.int64] * 4))
def _line_of(job: Any, item: int, channel: int, z: int, y: int) -> Any:
    """Where the first output of a row of this pass lies in the tensor."""
    at_z = job.start_depth + z * job.step_depth
    at_y = job.start_height + y * job.step_height
    if job.lanes == 1:
        line = ((item * job.channels + channel) * job.out_depth + at_z) * job.out_height + at_y
        return job.y + job.size * (line * job.out_width + job.start_width)
    line = ((item * job.out_depth + at_z) * job.out_height + at_y) * job.out_width
    return job.y + job.size * ((line + job.start_width) * job.channels + channel)


@compiled(types.void(JOB_TYPE, *[types.int64] * 8))
def _run_band(
    job: Any, x: int, rows: int, item: int, channel: int, width: int, z: int, first: int, last: int
) -> None:
    """Rows of outputs of one channel, or of one vector of channels.

    A segment of taps passes over all rows before the next, for what it reads stays in the first cache.
    """
    taps = job.scratch + job.pitch * (channel // job.lanes)
    bias = taps + 4 * job.lanes * job.all_taps
    taps += 4 * job.lanes * job.first_tap
    offsets = job.offsets
    registers, line = job.count_width, LINE
    if job.lanes == 1:
        registers, line = (job.count_width + REGISTER_LANES - 1) // REGISTER_LANES, 1
    step = job.size * job.channels * job.step_width
    pitch = 0 if job.segment_count == 1 else job.row_bytes
    for s in range(job.segment_count):
        length = load_integer(job.segments + 16 * s)
        runs = load_integer(job.segments + 16 * s + 8)
        is_last = s + 1 == job.segment_count
        for y in range(first, last):
            row = rows + pitch * (y - first)
            source = x + 4 * job.lanes * (z * job.q_height + y) * job.q_width
            to = _line_of(job, item, channel, z, y)
            if is_last and job.lanes == LANES:
                prefetch(to, job.count_width, step)
            for at in range(0, line, REGISTER_BYTES):
                start = bias + at if s == 0 else 0
                _sum_row(
                    row + at, start, taps + at, offsets, length, runs, source + at, registers,
                    job.lanes,
                )  # fmt: skip
            if is_last and job.lanes == LANES:
                unpack_line(to, row, job.count_width, step, width, job.size)
            elif is_last:
                narrow(to, row, job.count_width, job.step_width, job.size)
        taps += 4 * job.lanes * runs * length
        offsets += 8 * runs


@compiled(types.void(JOB_TYPE, *[types.int64] * 5))
def _run_pass(job: Any, x: int, rows: int, item: int, channel: int, width: int) -> None:
    """The outputs of one pass, of one channel or of a group of them."""
    for z in range(job.count_depth):
        for first in range(0, job.count_height, BAND):
            last = min(first + BAND, job.count_height)
            for part in range((width + job.lanes - 1) // job.lanes):
                before = job.lanes * part
                own = min(job.lanes, width - before)
                source = x + 4 * job.x_floats * part
                _run_band(job, source, rows, item, channel + before, own, z, first, last)


@compiled(types.void(types.CPointer(JOB_TYPE)), cfunc)
def arrange(pointer: Any) -> None:
    """Lay the weights out by blocks of channels, taps in the order of the passes, then the bias."""
    job = carray(pointer, 1)[0]
    line = 4 * job.lanes
    for channel in range(0, job.channels, job.lanes):
        count = min(job.lanes, job.channels - channel)
        to = job.scratch + job.pitch * (channel // job.lanes)
        for i in range(job.all_taps):
            tap = load_integer(job.order + 8 * i)
            source = job.kernel + job.size * (channel * job.kernel_taps + tap)
            widen(to + line * i, source, count, job.kernel_taps, job.size)
        if job.bias != 0:
            # A vector, of which one channel fills every lane.
            for i in range(0, LANES, job.lanes):
                at = to + line * job.all_taps + 4 * i
                widen(at, job.bias + job.size * channel, count, 1, job.size)


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
    x = np.zeros(first.parts * first.x_floats + LANES, np.float32)
    rows = np.empty(BAND * first.row_bytes // 4 + LANES, np.float32)
    x_at, rows_at = aligned(x.ctypes.data), aligned(rows.ctypes.data)
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
        pack_input(jobs[slab * first.passes], x_at, item, channel, width)
        for i in range(slab * first.passes, (slab + 1) * first.passes):
            _run_pass(jobs[i], x_at, rows_at, item, channel, width)
        task = take_ticket(first.ticket)
    # Numba frees an array behind its last mention, and knows nothing of its address.
    x[0] = rows[0] = 0.0
