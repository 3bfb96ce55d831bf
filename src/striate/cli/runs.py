"""What is done with a finished run: predict, evaluate, explain, compare, export."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Argument, Option

from striate.cli.shared import AsJson, Device, Engine, RunPath, is_first, print_json, print_result

if TYPE_CHECKING:
    from striate.data.unlabelled import Input
    from striate.run.run import Run


def predict(
    run: RunPath,
    inputs: Annotated[
        list[str],
        Argument(
            metavar="INPUT...",
            help="Files, folders, array files; - reads standard input, which is one file, or a name on "
            "each line.",
        ),
    ],
    out: Annotated[
        Path | None,
        Option(metavar="FILE", help="Write the predictions to this .csv or .parquet file."),
    ] = None,
    csv: Annotated[
        Path | None, Option(metavar="FILE", help="The same as --out, for a CSV file.")
    ] = None,
    resume: Annotated[
        bool, Option("--resume", help="Go on with a file of --out that was not finished.")
    ] = False,
    json: AsJson = False,
    top: Annotated[int, Option(metavar="K", help="Print the K most probable classes.", min=1)] = 1,
    device: Device = "auto",
    engine: Engine = "auto",
) -> int:
    """Print what each INPUT is, with its calibrated probability or interval."""
    from striate.errors import OptionError
    from striate.progress import Progress
    from striate.run.run import load

    given = [entry for name in inputs for entry in (_standard_input() if name == "-" else [name])]
    if out is not None and csv is not None:
        raise OptionError("csv", str(csv), why="--out names a file already")
    if resume and out is None and csv is None:
        why = "no file is named that was not finished"
        raise OptionError("resume", value=True, why=why, fix="name it by `out=`")
    trained = load(run, device=device, engine=engine)
    if (path := out or csv) is not None:
        option = "out" if csv is None else "csv"
        return _predict_to(path, option, trained, given, resume=resume, json=json)
    found = trained.predict(given, progress=Progress(quiet=json))
    readable = [prediction for prediction in found if prediction.reason is None]
    if json:
        print_json({"predictions": [prediction.to_json() for prediction in found]})
    else:
        for prediction in readable:
            print(prediction.as_text(top))
    return 0 if len(readable) == len(found) else 2


def _predict_to(
    path: Path, option: str, run: Run, given: Sequence[Input], *, resume: bool, json: bool
) -> int:
    """Write predictions to a file, together with the processes that torchrun started."""
    from striate.progress import Progress
    from striate.run.bulk import predict_to_file

    written = predict_to_file(
        run,
        given,
        path,
        option=option,
        suffix=".csv" if option == "csv" else None,
        resume=resume,
        progress=Progress(quiet=json or not is_first()),
        process=int(os.environ.get("RANK", "0")),
        num_processes=int(os.environ.get("WORLD_SIZE", "1")),
    )
    if not is_first():
        return 0  # torchrun would end the first process, which still joins the parts, for a failure
    print_result(written, json)
    return 2 if written.num_unreadable else 0


def evaluate(
    run: RunPath,
    data: Annotated[
        str | None,
        Argument(metavar="DATA", help="Labelled data (default: the run's own test items)."),
    ] = None,
    corruptions: Annotated[
        bool,
        Option(
            "--corruptions",
            help="Evaluate the same items under common corruptions too (noise, blur and the like), "
            "at five severities.",
        ),
    ] = False,
    max_items: Annotated[
        int | None,
        Option(metavar="N", help="Items that are corrupted, at most (default: 500).", min=1),
    ] = None,
    html: Annotated[
        Path | None, Option(metavar="FILE", help="Write a page with the curves of --corruptions.")
    ] = None,
    seed: Annotated[
        int | None, Option(help="Seed of what is random in the corruptions (default: 0).", min=0)
    ] = None,
    json: AsJson = False,
    device: Device = "auto",
    engine: Engine = "auto",
) -> int:
    """Print the metrics with their 95 % intervals."""
    from striate.errors import OptionError
    from striate.files import check_output, write_atomic
    from striate.progress import Progress
    from striate.run.run import load

    if not corruptions:
        for name, value in (("max_items", max_items), ("html", html), ("seed", seed)):
            if value is not None:
                why = "it is of use with --corruptions alone"
                raise OptionError(name, str(value), why=why, fix="leave it out")
        trained = load(run, device=device, engine=engine)
        return print_result(trained.evaluate(data, progress=Progress(quiet=json)), json)
    if html is not None:
        check_output(html, [data] if data else [], "html")
    given = {"max_items": max_items, "seed": seed}
    result = load(run, device=device, engine=engine).robustness(
        data,
        progress=Progress(quiet=json),
        **{name: value for name, value in given.items() if value is not None},
    )
    if html is not None:
        from striate.run.evaluate.page import robustness_page

        write_atomic(html, robustness_page(result).encode())
    return print_result(result, json)


def explain(
    run: RunPath,
    inputs: Annotated[
        list[str],
        Argument(
            metavar="INPUT...",
            help="Files, folders, array files; of nodes the graph, and then their names.",
        ),
    ],
    method: Annotated[
        str,
        Option(
            help="auto (gradcam or occlusion, whichever holds better), gradcam, gradcam-plus-plus, "
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
    second: Annotated[Path, Argument(metavar="RUN", help="The run to compare it with.")],
    html: Annotated[
        Path | None,
        Option(metavar="FILE", help="Write a page with the items on which they disagree."),
    ] = None,
    json: AsJson = False,
) -> int:
    """Compare two runs on the test items that both have."""
    from striate.files import check_output, write_atomic
    from striate.run.run import load

    if html is not None:
        check_output(html, [first, second], "html")
    runs = load(first), load(second)
    result = runs[0].compare(runs[1])
    if html is not None:
        from striate.run.evaluate.compared_page import compared_page

        write_atomic(html, compared_page(*runs, result).encode())
    return print_result(result, json)


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


def push(
    run: RunPath,
    repo: Annotated[str, Argument(metavar="USER/NAME", help="The repository on the hub.")],
    private: Annotated[bool, Option("--private", help="Make a new repository private.")] = False,
    novelty: Annotated[
        bool,
        Option(
            "--novelty",
            help="Push the features of known items too, by which unknown ones are told.",
        ),
    ] = False,
    json: AsJson = False,
) -> int:
    """Push a run to the Hugging Face hub; any RUN may then be hf://USER/NAME."""
    from striate.run.run import load

    trained = load(run, device="cpu")
    return print_result(trained.push_to_hub(repo, private=private, novelty=novelty), json)


