"""`striate check`: what is wrong with the data, before training."""

from __future__ import annotations

import json as jsonlib
from typing import Annotated

from typer import Argument, Option


def check(
    data: Annotated[str, Argument(help="What `striate fit` takes.")],
    seed: Annotated[int, Option(help="Seed of the split.")] = 0,
    json: Annotated[bool, Option("--json", help="Print one JSON document.")] = False,
) -> int:
    """Read and check DATA as a fit would; train nothing."""
    from striate.fitting.check import check as run_check
    from striate.progress import Progress

    result = run_check(data, seed=seed, progress=Progress(quiet=json))
    print(jsonlib.dumps(result.as_json(), indent=2) if json else result.as_text())
    return 0
