"""Files damaged at random, through the readers: each is read, or left out with a reason.

    python benchmarks/fuzz_sources.py [--count 10000] [--seed 0] [--kinds nifti dicom ...]

For each kind of file some small whole ones are made, and `--count` damaged ones of them: bits and
bytes changed, cut off, spliced with another file, parts copied or left out, whole numbers of the
head set to extremes. What is compressed as a whole (.nii.gz) is damaged before or after. They are
read in a process of its own, whose terminal is watched, one after the other as a fit reads them
(`read_item`, decoders in processes of their own). Told for each kind: how many were read and left
out, for how many reasons, the longest time, and by how much the memory of the reading process and of
its decoders grew at most while one file was read. The last line says what broke the promise:

- each file is read or left out with a reason of one line,
- none takes over 10 s or 1 GB,
- nothing is written to the terminal, and no process dies.

Files that break it are kept in `--keep`. `--count 1000` takes some minutes for all kinds.

Expected: see docs/faults.md.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import numpy as np
from fuzz_files import SUBJECTS, TEXTS, damaged_files, damaged_smiles

MAX_SECONDS: Final = 10.0
MAX_BYTES: Final = 10**9

SCRIPT: Final = Path(__file__).resolve()


@dataclass
class Result:
    """What became of the files of one kind.

    Attributes:
        read: Files that were read.
        left_out: Files that were left out, by reason without its numbers and names.
        seconds: The longest time that one took.
        num_bytes: The most by which memory grew while one was read.
        broken: The number of each file that broke the promise, and how.
    """

    read: int
    left_out: dict[str, int]
    seconds: float
    num_bytes: int
    broken: dict[str, str]


def read_one_by_one(paths: Sequence[Path] | Sequence[str], kind: str, begun: Path) -> Result:
    """Read items as a fit does, and look at each.

    Args:
        paths: Files, or SMILES.
        kind: Their kind.
        begun: A file that is told the number of the item at hand, should this process die.
    """
    from striate.data.sandbox import DecoderPool, read_item
    from striate.data.source import UnreadableItem
    from striate.data.unlabelled import open_inputs

    source = open_inputs(list(paths), kind)  # type: ignore[arg-type]  # a kind by its name
    result = Result(0, {}, 0.0, 0, {})
    reasons: Counter[str] = Counter(_kind_of_reason(skip.reason) for skip in source.listing.skipped)
    pool = DecoderPool()
    for number, item in enumerate(source.listing.items):
        decoder = getattr(pool._own, "decoder", None)
        if number == 0 or (decoder is not None and not decoder.alive()):
            # Starts a decoder and imports what it needs, whatever that takes.
            with contextlib.suppress(UnreadableItem):
                read_item(source, source.listing.items[0], None, pool)
        begun.write_text(item.id)
        before, began = _memory(peak=False), time.monotonic()
        try:
            reading = read_item(source, item, None, pool)
            result.read += 1
            if reading.array.dtype.kind == "f" and not np.isfinite(reading.array).all():
                result.broken[item.id] = "values that are not finite"
        except UnreadableItem as error:
            reasons[_kind_of_reason(error.reason)] += 1
            if len(error.reason.splitlines()) != 1:
                result.broken[item.id] = f"a reason of several lines: {error.reason!r}"
        except Exception as error:
            result.broken[item.id] = f"{type(error).__name__}: {error}"
        seconds = time.monotonic() - began
        grown = max(0, _memory(peak=True) - before)
        result.seconds = max(result.seconds, seconds)
        result.num_bytes = max(result.num_bytes, grown)
        if seconds > MAX_SECONDS or grown > MAX_BYTES:
            result.broken[item.id] = f"{seconds:.1f} s, {grown / 1e6:.0f} MB"
        if number % 100 == 0:
            begun.with_suffix(".count").write_text(str(number))
    pool.close()
    result.left_out = dict(reasons.most_common())
    return result


def _kind_of_reason(reason: str) -> str:
    return re.sub(r"'.*'|\".*\"|\d+", "…", reason)[:60]


def _memory(*, peak: bool) -> int:
    """The memory of this process and of its children in bytes; the peak since it was last asked."""
    total = 0
    own = os.getpid()
    children = Path(f"/proc/{own}/task/{own}/children")
    numbers = [str(own)]
    for task in Path(f"/proc/{own}/task").iterdir():
        numbers += (task / "children").read_text().split() if children.exists() else []
    for number in numbers:
        try:
            status = Path(f"/proc/{number}/status").read_text()
            found = re.search(rf"{'VmHWM' if peak else 'VmRSS'}:\s+(\d+) kB", status)
            total += 1024 * int(found[1]) if found else 0
            if peak:
                Path(f"/proc/{number}/clear_refs").write_text("5")
        except OSError:  # it has ended
            continue
    return total


def watched(name: str, count: int, seed: int, folder: Path) -> tuple[Result, str, int]:
    """Read damaged files in a process of its own: the result, what it wrote, and its exit code."""
    program = [sys.executable, str(SCRIPT), "--child", name, "--count", str(count)]
    program += ["--seed", str(seed), "--keep", str(folder)]
    done = subprocess.run(program, capture_output=True, text=True, errors="replace")
    written = done.stdout + done.stderr
    found = folder / "result.json"
    if done.returncode or not found.exists():
        at = (folder / "begun").read_text() if (folder / "begun").exists() else "?"
        return Result(0, {}, 0.0, 0, {at: "the process died"}), written, done.returncode
    return Result(**json.loads(found.read_text())), written, 0


def child(name: str, count: int, seed: int, folder: Path) -> None:
    """What the process that reads does."""
    begun = folder / "begun"
    if name == TEXTS:
        result = read_one_by_one(list(damaged_smiles(count, seed)), "graph", begun)
    else:
        paths = []
        for number, (suffix, content) in enumerate(damaged_files(name, count, seed)):
            paths.append(folder / f"{number}{suffix}")
            paths[-1].write_bytes(content)
        result = read_one_by_one(paths, SUBJECTS[name].kind, begun)
    (folder / "result.json").write_text(json.dumps(asdict(result)))


def main() -> None:
    """Read damaged files of every kind, and say what broke the promise."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kinds", nargs="+", default=[*SUBJECTS, TEXTS])
    parser.add_argument("--keep", type=Path, help="a folder for the files that break the promise")
    parser.add_argument("--reasons", action="store_true", help="list the reasons")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(options.child, options.count, options.seed, options.keep)
        return
    print("| files | read | left out | reasons | longest | most memory | lines written | broken |")
    print("|---|---|---|---|---|---|---|---|")
    failed = 0
    for name in options.kinds:
        with tempfile.TemporaryDirectory() as made:
            folder = Path(made)
            result, written, code = watched(name, options.count, options.seed, folder)
            failed += len(result.broken) + bool(written)
            print(
                f"| {name} | {result.read} | {sum(result.left_out.values())} | {len(result.left_out)} "
                f"| {result.seconds:.2f} s | {result.num_bytes / 1e6:.0f} MB "
                f"| {len(written.splitlines())} | {len(result.broken)} |",
                flush=True,
            )
            for item, why in result.broken.items():
                print(f"  {name} {item}: {why}")
                if options.keep and (folder / item).exists():
                    options.keep.mkdir(parents=True, exist_ok=True)
                    (options.keep / f"{name}-{Path(item).name}").write_bytes(
                        (folder / item).read_bytes()
                    )
            if written or code:
                print(f"  exit code {code}; written:\n{written[:2000]}")
            if options.reasons:
                for reason, times in result.left_out.items():
                    print(f"  {times:5d} {reason}")
    print(f"\n{failed} broke the promise" if failed else "\nevery file was read or left out")
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
