"""Fine-tuning behind frozen early blocks, whose maps are computed once and stored.

Early blocks work on the largest maps and take most of the time, yet give the same maps in every
epoch. What augmentation is wanted is computed beforehand, as a few augmented copies of each item.
"""

from __future__ import annotations

import copy
import hashlib
import os
import shutil
import struct
import tempfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import torch
from jaxtyping import Float, Int64, UInt8
from numpy.typing import NDArray
from torch import Tensor, nn

from striate.data.batches import Batches
from striate.data.randomness import Draws, item_keys
from striate.device import fast_dtype, use_free_cores
from striate.errors import StorageError
from striate.models import Network
from striate.nn.layout import channels_last
from striate.nn.parameters import ParameterGroup, decay_groups
from striate.progress import Tracker
from striate.transfer.features import MICRO_BATCH, prepare

MAP_DTYPE: Final = torch.bfloat16
"""Precision of stored maps; they are computed in it only where that is fast."""

_CHECKSUM: Final = struct.Struct("<I")
_CHECK_BYTES: Final = 1 << 24

_BIAS_SHARE: Final = 0.1
"""Share of the relative learning rate at which biases are trained."""

_MIN_BIAS_SIZE: Final = 0.1
"""Biases may be all zero; they are then moved as if they were of this size."""


@dataclass(frozen=True, kw_only=True)
class MapStore:
    """Maps of each item and each of its augmented copies, in a memory-mapped file.

    Attributes:
        path: The file.
        maps: (items, copies, *space, channels) The maps, channels last, as training wants them.
    """

    path: Path
    maps: Tensor

    def read(
        self, items: Int64[Tensor, " n"], copies: Int64[Tensor, " n"] | int = 0
    ) -> Float[Tensor, "n c *space"]:
        """Maps of one copy of each of some items."""
        return self.maps[items, copies].movedim(-1, 1)

    def batches(self, batch_size: int) -> Iterator[Float[Tensor, "n c *space"]]:
        """Maps of the first copy of all items, in order."""
        for items in torch.split(torch.arange(len(self.maps)), batch_size):
            yield self.read(items)

    def training_batches(
        self,
        targets: Tensor,
        ids: Sequence[str],
        *,
        batch_size: int,
        seed: int,
        workers: int = 0,
    ) -> Batches:
        """Batches that in each epoch hold one copy of each item, chosen at random.

        Args:
            targets: Targets of the items.
            ids: Names of the items; what is chosen follows from them.
            batch_size: Items in a batch.
            seed: Seed of the order and of the choice.
            workers: Threads that read batches ahead.
        """
        keys = item_keys(ids)
        num_copies = self.maps.shape[1]

        def make(positions: NDArray[np.int64], number: int) -> tuple[Tensor, Tensor]:
            chance = Draws(keys[positions], seed, number).uniforms(1)[:, 0]
            copies = torch.from_numpy((chance * num_copies).astype(np.int64))
            items = torch.from_numpy(positions)
            return self.read(items, copies).float(), targets[items]

        return Batches(ids, make, batch_size=batch_size, seed=seed, workers=workers)


class FrozenPrefix:
    """The first blocks of a network, for inference.

    Args:
        network: The network, on the device to compute on; its blocks are copied.
        cut: Number of blocks.
    """

    def __init__(self, network: Network, cut: int) -> None:
        self._device = next(network.parameters()).device
        self._compute_dtype = fast_dtype(self._device.type)
        self._preprocessing = network.preprocessing
        modules = [module for _, module in network.blocks()[:cut]]
        self._blocks = copy.deepcopy(nn.Sequential(*modules)).eval()

    def map_shape(self, pixel_shape: Sequence[int]) -> tuple[int, ...]:
        """Shape (*space, channels) of one item's maps, from that of its pixels (channels first)."""
        with torch.inference_mode():
            maps = self._blocks(torch.zeros(1, *pixel_shape, device=self._device))
        return tuple(maps.movedim(1, -1).shape[1:])

    def required_bytes(self, pixel_shape: Sequence[int], num_maps: int) -> int:
        """Bytes that storing so many maps (items times copies) takes."""
        return num_maps * int(np.prod(self.map_shape(pixel_shape))) * MAP_DTYPE.itemsize

    def store(
        self,
        batches: Iterable[UInt8[Tensor, "n copies c *space"]],
        *,
        pixel_shape: Sequence[int],
        num_items: int,
        num_copies: int,
        data_key: str,
        folder: Path,
        budget_bytes: int,
        tracker: Tracker | None = None,
        say: Callable[[str], object] | None = None,
    ) -> MapStore:
        """Compute the maps of all items and copies, or find them computed before.

        Args:
            batches: Copies of all items, in batches of any size; the first copy of an item is the
                item itself, the others are what training is to see of it.
            pixel_shape: Shape of a copy, channels first.
            num_items: Items in all batches together.
            num_copies: Copies of each item.
            data_key: A digest of the copies' contents and order.
            folder: Folder of the file, whose name follows from blocks, copies, data and precision.
            budget_bytes: Largest size of the file.
            tracker: Advanced by the items done.
            say: Told in one line where a file is damaged and computed again.

        Raises:
            StorageError: The maps exceed the budget or the free space, or cannot be written.
        """
        shape = (num_items, num_copies, *self.map_shape(pixel_shape))
        needed = self.required_bytes(pixel_shape, num_items * num_copies)
        path = folder / f"maps-{self._key(data_key, shape)}.bin"
        is_whole = path.exists() and _is_whole(path, needed)
        if path.exists() and not is_whole and say is not None:
            say(f"{path} is not what was written: computing it again")
        if not is_whole:
            _check_space(folder, needed, budget_bytes)
            try:
                _write(path, self._maps(batches, tracker), needed)
            except OSError as error:
                raise StorageError(
                    f"{path} could not be written",
                    why=error.strerror or str(error),
                    fix="free some space or choose another cache folder",
                ) from error
        size = int(np.prod(shape))
        maps = torch.from_file(str(path), shared=False, size=size, dtype=MAP_DTYPE)
        return MapStore(path=path, maps=maps.view(shape))

    def _maps(self, batches: Iterable[Tensor], tracker: Tracker | None) -> Iterator[Tensor]:
        """Contiguous (n, copies, *space, channels) on the CPU."""
        size = MICRO_BATCH.get(self._device.type, 32)
        frozen: nn.Module | None = None
        for batch in batches:
            parts = []
            for pixels in torch.split(batch.flatten(0, 1), size):
                use_free_cores()
                inputs = self._preprocessing.normalize(pixels.to(self._device))
                frozen = frozen or prepare(self._blocks, inputs, self._compute_dtype)
                with torch.inference_mode():
                    maps = frozen(channels_last(inputs.to(self._compute_dtype)))
                parts.append(maps.movedim(1, -1).to(MAP_DTYPE).cpu())
            yield torch.unflatten(torch.cat(parts), 0, batch.shape[:2]).contiguous()
            if tracker is not None:
                tracker.advance(len(batch))

    def _key(self, data_key: str, shape: Sequence[int]) -> str:
        """A digest of everything that the maps depend on.

        The boot is a part of it: nothing waits for gigabytes to reach the disk, so when the machine
        goes down, a file may stay behind that has its full length and not all of its content.
        """
        what = (_boot(), data_key, list(shape), str(MAP_DTYPE), str(self._compute_dtype))
        digest = hashlib.sha256(repr((what, self._preprocessing, repr(self._blocks))).encode())
        for value in self._blocks.state_dict().values():
            digest.update(value.cpu().contiguous().flatten().view(torch.uint8).numpy().data)
        return digest.hexdigest()[:24]


