"""`striate kernels`: the kernels there are, and which of them would compute an input."""

from __future__ import annotations

from typing import Annotated

from typer import Option


def kernels(
    input: Annotated[
        str | None,
        Option(
            "--input", help="Shape of an input, as 8,96,56,56: also say which kernel computes it."
        ),
    ] = None,
    kernel: Annotated[int, Option(help="Taps along each axis, with --input.")] = 3,
    stride: Annotated[int, Option(help="Step between outputs, with --input.")] = 1,
    dtype: Annotated[str, Option(help="float32, bfloat16 or float16, with --input.")] = "float32",
    json: Annotated[bool, Option("--json", help="Print one JSON document.")] = False,
) -> int:
    """List the depthwise kernels: operators, ranks, types, limits, and why not."""
    from striate.cli.models import table
    from striate.depthwise.report import describe, describe_input

    rows = describe() if input is None else describe_input(input, kernel, stride, dtype)
    if json:
        from json import dumps

        print(dumps(rows))
    else:
        print(table([tuple(rows[0]), *(tuple(row.values()) for row in rows)]))
    return 0
