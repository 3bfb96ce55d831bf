"""Single bits flipped at random in everything that Striate keeps: how many are noticed.

    python benchmarks/bit_flips.py [--count 1000] [--seed 0]

Made first, of small pictures in two classes: shards; a finished run that was fine-tuned, with its
model card; a fit that was ended by SIGTERM, with checkpoints and steps; and what these leave in
the cache: pixels, features of the page of explore, measured engines and their files, blocks of shards
that were fetched. Then one bit after the other is flipped in a file, what a user does next is done
(load, resume, read, answer), and the bit is set back. Each file is hit about as often as any other; the
bits are drawn from the seed. Noticed means: an error, a warning or a line that names the file, or (in
the cache) that what was kept is not used and made again.

Expected: all are noticed.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image

PROGRAM: Final = "from striate.cli.main import main; main()"
TUNED: Final = ("--method", "finetune", "--image-size", "32", "--device", "cpu")
NUM_PICTURES: Final = 60


@dataclass(frozen=True)
class Kept:
    """A file that is kept, and how a change of it shows.

    Attributes:
        what: The kind of file, for the table.
        path: The file.
        noticed: Does what a user does next; whether it was noticed that the file is damaged.
    """

    what: str
    path: Path
    noticed: Callable[[], bool]


def pictures(folder: Path) -> Path:
    """Discs and squares on noise, in class folders."""
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[:40, :40]
    for number in range(NUM_PICTURES):
        label = ("disc", "square")[number % 2]
        y, x = rng.integers(12, 28, 2)
        near = np.stack([abs(rows - y), abs(columns - x)])
        inside = (near**2).sum(0) < 64 if number % 2 == 0 else near.max(0) < 8
        pixels = rng.integers(0, 90, (40, 40, 3)) + 150 * inside[..., None]
        (folder / label).mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels.astype(np.uint8)).save(folder / label / f"{number}.png")
    return folder


def command(*arguments: object) -> None:
    """Run a command of Striate, quietly."""
    with (
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()) as said,
    ):
        from striate.cli.main import run

        code = run(list(map(str, arguments)))
    if code:
        raise SystemExit(
            f"striate {' '.join(map(str, arguments))} ended with {code}: {said.getvalue()}"
        )


def told(work: Callable[[], object], name: str) -> bool:
    """Whether an error, a warning or nothing at all comes of some work; it must name the file."""
    from striate.errors import StriateError

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            work()
        except StriateError as error:
            return name in str(error)
    return any(name in str(one.message) for one in caught)


def of_a_run(run: Path) -> Iterator[Kept]:
    """Every file of a finished run."""
    import striate
    from striate.fitting.steps import Steps
    from striate.run.checksums import CHECKSUMS
    from striate.run.folder import FILES, MODEL, RunFolder

    for path in sorted(path for path in run.rglob("*") if path.is_file() and path.stat().st_size):
        name = str(path.relative_to(run))

        def loaded(name: str = name) -> object:
            found = striate.load(run, device="cpu")
            return found.predictor if name == MODEL else None

        def resumed() -> object:
            return Steps(RunFolder(run), {}, resume=True)

        if name in (*FILES, CHECKSUMS):
            yield Kept("a finished run", path, lambda n=name: told(lambda: loaded(n), n))  # type: ignore[misc]  # a default
        elif name == "checkpoints/steps.json":
            yield Kept("steps of a fit", path, lambda: told(resumed, "is not what the fit wrote"))
        else:
            raise SystemExit(f"{path} is a file that this script does not know")


def of_an_unfinished_fit(out: Path) -> Iterator[Kept]:
    """Checkpoints, steps and features that a fit goes on from."""
    from striate.fitting.steps import Steps
    from striate.run.folder import RunFolder
    from striate.train.checkpoint import CheckpointStore

    def resumed() -> object:
        return Steps(RunFolder(out), {}, resume=True)

    def loaded(path: Path) -> bool:
        lines: list[str] = []
        return told(
            lambda: CheckpointStore(path.parent, say=lines.append).load_latest(), "whole"
        ) or any(str(path) in line and "checksum mismatch" in line for line in lines)

    whole = Steps(RunFolder(out), {}, resume=True)

    def made_again(path: Path) -> bool:
        made: list[bool] = []

        def make() -> dict[str, object]:
            made.append(True)
            raise InterruptedError

        with contextlib.suppress(InterruptedError):
            whole.tensors(path.stem, make)  # type: ignore[arg-type]  # it raises
        return bool(made)

    for path in sorted((out / "checkpoints").iterdir()):
        if path.name == "steps.json":
            yield Kept("steps of a fit", path, lambda: told(resumed, "is not what the fit wrote"))
        elif path.name[:6].isdigit():
            last = max(path.parent.glob("[0-9]*.safetensors"))
            if path == last:  # the one before is read only where this is damaged
                yield Kept("checkpoints", path, lambda p=path: loaded(p))  # type: ignore[misc]  # a default
        elif path.suffix == ".safetensors":
            yield Kept("features of a fit", path, lambda p=path: made_again(p))  # type: ignore[misc]  # a default


def of_shards(folder: Path) -> Iterator[Kept]:
    """The shards, their tables and their index."""
    from striate.data.layouts import open_source
    from striate.errors import DataError

    def noticed(name: str) -> bool:
        try:
            lines = [note.message for note in open_source(folder).damage()]  # type: ignore[attr-defined]  # a source of shards
        except DataError as error:
            lines = [str(error)]
        return any(name in line for line in lines)

    for path in sorted(folder.iterdir()):
        if path.stat().st_size:
            yield Kept("shards", path, lambda p=path: noticed(p.name))  # type: ignore[misc]  # a default


def of_fetched_shards(folder: Path, cache: Path) -> Iterator[Kept]:
    """Blocks of shards that were fetched from another place."""
    from striate.data.layouts import open_source
    from striate.data.source import UnreadableItem

    source = open_source(f"file://{folder}")
    whole = {item.id: source.read(item).sha256 for item in source.listing.items}
    blocks = sorted(path for path in (cache / "shards").rglob("*") if path.is_file())

    def noticed(path: Path) -> bool:
        before = path.read_bytes()
        again = open_source(f"file://{folder}")
        try:
            found = {item.id: again.read(item).sha256 for item in again.listing.items}
        except UnreadableItem:
            return True
        # Only the bytes of items are read from it; they were fetched again, or are what they were.
        return found == whole and (
            path.read_bytes() != before or _between_items(path, before, folder)
        )

    for path in blocks:
        yield Kept("fetched blocks", path, lambda p=path: noticed(p))  # type: ignore[misc]  # a default


def _between_items(path: Path, damaged: bytes, folder: Path) -> bool:
    """Whether what is damaged in a block is none of an item's bytes: heads and padding of tar."""
    import tarfile

    for shard in sorted(folder.glob("*.tar")):
        content = shard.read_bytes()
        if len(content) != len(damaged):
            continue
        places = np.flatnonzero(
            np.frombuffer(content, np.uint8) != np.frombuffer(damaged, np.uint8)
        )
        if len(places) != 1:
            continue
        with tarfile.open(shard) as archive:
            return not any(
                one.offset_data <= places[0] < one.offset_data + one.size for one in archive
            )
    return False


