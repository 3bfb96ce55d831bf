"""`striate explain`: where a trained network looked for its answer."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Argument, Option


def explain(
    run: Annotated[Path, Argument(help="Run folder of a finished fit.")],
    inputs: Annotated[
        list[str],
        Argument(metavar="INPUT...", help="Files, folders, array files; a graph, then its nodes."),
    ],
    method: Annotated[
        str, Option(help="gradcam, integrated-gradients, occlusion or saliency.")
    ] = "gradcam",
    target: Annotated[
        str | None,
        Option(metavar="CLASS", help="Explain this class (default: the predicted one)."),
    ] = None,
    out: Annotated[Path, Option(help="Folder to write the pictures to.")] = Path("explained"),
    device: Annotated[str, Option(help="auto, cpu or cuda.")] = "auto",
) -> int:
    """Draw for each INPUT where the network looked for its answer."""
    from striate.progress import Progress
    from striate.run.explain import explain_inputs
    from striate.run.run import load

    trained = load(run, device=device)
    found = explain_inputs(
        trained, inputs, method=method, target=target, out=out, progress=Progress()
    )
    for explained in found:
        print(explained.as_line())
    return 0
