"""Where shards lie: in a folder, or behind an address from which ranges of bytes are fetched."""

from __future__ import annotations

import contextlib
import hashlib
import os
import threading
import time
import warnings
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any, Final

from striate.data.layouts.shards.index import INDEX, Shard
from striate.data.packages import imported
from striate.errors import ArgumentError, DataError, DataWarning, MachineError
from striate.files import os_reason, user_cache_folder

BLOCK: Final = 4_000_000
"""Bytes that are fetched at once."""

ATTEMPTS: Final = 6
"""Times that a range is asked of a server before it is given up."""

FIRST_PAUSE: Final = 0.1
"""Seconds before the second attempt; each further pause is twice as long."""

AHEAD: Final = 2
"""Blocks that are fetched ahead while items are read in their order."""

CACHE_GIGABYTES: Final = "STRIATE_SHARD_CACHE_GB"
"""The variable that holds the limit of the cache, in gigabytes."""

_DEFAULT_GIGABYTES: Final = "20"

_STALE_SECONDS: Final = 3600.0
"""After so long a block that was never finished is of a process that was killed."""

_LEAST_BLOCKS: Final = 2 * AHEAD + 4
"""Blocks that the cache must have room for, so that none is dropped before it is read."""


def is_url(data: str) -> bool:
    """Whether a DATA argument is an address and not a path."""
    scheme, found, _ = data.partition("://")
    return bool(found) and scheme.isidentifier()


