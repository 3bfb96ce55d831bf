"""How the CUDA kernels cut a depthwise convolution into work units that fit a GPU.

All kernels see {channel, column, row, plane, volume}. In 2-D, and in 3-D where the kernel has one plane,
the images or planes of a batch are the planes of one volume.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import astuple, dataclass, replace
from math import ceil, prod
from typing import Final

from torch import Tensor

from striate.depthwise.problem import Operator, Problem
from striate.errors import ArgumentError

CHANNEL_MULTIPLE: Final = 8
"""Channels that the copy engine moves at once: 16 bytes."""

STRIPS: Final = 16
"""Strips of eight columns in a matrix product."""

DUMP_PITCH: Final = 132
"""Floats of a product in shared memory, as correlate.cu lays it down."""

Triple = tuple[int, ...]
"""Sizes along planes, rows and columns."""

Box = tuple[int, int, int, int, int]
"""Sizes along {channel, column, row, plane, volume}."""

Mapped = tuple[Tensor, Box]
"""A tensor that is copied in boxes, and its sizes."""


@dataclass(frozen=True, slots=True)
class Layout:
    """A convolution with stride 1 over planes, rows and columns.

    Attributes:
        volumes: Number of items that have planes of their own.
        channels: Number of channels, a multiple of `CHANNEL_MULTIPLE`.
        source: Positions of what is read.
        target: Positions of what is written; in the gradient of the weight, of the output.
        taps: Number of taps along each axis.
        low: Padding before each axis.
        flip: Whether the taps are taken in reverse order.
    """

    volumes: int
    channels: int
    source: Triple
    target: Triple
    taps: Triple
    low: Triple
    flip: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The kernels' `Plan`, field for field (bands.h says what they mean)."""

    channels: int
    in_planes: int
    in_rows: int
    in_columns: int
    out_planes: int
    out_rows: int
    out_columns: int
    low_planes: int
    low_rows: int
    low_columns: int
    flip: int
    blocks: int
    streams: int
    segment: int
    segments: int
    run: int = 0
    runs: int = 1
    plane_runs: int = 1
    units: int = 1
    parts: int = 1
    chunks: int = 1
    stagger: int = 0
    slot: int = 0
    barriers: int = 0

    def pack(self) -> list[int]:
        """The numbers in the order of the kernels' fields."""
        return list(astuple(self))


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """One kernel as it is to be compiled and launched.

    Attributes:
        kernel: Name of the kernel, and of its file.
        constants: Names and values that it is compiled with.
        plan: Sizes of this call.
        grid: Blocks along the first and second axis.
        threads: Threads of a block.
        shared: Bytes of shared memory of a block.
        boxes: The {channel, column, row, plane, volume} of each tensor that are copied at once.
        shares: Floats for partial sums.
        counters: Counters of finished blocks.
    """

    kernel: str
    constants: tuple[tuple[str, int], ...]
    plan: Plan
    grid: tuple[int, int]
    threads: int
    shared: int
    boxes: tuple[Box, Box]
    shares: int = 0
    counters: int = 0


@dataclass(frozen=True, slots=True)
class Hardware:
    """What a plan asks of a GPU: multiprocessors, and bytes of shared memory that a block may have."""

    multiprocessors: int
    shared: int


