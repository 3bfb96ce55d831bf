"""Machine code that lays tensors out for the CPU's inner loops, written with numba.

The loops of `numba_correlate` and `numba_convolve` walk over vectors of 16 floats. Before them the input is copied
in float32, with its padding written out, so that whatever a tap reads is a run of vectors at a fixed
offset from the output's place:

- channels last: a vector is 16 channels of one position.
- contiguous: a vector is 16 positions of one channel.

A stride of s splits the input into s phases along each axis.
"""

# numba's decorators and intrinsics change what a type checker sees of a signature.
# mypy: disable-error-code="attr-defined, call-arg, import-untyped, no-untyped-call"
# mypy: disable-error-code="unreachable, untyped-decorator, var-annotated"

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, Final

import numpy as np
from llvmlite import ir
from llvmlite.binding import get_host_cpu_features
from numba import config, from_dtype, njit, types
from numba.core import cgutils
from numba.extending import intrinsic
from numpy.typing import NDArray

from striate.files import user_cache_folder

LANES: Final = 16
"""Floats in a vector: one register of AVX-512, two of AVX2, four of NEON."""

LINE: Final = 4 * LANES
"""Bytes of a vector."""

ADDRESSES: Final = ("x", "y", "kernel", "bias", "scratch", "ticket")
"""What a call adds to its plan: where the input, the output or its gradient, the kernel or its
gradient and the bias (or 0) lie; room for weights laid out or partial sums; the next task's number."""

JOB: Final = np.dtype(
    [
        (name, np.int64)
        for name in (
            *ADDRESSES,
            # The address of the tap offsets, and sizes; `size` is the bytes of an element.
            "offsets",
            "size", "lanes", "items", "channels", "taps", "depth", "height", "width",
            "out_depth", "out_height", "out_width", "s_depth", "s_height", "s_width",
            "low_depth", "low_height", "low_width", "q_depth", "q_height", "q_width",
            # Work: tasks, groups of channels, vectors of a group, floats of a vector's input.
            "tasks", "groups", "parts", "x_floats",
            # The gradient of the weight: items of a task; rows or vectors of a band.
            "items_per_task", "band", "g_plane", "g_floats",
            # The convolution: the address of the order of the taps, passes, slabs, taps of the kernel
            # and of all passes, bytes of a block of weights and of a row of sums; of a pass its first
            # tap, its segments (address and count), and its outputs: how many, from which on, how far
            # apart.
            "order", "passes", "slabs", "kernel_taps", "all_taps", "pitch", "row_bytes",
            "first_tap", "segments", "segment_count",
            "count_depth", "count_height", "count_width",
            "start_depth", "start_height", "start_width",
            "step_depth", "step_height", "step_width",
        )
    ]
)  # fmt: skip
"""One call. Positions along the axes of the input, of the other tensor (`out_`), strides (`s_`),
padding (`low_`), and positions of one phase of the padded input (`q_`)."""

JOB_TYPE: Final = from_dtype(JOB)


def addressed(jobs: NDArray[Any], addresses: list[int]) -> NDArray[np.int64]:
    """The jobs of a plan with the addresses of a call, in the order of `ADDRESSES`."""
    numbers = jobs.view(np.int64).reshape(len(jobs), -1).copy()
    numbers[:, : len(ADDRESSES)] = addresses
    return numbers


I64, FLOAT = ir.IntType(64), ir.FloatType()
VECTOR = ir.VectorType(FLOAT, LANES)


def _register_lanes() -> int:
    try:
        features = get_host_cpu_features()
    except RuntimeError:  # LLVM does not tell on every processor
        return 4
    return 16 if features.get("avx512f") else 8 if features.get("avx") else 4


REGISTER_LANES: Final = _register_lanes()
"""Floats that a register of this processor holds."""

REGISTER_BYTES: Final = 4 * REGISTER_LANES

REGISTER = ir.VectorType(FLOAT, REGISTER_LANES)


def compiled(signature: Any, decorator: Any = njit, **options: Any) -> Any:
    """Compile at import, or read what an earlier process compiled, where a folder can be written."""

    def compile(function: Any) -> Any:
        chosen = config.CACHE_DIR
        try:
            config.CACHE_DIR = chosen or cache_folder()
            return decorator(signature, cache=True, **options)(function)
        except RuntimeError:
            return decorator(signature, **options)(function)
        finally:
            config.CACHE_DIR = chosen

    return compile


