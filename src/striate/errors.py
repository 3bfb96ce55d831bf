"""Every error that Striate raises on purpose.

The tree (the exit code of the command line in brackets)::

    StriateError
    ├── StoppedError [130]                 asked to stop; everything is saved
    ├── UserError [2], a ValueError        the user can mend it
    │   ├── DataError                      a folder, a file, a manifest, a split
    │   ├── ArgumentError                  an option, an argument, a name
    │   │   └── UnknownNameError           not in a registry; suggests the nearest
    │   ├── WeightsError                   a checkpoint that does not fit or cannot be read
    │   └── RunError                       a run folder: missing, locked, of other data
    └── MachineError [3], a RuntimeError   the machine or the environment is at fault
        ├── MissingExtraError              an optional dependency; names the extra
        ├── WeightsUnavailableError        neither in the cache nor on the network
        ├── DeviceError                    no such accelerator
        ├── EngineError                    a network that an engine cannot take, or answers otherwise
        ├── StorageError                   disk full, not writable, fsync failed
        └── DivergedError                  the loss is not finite and going back did not help

Each message is one line: what, where (the path), why, and the fix.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Final


class StriateError(Exception):
    """An error with a message of one line that is fit to be shown to a user.

    Args:
        what: what went wrong, with the path or the argument concerned.
        why: the cause, where `what` does not already say it.
        fix: what the user can do about it.
    """

    exit_code = 3

    def __init__(self, what: str, *, why: str = "", fix: str = "") -> None:
        self.what, self.why, self.fix = what, why, fix
        line = what + (f": {why}" if why else "") + (f"; {fix}" if fix else "")
        super().__init__(one_line(line))


class StoppedError(StriateError):
    """The work was asked to stop, and everything done so far is saved."""

    exit_code = 130

    def __init__(self) -> None:
        super().__init__("stopped; go on with the same command and --resume")


class UserError(StriateError, ValueError):
    """Something the user can mend."""

    exit_code = 2


class DataError(UserError):
    """The data cannot be used as it is."""


class ArgumentError(UserError):
    """An option or argument has a value that is not allowed."""


MOST_LISTED: Final = 20
"""Names that an error lists; of more it tells the number."""


class UnknownNameError(ArgumentError):
    """A name that is not registered.

    Args:
        kind: what was looked for ("model", "method", ...).
        name: the name received.
        known: every name that is allowed.
    """

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        self.name, self.known = name, sorted(known)
        near = nearest(name, self.known)
        few = len(self.known) <= MOST_LISTED
        listing = ", ".join(self.known) if few else f"{len(self.known)} names"
        fix = f"did you mean {' or '.join(map(repr, near))}?" if near else f"known: {listing}"
        super().__init__(f"unknown {kind} {name!r}", fix=fix)


class WeightsError(UserError):
    """A checkpoint that cannot be read, or that does not fit the network."""


class RunError(UserError):
    """A run folder that cannot be used as asked."""


class MachineError(StriateError, RuntimeError):
    """The machine or the environment is at fault."""


class MissingExtraError(MachineError):
    """An optional dependency is not installed.

    Args:
        package: the package that could not be imported.
        extra: the extra of Striate that brings it.
    """

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(
            f"{package} is not installed", fix=f'install it with: pip install "striate[{extra}]"'
        )


class WeightsUnavailableError(MachineError):
    """Weights that are neither in the cache nor to be had from the network."""


class DeviceError(MachineError):
    """The device asked for is not there."""


class EngineError(MachineError):
    """An inference engine cannot take a network, or answers otherwise than the network does."""


class StorageError(MachineError):
    """A file could not be written or made durable."""


class DivergedError(MachineError):
    """Training left the finite numbers and going back did not help."""


def nearest(name: str, known: Iterable[str], count: int = 3) -> list[str]:
    """The names most like `name`, best first; empty where nothing is near."""
    return difflib.get_close_matches(name, list(known), n=count, cutoff=0.6)


def one_line(text: str) -> str:
    """`text` with line breaks and other control characters made visible."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