def layout_of(problem: Problem, operator: Operator) -> Layout:
    """The planes, rows and columns of a 2-D or 3-D problem; channels are filled up to a multiple."""
    missing = 3 - problem.rank
    taps = (1,) * missing + problem.kernel_size
    low = (0,) * missing + tuple(window.low for window in problem.windows)
    source, target = (1,) * missing + problem.space, (1,) * missing + problem.out_space
    if operator == "input_gradient":
        source, target = target, source
        low = tuple(tap - 1 - before for tap, before in zip(taps, low, strict=True))
    volumes = problem.batch
    if taps[0] == 1 and low[0] == 0 and source[0] == target[0]:
        source, target = ((volumes * size[0], *size[1:]) for size in (source, target))
        volumes = 1
    return Layout(
        volumes,
        channels=-(-problem.channels // CHANNEL_MULTIPLE) * CHANNEL_MULTIPLE,
        source=source,
        target=target,
        taps=taps,
        low=low,
        flip=operator == "input_gradient",
    )


def plan_convolution(layout: Layout, hardware: Hardware) -> Launch:
    """The launch of the forward convolution, or of the gradient of the input.

    Raises:
        ArgumentError: No tile fits the shared memory.
    """
    depth, height, _ = layout.taps
    if depth == 1 or (depth <= 3 and height <= 3):
        return _plan_sweep(layout, hardware)
    return _plan_tile(layout, hardware)


def plan_weight_gradient(layout: Layout, hardware: Hardware) -> Launch:
    """The launch of the gradient of the weight.

    Raises:
        ArgumentError: No tile fits the shared memory.
    """
    depth, height, _ = layout.taps
    few = height <= 3
    depth_taps = min(depth, 3) if few else 1
    rows = 4 if depth_taps > 1 else 8 if few else 6
    registers = 0 if few and depth_taps == 1 else 232
    warps = 8
    block = _block_bytes(warps)
    groups = ceil(depth / depth_taps)
    for plan in _cuts(layout, warps, widest=64):
        stagger = 256 if depth_taps > 1 or plan.streams == 2 else 128 if plan.streams > 2 else 0
        x_plane, g_plane = (plan.blocks + 1) * block + stagger, plan.blocks * block + stagger
        spare = (STRIPS - plan.streams * plan.blocks) * block
        planes = plan.streams + depth_taps - 1
        slot = ceil((planes * x_plane + plan.streams * g_plane + spare) / 1024) * 1024
        barriers = max(rows * slot, warps * height * DUMP_PITCH * 4)
        shared = barriers + rows * 8 + 16
        if shared <= hardware.shared:
            break
    plan = replace(plan, stagger=stagger, slot=slot, barriers=barriers)
    plan = _share_rows(plan, layout, hardware.multiprocessors // groups)
    channels = 4 * warps
    extra = stagger // (2 * channels)
    return Launch(
        kernel="correlate",
        constants=_constants(
            layout, WARPS=warps, DEPTH_TAPS=depth_taps, ROWS=rows, REGISTERS=registers
        ),
        plan=plan,
        grid=(plan.chunks * plan.parts, groups),
        threads=warps * 32 + (128 if registers else 32),
        shared=shared,
        boxes=(
            (channels, 8 * plan.blocks + 8 + extra, 1, planes, 1),
            (channels, 8 * plan.blocks + extra, 1, plan.streams, 1),
        ),
        shares=groups * plan.parts * plan.chunks * channels * depth_taps * prod(layout.taps[1:]),
        counters=groups * plan.chunks,
    )


def _plan_sweep(layout: Layout, hardware: Hardware) -> Launch:
    depth, height, _ = layout.taps
    warps, groups, rows = 8, (1 if depth == 1 else 2), (8 if depth == 1 else 4)
    registers = 0 if depth == 1 and height <= 3 else 232
    block, channels = _block_bytes(warps), 4 * warps
    for plan in _cuts(layout, warps, widest=128, groups=groups):
        planes, out_planes = plan.streams * groups + depth - 1, plan.streams * groups
        # The taps lie where two pairs of output rows will be staged.
        staged = max(4 * out_planes * plan.blocks * block, channels * prod(layout.taps) * 2 + 32)
        barriers = rows * planes * (plan.blocks + 1) * block + staged
        shared = barriers + (rows + 1) * 8 + 8
        if shared <= hardware.shared:
            break
    plan = _share_rows(replace(plan, barriers=barriers), layout, hardware.multiprocessors)
    return Launch(
        kernel="sweep",
        constants=_constants(layout, WARPS=warps, GROUPS=groups, ROWS=rows, REGISTERS=registers),
        plan=plan,
        grid=(plan.chunks * plan.parts, 1),
        threads=warps * 32 + (128 if registers else 32),
        shared=shared,
        boxes=(
            (channels, 8 * plan.blocks + 8, 1, planes, 1),
            (channels, 8 * plan.blocks, 1, out_planes, 1),
        ),
    )


def _plan_tile(layout: Layout, hardware: Hardware) -> Launch:
    warps, rows = 4, 7
    read_rows = rows + layout.taps[1] - 1
    block, channels = _block_bytes(warps), 4 * warps
    for plan in _cuts(layout, warps, widest=64):
        ring = (plan.streams + 1) * read_rows * (plan.blocks + 1) * block
        barriers = ring + channels * prod(layout.taps) * 2 + 32
        shared = barriers + (plan.streams + 2) * 8
        # Two blocks share a multiprocessor, and each costs a kilobyte more.
        if shared <= hardware.shared // 2 - 1024:
            break
    runs = ceil(layout.target[1] / rows)
    units = plan.plane_runs * plan.segments * layout.volumes * runs
    plan = replace(plan, barriers=barriers, run=rows, runs=runs, units=units)
    return Launch(
        kernel="tile",
        constants=_constants(layout, WARPS=warps, HEIGHT=rows),
        plan=plan,
        grid=(plan.chunks * units, 1),
        threads=warps * 32,
        shared=shared,
        boxes=(
            (channels, 8 * plan.blocks + 8, read_rows, 1, 1),
            (channels, 8 * plan.blocks, rows, 1, 1),
        ),
    )


def _cuts(layout: Layout, warps: int, *, widest: int, groups: int = 1) -> Iterator[Plan]:
    """Plans with ever fewer planes in a product; rows are not yet shared out.

    Raises:
        ArgumentError: None of them was taken.
    """
    planes, _, columns = layout.target
    sizes = {"in": layout.source, "out": layout.target, "low": layout.low}
    named = {
        f"{tensor}_{axis}": size
        for tensor, numbers in sizes.items()
        for axis, size in zip(("planes", "rows", "columns"), numbers, strict=True)
    }
    segments = ceil(columns / widest)
    segment = columns if segments == 1 else ceil(columns / segments / 8) * 8
    blocks = ceil(segment / 8)
    for max_streams in range(min(STRIPS // blocks, planes), 0, -1):
        streams = ceil(planes / (ceil(planes / (max_streams * groups)) * groups))
        yield Plan(
            **named,
            channels=layout.channels,
            flip=int(layout.flip),
            blocks=blocks,
            streams=streams,
            segment=segment,
            segments=ceil(columns / segment),
            plane_runs=ceil(planes / (streams * groups)),
            chunks=ceil(layout.channels / (4 * warps)),
        )
    raise ArgumentError(f"a kernel of {layout.taps} taps", why="no tile fits the shared memory")


def _share_rows(plan: Plan, layout: Layout, workers: int) -> Plan:
    """Cut the rows so that the busiest of so many workers passes over the fewest.

    A run of rows reads `taps - 1` more than it computes.
    """
    height, rows = layout.taps[1], layout.target[1]
    workers = max(1, workers // plan.chunks)
    groups = plan.plane_runs * layout.volumes * plan.segments

    def steps(runs: int) -> int:
        halo = height - 1 if runs > 1 else height // 2
        return ceil(groups * runs / workers) * (ceil(rows / runs) + halo)

    runs = min((n for n in range(1, rows + 1) if n == 1 or ceil(rows / n) >= 4), key=steps)
    run = ceil(rows / runs)
    runs = ceil(rows / run)
    units = groups * runs
    return replace(plan, run=run, runs=runs, units=units, parts=min(units, workers))


def _block_bytes(warps: int) -> int:
    """Bytes of eight columns of a chunk's channels."""
    return 16 * 4 * warps


def _constants(layout: Layout, **own: int) -> tuple[tuple[str, int], ...]:
    taps = zip(("KD", "KH", "KW"), layout.taps, strict=True)
    return (*taps, *own.items())
