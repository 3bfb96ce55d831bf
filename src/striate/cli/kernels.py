"""`striate kernels`: the kernels there are, and which of them would compute an input."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, Final

from typer import Option

from striate.cli.shared import AsJson, table

if TYPE_CHECKING:
    from striate.depthwise.dispatch import Verdict
    from striate.depthwise.kernel import Kernel
    from striate.depthwise.problem import Operator, Problem

HEADS: Final[dict[Operator, str]] = {
    "forward": "forward",
    "input_gradient": "grad x",
    "weight_gradient": "grad w",
}

LEGEND: Final = (
    "yes: chosen where it was measured to be faster than torch's own convolution",
    "no: never measured to be faster on a machine like this one; it computes only what asks for "
    "it by name, as in depthwise(x, weight, implementation=NAME)",
    "absent: this machine lacks something for it",
    "rest: torch's own convolution computes everything that no other kernel does",
    "grad x, grad w: the gradients with respect to the input and to the weight",
)


def kernels(
    input: Annotated[
        str | None,
        Option(
            "--input",
            help="Items, channels and sizes of an input, as 8,96,56,56: say which kernel computes "
            "it, and why the others do not.",
        ),
    ] = None,
    kernel: Annotated[
        int | None, Option(help="Taps along each axis, with --input [3].", min=1)
    ] = None,
    stride: Annotated[
        int | None, Option(help="Step between outputs, with --input [1].", min=1)
    ] = None,
    dtype: Annotated[
        str | None, Option(help="float32, bfloat16 or float16, with --input [float32].")
    ] = None,
    device: Annotated[str | None, Option(help="auto, cpu or cuda, with --input [auto].")] = None,
    verbose: Annotated[
        bool, Option("--verbose", help="Print every limit, and where each kernel is faster.")
    ] = False,
    json: AsJson = False,
) -> int:
    """List the kernels of depthwise convolutions, and say which computes an input and why."""
    from striate.depthwise.dispatch import KERNELS, verdicts
    from striate.depthwise.problem import OPERATORS
    from striate.errors import ArgumentError

    every = [entry for _, entry in KERNELS.items()]
    found: dict[Operator, list[Verdict]] = {}
    if input is not None:
        problem = _problem(input, kernel or 3, stride or 1, dtype or "float32", device or "auto")
        found = {operator: verdicts(operator, problem) for operator in OPERATORS}
    elif any(option is not None for option in (kernel, stride, dtype, device)):
        raise ArgumentError(
            "--kernel, --stride, --dtype, --device", why="they describe the input of --input"
        )
    if json and verbose:
        raise ArgumentError("--verbose", why="--json prints everything already")
    if json:
        from json import dumps

        print(dumps(_verdict_rows(found) if found else [_as_json(entry) for entry in every]))
        return 0
    for line in _verdict_lines(found) if found else _table_lines(every):
        print(line)
    if verbose:
        for line in _detail_lines(every):
            print(line)
    return 0


def _table_lines(every: Sequence[Kernel]) -> Iterator[str]:
    """One row for each implementation, and what its cells mean."""
    rows: list[tuple[str, ...]] = [("kernel", "device", "rank", "types", *HEADS.values())]
    lacks: dict[str, str] = {}
    for name in dict.fromkeys(kernel.name for kernel in every):
        own = {kernel.operator: kernel for kernel in every if kernel.name == name}
        limits = [kernel.limits for kernel in own.values()]
        ranks = sorted({rank for limit in limits for rank in limit.ranks or (1, 2, 3)})
        cells = [_cell(own[operator]) if operator in own else "-" for operator in HEADS]
        rank = f"{ranks[0]}-{ranks[-1]}" if len(ranks) > 1 else f"{ranks[0]}"
        rows.append((name, *limits[0].device_types, rank, " ".join(limits[0].dtypes), *cells))
        if missing := next(iter(own.values())).missing():
            lacks[name] = "; ".join(missing)
    rows.append(("torch", "any", "1-3", "any", *["rest"] * len(HEADS)))
    yield from table(rows).splitlines()
    yield ""
    for text in (*LEGEND, *(f"{name} is absent: {why}" for name, why in lacks.items())):
        yield from _wrapped(text)


def _cell(kernel: Kernel) -> str:
    if kernel.missing():
        return "absent"
    return "yes" if kernel.is_faster_here() else "no"


def _verdict_lines(found: dict[Operator, list[Verdict]]) -> Iterator[str]:
    """For each operator the kernel that computes it, and why the others do not."""
    for operator, verdicts in found.items():
        chosen = next(verdict.kernel.name for verdict in verdicts if verdict.is_chosen)
        yield f"{operator.replace('_', ' ')}: {chosen}"
        for verdict in verdicts:
            if not verdict.is_chosen:
                yield from _wrapped("; ".join(verdict.reasons), f"  {verdict.kernel.name:16}")


def _detail_lines(every: Sequence[Kernel]) -> Iterator[str]:
    """Each kernel's limits and gains."""
    for kernel in every:
        yield ""
        yield f"{kernel.name}, {kernel.operator.replace('_', ' ')}"
        yield from _wrapped(str(kernel.limits), "  computes        ")
        for gain in kernel.gains:
            yield from _wrapped(str(gain), "  is faster for   ")
        yield from _wrapped("; ".join(kernel.missing()) or "nothing", "  lacks           ")


def _wrapped(text: str, head: str = "") -> list[str]:
    """The text in lines that fit the terminal, the first after `head` and the others below it."""
    from shutil import get_terminal_size
    from textwrap import wrap

    width = max(get_terminal_size().columns, len(head) + 20)
    return wrap(text, width, initial_indent=head, subsequent_indent=" " * (len(head) or 2))


def _verdict_rows(found: dict[Operator, list[Verdict]]) -> list[dict[str, object]]:
    return [
        {
            "operator": operator,
            "kernel": verdict.kernel.name,
            "chosen": verdict.is_chosen,
            "reasons": verdict.reasons,
        }
        for operator, verdicts in found.items()
        for verdict in verdicts
    ]


def _as_json(kernel: Kernel) -> dict[str, object]:
    return {
        "kernel": kernel.name,
        "operator": kernel.operator,
        "limits": kernel.limits.to_json(),
        "gains": [gain.to_json() for gain in kernel.gains],
        "missing": kernel.missing(),
        "faster_here": kernel.is_faster_here() and not kernel.missing(),
    }


def _problem(shape: str, kernel_size: int, stride: int, dtype: str, device: str) -> Problem:
    """The input of a call, in 2-D and 3-D with channels last.

    Raises:
        ArgumentError: The shape, the type or the device cannot be read.
        DeviceError: There is no GPU.
    """
    import torch

    from striate.depthwise.kernel import FLOATS
    from striate.depthwise.problem import problem_of
    from striate.device import choose_device
    from striate.errors import ArgumentError

    try:
        batch, channels, *space = map(int, shape.split(","))
    except ValueError:
        batch, channels, space = 0, 0, []
    if min(batch, channels, *space, 1) < 1 or len(space) not in (1, 2, 3):
        raise ArgumentError(
            f"--input {shape}", why="it is not items,channels and 1 to 3 sizes, all positive"
        )
    if dtype not in FLOATS:
        raise ArgumentError(f"--dtype {dtype}", fix=f"choose one of {', '.join(FLOATS)}")
    return problem_of(
        (batch, channels, *space),
        (channels, 1, *[kernel_size] * len(space)),
        stride=stride,
        padding="same",
        dilation=1,
        dtype=getattr(torch, dtype),
        device_type=choose_device(device).type,
        channels_last=len(space) > 1,
    )