def cache_folder() -> str:
    """A folder for this very source: numba sees a change of a function's own file alone."""
    sources = sorted(Path(__file__).parent.glob("numba_*.py"))
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()
    return str(user_cache_folder() / "numba" / digest[:16])


def pointer_to(builder: Any, base: Any, offset: Any, kind: Any) -> Any:
    """In generated code: a pointer to what lies `offset` bytes after an address."""
    return builder.inttoptr(builder.add(base, offset), kind.as_pointer())


def load_vector(builder: Any, base: Any, offset: Any) -> Any:
    """In generated code: the vector that lies there."""
    return builder.load(pointer_to(builder, base, offset, VECTOR), align=4)


def load_register(builder: Any, base: Any, offset: Any) -> Any:
    """In generated code: as much of it as a register holds."""
    return builder.load(pointer_to(builder, base, offset, REGISTER), align=4)


def fused_multiply_add(builder: Any, factor: Any, other: Any, term: Any) -> Any:
    """In generated code: factor * other + term, rounded once."""
    kind = ir.FunctionType(factor.type, [factor.type] * 3)
    name = f"llvm.fma.v{factor.type.count}f32"
    fma = cgutils.get_or_insert_function(builder.module, kind, name)
    return builder.call(fma, [factor, other, term])


@intrinsic
def take_ticket(typing: Any, counter: Any) -> Any:
    """Add one to the counter at this address, atomically; what it was before."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        pointer = builder.inttoptr(args[0], I64.as_pointer())
        return builder.atomic_rmw("add", pointer, I64(1), "monotonic")

    return types.int64(types.int64), generate


@intrinsic
def load_integer(typing: Any, address: Any) -> Any:
    """The integer of 64 bits that lies there."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.load(builder.inttoptr(args[0], I64.as_pointer()))

    return types.int64(types.int64), generate


def _constant(kind: Any, value: int) -> Any:
    width = getattr(kind, "count", None)
    return ir.Constant(kind, value if width is None else [value] * width)


