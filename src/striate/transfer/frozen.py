"""Frozen early blocks, computed once: their maps are stored, and training goes on from there.

Early blocks work on the largest maps and take most of the time, yet give the same maps in every
epoch. What augmentation is wanted is computed beforehand, as a few views of each item.
"""

from __future__ import annotations

import copy
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int64, UInt8
from numpy.typing import NDArray
from torch import Tensor, nn

from striate.data.batches import batch_bounds
from striate.data.randomness import epoch_order, item_keys, uniforms
from striate.device import fast_dtype
from striate.errors import StorageError
from striate.nn.layout import channels_last
from striate.progress import Tracker
from striate.transfer.blocks import BlockNetwork, block_modules
from striate.transfer.features import MICRO_BATCH, prepare
from striate.transfer.groups import check_cut


@dataclass(frozen=True, kw_only=True)
class MapStore:
    """Maps of each item and view in a memory-mapped file.

    Attributes:
        path: the file.
        maps: (items, views, *space, channels): channels last, as training wants them.
    """

    path: Path
    maps: Tensor

    @property
    def num_views(self) -> int:
        """Views of each item."""
        return self.maps.shape[1]

    def read(
        self, items: Int64[Tensor, " n"], views: Int64[Tensor, " n"] | int = 0
    ) -> Float[Tensor, "n c *space"]:
        """One view of each of some items."""
        return self.maps[items, views].movedim(-1, 1)

    def batches(self, batch_size: int) -> Iterator[Float[Tensor, "n c *space"]]:
        """The first view of all items, in order."""
        for items in torch.split(torch.arange(len(self.maps)), batch_size):
            yield self.read(items)


class FrozenPrefix:
    """The first blocks of a network, for inference.

    Args:
        network: its blocks are copied; on the device to compute on.
        cut: number of blocks.
        dtype: of the stored maps; bfloat16 is computed as such only where that is fast.

    Raises:
        ArgumentError: the network has fewer blocks.
    """

    def __init__(
        self,
        network: BlockNetwork,
        cut: int,
        *,
        dtype: torch.dtype = torch.bfloat16,
    ) -> None:
        check_cut(network, cut)
        self.device = next(network.parameters()).device
        self.dtype = dtype
        self._compute_dtype = dtype if dtype == torch.float32 else fast_dtype(self.device.type)
        self._preprocessing = network.preprocessing
        self._blocks = copy.deepcopy(nn.Sequential(*block_modules(network, cut))).eval()

    def map_shape(self, pixel_shape: Sequence[int]) -> tuple[int, ...]:
        """Shape (*space, channels) of one item's maps, from that of its pixels (channels first)."""
        with torch.inference_mode():
            maps = self._blocks(torch.zeros(1, *pixel_shape, device=self.device))
        return tuple(maps.movedim(1, -1).shape[1:])

    def required_bytes(self, pixel_shape: Sequence[int], num_maps: int) -> int:
        """What storing so many maps (items times views) takes."""
        return num_maps * int(np.prod(self.map_shape(pixel_shape))) * self.dtype.itemsize

    def store(
        self,
        batches: Iterable[UInt8[Tensor, "n views c *space"]],
        *,
        pixel_shape: Sequence[int],
        num_items: int,
        num_views: int,
        data_key: str,
        folder: Path,
        budget_bytes: int,
        tracker: Tracker | None = None,
    ) -> MapStore:
        """Compute the maps of all items and views, or find them computed before.

        Args:
            batches: views of all items, in batches of any size; the first view of an item is the
                item itself, the others are what training is to see of it.
            pixel_shape: of a view, channels first.
            num_items: in all batches together.
            num_views: of each item.
            data_key: names the views and their order (a digest of their contents).
            folder: of the file; its name follows from blocks, views, data and precision.
            budget_bytes: the most that the file may take.
            tracker: advanced by the items done.

        Raises:
            StorageError: the maps exceed the budget or the free space, or cannot be written.
        """
        shape = (num_items, num_views, *self.map_shape(pixel_shape))
        needed = self.required_bytes(pixel_shape, num_items * num_views)
        path = folder / f"maps-{self._key(data_key, shape)}.bin"
        if not path.exists() or path.stat().st_size != needed:
            _check_space(folder, needed, budget_bytes)
            try:
                self._write(path, batches, needed, tracker)
            except OSError as error:
                raise StorageError(
                    f"{path} could not be written",
                    why=error.strerror or str(error),
                    fix="free some space or choose another cache folder",
                ) from error
        size = int(np.prod(shape))
        maps = torch.from_file(str(path), shared=False, size=size, dtype=self.dtype)
        return MapStore(path=path, maps=maps.view(shape))

    def _write(
        self,
        path: Path,
        batches: Iterable[Tensor],
        needed: int,
        tracker: Tracker | None,
    ) -> None:
        """Write a file under its name only once it is whole."""
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, suffix=".part")
        temporary = Path(name)
        try:
            with os.fdopen(handle, "wb") as file:
                for maps in self._maps(batches, tracker):
                    file.write(maps.view(torch.uint8).numpy().data)
            assert temporary.stat().st_size == needed, "the batches hold another number of items"
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)

    def _maps(self, batches: Iterable[Tensor], tracker: Tracker | None) -> Iterator[Tensor]:
        """Contiguous (n, views, *space, channels) on the CPU."""
        size = MICRO_BATCH.get(self.device.type, 32)
        frozen: nn.Module | None = None
        for batch in batches:
            parts = []
            for pixels in torch.split(batch.flatten(0, 1), size):
                inputs = self._preprocessing.normalize(pixels.to(self.device))
                frozen = frozen or prepare(self._blocks, inputs, self._compute_dtype)
                with torch.inference_mode():
                    maps = frozen(channels_last(inputs.to(self._compute_dtype)))
                parts.append(maps.movedim(1, -1).to(self.dtype).cpu())
            yield torch.unflatten(torch.cat(parts), 0, batch.shape[:2]).contiguous()
            if tracker is not None:
                tracker.advance(len(batch))

    def _key(self, data_key: str, shape: Sequence[int]) -> str:
        """A digest of everything that the maps depend on.

        The boot is a part of it: nothing waits for gigabytes to reach the disk, so when the machine
        goes down, a file may stay behind that has its full length and not all of its content.
        """
        what = (_boot(), data_key, list(shape), str(self.dtype), str(self._compute_dtype))
        digest = hashlib.sha256(repr((what, self._preprocessing, repr(self._blocks))).encode())
        for value in self._blocks.state_dict().values():
            digest.update(value.cpu().contiguous().flatten().view(torch.uint8).numpy().data)
        return digest.hexdigest()[:24]


