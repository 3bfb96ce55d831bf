"""`striate fit`: from labelled data to a trained, evaluated, explained classifier."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Argument, Option


def fit(
    data: Annotated[
        str,
        Argument(
            help="A folder of class folders, a CSV or Parquet manifest, an array file, an IDX "
            "pair, a .ts, TU or molecule table, or sample:NAME."
        ),
    ],
    out: Annotated[
        Path | None, Option(help="Run folder to write (default: runs/NAME-1, -2, ...).")
    ] = None,
    model: Annotated[str, Option(help="Network; see `striate models`.")] = "auto",
    weights: Annotated[
        str, Option(help="Start from imagenet, a checkpoint file, or none.")
    ] = "auto",
    method: Annotated[str, Option(help="auto, probe, kernel, finetune or scratch.")] = "auto",
    time: Annotated[str, Option(help="Time for the whole fit: 90s, 10m, 1h.")] = "10m",
    epochs: Annotated[
        int | None, Option(help="Epochs of training (default: planned from --time).")
    ] = None,
    symmetry: Annotated[
        str,
        Option(
            help="Turns and mirrors that leave a label as it is: identity, mirror, flips (both "
            "axes), dihedral (quarter turns too), or auto."
        ),
    ] = "auto",
    image_size: Annotated[
        int | None, Option(help="Side of the network's input in pixels (default: from the data).")
    ] = None,
    seed: Annotated[int, Option(help="Seed of split, augmentation and training.")] = 0,
    device: Annotated[str, Option(help="auto, cpu or cuda.")] = "auto",
    workers: Annotated[int, Option(help="Threads that prepare batches beside the training.")] = 0,
    option: Annotated[
        list[str] | None,
        Option(
            metavar="NAME=VALUE",
            help="How signals, volumes or graphs become inputs, such as input=mel; may be repeated.",
        ),
    ] = None,
    resume: Annotated[
        bool,
        Option("--resume", help="Go on with the interrupted run in --out, or the last in runs/."),
    ] = False,
) -> int:
    """Train, evaluate and explain a classifier for DATA; print where the report is."""
    from striate.errors import StoppedError
    from striate.fitting.fit import fit as run_fit
    from striate.fitting.options import parse_options
    from striate.progress import Progress
    from striate.train.interrupt import Interrupt

    progress = Progress()
    with Interrupt(progress.say) as interrupt:
        try:
            run = run_fit(
                data,
                out=out,
                model=model,
                weights=None if weights == "none" else weights,
                method=method,
                time=time,
                epochs=epochs,
                symmetry=symmetry,
                image_size=image_size,
                seed=seed,
                device=device,
                workers=workers,
                options=parse_options(option or []),
                resume=resume,
                progress=progress,
                stop=interrupt,
            )
        except StoppedError as error:
            error.exit_code = interrupt.exit_code
            raise
    print(run.summary())
    return 0
