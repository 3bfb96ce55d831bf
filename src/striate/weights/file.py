"""Reading a file of weights: safetensors, or a .pt that holds tensors and nothing else."""

from __future__ import annotations

import zipfile
from pathlib import Path
from pickle import UnpicklingError  # noqa: TID251 - only the error of torch's restricted reader
from typing import Final

import torch
from torch import Tensor

from striate.errors import WeightsError

SUFFIXES: Final = (".safetensors", ".pt", ".pth", ".bin")

WRAPPERS: Final = ("state_dict", "model", "model_state_dict")
"""Keys under which training scripts put the weights."""

PREFIXES: Final = ("module.", "_orig_mod.")
"""Put before every key by DataParallel and by torch.compile."""


def read_weights(path: Path) -> dict[str, Tensor]:
    """The tensors of a file, on the CPU, without wrappers around them or before their names.

    Raises:
        WeightsError: no such file, of another format, damaged, or with more than tensors in it.
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
