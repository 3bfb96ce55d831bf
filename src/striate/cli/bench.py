"""`striate bench`: how fast Striate is beside what else is installed."""

from __future__ import annotations

from typing import Annotated

from typer import Argument, Option

from striate.cli.shared import AsJson, print_result


def bench(
    name: Annotated[
        str,
        Argument(metavar="NAME", help="features, train, fit, data, predict or kernels."),
    ],
    subject: Annotated[
        str | None,
        Argument(metavar="[MODEL|RUN|DATA]", help="What to measure, where it is not the default."),
    ] = None,
    rounds: Annotated[
        int, Option(help="Rounds in which the contenders take turns.", min=1, max=100)
    ] = 7,
    json: AsJson = False,
) -> int:
    """Measure Striate beside the installed peers, in turns, in one run."""
    from striate.bench import bench as measured

    return print_result(measured(name, subject, rounds=rounds), json)
