"""Weights by name or path, as tensors under our names with all that belongs to them.

What a file holds is told by its first bytes, not by its name: safetensors, or what `torch.save`
wrote, which goes through torch's restricted reader. In it every table of tensors is looked at, under
whatever key a training script has put it (`state_dict`, `model`, `ema`, `teacher`), and every dotted
prefix of its names (`module.`, `backbone.`): the part that names most of the network's tensors is
taken.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from pickle import UnpicklingError  # noqa: TID251 - only the error of torch's restricted reader
from typing import Any, Final

import torch
from torch import Tensor

from striate.errors import UnknownNameError, WeightsError
from striate.typing import PathLike
from striate.weights.fetch import Origin, fetch_first
from striate.weights.layout import best_part, rename
from striate.weights.manifest import OWN_LAYOUT, Layout, layouts, sources
from striate.weights.preprocessing import Preprocessing

SUFFIXES: Final = (".safetensors", ".pt", ".pth", ".bin", ".ckpt", ".tar", ".model")
"""Endings by which a name that is no file is taken for the path of one."""

ANY_SOURCE: Final = "imagenet"
"""The name that stands for the first source of ImageNet weights that can be had."""


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """Weights of a network of rank 2.

    Attributes:
        state: Tensors under our names.
        config: Options of the configuration that the weights want.
        origin: Where they came from; None for a file of the user's.
        notes: What of the user's file was taken and what was not, where that is not plain.
    """

    state: Mapping[str, Tensor]
    config: Mapping[str, Any] = field(default_factory=dict)
    origin: Origin | None = None
    notes: tuple[str, ...] = ()

    @property
    def preprocessing(self) -> Preprocessing | None:
        """Preparation of inputs; None where it is not known."""
        return self.origin.source.preprocessing if self.origin else None


def load_checkpoint(
    family: str,
    name: str,
    weights: PathLike,
    keys: Sequence[str],
    own_layouts: Mapping[str, Layout] | None = None,
) -> Checkpoint:
    """Find, read and rename the weights of a network.

    Args:
        family: Family of the network, whose manifest is used.
        name: Name of the network.
        weights: `imagenet`, the name of a source, or the path of a file.
        keys: The network's own names of its tensors.
        own_layouts: Ways of naming that the network knows beside those of the manifest.

    Raises:
        UnknownNameError: There is neither such a source nor such a file.
        WeightsError: The file cannot be read, or is of another network.
        WeightsUnavailableError: The weights are neither on this machine nor to be had.
    """
    known = sources(family, name)
    table = {**layouts(family), **(own_layouts or {})}
    names = [ANY_SOURCE, *(source.name for source in known)] if known else []
    if weights in names:
        chosen = [s for s in known if weights in (ANY_SOURCE, s.name)]
        origin = fetch_first(name, chosen)
        return _read(origin.path, table, keys, origin)
    check_weights(weights, names, f"weights of {name}")
    return _read(Path(weights), table, keys, None)


def check_weights(weights: PathLike, names: Collection[str], what: str) -> None:
    """Check that weights have a name that is known, or are a file; nothing is read.

    Args:
        weights: What the user gave.
        names: The names that are known.
        what: What they are the weights of, for the message.

    Raises:
        UnknownNameError: There is neither such a name nor such a file.
        WeightsError: It looks like the path of a file, and there is none.
    """
    path = Path(weights)
    if weights in names or path.is_file():
        return
    if path.suffix.lower() in SUFFIXES or path.exists():
        raise _no_file(path)
    raise UnknownNameError(what, str(weights), [*names, "the path of a file"])


def _no_file(path: Path) -> WeightsError:
    return WeightsError(f"no file of weights at {path}", fix="give the path of an existing file")


def _read(
    path: Path, table: Mapping[str, Layout], keys: Sequence[str], origin: Origin | None
) -> Checkpoint:
    tables = read_tables(path)
    known = [table[origin.source.layout]] if origin else [OWN_LAYOUT, *table.values()]
    try:
        part = best_part(tables, keys, known)
        state, notes = rename(part, keys)
    except WeightsError as error:
        raise WeightsError(f"{path}: {error.what}", why=error.why, fix=error.fix) from None
    config = {**part.layout.config, **(origin.source.config if origin else {})}
    return Checkpoint(state=state, config=config, origin=origin, notes=notes)


def read_tables(path: Path) -> dict[str, dict[str, Tensor]]:
    """The tables of tensors in a file, on the CPU, by the dotted keys under which they lie.

    Raises:
        WeightsError: No such file, of another format, damaged, or with objects in it whose reading
            could run code.
    """
    if not path.is_file():
        raise _no_file(path)
    tables = dict(tables_in(_content(path)))
    if not tables:
        raise WeightsError(f"{path} holds no weights", fix="save the network's state_dict()")
    return tables


def tables_in(content: object, place: str = "") -> Iterator[tuple[str, dict[str, Tensor]]]:
    """Every table of tensors inside a checkpoint, by the dotted keys under which it lies.

    >>> [place for place, _ in tables_in({"net": {"w": torch.ones(1)}, "epoch": 3})]
    ['net']
    """
    if not isinstance(content, Mapping):
        return
    tensors = {
        key: value
        for key, value in content.items()
        if isinstance(key, str) and isinstance(value, Tensor)
    }
    if tensors:
        yield place, tensors
    for key, value in content.items():
        yield from tables_in(value, f"{place}.{key}" if place else str(key))


def _content(path: Path) -> object:
    """What a file holds, by its first bytes: see `torch.save` and the format of safetensors."""
    try:
        with path.open("rb") as file:
            head = file.read(9)
    except OSError as error:
        raise WeightsError(f"{path} cannot be read", why=str(error)) from error
    if head[8:9] == b"{":
        return _read_safetensors(path)
    if head.startswith((b"PK", b"\x80")):
        return _read_torch(path)
    if len(head) < 9:
        raise WeightsError(
            f"{path} cannot be read", why="it is cut off or empty", fix="get it again"
        )
    raise WeightsError(
        f"{path} is no file of weights",
        why="its first bytes are neither of safetensors nor of torch.save",
        fix="save the network's state_dict()",
    )


def _read_safetensors(path: Path) -> object:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"{path} cannot be read", why=str(error), fix="get it again") from error


_GLOBAL: Final = re.compile(r"GLOBAL ([\w.]+)")

_STOOD_IN_FOR: Final = (
    "argparse.Namespace",
    "collections.defaultdict",
    "mmengine.logging.history_buffer.HistoryBuffer",
    "numpy.dtype",
    "numpy.ndarray",
    *(
        f"numpy.{core}.multiarray.{made}"
        for core in ("core", "_core")
        for made in ("scalar", "_reconstruct")
    ),
    "pathlib.PosixPath",
    "pathlib.WindowsPath",
    "pathlib._local.PosixPath",
)
"""What training scripts save beside tensors (options, accuracies, histories), never weights."""


class _StandIn:
    """Takes the place of an object that is of no interest: it keeps nothing and does nothing."""

    def __init__(self, *_: object) -> None: ...

    def __setstate__(self, _: object) -> None: ...


def _read_torch(path: Path) -> object:
    stand_ins: list[Any] = [(_StandIn, name) for name in _STOOD_IN_FOR]
    try:
        # Opened here: given a path, torch goes by the suffix.
        with path.open("rb") as file, torch.serialization.safe_globals(stand_ins):
            return torch.load(file, map_location="cpu", weights_only=True)
    except UnpicklingError as error:
        found = _GLOBAL.search(str(error))
        raise WeightsError(
            f"{path} is refused",
            why=f"it holds more than tensors{f' ({found[1]})' if found else ''}, "
            "and reading that could run code",
            fix="save its state_dict() as safetensors",
        ) from error
    # Whatever else a damaged file makes the reader stumble over.
    except Exception as error:
        first_line = str(error).partition("\n")[0] or type(error).__name__
        raise WeightsError(f"{path} cannot be read", why=first_line, fix="get it again") from error