def of_the_cache(run: Path, cache: Path) -> Iterator[Kept]:
    """Pixels, features, measured engines and their files."""
    import striate
    from striate.data.snapshot import from_json
    from striate.data.stores.pixels import PixelStore
    from striate.errors import DataError
    from striate.explorer.data.features import DataOfRun, FeatureJob
    from striate.progress import Progress
    from striate.run.engines import measure
    from striate.run.engines.files import EngineFile
    from striate.run.folder import LOCK

    found = striate.load(run, device="cpu")

    def broken(path: Path) -> bool:
        try:
            PixelStore(path)
        except DataError:
            return True
        return False

    for path in sorted((cache / "pixels").iterdir()):
        yield Kept("cached pixels", path, lambda p=path: broken(p))  # type: ignore[misc]  # a default
    items = from_json(found.folder.read_json(LOCK)).items
    job = FeatureJob(DataOfRun(found, items))
    job._keep(job._computed())
    yield Kept("cached features", job._path(), lambda: job._kept() is None)
    with contextlib.suppress(striate.errors.StriateError):
        measure.SECONDS = 0.0  # type: ignore[misc]  # it is about the file
        measure.measure(found, progress=Progress(quiet=True))
        path = measure._path(found)
        yield Kept("measured engines", path, lambda: measure.measured(found) is None)
    for name in ("onnx", "openvino"):
        file = EngineFile.of(found, name)
        if file.check() is not None:
            for path in sorted(file.folder.iterdir()):
                yield Kept("engines' files", path, lambda f=file: f.check() is None)  # type: ignore[misc]  # a default


def begun_and_ended(data: Path, out: Path) -> None:
    """A fit that is ended by a signal once it has a checkpoint."""
    arguments = ["fit", data, "--out", out, "--epochs", "200", *TUNED]
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *map(str, arguments)], stderr=subprocess.DEVNULL
    )
    while process.poll() is None and not list(out.glob("checkpoints/0*.safetensors")):
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    process.wait()
    if not list(out.glob("checkpoints/0*.safetensors")):
        raise SystemExit("the fit left no checkpoint")


def flip(kept: Kept, bit: int) -> bool:
    """Flip a bit, look whether it is noticed, and set it back."""
    whole = kept.path.read_bytes()
    damaged = bytearray(whole)
    damaged[bit // 8] ^= 1 << bit % 8
    times = kept.path.stat()
    kept.path.write_bytes(damaged)
    os.utime(kept.path, ns=(times.st_atime_ns, times.st_mtime_ns))
    try:
        return kept.noticed()
    finally:
        kept.path.write_bytes(whole)
        os.utime(kept.path, ns=(times.st_atime_ns, times.st_mtime_ns))


def main() -> None:
    """Flip bits, and say which went unnoticed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        cache = folder / "cache"
        os.environ["XDG_CACHE_HOME"] = str(cache)
        cache /= "striate"
        data = pictures(folder / "data")
        command("fit", data, "--out", folder / "run", "--epochs", 1, *TUNED)
        command("pack", data, "--out", folder / "shards")
        begun_and_ended(data, folder / "begun")
        kept = [
            *of_a_run(folder / "run"),
            *of_an_unfinished_fit(folder / "begun"),
            *of_shards(folder / "shards"),
            *of_fetched_shards(folder / "shards", cache),
            *of_the_cache(folder / "run", cache),
        ]
        draws = random.Random(options.seed)
        flips: Counter[str] = Counter()
        unnoticed: Counter[str] = Counter()
        for number in range(options.count):
            one = kept[number % len(kept)]
            bit = draws.randrange(8 * one.path.stat().st_size)
            flips[one.what] += 1
            if not flip(one, bit):
                unnoticed[one.what] += 1
                print(f"unnoticed: bit {bit} of {one.path.relative_to(folder)}", flush=True)
        files = Counter(one.what for one in kept)
        print("| what | files | flipped bits | noticed |")
        print("|---|---|---|---|")
        for what, count in flips.items():
            print(f"| {what} | {files[what]} | {count} | {count - unnoticed[what]} |")
        print(f"\n{options.count - unnoticed.total()} of {options.count} were noticed")
        sys.exit(bool(unnoticed))


if __name__ == "__main__":
    main()