class Tail(nn.Module):
    """The rest of a network, from stored maps to logits; its parameters are the network's own.

    Args:
        network: The network that is cut after its first blocks.
        cut: Number of blocks left out.
    """

    def __init__(self, network: Network, cut: int) -> None:
        super().__init__()
        self.blocks = nn.Sequential(*(module for _, module in network.blocks()[cut:]))
        self.pool = network.pool
        self.head = network.head

    def forward(self, maps: Float[Tensor, "n c *space"]) -> Float[Tensor, "n classes"]:
        """Logits of the maps after the cut."""
        logits: Tensor = self.head(self.pool(self.blocks(maps)))
        return logits


def relative_groups(tail: nn.Module, head: nn.Module, *, head_rate: float) -> list[ParameterGroup]:
    """A group for each parameter, its learning rate in proportion to the size of its values.

    Adam moves every number by about its learning rate, whatever the numbers' size. In a pretrained
    network whose norms are folded, tensors differ in size by orders of magnitude, and one rate
    would wreck the small ones before it moves the large ones. With these groups, the schedule's
    rate is the relative change of a tensor in a step.

    Args:
        tail: The pretrained layers; frozen parameters are left out.
        head: A part of the tail that is fresh, at a rate of its own.
        head_rate: The head's rate over the schedule's, not relative.

    Source: the layer-wise trust ratio of LARS (You, Gitman, Ginsburg 2017, arXiv:1708.03888),
    taken once, from the pretrained values.
    """
    fresh = {id(parameter) for parameter in head.parameters()}
    groups = []
    for name, parameter in tail.named_parameters():
        if parameter.requires_grad and id(parameter) not in fresh:
            size = float(parameter.detach().square().mean().sqrt())
            scale = size if parameter.ndim > 1 else max(size, _MIN_BIAS_SIZE) * _BIAS_SHARE
            groups.append(ParameterGroup(name=name, parameters=(parameter,), rate_scale=scale))
    return [*groups, *decay_groups("head", [head], rate_scale=head_rate, weight_decay=0.0)]


def _write(path: Path, parts: Iterable[Tensor], needed: int) -> None:
    """Write a file, its CRC-32 behind it, under its name only once it is whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, suffix=".part")
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            checksum = 0
            for part in parts:
                data = part.view(torch.uint8).numpy().data
                checksum = zlib.crc32(data, checksum)
                file.write(data)
            assert file.tell() == needed, "the batches hold another number of items"
            file.write(_CHECKSUM.pack(checksum))
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _is_whole(path: Path, length: int) -> bool:
    """Whether a file has its length and, behind so many bytes, their CRC-32.

    It is read once in each attempt of a fit, at gigabytes a second.
    """
    if path.stat().st_size != length + _CHECKSUM.size:
        return False
    checksum, left = 0, length
    with path.open("rb") as file:
        while left and (block := file.read(min(left, _CHECK_BYTES))):
            checksum, left = zlib.crc32(block, checksum), left - len(block)
        return file.read() == _CHECKSUM.pack(checksum)


def _boot() -> str:
    """Names the time since the machine was started; empty where the system does not report it."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text()
    except OSError:
        return ""


def _check_space(folder: Path, needed: int, budget: int) -> None:
    """Refuse before anything is computed.

    Raises:
        StorageError: There is not enough.
    """
    existing = next(path for path in (folder, *folder.resolve().parents) if path.exists())
    for available, name in ((budget, "allowed"), (shutil.disk_usage(existing).free, "free")):
        if needed > available:
            raise StorageError(
                f"the maps of the frozen blocks do not fit into {folder}",
                why=f"they need {needed / 1e9:.2f} GB, {available / 1e9:.2f} GB are {name}",
                fix="use fewer augmented copies or freeze more blocks",
            )
