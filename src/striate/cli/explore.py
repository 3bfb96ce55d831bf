"""`striate explore`: a local page in which to walk through a network."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Argument, Option

if TYPE_CHECKING:
    from striate.explorer.data.session import DataSession
    from striate.explorer.session import Session
    from striate.explorer.subjects.subject import Subject


def explore(
    model: Annotated[
        str,
        Argument(
            help="A run folder, the name of a network, or an ONNX file.",
            metavar="RUN|MODEL|FILE.onnx",
        ),
    ],
    item: Annotated[
        list[Path] | None,
        Option(help="A picture, series or volume of your own; may be given several times."),
    ] = None,
    input_shape: Annotated[
        str | None,
        Option(
            "--input",
            help="CHANNELS,SIZE,... of an item for a network by name, as in 3,64,64, or for a file "
            "that leaves them open.",
        ),
    ] = None,
    port: Annotated[
        int, Option(help="Port of the page; 0 takes one that is free.", min=0, max=65535)
    ] = 0,
    save: Annotated[
        Path | None,
        Option(help="Write the pages into this folder, to open without a server."),
    ] = None,
    other: Annotated[
        Path | None,
        Option("--with", metavar="RUN", help="A second run, to compare on the same test items."),
    ] = None,
    patch_out: Annotated[
        Path | None,
        Option(
            metavar="FILE",
            help="Write labels that are corrected on the page into this table, for `striate fit "
            "--patch`.",
        ),
    ] = None,
) -> int:
    """Walk through a network with an item of your own, and through the data of a run."""
    session, data = _opened(model, input_shape, item or [], other, patch_out)
    if save is not None:
        from striate.explorer.save import save_pages

        print(save_pages(session, save, data))
        return 0
    from striate.explorer.app import serve

    return serve(session, port, data)


def _network(model: str, shape: str | None, items: list[Path]) -> Subject:
    """The network of that name or in that file."""
    from striate.cli.inspect import parse_shape
    from striate.explorer.onnx.file import SUFFIX

    wanted = None if shape is None else parse_shape(shape)
    if model.lower().endswith(SUFFIX):
        from striate.explorer.subjects.onnx_subject import OnnxSubject

        return OnnxSubject(Path(model), wanted, items)
    from striate.explorer.subjects.model_subject import ModelSubject

    return ModelSubject(model, wanted, items)


def _opened(
    model: str, shape: str | None, items: list[Path], other: Path | None, patch_out: Path | None
) -> tuple[Session | None, DataSession | None]:
    """The network and the data of a run, as far as it has them, or a network by name or file."""
    from striate.errors import ArgumentError, DataError, RunError
    from striate.explorer.session import Session

    if not Path(model).is_dir():
        for option, given in (("--with", other), ("--patch-out", patch_out)):
            if given is not None:
                raise ArgumentError(option, why=f"{model!r} is no run, and has no data")
        return Session(_network(model, shape, items)), None
    from striate.explorer.data.session import DataSession
    from striate.explorer.subjects.run_subject import NoGridError, RunSubject
    from striate.run.run import load

    if shape is not None:
        raise ArgumentError("--input", why="the items of a run have their own shape")
    second = None if other is None else load(other, device="cpu")
    try:
        subject = RunSubject(Path(model), items)
    except NoGridError:
        if items:
            raise
        return None, DataSession(load(model, device="cpu"), second, patch_out)
    try:
        data = DataSession(subject.run, second, patch_out)
    except (RunError, DataError) as error:
        if second is not None or patch_out is not None:
            raise
        subject.notes.append(f"There is no page of the data ({error}).")
        return Session(subject), None
    return Session(subject, has_data=True), data
