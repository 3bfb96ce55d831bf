"""`striate explore`: a local page in which to walk through a network."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Argument, Option

if TYPE_CHECKING:
    from striate.explorer.subject import Subject


def explore(
    model: Annotated[
        str, Argument(help="A run folder, or the name of a network.", metavar="RUN|MODEL")
    ],
    item: Annotated[
        list[Path] | None,
        Option(help="A picture, series or volume of your own; may be given several times."),
    ] = None,
    input_shape: Annotated[
        str | None,
        Option(
            "--input", help="CHANNELS,SIZE,... of an item for a network by name, as in 3,64,64."
        ),
    ] = None,
    port: Annotated[
        int, Option(help="Port of the page; 0 takes one that is free.", min=0, max=65535)
    ] = 0,
    save: Annotated[
        Path | None,
        Option(help="Write the page of one item into this folder, to open without a server."),
    ] = None,
) -> int:
    """Walk through a network with an item of your own, in the browser."""
    from striate.explorer.session import Session

    session = Session(_subject(model, input_shape, item or []))
    if save is not None:
        from striate.explorer.save import save_page

        print(save_page(session, save))
        return 0
    from striate.explorer.app import serve

    return serve(session, port)


def _subject(model: str, input_shape: str | None, items: list[Path]) -> Subject:
    from striate.errors import ArgumentError

    if Path(model).is_dir():
        from striate.explorer.run_subject import RunSubject

        if input_shape is not None:
            raise ArgumentError("--input", why="the items of a run have their own shape")
        return RunSubject(Path(model), items)
    from striate.cli.inspect import parse_shape
    from striate.explorer.model_subject import ModelSubject

    return ModelSubject(model, None if input_shape is None else parse_shape(input_shape), items)
