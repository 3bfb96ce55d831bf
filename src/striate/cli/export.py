"""`striate export`: a trained model as a file for an inference engine."""

from __future__ import annotations

import json as jsonlib
from pathlib import Path
from typing import Annotated

from typer import Argument, Option


def export(
    run: Annotated[Path, Argument(help="Run folder of a finished fit.")],
    to: Annotated[str, Option(help="onnx, openvino or pt2; `striate engines` says more.")],
    out: Annotated[
        Path | None, Option(help="File to write (default: export/model in the run folder).")
    ] = None,
    json: Annotated[bool, Option("--json", help="Print one JSON document.")] = False,
) -> int:
    """Write a file that answers without Striate, checked on the run's test items."""
    from striate.progress import Progress
    from striate.run.export import export as run_export

    exported = run_export(run, to, out=out, progress=Progress(quiet=json))
    if json:
        files = [str(path) for path in exported.files]
        print(jsonlib.dumps({"files": files, **exported.card}, indent=2))
    else:
        print(exported.as_text())
    return 0
