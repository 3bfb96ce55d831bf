"""Machine code for the gradient of a depthwise weight on the CPU, written with numba.

One inner loop serves every rank, stride, dilation and layout: `sums[t] += x[i + offset[t]] * g[i]`
over vectors of 16 floats (see `numba_pack`), seven taps at a time with their sums in registers.

- channels last: the sums are the gradient.
- contiguous: rows lie end to end at the pitch of the input with zeros in the gradient between them;
  the 16 sums of a tap are added up at the end.

Sums are in float32. Work is cut into tasks that do not depend on the number of threads, and the
partial sums are added in a fixed order: results repeat bit for bit.
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
    I32,
    I64,
    JOB_TYPE,
    LANES,
    LINE,
    VECTOR,
    aligned,
    compiled,
    fused_multiply_add,
    generated,
    load,
    narrow,
    pack_input,
    pack_line,
    store,
    take_ticket,
    widen,
)

WIDEST_BLOCK: Final = 7
"""Taps whose sums are held in registers at once: with eight, AVX2 has none left for the gradient."""


@generated(types.void)
def _accumulate(
    builder: Any, sums: Any, offsets: Any, x: Any, g: Any, rows: Any, columns: Any, x_pitch: Any,
    g_pitch: Any, taps: Any,
) -> None:  # fmt: skip
    """sums[t] += x[r * x_pitch + i + offsets[t]] * g[r * g_pitch + i], over rows r and vectors i."""

    def sum_taps(count: int) -> None:
        totals = [cgutils.alloca_once(builder, VECTOR) for _ in range(count)]
        reads = []
        for t, total in enumerate(totals):
            builder.store(load(builder, VECTOR, sums, I64(t * LINE)), total)
            reads.append(load(builder, I64, offsets, I64(t * 8), align=8))
        with cgutils.for_range(builder, rows) as row:
            x_row = builder.add(x, builder.mul(row.index, x_pitch))
            g_row = builder.add(g, builder.mul(row.index, g_pitch))
            with cgutils.for_range(builder, columns) as column:
                step = builder.mul(column.index, I64(LINE))
                factor = load(builder, VECTOR, g_row, step)
                here = builder.add(x_row, step)
                for read, total in zip(reads, totals, strict=True):
                    terms = load(builder, VECTOR, here, read), factor, builder.load(total)
                    builder.store(fused_multiply_add(builder, *terms), total)
        for t, total in enumerate(totals):
            store(builder, builder.load(total), sums, I64(t * LINE))

    for count in range(1, WIDEST_BLOCK + 1):
        with builder.if_then(builder.icmp_signed("==", taps, I64(count))):
            sum_taps(count)


@generated(types.void)
def _add_vector(builder: Any, sums: Any, other: Any) -> None:
    """Add to the vector at the first address the one at the second."""
    total = builder.fadd(load(builder, VECTOR, sums), load(builder, VECTOR, other))
    store(builder, total, sums)


@generated(types.void)
def _add_lanes(builder: Any, sums: Any) -> None:
    """Put the sum of a vector into its first lane: halves are added to each other."""
    total = load(builder, VECTOR, sums)
    for half in (8, 4, 2, 1):
        parts = []
        for first in (0, half):
            chosen = ir.Constant(ir.VectorType(I32, half), [first + i for i in range(half)])
            parts.append(builder.shuffle_vector(total, total, chosen))
        total = builder.fadd(*parts)
    store(builder, builder.extract_element(total, I64(0)), sums)


@compiled("void(int64, int64, int64, int64, int64, int64, int64, int64, int64)")
def _sum_taps(
    sums: int, offsets: int, taps: int, x: int, g: int, rows: int, columns: int,
    x_pitch: int, g_pitch: int,
) -> None:  # fmt: skip
    """All taps, in as few blocks as possible, as equal as can be."""
    blocks = (taps + WIDEST_BLOCK - 1) // WIDEST_BLOCK
    for block in range(blocks):
        first, end = taps * block // blocks, taps * (block + 1) // blocks
        _accumulate(
            sums + LINE * first, offsets + 8 * first, x, g, rows, columns, x_pitch, g_pitch,
            end - first,
        )  # fmt: skip


@compiled(types.void(JOB_TYPE, *[types.int64] * 4))
def _pack_gradient(job: Any, target: int, item: int, channel: int, width: int) -> None:
    """One item's channel, or a group of them, at the pitch that the inner loop walks."""
    for z in range(job.out_depth):
        for y in range(job.out_height):
            if job.lanes == 1:
                line = ((item * job.channels + channel) * job.out_depth + z) * job.out_height + y
                to = target + 4 * (z * job.g_plane + y * job.q_width)
                widen(to, job.y + job.size * line * job.out_width, job.out_width, 1, job.size)
            else:
                line = ((item * job.out_depth + z) * job.out_height + y) * job.out_width
                source = job.y + job.size * (line * job.channels + channel)
                to = target + 4 * z * job.g_plane + LINE * y * job.out_width
                step = job.size * job.channels
                pack_line(to, source, job.out_width, LINE, step, width, 4 * job.g_floats, job.size)


