"""Machine code for the gradient of a depthwise weight on the CPU, written with numba.

One inner loop serves every rank, stride, dilation and layout: `sums[t] += x[i + offset[t]] * g[i]`
over vectors of 16 floats, eight taps at a time with their sums in registers. What differs is how
input and gradient are laid out before it, in float32 and with the padding written out:

- channels last: a vector is 16 channels of one position; the sums are the gradient.
- contiguous: a vector is 16 positions of one channel, rows end to end at the pitch of the input
  with zeros in the gradient between them; the 16 sums of a tap are added up at the end.

A stride of s splits the input into s phases along each axis, so that each tap reads a run.
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
from numba import carray, cfunc, from_dtype, njit, types
from numba.core import cgutils
from numba.core.errors import RequireLiteralValue
from numba.extending import intrinsic

LANES: Final = 16
"""Floats in a vector: one register of AVX-512, two of AVX2, four of NEON."""

WIDEST_BLOCK: Final = 8
"""Taps whose sums are held in registers at once."""

LINE: Final = 4 * LANES
"""Bytes of a vector."""

JOB: Final = np.dtype(
    [
        (name, np.int64)
        for name in (
            # Addresses of input, gradient, tap offsets, partial sums and the next task's number.
            "x", "g", "offsets", "sums", "ticket",
            # Sizes; `size` is the bytes of an element.
            "size", "lanes", "items", "channels", "taps", "depth", "height", "width",
            "out_depth", "out_height", "out_width", "s_depth", "s_height", "s_width",
            "low_depth", "low_height", "low_width", "q_depth", "q_height", "q_width",
            # Work: tasks, groups of channels, vectors of a group, items of a task, rows or vectors
            # of a band.
            "tasks", "groups", "parts", "items_per_task", "band", "g_plane", "x_floats", "g_floats",
        )
    ]
)  # fmt: skip
"""One call. Positions along the axes of the input, of the output (`out_`), strides (`s_`),
padding (`low_`), and positions of one phase of the padded input (`q_`)."""

_JOB: Final = from_dtype(JOB)

_I64, _FLOAT = ir.IntType(64), ir.FloatType()
_VECTOR = ir.VectorType(_FLOAT, LANES)


def _compiled(signature: Any, decorator: Any = njit, **options: Any) -> Any:
    """Compile at import, or read what an earlier process compiled, where a folder can be written."""

    def compile(function: Any) -> Any:
        try:
            return decorator(signature, cache=True, **options)(function)
        except RuntimeError:
            return decorator(signature, **options)(function)

    return compile


@intrinsic
def _accumulate(
    typing: Any, sums: Any, offsets: Any, x: Any, g: Any, rows: Any, columns: Any, x_pitch: Any,
    g_pitch: Any, taps: Any,
) -> Any:  # fmt: skip
    """sums[t] += x[r * x_pitch + i + offsets[t]] * g[r * g_pitch + i], over rows r and vectors i."""
    if not hasattr(taps, "literal_value"):
        raise RequireLiteralValue("taps")
    count = taps.literal_value
    signature = types.void(sums, offsets, x, g, rows, columns, x_pitch, g_pitch, taps)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        sums, offsets, x, g, rows, columns, x_pitch, g_pitch, _ = args
        vector_type = ir.FunctionType(_VECTOR, [_VECTOR] * 3)
        fma = cgutils.get_or_insert_function(builder.module, vector_type, "llvm.fma.v16f32")

        def at(base: Any, offset: Any, kind: Any) -> Any:
            return builder.inttoptr(builder.add(base, offset), kind.as_pointer())

        def load(base: Any, offset: Any) -> Any:
            return builder.load(at(base, offset, _VECTOR), align=4)

        totals = [cgutils.alloca_once(builder, _VECTOR) for _ in range(count)]
        reads = []
        for t, total in enumerate(totals):
            builder.store(load(sums, _I64(t * LINE)), total)
            reads.append(builder.load(at(offsets, _I64(t * 8), _I64)))
        with cgutils.for_range(builder, rows) as row:
            x_row = builder.add(x, builder.mul(row.index, x_pitch))
            g_row = builder.add(g, builder.mul(row.index, g_pitch))
            with cgutils.for_range(builder, columns) as column:
                step = builder.mul(column.index, _I64(LINE))
                factor = load(g_row, step)
                here = builder.add(x_row, step)
                for read, total in zip(reads, totals, strict=True):
                    terms = [load(here, read), factor, builder.load(total)]
                    builder.store(builder.call(fma, terms), total)
        for t, total in enumerate(totals):
            builder.store(builder.load(total), at(sums, _I64(t * LINE), _VECTOR), align=4)
        return context.get_dummy_value()

    return signature, generate


def _widen_to(width: int) -> Any:
    """An intrinsic: read `width` elements at `source` and store them as float32 at `target`."""
    float_type, short_type, int_type = (
        ir.VectorType(kind, width) if width > 1 else kind
        for kind in (_FLOAT, ir.IntType(16), ir.IntType(32))
    )
    sixteen = ir.Constant(int_type, [16] * width if width > 1 else 16)

    def widen(typing: Any, target: Any, source: Any, is_short: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            target, source, is_short = args
            to = builder.inttoptr(target, float_type.as_pointer())
            with builder.if_else(is_short) as (short, whole):
                with short:
                    # A bfloat16 is the upper half of a float32.
                    value = builder.load(builder.inttoptr(source, short_type.as_pointer()), align=2)
                    value = builder.shl(builder.zext(value, int_type), sixteen)
                    builder.store(builder.bitcast(value, float_type), to, align=4)
                with whole:
                    value = builder.load(builder.inttoptr(source, float_type.as_pointer()), align=4)
                    builder.store(value, to, align=4)
            return context.get_dummy_value()

        return types.void(types.int64, types.int64, types.boolean), generate

    return intrinsic(widen)


_widen_one, _widen_vector = _widen_to(1), _widen_to(LANES)


@intrinsic
def _take_ticket(typing: Any, counter: Any) -> Any:
    """Add one to the counter at this address, atomically; what it was before."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        pointer = builder.inttoptr(args[0], _I64.as_pointer())
        return builder.atomic_rmw("add", pointer, _I64(1), "monotonic")

    return types.int64(types.int64), generate


