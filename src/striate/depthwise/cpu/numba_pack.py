"""Machine code that lays tensors out for the CPU's inner loops, written with numba.

The loops of `numba_correlate` and `numba_convolve` walk over vectors of 16 floats. Before them the
input is copied in float32, with its padding written out, so that whatever a tap reads is a run of
vectors at a fixed offset from the output's place:

- channels last: a vector is 16 channels of one position.
- contiguous: a vector is 16 positions of one channel.

A stride of s splits the input into s phases along each axis (see `axes`).
"""

# numba's decorators and intrinsics change what a type checker sees of a signature.
# mypy: disable-error-code="attr-defined, call-arg, import-untyped, no-untyped-call"
# mypy: disable-error-code="unreachable, untyped-decorator, var-annotated"

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any, Final

from llvmlite import ir
from llvmlite.binding import get_host_cpu_features
from numba import config, from_dtype, njit, types
from numba.core import cgutils
from numba.extending import intrinsic

from striate.depthwise.cpu.jobs import JOB, LANES
from striate.files import user_cache_folder

LINE: Final = 4 * LANES
"""Bytes of a vector."""

JOB_TYPE: Final = from_dtype(JOB)

I32, I64, FLOAT = ir.IntType(32), ir.IntType(64), ir.FloatType()
VECTOR = ir.VectorType(FLOAT, LANES)
ZERO = I64(0)


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
    sources = sorted(Path(__file__).parent.glob("*.py"))
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()
    return str(user_cache_folder() / "numba" / digest[:16])


def generated(returns: Any) -> Callable[[Callable[..., Any]], Any]:
    """Make a function for machine code of one that writes LLVM's instructions with a builder."""

    def wrap(write: Callable[..., Any]) -> Any:
        def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
            result = write(builder, *values)
            return context.get_dummy_value() if result is None else result

        @intrinsic
        @wraps(write)
        def declare(typing: Any, *kinds: Any) -> Any:
            return returns(*kinds), generate

        return declare

    return wrap


def load(builder: Any, kind: Any, base: Any, offset: Any = ZERO, align: int = 4) -> Any:
    """In generated code: what lies `offset` bytes after an address."""
    pointer = builder.inttoptr(builder.add(base, offset), kind.as_pointer())
    return builder.load(pointer, align=align)


def store(builder: Any, value: Any, base: Any, offset: Any = ZERO, align: int = 4) -> None:
    """In generated code: put a value `offset` bytes after an address."""
    pointer = builder.inttoptr(builder.add(base, offset), value.type.as_pointer())
    builder.store(value, pointer, align=align)


def constant(kind: Any, value: int) -> Any:
    """In generated code: a number, for each element where the type is a vector."""
    count = getattr(kind, "count", None)
    return ir.Constant(kind, value if count is None else [value] * count)


def fused_multiply_add(builder: Any, factor: Any, other: Any, term: Any) -> Any:
    """In generated code: factor * other + term, rounded once."""
    kind = ir.FunctionType(factor.type, [factor.type] * 3)
    name = f"llvm.fma.v{factor.type.count}f32"
    fma = cgutils.get_or_insert_function(builder.module, kind, name)
    return builder.call(fma, [factor, other, term])


@generated(types.int64)
def take_ticket(builder: Any, counter: Any) -> Any:
    """Add one to the counter at this address, atomically; what it was before."""
    pointer = builder.inttoptr(counter, I64.as_pointer())
    return builder.atomic_rmw("add", pointer, I64(1), "monotonic")


@generated(types.int64)
def load_integer(builder: Any, address: Any) -> Any:
    """The integer of 64 bits that lies there."""
    return load(builder, I64, address, align=8)


def _converters(width: int) -> tuple[Any, Any]:
    """Functions that read `width` elements at an address and write them at another.

    The first widens elements of the tensor to float32, the second rounds float32 to the tensor's type.
    """
    floats, shorts, integers = (
        ir.VectorType(kind, width) if width > 1 else kind for kind in (FLOAT, ir.IntType(16), I32)
    )
    sixteen = constant(integers, 16)

    @generated(types.void)
    def widen(builder: Any, target: Any, source: Any, is_short: Any) -> None:
        with builder.if_else(is_short) as (short, whole):
            with short:
                # A bfloat16 is the upper half of a float32.
                bits = builder.zext(load(builder, shorts, source, align=2), integers)
                value = builder.bitcast(builder.shl(bits, sixteen), floats)
                store(builder, value, target)
            with whole:
                store(builder, load(builder, floats, source), target)

    @generated(types.void)
    def narrow(builder: Any, target: Any, source: Any, is_short: Any) -> None:
        value = load(builder, floats, source)
        with builder.if_else(is_short) as (short, whole):
            with short:
                # To the nearest, ties to even; what is not a number stays so.
                bits = builder.bitcast(value, integers)
                odd = builder.and_(builder.lshr(bits, sixteen), constant(integers, 1))
                nearest = builder.add(bits, builder.add(odd, constant(integers, 0x7FFF)))
                quiet = builder.or_(bits, constant(integers, 0x400000))
                is_nan = builder.fcmp_unordered("uno", value, value)
                upper = builder.lshr(builder.select(is_nan, quiet, nearest), sixteen)
                store(builder, builder.trunc(upper, shorts), target, align=2)
            with whole:
                store(builder, value, target)

    return widen, narrow


_widen_one, _narrow_one = _converters(1)
_widen_vector, _narrow_vector = _converters(LANES)


@generated(types.void)
def _widen_every_second(builder: Any, target: Any, source: Any, is_short: Any) -> None:
    """A vector of every second element; that behind the last is read, too."""
    with builder.if_else(is_short) as (short, whole):
        with short:
            # Two elements are one integer, the first its lower half on every processor that numba
            # compiles for.
            kind = ir.VectorType(I32, LANES)
            pairs = load(builder, kind, source, align=2)
            value = builder.bitcast(builder.shl(pairs, constant(kind, 16)), VECTOR)
            store(builder, value, target)
        with whole:
            pairs = load(builder, ir.VectorType(FLOAT, 2 * LANES), source)
            chosen = ir.Constant(ir.VectorType(I32, LANES), list(range(0, 2 * LANES, 2)))
            store(builder, builder.shuffle_vector(pairs, pairs, chosen), target)


@generated(types.void)
def _prefetch_line(builder: Any, address: Any) -> None:
    place = ir.IntType(8).as_pointer()
    kind = ir.FunctionType(ir.VoidType(), [place, *[I32] * 3])
    function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0i8")
    for_writing, keep, data = I32(1), I32(3), I32(1)
    builder.call(function, [builder.inttoptr(address, place), for_writing, keep, data])


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
