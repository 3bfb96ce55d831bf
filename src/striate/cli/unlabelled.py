"""What a finished run tells of new data without labels: `drift` and `suggest`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from striate.cli.shared import AsJson, Device, RunPath, print_json, print_result

Page = Annotated[
    Path | None, Option(metavar="FILE", help="Write a page with pictures to this HTML file.")
]


def drift(
    run: RunPath,
    data: Annotated[
        list[str], Argument(metavar="DATA...", help="New data: files, folders, one manifest.")
    ],
    time: Annotated[
        str,
        Option(
            metavar="COLUMN",
            help="Column of the manifest with dates or numbers, for windows of time; auto (a column "
            "named date, time or timestamp), order (that of the items) or none.",
        ),
    ] = "auto",
    json: AsJson = False,
    html: Page = None,
    seed: Annotated[int, Option(help="Seed of the draws and permutations.")] = 0,
    device: Device = "auto",
) -> int:
    """Print whether new unlabelled data are like those that a run was made from, and what to do."""
    from striate.files import check_output, write_atomic
    from striate.progress import Progress
    from striate.run.run import load

    if html is not None:
        check_output(html, data, "html")
    trained = load(run, device=device)
    result = trained.drift(data, time=time, seed=seed, progress=Progress(quiet=json))
    if html is not None:
        from striate.run.unlabelled.page import drift_page

        write_atomic(html, drift_page(trained, result).encode())
    return print_result(result, json)


def suggest(
    run: RunPath,
    inputs: Annotated[
        list[str], Argument(metavar="UNLABELLED...", help="Files, folders, array files.")
    ],
    count: Annotated[int, Option(metavar="N", help="Number of items to label.", min=1)],
    out: Annotated[
        Path | None,
        Option(metavar="FILE", help="Write them to this manifest (CSV), to be labelled there."),
    ] = None,
    json: AsJson = False,
    html: Page = None,
    seed: Annotated[int, Option(help="Seed of the choice.")] = 0,
    device: Device = "auto",
) -> int:
    """Print which unlabelled items to label next, so that the next fit learns most from them."""
    from striate.files import check_output, write_atomic
    from striate.progress import Progress
    from striate.run.run import load

    for path, kind in ((out, "out"), (html, "html")):
        if path is not None:
            check_output(path, inputs, kind)
    trained = load(run, device=device)
    result = trained.suggest(inputs, count, seed=seed, progress=Progress(quiet=json))
    if out is not None:
        write_atomic(out, result.manifest(out.parent).encode())
    if html is not None:
        from striate.run.unlabelled.page import suggest_page

        manifest = str(out) if out is not None else "manifest.csv"
        write_atomic(html, suggest_page(trained, result, manifest).encode())
    if json:
        print_json(result.as_json())
    elif out is not None:
        print(f"{len(result.items)} items to label written to {out}")
        for note in result.notes:
            print(f"note: {note}")
    else:
        print(result.as_text())
    return 0