@_compiled("void(int64, int64, int64, int64, int64)")
def _widen(target: int, source: int, count: int, step: int, size: int) -> None:
    """`count` elements of `size` bytes, every `step`-th of the source, as float32."""
    done = 0
    if step == 1:
        while done + LANES <= count:
            _widen_vector(target + 4 * done, source + size * done, size == 2)
            done += LANES
    for i in range(done, count):
        _widen_one(target + 4 * i, source + size * i * step, size == 2)


@_compiled("void(int64, int64, int64, int64, int64, int64, int64, int64, int64)")
def _sum_taps(
    sums: int, offsets: int, taps: int, x: int, g: int, rows: int, columns: int,
    x_pitch: int, g_pitch: int,
) -> None:  # fmt: skip
    """All taps, in blocks as equal as can be of at most eight."""
    blocks = (taps + WIDEST_BLOCK - 1) // WIDEST_BLOCK
    first = 0
    for block in range(blocks):
        count = taps // blocks + (1 if block < taps % blocks else 0)
        s, o = sums + first * LINE, offsets + first * 8
        if count == 8:
            _accumulate(s, o, x, g, rows, columns, x_pitch, g_pitch, 8)
        elif count == 7:
            _accumulate(s, o, x, g, rows, columns, x_pitch, g_pitch, 7)
        elif count == 6:
            _accumulate(s, o, x, g, rows, columns, x_pitch, g_pitch, 6)
        elif count == 5:
            _accumulate(s, o, x, g, rows, columns, x_pitch, g_pitch, 5)
        elif count == 4:
            _accumulate(s, o, x, g, rows, columns, x_pitch, g_pitch, 4)
        else:
            for t in range(count):
                _accumulate(s + t * LINE, o + t * 8, x, g, rows, columns, x_pitch, g_pitch, 1)
        first += count


@_compiled("void(int64, int64, int64, int64, int64, int64, int64, int64)")
def _pack_line(
    target: int, source: int, pixels: int, target_step: int, source_step: int, channels: int,
    part_step: int, size: int,
) -> None:  # fmt: skip
    """So many pixels of a line, each with its vectors of channels put `part_step` bytes apart."""
    for i in range(pixels):
        to, pixel, left = target + target_step * i, source + source_step * i, channels
        while left >= LANES:
            _widen_vector(to, pixel, size == 2)
            to += part_step
            pixel += size * LANES
            left -= LANES
        if left > 0:
            _widen(to, pixel, left, 1, size)


