"""`striate serve`: finished runs behind an HTTP server."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from striate.cli.shared import Device, Engine


def serve(
    runs: Annotated[
        list[Path],
        Argument(metavar="RUN...", help="Run folders; the first answers requests that name none."),
    ],
    host: Annotated[
        str, Option(help="Address to listen at; one of the network needs --token.")
    ] = "127.0.0.1",
    port: Annotated[int, Option(help="Port; 0 takes a free one.", min=0, max=65535)] = 8000,
    token: Annotated[
        str | None,
        Option(
            envvar="STRIATE_TOKEN",
            help="What each request must show: Authorization: Bearer TOKEN. Better given as the "
            "environment's STRIATE_TOKEN, which other users of the machine do not see.",
        ),
    ] = None,
    allow_host: Annotated[
        list[str] | None,
        Option(metavar="NAME", help="A name by which clients know this server; may be repeated."),
    ] = None,
    queue: Annotated[
        int,
        Option(
            metavar="ITEMS",
            help="Items at work at most; requests beyond them are told to wait.",
            min=1,
        ),
    ] = 48,
    deadline: Annotated[
        float, Option(metavar="SECONDS", help="Time in which a request is answered.", min=0.1)
    ] = 30.0,
    explain_deadline: Annotated[
        float, Option(metavar="SECONDS", help="Time in which an explanation is drawn.", min=0.1)
    ] = 10.0,
    one_by_one: Annotated[
        bool,
        Option(
            "--one-by-one",
            help="Compute each item alone, so that an answer is to the last bit what `striate predict` "
            "says of one file; slower under load.",
        ),
    ] = False,
    device: Device = "auto",
    engine: Engine = "auto",
) -> int:
    """Answer requests over HTTP: files, JSON, the Open Inference Protocol."""
    from striate.data.packages import imported

    for package in ("starlette", "uvicorn", "python_multipart", "prometheus_client"):
        imported(package, "serve")
    from striate.serving.command import Options, run
    from striate.serving.hosted import Settings

    options = Options(
        runs=tuple(runs),
        host=host,
        port=port,
        token=token,
        names=tuple(allow_host or ()),
        capacity=queue,
        deadline_seconds=deadline,
        explain_seconds=explain_deadline,
        settings=Settings(device=device, engine=engine, one_by_one=one_by_one, measure=True),
    )
    return run(options, announce=lambda url: print(url, flush=True))
