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
        size = "-" if model.input_size is None else str(model.input_size)
        rows.append((model.name, model.family, f"{model.parameters:,}", size, weights))
    print(table(rows))
    return 0


def table(rows: Sequence[tuple[str, ...]]) -> str:
    """Rows as aligned columns, whole numbers to the right; the first row is the head."""
    columns = [_aligned(column) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(cells).rstrip() for cells in zip(*columns, strict=True))


def _aligned(column: Sequence[str]) -> list[str]:
    width = max(map(len, column))
    numbers = all(cell.replace(",", "").isdigit() for cell in column[1:] if cell.strip("-"))
    return [cell.rjust(width) if numbers else cell.ljust(width) for cell in column]
