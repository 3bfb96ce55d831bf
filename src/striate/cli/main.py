"""The command line: one function a command, in a file of its own."""

from __future__ import annotations

import io
import os
import re
import sys
import warnings
from collections.abc import Callable, Sequence
from itertools import takewhile
from typing import Annotated, Any, Final, cast

import typer
from typer.core import TyperCommand, TyperGroup

from striate.cli.bench import bench
from striate.cli.convolve import convolve
from striate.cli.explore import explore
from striate.cli.fit import check, fit
from striate.cli.inspect import inspect
from striate.cli.kernels import kernels
from striate.cli.lists import engines, models, samples
from striate.cli.pack import pack
from striate.cli.runs import card, compare, evaluate, explain, export, predict, push
from striate.cli.serve import serve
from striate.cli.unlabelled import drift, suggest
from striate.errors import ArgumentError, StriateError, UnknownNameError, one_line

_PLANNED: Final = "fit plans it itself; --time and --epochs decide how long it trains"
_COLUMN: Final = "name the manifest's column 'label', or 'target' where it holds numbers"

OPTIONS_OF_OTHER_TOOLS: Final = {
    "--batch": _PLANNED,
    "--batch-size": _PLANNED,
    "--cuda": "use --device cuda",
    "--gpu": "use --device cuda",
    "--gpus": "use --device cuda",
    "--img-size": "use --image-size",
    "--imgsz": "use --image-size",
    "--label": _COLUMN,
    "--label-column": _COLUMN,
    "--learning-rate": _PLANNED,
    "--lr": _PLANNED,
    "--optimizer": _PLANNED,
    "--output": "use --out",
    "--output-dir": "use --out",
    "--pretrained": "use --weights imagenet",
    "--target-column": _COLUMN,
}
"""Options that people know from other tools, and what to do instead."""


_WHOLE_SENTENCE: Final = 200
"""Characters of a command's summary; a longer one ends in dots."""


class _Command(TyperCommand):
    """A command that knows the options of other tools, and lists its own in panels."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        own = {name for param in self.params for name in param.opts}
        for argument in takewhile(lambda argument: argument != "--", args):
            name = argument.partition("=")[0]
            hint = OPTIONS_OF_OTHER_TOOLS.get(name, "")
            if hint and name not in own and own.issuperset(re.findall(r"--[a-z-]+", hint)):
                raise ArgumentError(f"no such option: {name}", fix=hint)
        return super().parse_args(ctx, args)

    def format_options(self, ctx: Any, formatter: Any) -> None:
        rows = [(param, param.get_help_record(ctx)) for param in self.get_params(ctx)]
        _write_panels(formatter, [(_panel_of_parameter(param), row) for param, row in rows if row])


class _Group(TyperGroup):
    """The commands, listed in panels."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        if args[0] not in self.commands:
            raise UnknownNameError("command", args[0], self.commands)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        _write_panels(
            formatter,
            [
                (getattr(command, "rich_help_panel", None) or "Commands", (name, summary))
                for name, command in self.commands.items()
                for summary in [command.get_short_help_str(_WHOLE_SENTENCE)]
            ],
        )


def _panel_of_parameter(param: Any) -> str:
    kind = "Arguments" if param.param_type_name == "argument" else "Options"
    return getattr(param, "rich_help_panel", None) or kind


def _write_panels(formatter: Any, rows: Sequence[tuple[str, tuple[str, str]]]) -> None:
    """Write rows of help under the titles of their panels, without rich, which starts slowly."""
    for title in dict.fromkeys(title for title, _ in rows):
        with formatter.section(title):
            formatter.write_dl([row for panel, row in rows if panel == title])


app = typer.Typer(
    cls=_Group,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(asked: bool) -> None:
    if asked:
        import platform
        from importlib.metadata import version

        print(
            f"striate {version('striate')}, torch {version('torch')}, "
            f"Python {platform.python_version()}"
        )
        raise typer.Exit


@app.callback()
def _all_commands(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    """Convolutional networks for any grid: train, evaluate, explain, ship."""


def _add(panel: str, name: str, command: Callable[..., int], **settings: Any) -> None:
    app.command(name, cls=_Command, rich_help_panel=panel, context_settings=settings)(command)


_add("Train and use a model", "fit", fit)
_add("Train and use a model", "predict", predict)
_add("Train and use a model", "eval", evaluate)
_add("Train and use a model", "explain", explain)
_add("Train and use a model", "compare", compare)
_add("Train and use a model", "drift", drift)
_add("Train and use a model", "suggest", suggest)
_add("Train and use a model", "export", export)
_add("Train and use a model", "card", card)
_add("Train and use a model", "push", push)
_add("Train and use a model", "serve", serve)
_add("Look at data", "check", check)
_add("Look at data", "pack", pack)
_add("Look at data", "samples", samples)
_add("Look inside networks", "explore", explore)
_add("Look inside networks", "inspect", inspect)
# A kernel may start with a minus sign, which is then no option.
_add("Look inside networks", "convolve", convolve, ignore_unknown_options=True)
_add("Look inside networks", "models", models)
_add("Look at the machine", "engines", engines)
_add("Look at the machine", "kernels", kernels)
_add("Look at the machine", "bench", bench)


def main() -> None:
    """Run the command line and leave with its exit code."""
    for stream in (sys.stdout, sys.stderr):
        # A name that the terminal cannot print is shown by its escapes.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    warnings.showwarning = cast("Any", _show_warning)
    arguments = sys.argv[1:]
    debug = "--debug" in arguments
    sys.exit(run([a for a in arguments if a != "--debug"], debug=debug))


def _show_warning(message: Warning | str, category: type[Warning], *where: Any) -> None:
    """Print a warning as one line; where in the code it arose says nothing to a user."""
    print(f"striate: {one_line(str(message))}", file=sys.stderr)


def run(arguments: Sequence[str], *, debug: bool = False) -> int:
    """Run one command and return its exit code.

    The code is 0 after success, 2 after something that the user can mend, 3 where the machine, the
    environment or Striate itself is at fault, and 130 or 143 after a signal. An error is one line
    on standard error.

    Args:
        arguments: What follows `striate` on the command line.
        debug: Let errors through with their traceback.
    """
    group = typer.main.get_command(app)
    try:
        with group.make_context("striate", list(arguments) or ["--help"]) as context:
            result = group.invoke(context)
        sys.stdout.flush()
    except typer.Exit as done:
        return done.exit_code
    except BrokenPipeError:
        # The reader has left (`striate ... | head`): no more output, and none at exit either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        return 130
    except StriateError as error:
        return _failed(error, error.on_command_line(), error.exit_code, debug=debug)
    except typer.TyperException as error:
        return _failed(error, one_line(error.format_message()), 2, debug=debug)
    except Exception as error:
        message = one_line(f"unexpected {type(error).__name__}: {error}; --debug shows where")
        return _failed(error, message, 3, debug=debug)
    return result if isinstance(result, int) else 0


def _failed(error: Exception, message: str, exit_code: int, *, debug: bool) -> int:
    if debug:
        raise error
    print(f"striate: {message}", file=sys.stderr)
    return exit_code