def _converters(width: int) -> tuple[Any, Any]:
    """Intrinsics that read `width` elements at an address and write them at another.

    The first widens elements of the tensor to float32, the second rounds float32 to the tensor's type.
    """
    float_type, short_type, int_type = (
        ir.VectorType(kind, width) if width > 1 else kind
        for kind in (FLOAT, ir.IntType(16), ir.IntType(32))
    )
    sixteen = _constant(int_type, 16)

    def read(builder: Any, address: Any, kind: Any) -> Any:
        bytes_ = 2 if kind is short_type else 4
        return builder.load(builder.inttoptr(address, kind.as_pointer()), align=bytes_)

    def write(builder: Any, address: Any, value: Any) -> None:
        bytes_ = 2 if value.type == short_type else 4
        builder.store(value, builder.inttoptr(address, value.type.as_pointer()), align=bytes_)

    def widen(typing: Any, target: Any, source: Any, is_short: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            target, source, is_short = args
            with builder.if_else(is_short) as (short, whole):
                with short:
                    # A bfloat16 is the upper half of a float32.
                    value = builder.zext(read(builder, source, short_type), int_type)
                    value = builder.bitcast(builder.shl(value, sixteen), float_type)
                    write(builder, target, value)
                with whole:
                    write(builder, target, read(builder, source, float_type))
            return context.get_dummy_value()

        return types.void(types.int64, types.int64, types.boolean), generate

    def narrow(typing: Any, target: Any, source: Any, is_short: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            target, source, is_short = args
            value = read(builder, source, float_type)
            with builder.if_else(is_short) as (short, whole):
                with short:
                    # To the nearest, ties to even; what is not a number stays so.
                    bits = builder.bitcast(value, int_type)
                    odd = builder.and_(builder.lshr(bits, sixteen), _constant(int_type, 1))
                    nearest = builder.add(bits, builder.add(odd, _constant(int_type, 0x7FFF)))
                    quiet = builder.or_(bits, _constant(int_type, 0x400000))
                    is_nan = builder.fcmp_unordered("uno", value, value)
                    upper = builder.lshr(builder.select(is_nan, quiet, nearest), sixteen)
                    write(builder, target, builder.trunc(upper, short_type))
                with whole:
                    write(builder, target, value)
            return context.get_dummy_value()

        return types.void(types.int64, types.int64, types.boolean), generate

    return intrinsic(widen), intrinsic(narrow)


@intrinsic
def _widen_every_second(typing: Any, target: Any, source: Any, is_short: Any) -> Any:
    """A vector of every second element; that behind the last is read, too."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        target, source, is_short = args
        to = builder.inttoptr(target, VECTOR.as_pointer())
        with builder.if_else(is_short) as (short, whole):
            with short:
                # Two elements are one integer, the first its lower half on every processor that numba
                # compiles for.
                kind = ir.VectorType(ir.IntType(32), LANES)
                pairs = builder.load(builder.inttoptr(source, kind.as_pointer()), align=2)
                value = builder.bitcast(builder.shl(pairs, _constant(kind, 16)), VECTOR)
                builder.store(value, to, align=4)
            with whole:
                kind = ir.VectorType(FLOAT, 2 * LANES)
                pairs = builder.load(builder.inttoptr(source, kind.as_pointer()), align=4)
                index = ir.VectorType(ir.IntType(32), LANES)
                chosen = ir.Constant(index, list(range(0, 2 * LANES, 2)))
                builder.store(builder.shuffle_vector(pairs, pairs, chosen), to, align=4)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, types.boolean), generate


_widen_one, _narrow_one = _converters(1)
_widen_vector, _narrow_vector = _converters(LANES)


@intrinsic
def _prefetch_line(typing: Any, address: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        place, number = ir.IntType(8).as_pointer(), ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [place, *[number] * 3])
        function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0i8")
        for_writing, keep, data = number(1), number(3), number(1)
        builder.call(function, [builder.inttoptr(args[0], place), for_writing, keep, data])
        return context.get_dummy_value()

    return types.void(types.int64), generate


@compiled("void(int64, int64, int64)")
def prefetch(target: int, count: int, step: int) -> None:
    """Fetch so many lines of the cache, `step` bytes apart, that will be written."""
    for i in range(count):
        _prefetch_line(target + step * i)


@compiled("int64(int64)")
def aligned(address: int) -> int:
    """The first address from there on at which a vector lies in one line of the cache."""
    return (address + LINE - 1) // LINE * LINE


@compiled("void(int64, int64, int64, int64, int64)")
def widen(target: int, source: int, count: int, step: int, size: int) -> None:
    """`count` elements of `size` bytes, every `step`-th of the source, as float32."""
    done = 0
    if step == 1:
        while done + LANES <= count:
            _widen_vector(target + 4 * done, source + size * done, size == 2)
            done += LANES
    elif step == 2:
        while done + LANES < count:
            _widen_every_second(target + 4 * done, source + size * 2 * done, size == 2)
            done += LANES
    for i in range(done, count):
        _widen_one(target + 4 * i, source + size * i * step, size == 2)


@compiled("void(int64, int64, int64, int64, int64)")
def narrow(target: int, source: int, count: int, step: int, size: int) -> None:
    """`count` floats as elements of `size` bytes, every `step`-th of the target."""
    done = 0
    if step == 1:
        while done + LANES <= count:
            _narrow_vector(target + size * done, source + 4 * done, size == 2)
            done += LANES
    for i in range(done, count):
        _narrow_one(target + size * i * step, source + 4 * i, size == 2)


@compiled("void(int64, int64, int64, int64, int64, int64, int64, int64)")
def pack_line(
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
            widen(to, pixel, left, 1, size)


@compiled("void(int64, int64, int64, int64, int64, int64)")
def unpack_line(
    target: int, source: int, pixels: int, target_step: int, channels: int, size: int
) -> None:
    """So many pixels, one vector each, to where the first of their channels lie."""
    if channels == LANES:
        for i in range(pixels):
            _narrow_vector(target + target_step * i, source + LINE * i, size == 2)
    else:
        for i in range(pixels):
            narrow(target + target_step * i, source + LINE * i, channels, 1, size)


@compiled(types.void(JOB_TYPE, *[types.int64] * 4))
def pack_input(job: Any, target: int, item: int, channel: int, width: int) -> None:
    """One item's channel, or a group of them, in phases and with the padding left at zero."""
    plane = job.q_depth * job.q_height * job.q_width
    for z in range(job.depth):
        at_z = z + job.low_depth
        for y in range(job.height):
            at_y = y + job.low_height
            q_z, q_y = at_z // job.s_depth, at_y // job.s_height
            if q_z < 0 or q_y < 0 or q_z >= job.q_depth or q_y >= job.q_height:
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
                    widen(to, source, count, job.s_width, job.size)
                else:
                    line = ((item * job.depth + z) * job.height + y) * job.width + start
                    source = job.x + job.size * (line * job.channels + channel)
                    step = job.size * job.channels * job.s_width
                    pack_line(to, source, count, LINE, step, width, 4 * job.x_floats, job.size)