class Tail(nn.Module):
    """The rest of a network, from stored maps to logits; its parameters are the network's own.

    Args:
        network: cut after its first blocks.
        cut: number of blocks left out.

    Raises:
        ArgumentError: the network has fewer blocks.
    """

    def __init__(self, network: BlockNetwork, cut: int) -> None:
        super().__init__()
        check_cut(network, cut)
        self.blocks = nn.Sequential(*(module for _, module in network.blocks()[cut:]))
        self.pool = network.pool
        self.head = network.head

    def forward(self, maps: Float[Tensor, "n c *space"]) -> Float[Tensor, "n classes"]:
        """Logits of the maps after the cut."""
        logits: Tensor = self.head(self.pool(self.blocks(maps)))
        return logits


class FrozenBatches:
    """Training batches of stored maps: one view of each item an epoch, drawn without state.

    Args:
        store: the items' maps.
        labels: class numbers, or probabilities of the classes.
        ids: names of the items; the draws follow from them.
        batch_size: items in a batch; a last batch of one joins the one before it.
        seed: of the order and the views.
    """

    def __init__(
        self,
        store: MapStore,
        labels: Tensor,
        ids: Sequence[str],
        *,
        batch_size: int,
        seed: int,
    ) -> None:
        assert len(labels) == len(ids) == len(store.maps)
        self._store, self._labels, self._ids, self._seed = store, labels, ids, seed
        self._keys = item_keys(ids)
        self._bounds = batch_bounds(len(ids), batch_size)

    @property
    def steps_per_epoch(self) -> int:
        """Batches in an epoch."""
        return len(self._bounds)

    def epoch(self, epoch: int, start_step: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        """Maps (float32) and targets from a step on."""
        draws = uniforms(self._keys, 1, seed=self._seed, epoch=epoch)[:, 0]
        views = torch.from_numpy((draws * self._store.num_views).astype(np.int64))
        for step in range(start_step, self.steps_per_epoch):
            items = torch.from_numpy(self._items(epoch, step))
            yield self._store.read(items, views[items]).float(), self._labels[items]

    def ids(self, epoch: int, step: int) -> list[str]:
        """The items of one batch."""
        return [self._ids[i] for i in self._items(epoch, step)]

    def _items(self, epoch: int, step: int) -> NDArray[np.int64]:
        start, stop = self._bounds[step]
        return epoch_order(self._seed, epoch, len(self._ids))[start:stop]


def _boot() -> str:
    """Names the time since the machine was started; empty where the system does not tell."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text()
    except OSError:
        return ""


def _check_space(folder: Path, needed: int, budget: int) -> None:
    """Refuse before anything is computed.

    Raises:
        StorageError: there is not enough.
    """
    existing = next(path for path in (folder, *folder.resolve().parents) if path.exists())
    for available, name in ((budget, "allowed"), (shutil.disk_usage(existing).free, "free")):
        if needed > available:
            raise StorageError(
                f"the maps of the frozen blocks do not fit into {folder}",
                why=f"they need {needed / 1e9:.2f} GB, {available / 1e9:.2f} GB are {name}",
                fix="use fewer views or freeze more blocks",
            )
