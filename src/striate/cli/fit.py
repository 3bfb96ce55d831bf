"""`striate fit` and `striate check`: from labelled data to a trained, evaluated, explained model."""

from __future__ import annotations

import inspect
import os
import re
import sys
from collections.abc import Callable
from dataclasses import MISSING, Field
from pathlib import Path
from typing import Annotated, Any, Final

from typer import Argument, Option

from striate.cli.shared import AsJson, is_first, parse_options, print_result
from striate.fitting.options import declared_options

DATA = Annotated[
    str,
    Argument(
        metavar="DATA",
        help="A folder of class folders, a CSV or Parquet manifest, an array file, an IDX pair, "
        "a .ts, TU or molecule table, a folder or an address of shards, or sample:NAME.",
    ),
]


NPROC = Annotated[
    int,
    Option(
        metavar="N",
        min=1,
        rich_help_panel="Run",
        help="Train in N processes of this machine's CPU; torchrun starts them too.",
    ),
]


_OPTION_NAMES: Final = re.compile(f"`({'|'.join(option.name for option in declared_options())})`")
"""Options that the text on another names, as Python spells them."""


def flag_of(name: str) -> str:
    """An option as the command line spells it."""
    return "--option" if name == "options" else "--" + name.replace("_", "-")


def help_of(declared: Field[Any]) -> str:
    """What an option does; options that this names are spelled as on the command line."""
    return _OPTION_NAMES.sub(lambda found: f"`{flag_of(found[1])}`", declared.metadata["text"])


def _parameter(declared: Field[Any]) -> inspect.Parameter:
    """The command line's form of an option."""
    metadata, name = declared.metadata, declared.name
    choices = metadata["choices"]
    metavar = f"[{'|'.join(choices)}]" if choices else metadata["metavar"] or None
    given: dict[str, Any] = {
        "help": help_of(declared),
        "metavar": metavar,
        "rich_help_panel": metadata["panel"],
    }
    flag = flag_of(name)
    kind: Any
    if declared.default is MISSING:
        kind, default = list[str] | None, None
    else:
        default = declared.default
        types = {"bool": bool, "int": int, "float": float}
        kind = types.get(str(declared.type).removesuffix(" | None"), str)
        kind = kind | None if default is None else kind
    return inspect.Parameter(
        name,
        inspect.Parameter.KEYWORD_ONLY,
        default=default,
        annotation=Annotated[kind, Option(flag, **given)],
    )


def with_flags(function: Callable[..., int]) -> Callable[..., int]:
    """Give a command the flags of all declared options."""
    data = inspect.Parameter("data", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=DATA)
    nproc = inspect.Parameter("nproc", inspect.Parameter.KEYWORD_ONLY, default=1, annotation=NPROC)
    parameters = [data, *map(_parameter, declared_options()), nproc]
    vars(function)["__signature__"] = inspect.Signature(parameters, return_annotation=int)
    function.__annotations__ = {p.name: p.annotation for p in parameters} | {"return": int}
    return function


@with_flags
def fit(data: str, *, nproc: int, **options: Any) -> int:
    """Train, evaluate and explain a model for DATA; print where the report is."""
    if nproc > 1 and "WORLD_SIZE" not in os.environ:
        from striate.cli.processes import run_together

        return run_together(nproc, sys.argv[1:])
    from striate.cli.interrupt import Interrupt
    from striate.errors import StoppedError
    from striate.fitting.fit import fit as run_fit
    from striate.progress import Progress

    progress = Progress(quiet=not is_first())
    for declared in declared_options():
        if declared.default is MISSING:
            option = "option" if declared.name == "options" else declared.name
            options[declared.name] = parse_options(options[declared.name] or [], option)
    options["weights"] = None if options["weights"] == "none" else options["weights"]
    with Interrupt(progress.say) as interrupt:
        try:
            run = run_fit(data, progress=progress, stop=interrupt, **options)
        except StoppedError as error:
            error.exit_code = interrupt.exit_code
            raise
    if is_first():
        print(run.summary())
    return interrupt.exit_code


def check(
    data: Annotated[str, Argument(metavar="DATA", help="What `striate fit` takes.")],
    seed: Annotated[int, Option(help="Seed of the split.")] = 0,
    kind: Annotated[str, Option(help="What an item is, as in `striate fit --kind`.")] = "auto",
    json: AsJson = False,
    html: Annotated[
        Path | None, Option(metavar="FILE", help="Write the findings with pictures into a page.")
    ] = None,
    patch_out: Annotated[
        Path | None,
        Option(
            metavar="FILE",
            help="Write corrections into this table, to be looked through and given to `striate "
            "fit --patch`.",
        ),
    ] = None,
) -> int:
    """Show what is wrong with DATA, and how a fit would split it."""
    from striate.files import check_output, write_atomic
    from striate.fitting.check import check as run_check
    from striate.fitting.check import check_page
    from striate.progress import Progress

    for path, option in ((html, "html"), (patch_out, "patch_out")):
        if path is not None:
            check_output(path, [data], option)
    checked = run_check(data, seed=seed, kind=kind, examined=True, progress=Progress(quiet=json))
    if html is not None:
        write_atomic(html, check_page(checked).encode())
    if patch_out is not None:
        write_atomic(patch_out, checked.patch().encode())
    return print_result(checked, json)
