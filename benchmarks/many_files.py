"""A million small files as class folders, or rows of a manifest: time and memory of listing them, and a fit.

    python benchmarks/many_files.py [--files 1000000] [--at /dev/shm] [--made FOLDER] [--fit 3m]
    python benchmarks/many_files.py --rows 10000000 [--parquet]

Without `--rows` so many PNG pictures of 8 x 8 pixels, all different, are made in 10 class folders and
listed by a process of its own, which tells its seconds and the largest memory that it ever had
(VmHWM), that of the program as it starts beside it. `--fit` then fits on them with that time.

With `--rows` a manifest of so many rows is made (path, label, split; the files are not there), and
opened by a process of its own.

Wanted: 1,000,000 files in 60 s and 1 GB; 10,000,000 rows in 2 GB; a fit that ends in its time.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import re
import struct
import subprocess
import sys
import tempfile
import time
import zlib
from pathlib import Path
from typing import Final

import numpy as np

CLASSES: Final = 10
IN_FOLDER: Final = 10_000
SIDE: Final = 8
WHOLE: Final = Path(__file__).resolve()

PROGRAM: Final = """
import json, re, sys, time
from pathlib import Path
def peak():
    return int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]) / 1e3
from striate.data.layouts import open_source
from striate.data.source import load_formats
load_formats()
before, began = peak(), time.monotonic()
source = open_source(sys.argv[1])
seconds = time.monotonic() - began
count = len(source.listing.items)
print(json.dumps({"items": count, "seconds": round(seconds, 1), "peak_mb": round(peak()),
                  "at_start_mb": round(before), "first": source.listing.items[0].id}))
"""

COMMAND: Final = [sys.executable, "-c", "from striate.cli.main import main; main()"]


def picture(number: int, label: int, rng: np.random.Generator) -> bytes:
    """A PNG of 8 x 8 pixels, brighter in one column for each class, different for each number."""
    pixels = rng.integers(0, 120, (SIDE, SIDE), np.uint8)
    pixels[:, label % SIDE] += 100
    pixels[0, :4] = np.frombuffer(struct.pack("<I", number), np.uint8)
    rows = b"".join(b"\0" + row.tobytes() for row in pixels)
    head = struct.pack(">IIBBBBB", SIDE, SIDE, 8, 0, 0, 0, 0)
    chunks = ((b"IHDR", head), (b"IDAT", zlib.compress(rows, 1)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in chunks
    )


def make_files(folder: Path, count: int) -> None:
    """So many pictures in class folders, in folders of at most 10,000 each."""
    rng = np.random.default_rng(0)
    for number in range(count):
        label = number % CLASSES
        inside = folder / f"class-{label}" / f"{number // CLASSES // IN_FOLDER:03}"
        if number // CLASSES % IN_FOLDER == 0:
            inside.mkdir(parents=True, exist_ok=True)
        with open(f"{inside}/{number:08}.png", "wb") as file:  # noqa: PTH123 - a million times
            file.write(picture(number, label, rng))


def make_rows(path: Path, count: int) -> None:
    """A manifest of so many rows."""
    rows = (
        (
            f"class-{n % CLASSES}/{n:08}.png",
            f"class-{n % CLASSES}",
            "test" if n % 7 == 0 else "train",
        )
        for n in range(count)
    )
    if path.suffix == ".csv":
        with path.open("w", newline="") as file:
            csv.writer(file).writerows([("path", "label", "split")])
            csv.writer(file).writerows(rows)
        return
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pa.schema([("path", pa.string()), ("label", pa.string()), ("split", pa.string())])
    with pq.ParquetWriter(path, schema) as writer:
        for start in range(0, count, 500_000):
            part = [row for _, row in zip(range(min(500_000, count - start)), rows, strict=False)]
            columns = [pa.array(column) for column in zip(*part, strict=True)]
            writer.write_table(pa.table(columns, schema=schema))


def listed(data: Path) -> dict[str, object]:
    """What a process that lists the data tells of itself."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(data)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(done.stderr[-2000:])
    found: dict[str, object] = json.loads(done.stdout.splitlines()[-1])
    return found


def fitted(data: Path, folder: Path, given: str) -> None:
    """Fit with a time, and tell what came of it."""
    command = [*COMMAND, "fit", str(data), "--out", str(folder / "run")]
    began = time.monotonic()
    done = subprocess.run(
        [*command, "--time", given, "--device", "cpu"],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "STRIATE_CACHE": str(folder / "cache")},
    )
    seconds = time.monotonic() - began
    print(f"fit with --time {given}: {seconds:.0f} s, exit code {done.returncode}")
    for line in (done.stderr + done.stdout).splitlines():
        if re.match(r"(items read|data|first|method|test items|accuracy|striate):?", line):
            print(f"  {line[:160]}")


def main() -> None:
    """Make, list, fit."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--files", type=int, default=1_000_000)
    parser.add_argument("--rows", type=int)
    parser.add_argument("--parquet", action="store_true")
    parser.add_argument("--at", type=Path, help="where the files are made (they want inodes)")
    parser.add_argument("--made", type=Path, help="where the files are, or are to be kept")
    parser.add_argument("--fit", help="the time of a fit on the files")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.at) as made:
        folder = Path(made)
        if options.rows:
            data = folder / ("list.parquet" if options.parquet else "list.csv")
            make_rows(data, options.rows)
            print(f"{data.stat().st_size / 1e6:.0f} MB")
        else:
            data = options.made or folder / "data"
            if not data.is_dir():
                make_files(data, options.files)
        print(listed(data), f"load {os.getloadavg()[0]:.1f}", flush=True)
        if options.fit:
            fitted(data, folder, options.fit)


if __name__ == "__main__":
    main()