def export(
    run: RunPath,
    to: Annotated[
        str,
        Option(
            metavar="ENGINE",
            help="onnx, openvino or pt2 (see `striate engines`), or web: a page for the browser.",
        ),
    ],
    out: Annotated[
        Path | None,
        Option(
            metavar="PATH",
            help="File to write, of web a folder; by default export/model or export/web of the run.",
        ),
    ] = None,
    force: Annotated[
        bool, Option("--force", help="Keep a file that predicts otherwise than the run.")
    ] = False,
    json: AsJson = False,
) -> int:
    """Write one file that works without Striate, checked on the run's test items."""
    from striate.progress import Progress
    from striate.run.deployment.web import WEB, export_page
    from striate.run.export import export as run_export
    from striate.run.run import load

    trained, progress = load(run, device="cpu"), Progress(quiet=json)
    if to == WEB:
        return print_result(export_page(trained, out=out, force=force, progress=progress), json)
    exported = run_export(trained, to, out=out, force=force, progress=progress)
    return print_result(exported, json)


def _standard_input() -> list[str | bytes]:
    """What standard input holds: the bytes of one file, or a text with a name on each line.

    Names may end in a NUL too, as those of `find -print0`. A text with delimiters, of which no line
    is the name of a file, is the content of a table.

    Raises:
        DataError: It is empty.
    """
    import sys

    from striate.errors import DataError

    content = sys.stdin.buffer.read()
    if not content.strip():
        raise DataError("standard input is empty", fix="pipe a file or a list of names into it")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return [content]
    names = text.split("\0") if text.endswith("\0") else text.splitlines()
    names = [name for name in names if name.strip()]
    if any(not (c.isprintable() or c in "\t\r\n") for name in names for c in name):
        return [content]
    delimited = any(mark in name for name in names for mark in ",;\t")
    if delimited and not any(map(os.path.exists, names)):
        return [content]
    return list(names)
