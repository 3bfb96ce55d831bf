"""Every error that Striate raises on purpose.

The tree (the exit code of the command line in brackets)::

    StriateError
    ├── StoppedError [130]                 asked to stop; everything is saved
    ├── UserError [2], a ValueError        the user can mend it
    │   ├── DataError                      a folder, a file, a manifest, a split
    │   ├── ArgumentError                  an option, an argument, a name
    │   │   ├── OptionError                an option by its name, with the value it had
    │   │   └── UnknownNameError           not in a registry; suggests the nearest
    │   ├── WeightsError                   a checkpoint that does not fit or cannot be read
    │   └── RunError                       a run folder: missing, locked, of other data
    └── MachineError [3], a RuntimeError   the machine or the environment is at fault
        ├── MissingExtraError              an optional dependency; names the extra
        ├── WeightsUnavailableError        neither in the cache nor on the network
        ├── DeviceError                    no such accelerator
        ├── EngineError                    a network that an engine cannot take or computes otherwise
        ├── StorageError                   disk full, not writable, fsync failed
        ├── ProcessLostError               another process of the same fit is gone
        └── DivergedError                  the loss is not finite and going back did not help

Each message is one line: what, where (the path), why, and the fix.

A message names an option as Python does, between backticks: "choose another folder with `out=`",
"go on with `resume=True`". The command line prints what `StriateError.on_command_line` makes of it:
"choose another folder with --out", "go on with --resume".
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Iterable
from numbers import Integral
from typing import Any, Final

_OPTION: Final = re.compile(r"`([a-z][a-z_]*)=(?:'([\w./:+-]+)'|([^`]*))`")


_ENTRY: Final = re.compile(r"'([^']*)': ([^,}]+)")


class StriateError(Exception):
    """An error whose message is one line that can be shown to a user.

    Args:
        what: What went wrong, with the path or the argument concerned.
        why: The cause, where `what` does not say it already.
        fix: What the user can do about it.

    Attributes:
        exit_code: The exit code of the command line after this error.
    """

    exit_code = 3

    def __init__(self, what: str, *, why: str = "", fix: str = "") -> None:
        self.what, self.why, self.fix = what, why, fix
        line = what + (f": {why}" if why else "") + (f"; {fix}" if fix else "")
        super().__init__(one_line(line))

    def on_command_line(self) -> str:
        """Return the message with each option spelled as on the command line.

        >>> StriateError("stopped", fix="go on with `resume=True`").on_command_line()
        'stopped; go on with --resume'
        """
        return _OPTION.sub(_command_line_option, str(self))

    def __reduce__(self) -> tuple[Any, ...]:
        # By default an exception is copied by calling its class with its message alone.
        return _restored, (type(self), self.args, self.__dict__)


def _restored(
    cls: type[StriateError], args: tuple[object, ...], attributes: dict[str, Any]
) -> StriateError:
    error = cls.__new__(cls, *args)
    error.__dict__.update(attributes)
    return error


def _command_line_option(found: re.Match[str]) -> str:
    name, value = found[1].replace("_", "-"), found[2] or found[3]
    if value.startswith("{"):
        value = " ".join("=".join(entry) for entry in _ENTRY.findall(value))
    spelled = {"": "", "True": "", "None": " none"}.get(value, f" {value}")
    return f"--{name}{spelled}"


class StoppedError(StriateError):
    """The work was asked to stop, and everything done so far is saved."""

    exit_code = 130

    def __init__(self) -> None:
        super().__init__("stopped, and saved", fix="go on from here with `resume=True`")


class UserError(StriateError, ValueError):
    """The user can mend this: data, an option, a file, a run folder."""

    exit_code = 2


class DataError(UserError):
    """The data cannot be used as it is."""


class ArgumentError(UserError):
    """An option or argument has a value that is not allowed."""


class OptionError(ArgumentError):
    """An option of a public function has a value that is not allowed, or would be ignored.

    Args:
        option: The name of the parameter in Python, as in "image_size".
        value: The value received.
        why: What is wrong with it.
        fix: What to write instead.

    >>> error = OptionError("time", "10x", why="it is no duration", fix="write 90s, 10m or 1h")
    >>> str(error)
    "`time='10x'`: it is no duration; write 90s, 10m or 1h"
    >>> error.on_command_line()
    '--time 10x: it is no duration; write 90s, 10m or 1h'
    >>> OptionError("error_costs", {"cat": 2.0}, why="there is no cat").on_command_line()
    '--error-costs cat=2.0: there is no cat'
    """

    def __init__(self, option: str, value: object, *, why: str = "", fix: str = "") -> None:
        self.option, self.value = option, value
        super().__init__(f"`{option}={value!r}`", why=why, fix=fix)


MAX_SEED: Final = 2**32 - 1
"""The largest seed that all random numbers can be drawn with: scikit-learn takes no larger one."""


def check_whole(option: str, value: object, least: int, most: float = math.inf) -> None:
    """Refuse what is no whole number in a range.

    >>> check_whole("seed", -1, 0, MAX_SEED)
    Traceback (most recent call last):
    striate.errors.OptionError: `seed=-1`: it must be a whole number from 0 to 4294967295

    Args:
        option: The name of the parameter.
        value: What the user gave.
        least: The lowest value that is allowed.
        most: The highest.

    Raises:
        OptionError: It is none.
    """
    if (
        isinstance(value, bool)
        or not isinstance(value, Integral)
        or not least <= int(value) <= most
    ):
        upper = f"to {most:.0f}" if most < math.inf else "up"
        raise OptionError(option, value, why=f"it must be a whole number from {least} {upper}")


MAX_LISTED_NAMES: Final = 20
"""An error lists at most so many names; of more it gives the number."""


class UnknownNameError(ArgumentError):
    """A name is not among those that are allowed.

    Args:
        kind: What was looked for ("model", "method", ...).
        name: The name received.
        known: Every name that is allowed.
    """

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        self.name, self.known = name, sorted(known)
        near = nearest(name, self.known)
        few = len(self.known) <= MAX_LISTED_NAMES
        listing = ", ".join(self.known) if few else f"{len(self.known)} names"
        fix = (
            f"did you mean {' or '.join(map(repr, near))}?"
            if near
            else f"known: {listing or 'none'}"
        )
        super().__init__(f"unknown {kind} {name!r}", fix=fix)


class WeightsError(UserError):
    """A checkpoint cannot be read, or does not fit the network."""


class RunError(UserError):
    """A run folder is missing, in use, or cannot be used in this way."""


class RunWarning(UserWarning):
    """A run can be used, but not all of its files are known to be what the run wrote."""


class DataWarning(UserWarning):
    """Data can be used, but not all of them are what was written."""


class MachineError(StriateError, RuntimeError):
    """The machine or the environment is at fault."""


class MissingExtraError(MachineError):
    """An optional dependency is not installed.

    Args:
        package: The package that could not be imported.
        extra: The extra of Striate that installs it.
    """

    def __init__(self, package: str, extra: str) -> None:
        self.package, self.extra = package, extra
        super().__init__(
            f"{package} is not installed", fix=f'install it with: pip install "striate[{extra}]"'
        )


class WeightsUnavailableError(MachineError):
    """Weights are neither in the cache nor on the network."""


class DeviceError(MachineError):
    """The requested device does not exist on this machine."""


class EngineError(MachineError):
    """An inference engine cannot take a network, or computes something else than the network."""


class StorageError(MachineError):
    """A file could not be written to the disk."""


class ProcessLostError(MachineError):
    """Another process that trained together with this one is gone."""

    def __init__(self) -> None:
        super().__init__(
            "another process of this fit has ended",
            fix="go on from the last checkpoint with `resume=True`, with any number of processes",
        )


class DivergedError(MachineError):
    """The loss became infinite or NaN, and going back to a checkpoint did not help."""


class Problems:
    """Gathers errors that do not keep one from looking further, to tell all of them at once.

    >>> problems = Problems()
    >>> with problems:
    ...     raise DataError("one")
    >>> with problems:
    ...     raise DataError("two")
    >>> problems.tell()
    Traceback (most recent call last):
    striate.errors.DataError: 2 problems: (1) one; (2) two
    """

    def __init__(self) -> None:
        self.found: list[UserError] = []

    def __enter__(self) -> None: ...

    def __exit__(self, _type: object, error: BaseException | None, _trace: object) -> bool:
        if isinstance(error, UserError):
            self.found.append(error)
            return True
        return False

    def tell(self) -> None:
        """Raise what was found, if anything was.

        Raises:
            UserError: The one error, or a DataError that lists all.
        """
        if len(self.found) == 1:
            raise self.found[0]
        if self.found:
            listed = "; ".join(f"({n}) {error}" for n, error in enumerate(self.found, 1))
            raise DataError(f"{len(self.found)} problems", why=listed)


SYNONYMS: Final = {
    "evaluate": "eval",
    "gpu": "cuda",
    "infer": "predict",
    "info": "inspect",
    "linear": "probe",
    "no": "identity",
    "none": "identity",
    "rf": "inspect",
    "show": "inspect",
    "summary": "inspect",
    "svm": "kernel",
    "test": "eval",
    "train": "fit",
    "val": "eval",
    "validate": "eval",
}
"""What other tools call a command or a value, and its name here."""


def nearest(name: str, known: Iterable[str], count: int = 3) -> list[str]:
    """The names that are most like `name`, best first; none where nothing is like it.

    A word of `SYNONYMS` is like the name that it stands for.

    >>> nearest("ResNet-50", ["resnet50", "vgg16"]), nearest("train", ["fit", "predict"])
    (['resnet50'], ['fit'])
    >>> nearest("trian", ["fit", "predict"])
    ['fit']
    """
    names, letters = list(known), _letters(name)
    meant = SYNONYMS.get(name.lower())
    if meant in names:
        return [meant]
    # A name that differs by case and separators alone is certainly meant, however short.
    same = [other for other in names if letters and _letters(other) == letters]
    found = same[:count] or difflib.get_close_matches(name, names, n=count, cutoff=0.6)
    words = [word for word, other in SYNONYMS.items() if other in names]
    misspelt = [] if found else difflib.get_close_matches(name.lower(), words, n=1, cutoff=0.7)
    return found or [SYNONYMS[word] for word in misspelt]


def _letters(name: str) -> str:
    return "".join(filter(str.isalnum, name)).lower()


def one_line(text: str) -> str:
    """Return `text` with line breaks and other control characters made visible."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