def num_blocks(shard: Shard) -> int:
    """The number of blocks of a shard."""
    return -(-shard.size // BLOCK)


class Shelf(ABC):
    """Where the files of shards lie.

    Args:
        name: The folder or the address.
    """

    def __init__(self, name: str) -> None:
        self.name = name

    def where(self, file: str) -> str:
        """The path or the address of a file."""
        return f"{self.name.rstrip('/')}/{file}"

    @abstractmethod
    def whole(self, file: str) -> bytes:
        """All bytes of a small file.

        Raises:
            DataError: It is not there, or cannot be read.
        """

    @abstractmethod
    def part(self, shard: Shard, start: int, stop: int) -> bytes:
        """Some bytes of a shard; fewer where it is cut short.

        Raises:
            DataError: It is not there, or cannot be read.
            MachineError: The server does not answer.
        """

    def forget(self, shard: Shard, start: int, stop: int) -> bool:
        """Drop what is kept of some bytes of a shard, for they are wrong; false where nothing is."""
        return False

    def is_longer(self, shard: Shard) -> bool:
        """Whether there are more bytes than were packed, as far as that is seen."""
        return False

    def in_order(self, shards: Sequence[Shard]) -> None:
        """Take note of the order in which shards are read, where that helps."""
        return


class Folder(Shelf):
    """A folder of this machine."""

    def whole(self, file: str) -> bytes:
        """All bytes of a file."""
        try:
            return Path(self.where(file)).read_bytes()
        except OSError as error:
            raise DataError(f"cannot read {self.where(file)}", why=os_reason(error)) from error

    def part(self, shard: Shard, start: int, stop: int) -> bytes:
        """Some bytes of a shard."""
        try:
            with Path(self.where(shard.name)).open("rb") as file:
                file.seek(start)
                return file.read(stop - start)
        except OSError as error:
            raise DataError(
                f"cannot read {self.where(shard.name)}", why=os_reason(error)
            ) from error

    def is_longer(self, shard: Shard) -> bool:
        """Whether the file is longer than that which was packed."""
        return Path(self.where(shard.name)).stat().st_size > shard.size


class Remote(Shelf):
    """A folder behind an address, of any kind that fsspec knows.

    What is fetched is kept in the cache folder, in blocks, so that a shard is gone on with where it
    was left. While blocks are read in their order, the next ones are fetched by threads. Once
    all of a shard is there its SHA-256 is compared.

    Args:
        name: The address.
        cache: The folder of the blocks.
        limit: The bytes of all blocks together; None for what the user's environment says.

    Raises:
        MissingExtraError: fsspec, or what it needs for such addresses, is not installed.
        DataError: No such addresses are known.
    """

    def __init__(self, name: str, cache: Path | None = None, limit: int | None = None) -> None:
        super().__init__(name)
        fsspec: Any = imported("fsspec", "cloud")
        try:
            self._files, self._root = fsspec.url_to_fs(name)
        except ImportError as error:
            scheme = name.partition("://")[0]
            why = f"addresses with {scheme}:// need a package that is not installed"
            raise DataError(f"cannot read {name}", why=why, fix=str(error)) from None
        except ValueError as error:
            raise DataError(f"cannot read {name}", why=str(error)) from None
        self._cache = BlockCache(cache or user_cache_folder() / "shards", limit)
        self._locks: defaultdict[tuple[str, int], threading.Lock] = defaultdict(threading.Lock)
        self._order: list[tuple[Shard, int]] = []
        self._positions: dict[tuple[str, int], int] = {}
        self._asked: set[int] = set()
        self._ahead: dict[int, Future[None]] = {}
        self._came: set[tuple[str, int]] = set()
        self._threads = ThreadPoolExecutor(AHEAD, thread_name_prefix="striate-shards")

    def in_order(self, shards: Sequence[Shard]) -> None:
        """Take note of the order in which shards are read."""
        self._order = [(shard, number) for shard in shards for number in range(num_blocks(shard))]
        self._positions = {
            (shard.sha256, number): place for place, (shard, number) in enumerate(self._order)
        }

    def settle(self) -> None:
        """Wait for what is being fetched ahead; what failed is fetched again when it is read."""
        wait(self._ahead.values())

    def whole(self, file: str) -> bytes:
        """All bytes of a file."""
        return self._fetched(file)

    def part(self, shard: Shard, start: int, stop: int) -> bytes:
        """Some bytes of a shard, from the cache where they are there."""
        parts = []
        for number in range(start // BLOCK, (max(stop, start + 1) - 1) // BLOCK + 1):
            first = number * BLOCK
            parts.append(self._part(shard, number, max(0, start - first), stop - first))
        return b"".join(parts)

    def forget(self, shard: Shard, start: int, stop: int) -> bool:
        """Drop the blocks that hold some bytes."""
        for number in range(start // BLOCK, (max(stop, start + 1) - 1) // BLOCK + 1):
            self._cache.remove(shard, number)
        return True

    def _part(self, shard: Shard, number: int, start: int, stop: int) -> bytes:
        """Some bytes of a block."""
        self._look_ahead(self._positions.get((shard.sha256, number)))
        kept = self._cache.read(shard, number, start, stop)
        part = self._block(shard, number)[start:stop] if kept is None else kept
        if (shard.sha256, number) in self._came:
            self._came.discard((shard.sha256, number))
            self._compare(shard)
        return part

    def _look_ahead(self, place: int | None) -> None:
        """Have the next blocks fetched where a block and the one before it are wanted."""
        if place is None or place in self._asked:
            return
        self._asked.add(place)
        if place - 1 in self._asked and self._cache.limit >= _LEAST_BLOCKS * BLOCK:
            for following in range(place + 1, min(place + 1 + AHEAD, len(self._order))):
                if following not in self._asked and following not in self._ahead:
                    self._ahead[following] = self._threads.submit(self._bring, following)

    def _bring(self, place: int) -> None:
        """Have a block in the cache, unless it was fetched meanwhile."""
        shard, number = self._order[place]
        with self._locks[shard.sha256, number]:
            if place not in self._asked and not self._cache.has(shard, number):
                self._fetch(shard, number)

    def _block(self, shard: Shard, number: int) -> bytes:
        """A block, from the server unless another thread was faster."""
        # Threads that read neighbours wait for one fetch of what they share.
        with self._locks[shard.sha256, number]:
            kept = self._cache.read(shard, number)
            return self._fetch(shard, number) if kept is None else kept

    def _fetch(self, shard: Shard, number: int) -> bytes:
        """A block from the server, while its lock is held."""
        start, stop = number * BLOCK, min((number + 1) * BLOCK, shard.size)
        block = self._fetched(shard.name, start, stop)
        self._cache.write(shard, number, block)
        self._came.add((shard.sha256, number))
        return block

    def _compare(self, shard: Shard) -> None:
        """Compare the SHA-256 of a shard once the last of its blocks has come."""
        with self._locks[shard.sha256, -1]:
            if not self._cache.holds(shard):
                return
            if self._cache.digest(shard) in (None, shard.sha256):
                return
            for damaged in range(num_blocks(shard)):
                self._cache.remove(shard, damaged)
        message = f"{self.where(shard.name)} is damaged: its SHA-256 is not that of the index"
        warnings.warn(f"{message}; each item that is read is compared by itself", DataWarning, 2)

    def _fetched(self, file: str, start: int | None = None, stop: int | None = None) -> bytes:
        """What a server gives, asked again where it fails."""
        path = f"{self._root.rstrip('/')}/{file}"
        why = ""
        for attempt in range(ATTEMPTS):
            if attempt:
                time.sleep(FIRST_PAUSE * 2 ** (attempt - 1))
            try:
                content: bytes = self._files.cat_file(path, start=start, end=stop)
            except FileNotFoundError:
                raise DataError(f"cannot read {self.where(file)}", why="file not found") from None
            except PermissionError:
                raise DataError(f"cannot read {self.where(file)}", why="not permitted") from None
            except Exception as error:  # of any library that fsspec uses for such addresses
                why = f"{type(error).__name__} {error}".strip()
                continue
            if start is None or stop is None or len(content) == stop - start:
                return content
            why = f"{len(content)} bytes came in place of {stop - start}"
        raise MachineError(
            f"cannot read {self.where(file)}",
            why=f"{ATTEMPTS} attempts failed, the last with: {why}",
            fix="look after the server or the connection, and go on with the same command",
        )


class BlockCache:
    """Blocks of shards on the disk, the oldest of which go where there are too many.

    Args:
        folder: Where they lie.
        limit: The bytes of all together; None for what the user's environment says.

    Attributes:
        limit: The bytes of all together.

    Raises:
        ArgumentError: The environment names no number.
    """

    def __init__(self, folder: Path, limit: int | None = None) -> None:
        self._folder = folder
        self.limit = _limit() if limit is None else limit
        self._lock = threading.Lock()
        self._size = sum(size for _, size, _ in self._blocks())
        self._coming = 0

    def read(
        self, shard: Shard, number: int, start: int = 0, stop: int | None = None
    ) -> bytes | None:
        """A block, or some bytes of it; None where it is not there."""
        try:
            with self._path(shard, number).open("rb") as file:
                file.seek(start)
                return file.read() if stop is None else file.read(max(0, stop - start))
        except OSError:
            return None

    def write(self, shard: Shard, number: int, block: bytes) -> None:
        """Keep a block, for which room is made before; where the disk takes none, it is not kept."""
        path = self._path(shard, number)
        temporary = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}")
        with self._lock:
            self._coming += len(block)
            if self._size + self._coming > self.limit:
                self._shrink()
        kept = 0
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary.write_bytes(block)
            temporary.replace(path)
            kept = len(block)
        except OSError:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
        finally:
            with self._lock:
                self._coming -= len(block)
                self._size += kept

    def remove(self, shard: Shard, number: int) -> None:
        """Drop a block."""
        with contextlib.suppress(OSError):
            self._path(shard, number).unlink()

    def has(self, shard: Shard, number: int) -> bool:
        """Whether a block is there."""
        return self._path(shard, number).exists()

    def holds(self, shard: Shard) -> bool:
        """Whether all of a shard is there."""
        return all(self.has(shard, number) for number in range(num_blocks(shard)))

    def digest(self, shard: Shard) -> str | None:
        """The SHA-256 of a shard; None where not all of it is there."""
        blocks = (self.read(shard, number) for number in range(num_blocks(shard)))
        found = hashlib.sha256()
        for block in blocks:
            if block is None:
                return None
            found.update(block)
        return found.hexdigest()

    def _path(self, shard: Shard, number: int) -> Path:
        return self._folder / shard.sha256[:32] / f"{number:06}-{BLOCK}"

    def _blocks(self) -> list[tuple[float, int, Path]]:
        """When each block was written, its size, and where it lies; not those that are being written."""
        found = []
        for path in self._folder.glob("*/*-*"):
            with contextlib.suppress(OSError):
                status = path.stat()
                if path.name[0] != "." or time.time() - status.st_mtime > _STALE_SECONDS:
                    found.append((status.st_mtime, status.st_size, path))
        return found

    def _shrink(self) -> None:
        """Remove the oldest blocks until, with what is coming, a tenth of the limit is free."""
        blocks = sorted(self._blocks())
        self._size = sum(size for _, size, _ in blocks)
        for _, size, path in blocks:
            if self._size + self._coming <= 0.9 * self.limit:
                break
            with contextlib.suppress(OSError):
                path.unlink()
                self._size -= size


def _limit() -> int:
    text = os.environ.get(CACHE_GIGABYTES, _DEFAULT_GIGABYTES)
    try:
        return int(float(text) * 1e9)
    except ValueError:
        raise ArgumentError(
            f"{CACHE_GIGABYTES} is {text!r}", why="that is no number", fix="write gigabytes, as 20"
        ) from None


def shelf_of(data: str) -> Shelf:
    """Where the shards lie that a DATA argument names: a folder, an address, or the index there."""
    name = data.removesuffix(INDEX).rstrip("/") or data
    return Remote(name) if is_url(data) else Folder(name)
