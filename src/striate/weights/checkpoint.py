"""Weights by name or path, as tensors under our names with all that belongs to them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from torch import Tensor

from striate.errors import UnknownNameError, WeightsError
from striate.typing import PathLike
from striate.weights.fetch import fetch_first
from striate.weights.file import SUFFIXES, read_weights
from striate.weights.layout import recognize, rename
from striate.weights.manifest import Source, layouts, sources
from striate.weights.preprocessing import Preprocessing

ANY_SOURCE: Final = "imagenet"
"""The name that stands for the first source of ImageNet weights that can be had."""


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """Weights of a network of rank 2.

    Attributes:
        state: tensors under our names.
        config: options of the configuration that the weights want.
        preprocessing: of inputs; None where the weights do not tell.
    """

    state: Mapping[str, Tensor]
    config: Mapping[str, Any] = field(default_factory=dict)
    preprocessing: Preprocessing | None = None


def load_checkpoint(family: str, name: str, weights: PathLike, keys: Sequence[str]) -> Checkpoint:
    """Find, read and rename the weights of a network.

    Args:
        family: of the network; its manifest is used.
        name: of the network.
        weights: `imagenet`, `package`, the name of a source, or the path of a file.
        keys: the network's, under our names.

    Raises:
        UnknownNameError: neither a source nor a file.
        WeightsError: the file cannot be read, or is of another network.
        WeightsUnavailableError: not on this machine, and not to be had from the network.
    """
    known = sources(family, name)
    names = [ANY_SOURCE, *(source.name for source in known)] if known else []
    if weights in names:
        chosen = [s for s in known if weights in (ANY_SOURCE, s.name)]
        source, path = fetch_first(name, chosen)
        return _read(path, family, keys, source)
    path = Path(weights)
    if path.suffix not in SUFFIXES and not path.exists():
        raise UnknownNameError(f"weights of {name}", str(weights), [*names, "the path of a file"])
    return _read(path, family, keys, None)


def _read(path: Path, family: str, keys: Sequence[str], source: Source | None) -> Checkpoint:
    state = read_weights(path)
    table = layouts(family)
    try:
        layout = table[source.layout] if source else recognize(list(state), keys, table)
        state = rename(state, keys, layout)
    except WeightsError as error:
        raise WeightsError(f"{path}: {error.what}", why=error.why, fix=error.fix) from None
    return Checkpoint(
        state=state,
        config={**layout.config, **(source.config if source else {})},
        preprocessing=source.preprocessing if source else None,
    )
