"""The command line: one function a command, in a file of its own."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import typer

from striate.cli.check import check
from striate.cli.compare import compare
from striate.cli.convolve import convolve
from striate.cli.engines import engines
from striate.cli.evaluate import evaluate
from striate.cli.explain import explain
from striate.cli.export import export
from striate.cli.fit import fit
from striate.cli.inspect import inspect
from striate.cli.kernels import kernels
from striate.cli.models import models
from striate.cli.predict import predict
from striate.cli.samples import samples
from striate.errors import StriateError, one_line

app = typer.Typer(
    help="Convolutional networks for any grid: train, evaluate, explain, ship.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command("fit")(fit)
app.command("predict")(predict)
app.command("eval")(evaluate)
app.command("explain")(explain)
app.command("export")(export)
app.command("check")(check)
app.command("compare")(compare)
app.command("inspect")(inspect)
# A kernel may start with a minus sign, which is then no option.
app.command("convolve", context_settings={"ignore_unknown_options": True})(convolve)
app.command("models")(models)
app.command("engines")(engines)
app.command("kernels")(kernels)
app.command("samples")(samples)


def main() -> None:
    """Run the command line and leave with its exit code."""
    arguments = sys.argv[1:]
    debug = "--debug" in arguments
    sys.exit(run([a for a in arguments if a != "--debug"], debug=debug))


def run(arguments: Sequence[str], *, debug: bool = False) -> int:
    """Run one command and return its exit code.

    Args:
        arguments: what stands behind `striate`.
        debug: let errors through with their traceback.
    """
    try:
        result = app(list(arguments) or ["--help"], standalone_mode=False, prog_name="striate")
    except (StriateError, typer.TyperException) as error:
        if debug:
            raise
        message = getattr(error, "format_message", error.__str__)()
        print(f"striate: {one_line(message)}", file=sys.stderr)
        return getattr(error, "exit_code", 2)
    except BrokenPipeError:
        # The reader has left (`striate ... | head`): no more output, and none at exit either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        return 130
    return result if isinstance(result, int) else 0
