"""`striate serve`: finished runs behind an HTTP server."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Final

from typer import Argument, Option

from striate.cli.shared import Device, Engine

_SPINS: Final = "1000"
"""Looks at whether the other threads are ready before a thread of torch's sleeps: some 30
microseconds. By default it looks for milliseconds, on a core that decoding needs."""


def serve(
    runs: Annotated[
        list[Path],
        Argument(metavar="RUN...", help="Run folders; the first answers where none is named."),
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
        int, Option(metavar="ITEMS", help="Most items at work; others are told to wait.", min=1)
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
            help="Never compute items together: to the last bit what predict says of one file, "
            "whatever the load, but slower under load.",
        ),
    ] = False,
    device: Device = "auto",
    engine: Engine = "auto",
) -> int:
    """Answer requests over HTTP: files, JSON, the Open Inference Protocol."""
    _wait_briefly()
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


def _wait_briefly() -> None:
    """Let torch's threads wait for each other without keeping cores busy; before torch is imported."""
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", _SPINS)