@_compiled(types.void(_JOB, *[types.int64] * 4))
def _pack_input(job: Any, target: int, item: int, channel: int, width: int) -> None:
    """One item's channel, or a group of them, in phases and with the padding left at zero."""
    plane = job.q_depth * job.q_height * job.q_width
    for z in range(job.depth):
        at_z = z + job.low_depth
        for y in range(job.height):
            at_y = y + job.low_height
            q_z, q_y = at_z // job.s_depth, at_y // job.s_height
            if q_z >= job.q_depth or q_y >= job.q_height:
                continue
            phase = (at_z % job.s_depth * job.s_height + at_y % job.s_height) * job.s_width
            row = (q_z * job.q_height + q_y) * job.q_width
            for p in range(job.s_width):
                start = (p - job.low_width) % job.s_width
                q_x = (start + job.low_width) // job.s_width
                count = (job.width - start + job.s_width - 1) // job.s_width
                count = min(count, job.q_width - q_x)
                to = target + 4 * job.lanes * ((phase + p) * plane + row + q_x)
                if job.lanes == 1:
                    line = ((item * job.channels + channel) * job.depth + z) * job.height + y
                    source = job.x + job.size * (line * job.width + start)
                    _widen(to, source, count, job.s_width, job.size)
                else:
                    line = ((item * job.depth + z) * job.height + y) * job.width + start
                    source = job.x + job.size * (line * job.channels + channel)
                    step = job.size * job.channels * job.s_width
                    _pack_line(to, source, count, LINE, step, width, 4 * job.x_floats, job.size)


@_compiled(types.void(_JOB, *[types.int64] * 4))
def _pack_gradient(job: Any, target: int, item: int, channel: int, width: int) -> None:
    """One item's channel, or a group of them, at the pitch that the inner loop walks."""
    for z in range(job.out_depth):
        for y in range(job.out_height):
            if job.lanes == 1:
                line = ((item * job.channels + channel) * job.out_depth + z) * job.out_height + y
                to = target + 4 * (z * job.g_plane + y * job.q_width)
                _widen(to, job.g + job.size * line * job.out_width, job.out_width, 1, job.size)
            else:
                line = ((item * job.out_depth + z) * job.out_height + y) * job.out_width
                source = job.g + job.size * (line * job.channels + channel)
                to = target + 4 * z * job.g_plane + LINE * y * job.out_width
                step = job.size * job.channels
                _pack_line(to, source, job.out_width, LINE, step, width, 4 * job.g_floats, job.size)


@_compiled(types.void(_JOB, *[types.int64] * 3))
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
                    sums,
                    job.offsets,
                    job.taps,
                    x_at,
                    g_at,
                    count,
                    job.out_width,
                    x_pitch,
                    g_pitch,
                )


@_compiled(types.void(_JOB, *[types.int64] * 3))
def _run_task(job: Any, task: int, x: int, g: int) -> None:
    """The partial sums of one group of channels over one run of items."""
    group = job.lanes * job.parts
    channel = task % job.groups * group
    first = task // job.groups * job.items_per_task
    width = min(group, job.channels - channel)
    for item in range(first, min(first + job.items_per_task, job.items)):
        _pack_input(job, x, item, channel, width)
        _pack_gradient(job, g, item, channel, width)
        for part in range((width + job.lanes - 1) // job.lanes):
            sums = job.sums + (task * job.parts + part) * job.taps * LINE
            _sum_item(job, sums, x + 4 * job.x_floats * part, g + 4 * job.g_floats * part)


@_compiled(types.void(types.CPointer(_JOB)), cfunc)
def work(pointer: Any) -> None:
    """What each thread runs: take tasks until there are none left."""
    job = carray(pointer, 1)[0]
    task = _take_ticket(job.ticket)
    if task < job.tasks:
        x = np.zeros(job.parts * job.x_floats, np.float32)
        g = np.zeros(job.parts * job.g_floats, np.float32)
        while task < job.tasks:
            _run_task(job, task, x.ctypes.data, g.ctypes.data)
            task = _take_ticket(job.ticket)
