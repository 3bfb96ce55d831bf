"""What there is: networks, samples, and the engines that a run can be exported for."""

from __future__ import annotations

import textwrap
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Any, Final

from typer import Argument, Option

from striate.cli.shared import AsJson, Device, print_json, print_result, table

NETWORKS: Final = Path(__file__).parents[1] / "models" / "networks.json"
"""What `striate.models.describe` gives, so that a list of names need not wait for torch."""

WIDTH: Final = 80
"""The columns of a terminal that the table of samples keeps to, unless more is asked for."""


def models(
    pattern: Annotated[
        str,
        Argument(metavar="PATTERN", help="Show the names that match, with * and ? as wildcards."),
    ] = "*",
    pretrained: Annotated[
        bool, Option("--pretrained", help="Show only networks that have pretrained weights.")
    ] = False,
    verbose: Annotated[
        bool, Option("--verbose", "-v", help="Show the ranks and the names of all weights, too.")
    ] = False,
    json: AsJson = False,
) -> int:
    """List the networks with their parameters and the weights that can be had."""
    found = _networks(pattern, pretrained)
    if json:
        print_json(found)
        return 0
    rows = [(*_row(network), *(_details(network) if verbose else ())) for network in found]
    head = ("name", "family", "parameters", "input", "weights")
    print(table([(*head, *(("ranks", "sources") if verbose else ())), *rows]))
    return 0


def _networks(pattern: str, pretrained: bool) -> list[dict[str, Any]]:
    """The networks whose names match, or of them those that have pretrained weights.

    Raises:
        UnknownNameError: There are none.
    """
    import json

    from striate.errors import UnknownNameError

    rows = json.loads(NETWORKS.read_text())
    listed = [row for row in rows if row["weights"] or not pretrained]
    found = [row for row in listed if fnmatchcase(row["name"], pattern)]
    if not found:
        raise UnknownNameError("model", pattern, [row["name"] for row in listed])
    return found


def _row(network: dict[str, Any]) -> tuple[str, ...]:
    """What fits into 80 columns: of weights whether a package or the hub has them."""
    in_packages = (name in ("package", "imagenet") for name in network["weights"])
    kinds = ", ".join(dict.fromkeys("package" if package else "hub" for package in in_packages))
    size = str(network["input_size"] or "-")
    return network["name"], network["family"], f"{network['parameters']:,}", size, kinds or "-"


def _details(network: dict[str, Any]) -> tuple[str, str]:
    ranks = ", ".join(map(str, network["ranks"])) or "graphs"
    return ranks, ", ".join(network["weights"]) or "-"


def samples(
    verbose: Annotated[
        bool, Option("--verbose", help="Show the licences and the whole descriptions.")
    ] = False,
    json: AsJson = False,
) -> int:
    """List the samples with their kind and size; `striate fit sample:NAME` takes one."""
    from striate.data.samples.sample import PREFIX, SAMPLES
    from striate.data.source import load_formats

    load_formats()
    found = [
        {
            "name": f"{PREFIX}{name}",
            "kind": sample.kind,
            "items": sample.num_items,
            "licence": sample.licence,
            "description": sample.description,
        }
        for name, sample in SAMPLES.items()
    ]
    if json:
        print_json(found)
        return 0
    columns = ["name", "kind", "items", *(["licence"] if verbose else []), "description"]
    rows = [tuple(columns), *(tuple(str(s[column]) for column in columns) for s in found)]
    if not verbose:
        taken = sum(max(map(len, column)) + 2 for column in list(zip(*rows, strict=True))[:-1])
        rows = [
            (*row[:-1], textwrap.shorten(row[-1], WIDTH - taken, placeholder=" ..."))
            for row in rows
        ]
    print(table(rows))
    return 0


def engines(
    run: Annotated[
        Path | None,
        Argument(metavar="RUN", help="Run folder: show what was measured of its engines here."),
    ] = None,
    measure: Annotated[
        bool, Option("--measure", help="Measure the engines for RUN, and keep what was measured.")
    ] = False,
    device: Device = "auto",
    json: AsJson = False,
) -> int:
    """List the engines that a run can be exported for, or measure how fast they answer for RUN."""
    if run is not None:
        return _measured_engines(run, measure, device, json)
    from striate.errors import ArgumentError

    if measure:
        raise ArgumentError("--measure", why="no RUN is given", fix="name a run folder")
    from striate.engines import load_engines

    found = [
        {
            "name": name,
            "file": engine.suffix,
            "read_by": engine.reader,
            "missing": engine.missing(),
            "install": f'pip install "striate[{engine.extra}]"' if engine.missing() else "",
        }
        for name, engine in load_engines().items()
    ]
    if json:
        print_json(found)
        return 0
    columns = ("name", "file", "read_by", "install")
    rows = [tuple(str(engine[column] or "ready") for column in columns) for engine in found]
    print(table([("name", "file", "read by", "here"), *rows]))
    return 0


def _measured_engines(run: Path, measure: bool, device: str, json: bool) -> int:
    """Print what was measured of a run's engines, now or before.

    Raises:
        RunError: Nothing was measured, and it is not to be.
    """
    from striate.errors import RunError
    from striate.progress import Progress
    from striate.run.engines.measure import measure as measure_engines
    from striate.run.engines.measure import measured
    from striate.run.run import load

    trained = load(run, device=device)
    if measure:
        return print_result(measure_engines(trained, progress=Progress(quiet=json)), json)
    found = measured(trained)
    if found is None:
        raise RunError(
            f"the engines of {str(run)!r} were not measured on this machine",
            fix="add --measure",
        )
    return print_result(found, json)
