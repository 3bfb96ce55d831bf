"""What an inference engine is: a file it reads, how the file is written, and how it answers."""

from __future__ import annotations

import importlib
import importlib.util
import json
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, TypeAlias

import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from striate.errors import EngineError, MissingExtraError, one_line
from striate.registry import Registry, load_package

Session: TypeAlias = Callable[[NDArray[Any]], tuple[NDArray[Any], ...]]
"""A loaded file: from a batch of inputs, of any number of items, to the outputs by place."""


@dataclass(frozen=True, kw_only=True)
class Deployment:
    """A network ready to be written into a file that answers by itself.

    Attributes:
        module: Gives a tuple of tensors, a row an item, of one tensor of inputs; in evaluation mode.
        example: Inputs of a few items.
        input_name: Name of the input.
        output_names: Names of the outputs, by place.
        card: What a user of the file must know; fit for JSON.
    """

    module: nn.Module
    example: Tensor
    input_name: str
    output_names: tuple[str, ...]
    card: Mapping[str, Any]

    def program(self) -> ExportedProgram:
        """The network as torch's graph, for any number of items.

        Raises:
            EngineError: torch cannot trace it.
        """
        with library_errors("the network cannot be traced"):
            return torch.export.export(
                self.module, (self.example,), dynamic_shapes=({0: Dim("items")},)
            )

    def card_text(self) -> str:
        """The card as one line of JSON."""
        return json.dumps(self.card, ensure_ascii=False)


class Engine(ABC):
    """An inference engine.

    Attributes:
        name: Its name, as `striate export --to` takes it.
        suffix: Suffix of its file.
        reader: What runs such a file.
        extra: Striate's extra that brings what is needed.
        packages: Packages to be imported.
        takes_pictures: Whether a file for whole pictures is made of its file.
    """

    name: ClassVar[str]
    suffix: ClassVar[str]
    reader: ClassVar[str]
    extra: ClassVar[str] = ""
    packages: ClassVar[tuple[str, ...]] = ()
    takes_pictures: ClassVar[bool] = False

    def missing(self) -> list[str]:
        """Packages that are not installed."""
        return [name for name in self.packages if importlib.util.find_spec(name) is None]

    def require(self) -> None:
        """Make sure that the engine can be used.

        Raises:
            MissingExtraError: A package is not installed.
        """
        if missing := self.missing():
            raise MissingExtraError(missing[0], self.extra)

    @abstractmethod
    def write(self, deployment: Deployment, path: Path) -> None:
        """Write the file; others that belong to it lie beside it under the same stem.

        Raises:
            EngineError: The network cannot be expressed.
        """

    @abstractmethod
    def load(self, path: Path) -> Session:
        """The file, ready to answer on the CPU in float32.

        Raises:
            EngineError: The file cannot be read.
        """

    def load_narrow(self, path: Path) -> Session:
        """The file, ready to answer on the CPU in bfloat16.

        Raises:
            EngineError: The file cannot be read, or the engine does not compute so.
        """
        raise EngineError(f"{self.reader} does not compute in bfloat16")


ENGINES: Registry[Engine] = Registry("engine")
"""Every engine by name, once `load_engines` has run."""


def load_engines() -> Registry[Engine]:
    """Every engine, installed or not: one file each in this package."""
    load_package("striate.engines")
    return ENGINES


@contextmanager
def library_errors(what: str) -> Iterator[None]:
    """Turn an error of a library, which may be of any class, into one line; no warning is shown.

    Raises:
        EngineError: There was one; its reason is what the error says first, shortened.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except Exception as error:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise EngineError(what, why=one_line(lines[0][:200])) from error
