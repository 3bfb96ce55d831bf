"""`striate compare`: is one run better than another."""

from __future__ import annotations

import json as jsonlib
from pathlib import Path
from typing import Annotated

from typer import Argument, Option


def compare(
    first: Annotated[Path, Argument(metavar="RUN", help="Run folder of a finished fit.")],
    second: Annotated[Path, Argument(metavar="RUN", help="Another one.")],
    json: Annotated[bool, Option("--json", help="Print one JSON document.")] = False,
) -> int:
    """Compare two runs on the test items that both have."""
    from striate.run.compare import compare as run_compare

    result = run_compare(first, second)
    print(jsonlib.dumps(result.as_json(), indent=2) if json else result.as_text())
    return 0