@compiled(types.void(JOB_TYPE, *[types.int64] * 3))
def _sum_item(job: Any, sums: int, x: int, g: int) -> None:
    """Add what one item gives to one vector of sums a tap."""
    x_plane = 4 * job.lanes * job.q_height * job.q_width
    for z in range(job.out_depth):
        x_z, g_z = x + z * x_plane, g + 4 * z * job.g_plane
        if job.lanes == 1:
            vectors = job.g_plane // LANES
            for start in range(0, vectors, job.band):
                count = min(job.band, vectors - start)
                x_at, g_at = x_z + LINE * start, g_z + LINE * start
                _sum_taps(sums, job.offsets, job.taps, x_at, g_at, 1, count, 0, 0)
        else:
            x_pitch, g_pitch = LINE * job.q_width, LINE * job.out_width
            for start in range(0, job.out_height, job.band):
                count = min(job.band, job.out_height - start)
                x_at, g_at = x_z + x_pitch * start, g_z + g_pitch * start
                _sum_taps(
                    sums, job.offsets, job.taps, x_at, g_at, count, job.out_width, x_pitch, g_pitch
                )


@compiled(types.void(JOB_TYPE, *[types.int64] * 3))
def _run_task(job: Any, task: int, x: int, g: int) -> None:
    """The partial sums of one group of channels over one run of items."""
    group = job.lanes * job.parts
    channel = task % job.groups * group
    first = task // job.groups * job.items_per_task
    width = min(group, job.channels - channel)
    for item in range(first, min(first + job.items_per_task, job.items)):
        pack_input(job, x, item, channel, width)
        _pack_gradient(job, g, item, channel, width)
        for part in range((width + job.lanes - 1) // job.lanes):
            sums = job.scratch + (task * job.parts + part) * job.taps * LINE
            _sum_item(job, sums, x + 4 * job.x_floats * part, g + 4 * job.g_floats * part)


@compiled(types.void(types.CPointer(JOB_TYPE)), cfunc)
def work(pointer: Any) -> None:
    """What each thread runs: take tasks until there are none left."""
    job = carray(pointer, 1)[0]
    task = take_ticket(job.ticket)
    if task < job.tasks:
        x = np.zeros(job.parts * job.x_floats + LANES, np.float32)
        g = np.zeros(job.parts * job.g_floats + LANES, np.float32)
        while task < job.tasks:
            _run_task(job, task, aligned(x.ctypes.data), aligned(g.ctypes.data))
            task = take_ticket(job.ticket)


@compiled(types.void(types.CPointer(JOB_TYPE)), cfunc)
def finish(pointer: Any) -> None:
    """Add the partial sums of the runs of items up, and write the gradient in the tensors' type."""
    job = carray(pointer, 1)[0]
    run_bytes = LINE * job.groups * job.parts * job.taps
    for channel in range(0, job.channels, job.lanes):
        width = min(job.lanes, job.channels - channel)
        for tap in range(job.taps):
            total = job.scratch + LINE * (channel // job.lanes * job.taps + tap)
            for run in range(1, job.tasks // job.groups):
                _add_vector(total, total + run * run_bytes)
            if job.lanes == 1:
                _add_lanes(total)
            to = job.kernel + job.size * (channel * job.taps + tap)
            narrow(to, total, width, job.taps, job.size)
