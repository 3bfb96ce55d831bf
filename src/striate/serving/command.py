"""Starts the server: loads the runs while it already listens, reloads them, ends it."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from striate.device import share_freed_memory
from striate.errors import OptionError
from striate.run.engines.measure import measured
from striate.run.folder import RunFolder
from striate.serving.app import OPEN_PATHS, Server
from striate.serving.hosted import LOG, Hosted, Hosts, Settings, named_folders
from striate.serving.metrics import Metrics
from striate.serving.service import Service
from striate.web.guard import Guard
from striate.web.policy import Limits, policy_for
from striate.web.start import run as run_server

_NOTICE_SECONDS: Final = 1.0
"""How long health checks are answered 503 before the server ends."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """What a user decides of a server.

    Attributes:
        runs: Folders of the runs.
        host: The address to listen at.
        port: The port; 0 takes one that is free.
        token: What each request must show; None where none was given.
        names: Further names by which clients know the server.
        capacity: The most items that are read, wait or are computed.
        deadline_seconds: The time in which a request is answered.
        explain_seconds: The time in which an explanation is drawn.
        settings: How the runs are served.
    """

    runs: tuple[Path, ...]
    host: str
    port: int
    token: str | None
    names: tuple[str, ...]
    capacity: int
    deadline_seconds: float
    explain_seconds: float
    settings: Settings


def run(options: Options, announce: Callable[[str], None]) -> int:
    """Serve until a signal ends it, and return the exit code.

    Args:
        options: What the user decided.
        announce: Told the URL as soon as the server listens.

    Raises:
        OptionError: The address needs a token, or cannot be listened at.
        ArgumentError: Two runs have one name.
        RunError: A run is missing, damaged, or cannot be served.
    """
    share_freed_memory()
    folders = named_folders(options.runs)
    for folder in folders.values():
        RunFolder.open(folder).record()
    _check_token(options.token)
    policy = policy_for(
        options.host,
        options.token,
        names=options.names,
        trusts_programs=True,
        open_paths=OPEN_PATHS,
    )
    if policy is None:
        raise OptionError(
            "host",
            options.host,
            why="others could use the server without a token",
            fix="give one with `token=`, or set STRIATE_TOKEN",
        )
    _log_to_standard_error()
    metrics, limits = Metrics(), Limits()
    hosts = Hosts(folders, options.settings)
    service = Service(options.capacity, options.deadline_seconds, metrics, options.explain_seconds)
    page_token = "" if policy.private else policy.token
    server = Server(
        hosts=hosts, service=service, metrics=metrics, limits=limits, page_token=page_token
    )
    guard = Guard(server.application(), policy, limits, on_refusal=metrics.on_refusal)
    try:
        return run_server(
            guard,
            host=options.host,
            port=options.port,
            announce=announce,
            prepare=lambda: _load(hosts),
            notice_seconds=_NOTICE_SECONDS,
            on_hangup=lambda: _reload(hosts, metrics),
        )
    finally:
        service.close()


def _check_token(token: str | None) -> None:
    """Make sure that a token can be sent in a header; the message does not show it."""
    if token and not (token.isascii() and token.isprintable() and " " not in token):
        raise OptionError(
            "token", "...", why="it cannot be sent in a header", fix="use ASCII without spaces"
        )


def _load(hosts: Hosts) -> None:
    hosts.load()
    for hosted in hosts:
        LOG.info("%s is ready: %s", hosted.name, _how(hosted))
        run = hosted.run
        if run.engine == "auto" and run.device.type == "cpu" and measured(run) is None:
            LOG.info("no engines were measured for it here: `striate engines` finds the fastest")


def _how(hosted: Hosted) -> str:
    run = hosted.run
    by = f"by {run.chosen_engine}"
    if run.engine == "auto" and run.chosen_engine != "torch":
        by = f"together by {run.chosen_engine} and alone by torch"
    if not hosted.together or hosted.worthwhile > hosted.batch_size:
        return f"the items of several requests are computed one by one, {by}"
    return (
        f"from {hosted.worthwhile} waiting items of several requests on up to {hosted.batch_size} "
        f"are computed together; {by}"
    )


def _reload(hosts: Hosts, metrics: Metrics) -> None:
    errors = hosts.reload()
    for error in errors:
        LOG.error("not loaded anew, the run as it was goes on: %s", error)
    for _ in errors:
        metrics.on_reload(succeeded=False)
    for _ in range(len(hosts.names) - len(errors)):
        metrics.on_reload(succeeded=True)


def _log_to_standard_error() -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("striate: %(message)s"))
    LOG.handlers[:] = [handler]
    LOG.setLevel(logging.INFO)
    LOG.propagate = False
    # It tells each broken form, of which anybody can send any number.
    logging.getLogger("python_multipart").setLevel(logging.ERROR)
