"""`striate eval`: how good a trained model is, on its own test items or on new data."""

from __future__ import annotations

import json as jsonlib
from pathlib import Path
from typing import Annotated

from typer import Argument, Option


def evaluate(
    run: Annotated[Path, Argument(help="Run folder of a finished fit.")],
    data: Annotated[
        str | None, Argument(help="Labelled data (default: the run's own test items).")
    ] = None,
    json: Annotated[bool, Option("--json", help="Print one JSON document.")] = False,
    device: Annotated[str, Option(help="auto, cpu or cuda.")] = "auto",
) -> int:
    """Print the metrics with their 95 % intervals."""
    from striate.progress import Progress
    from striate.run.evaluate import evaluate as run_evaluate

    result = run_evaluate(run, data, device=device, progress=Progress(quiet=json))
    print(jsonlib.dumps(result.as_json(), indent=2) if json else result.as_text())
    return 0
