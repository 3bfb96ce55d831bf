"""`striate models`: the networks there are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from typer import Argument


def models(
    pattern: Annotated[
        str, Argument(help="Show the names that match, with * and ? as wildcards.")
    ] = "*",
) -> int:
    """List the networks with their parameters and the weights that can be had."""
    from striate.models import describe

    rows = [("name", "family", "parameters", "input", "weights")]
    for model in describe(pattern):
        weights = ", ".join(model.weights) or "-"
        size = str(model.input_size)
        rows.append((model.name, model.family, f"{model.parameters:,}", size, weights))
    print(table(rows))
    return 0


def table(rows: Sequence[tuple[str, ...]]) -> str:
    """Rows as aligned columns; the first row is the head."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )
