"""Weights by name or path, as tensors under our names with all that belongs to them.

A file of weights is safetensors, or a .pt that holds tensors and nothing else.
"""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from pickle import UnpicklingError  # noqa: TID251 - only the error of torch's restricted reader
from typing import Any, Final

import torch
from torch import Tensor

from striate.errors import UnknownNameError, WeightsError
from striate.typing import PathLike
from striate.weights.fetch import Origin, fetch_first
from striate.weights.layout import recognize, rename
from striate.weights.manifest import layouts, sources
from striate.weights.preprocessing import Preprocessing

SUFFIXES: Final = (".safetensors", ".pt", ".pth", ".bin")

WRAPPERS: Final = ("state_dict", "model", "model_state_dict")
"""Keys under which training scripts put the weights."""

PREFIXES: Final = ("module.", "_orig_mod.")
"""Put before every key by DataParallel and by torch.compile."""

ANY_SOURCE: Final = "imagenet"
"""The name that stands for the first source of ImageNet weights that can be had."""


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """Weights of a network of rank 2.

    Attributes:
        state: Tensors under our names.
        config: Options of the configuration that the weights want.
        origin: Where they came from; None for a file of the user's.
    """

    state: Mapping[str, Tensor]
    config: Mapping[str, Any] = field(default_factory=dict)
    origin: Origin | None = None

    @property
    def preprocessing(self) -> Preprocessing | None:
        """Preparation of inputs; None where it is not known."""
        return self.origin.source.preprocessing if self.origin else None


def load_checkpoint(family: str, name: str, weights: PathLike, keys: Sequence[str]) -> Checkpoint:
    """Find, read and rename the weights of a network.

    Args:
        family: Family of the network, whose manifest is used.
        name: Name of the network.
        weights: `imagenet`, `package`, the name of a source, or the path of a file.
        keys: The network's own names of its tensors.

    Raises:
        UnknownNameError: There is neither such a source nor such a file.
        WeightsError: The file cannot be read, or is of another network.
        WeightsUnavailableError: The weights are neither on this machine nor to be had.
    """
    known = sources(family, name)
    names = [ANY_SOURCE, *(source.name for source in known)] if known else []
    if weights in names:
        chosen = [s for s in known if weights in (ANY_SOURCE, s.name)]
        origin = fetch_first(name, chosen)
        return _read(origin.path, family, keys, origin)
    path = Path(weights)
    if path.suffix not in SUFFIXES and not path.exists():
        raise UnknownNameError(f"weights of {name}", str(weights), [*names, "the path of a file"])
    return _read(path, family, keys, None)


def _read(path: Path, family: str, keys: Sequence[str], origin: Origin | None) -> Checkpoint:
    state, table = read_weights(path), layouts(family)
    try:
        layout = table[origin.source.layout] if origin else recognize(list(state), keys, table)
        state = rename(state, keys, layout)
    except WeightsError as error:
        raise WeightsError(f"{path}: {error.what}", why=error.why, fix=error.fix) from None
    config = {**layout.config, **(origin.source.config if origin else {})}
    return Checkpoint(state=state, config=config, origin=origin)


def read_weights(path: Path) -> dict[str, Tensor]:
    """The tensors of a file, on the CPU, without wrappers around them or before their names.

    Raises:
        WeightsError: No such file, of another format, damaged, or with more than tensors in it.
    """
    if not path.is_file():
        raise WeightsError(f"no file of weights at {path}", fix="give the path of an existing file")
    if path.suffix not in SUFFIXES:
        raise WeightsError(
            f"{path} has an unknown suffix", fix=f"weights are read from {', '.join(SUFFIXES)}"
        )
    content = _read_safetensors(path) if path.suffix == ".safetensors" else _read_torch(path)
    state = unwrap(content)
    if not state:
        raise WeightsError(f"{path} holds no weights", fix="save the network's state_dict()")
    return state


def unwrap(content: object) -> dict[str, Tensor]:
    """The table of tensors inside a checkpoint; empty where there is none."""
    while isinstance(content, dict):
        inner = next((content[key] for key in WRAPPERS if isinstance(content.get(key), dict)), None)
        if inner is None:
            break
        content = inner
    if not isinstance(content, dict) or not all(isinstance(v, Tensor) for v in content.values()):
        return {}
    state = dict(content)
    while prefix := next((p for p in PREFIXES if all(key.startswith(p) for key in state)), None):
        if not state:
            break
        state = {key.removeprefix(prefix): tensor for key, tensor in state.items()}
    return state


def _read_safetensors(path: Path) -> object:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"{path} cannot be read", why=str(error), fix="get it again") from error


def _read_torch(path: Path) -> object:
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except UnpicklingError as error:
        raise WeightsError(
            f"{path} is refused",
            why="it holds more than tensors, and reading that could run code",
            fix="save its state_dict() as safetensors",
        ) from error
    except (RuntimeError, EOFError, OSError, zipfile.BadZipFile) as error:
        first_line = str(error).partition("\n")[0]
        raise WeightsError(f"{path} cannot be read", why=first_line, fix="get it again") from error
