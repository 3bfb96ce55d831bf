"""What is done with a finished run: predict, evaluate, explain, compare, export."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from striate.cli.shared import AsJson, Device, Engine, RunPath, print_json, print_result


def predict(
    run: RunPath,
    inputs: Annotated[
        list[str],
        Argument(
            metavar="INPUT...",
            help="Files, folders, array files; - reads standard input: one file, or a name a line.",
        ),
    ],
    csv: Annotated[
        Path | None, Option(metavar="FILE", help="Write the predictions to this CSV file.")
    ] = None,
    json: AsJson = False,
    top: Annotated[int, Option(metavar="K", help="Print the K most probable classes.", min=1)] = 1,
    device: Device = "auto",
    engine: Engine = "auto",
) -> int:
    """Print what each INPUT is, with its calibrated probability or interval."""
    from striate.files import check_output, csv_text, write_atomic
    from striate.progress import Progress
    from striate.run.folder import PREDICTIONS
    from striate.run.run import load

    if csv is not None:
        earlier = csv.is_file() and csv.read_bytes()[:5] == b"item,"
        check_output(csv, [*inputs, run / PREDICTIONS], "csv", ours=earlier)
    given = [entry for name in inputs for entry in (_standard_input() if name == "-" else [name])]
    trained = load(run, device=device, engine=engine)
    found = trained.predict(given, progress=Progress(quiet=json))
    readable = [prediction for prediction in found if prediction.reason is None]
    if csv is not None:
        columns = ["item", *trained.task.columns(trained.classes), "reason"]
        blank = [""] * (len(columns) - 2)
        cells = [trained.task.cells(p) if p.reason is None else blank for p in found]
        rows = [[p.item, *row, p.reason or ""] for p, row in zip(found, cells, strict=True)]
        write_atomic(csv, csv_text(columns, rows).encode())
    if json:
        print_json({"predictions": [prediction.to_json() for prediction in found]})
    elif csv is not None:
        print(f"{len(found)} predictions written to {csv}")
    else:
        for prediction in readable:
            print(prediction.as_text(top))
    return 0 if len(readable) == len(found) else 2


def evaluate(
    run: RunPath,
    data: Annotated[
        str | None, Argument(help="Labelled data (default: the run's own test items).")
    ] = None,
    json: AsJson = False,
    device: Device = "auto",
    engine: Engine = "auto",
) -> int:
    """Print the metrics with their 95 % intervals."""
    from striate.progress import Progress
    from striate.run.run import load

    result = load(run, device=device, engine=engine).evaluate(data, progress=Progress(quiet=json))
    return print_result(result, json)


def explain(
    run: RunPath,
    inputs: Annotated[
        list[str],
        Argument(metavar="INPUT...", help="Files, folders, array files; a graph, then its nodes."),
    ],
    method: Annotated[
        str,
        Option(
            help="auto (the one recommended for the kind of data), gradcam, gradcam-plus-plus, "
            "layercam, eigencam, integrated-gradients, occlusion or saliency."
        ),
    ] = "auto",
    target: Annotated[
        str | None,
        Option(metavar="CLASS", help="Show the evidence for this class, not the predicted one."),
    ] = None,
    out: Annotated[Path, Option(help="Folder to write the images to.")] = Path("explained"),
    device: Device = "auto",
) -> int:
    """Draw for each INPUT where the evidence for its prediction lies."""
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


def compare(
    first: RunPath,
    second: Annotated[Path, Argument(metavar="RUN", help="Another one.")],
    json: AsJson = False,
) -> int:
    """Compare two runs on the test items that both have."""
    from striate.run.run import load

    return print_result(load(first).compare(load(second)), json)


def card(
    run: RunPath,
    out: Annotated[
        Path | None,
        Option(metavar="FILE", help="File to write; by default MODEL_CARD.md in the run folder."),
    ] = None,
) -> int:
    """Write a model card: data, figures with intervals, limits, hardware, time and energy."""
    from striate.run.card import write_card
    from striate.run.run import load

    print(write_card(load(run, device="cpu"), out))
    return 0


def export(
    run: RunPath,
    to: Annotated[
        str, Option(metavar="ENGINE", help="onnx, openvino or pt2; see `striate engines`.")
    ],
    out: Annotated[
        Path | None,
        Option(metavar="FILE", help="File to write; by default export/model in the run folder."),
    ] = None,
    force: Annotated[
        bool, Option("--force", help="Keep a file that predicts otherwise than the run.")
    ] = False,
    json: AsJson = False,
) -> int:
    """Write one file that works without Striate, checked on the run's test items."""
    from striate.progress import Progress
    from striate.run.export import export as run_export
    from striate.run.run import load

    trained, progress = load(run, device="cpu"), Progress(quiet=json)
    exported = run_export(trained, to, out=out, force=force, progress=progress)
    return print_result(exported, json)


def _standard_input() -> list[str | bytes]:
    """What standard input holds: the bytes of one file, or a text with a name on each line.

    Raises:
        DataError: It is empty.
    """
    import sys

    from striate.errors import DataError

    content = sys.stdin.buffer.read()
    if not content.strip():
        raise DataError("standard input is empty", fix="pipe a file or a list of names into it")
    try:
        text = content.decode()
    except UnicodeDecodeError:
        return [content]
    if any(not (c.isprintable() or c in "\t\r\n") for c in text):
        return [content]
    return [line for line in text.splitlines() if line.strip()]
