"""`striate predict`: labels and calibrated probabilities for new items."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Argument, Option


def predict(
    run: Annotated[Path, Argument(help="Run folder of a finished fit.")],
    inputs: Annotated[list[str], Argument(metavar="INPUT...", help="Files, folders, array files.")],
    csv: Annotated[
        Path | None, Option(help="Write every class's probability to this CSV file.")
    ] = None,
    top: Annotated[int, Option(help="Show the K most probable classes.", min=1)] = 1,
    device: Annotated[str, Option(help="auto, cpu or cuda.")] = "auto",
) -> int:
    """Say what each INPUT is, with the calibrated probability."""
    from striate.files import csv_text, write_atomic
    from striate.progress import Progress
    from striate.run.run import load

    trained = load(run, device=device)
    predictions = trained.predict(inputs, progress=Progress())
    if csv is not None:
        answer = (
            ["prediction", *trained.classes] if trained.classes else ["prediction", "low", "high"]
        )
        rows = [(prediction.id, *prediction.cells()) for prediction in predictions]
        write_atomic(csv, csv_text(["item", *answer], rows).encode())
        print(f"{len(predictions)} predictions written to {csv}")
        return 0
    for prediction in predictions:
        print(prediction.as_text(top))
    return 0
