"""A disk of 50 MB that fills at each write of a fit in turn: what is left, and whether the fit goes on.

    python benchmarks/full_disk.py [--megabytes 50] [--steps 40]

Needs Linux and the right to mount a file system in memory: as root, or by `unshare -rm`. On a disk of
that size lie the run and a file that leaves so many bytes free, in `--steps` even steps from none to
five times what an undisturbed fit leaves (checkpoints lie there while it trains). After each fit the last checkpoint that was written must load,
and with the space given back the fit must go on to the same weights. Fits are of about 2 s.

Expected: all do. tests/fitting/test_full_disk.py does the same at each write by its number.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

OPTIONS: dict[str, Any] = {
    "method": "scratch", "model": "[conv64-bn-relu]x3 - gap - fc2", "epochs": 6, "device": "cpu",
    "workers": 0,
}  # fmt: skip


def make(folder: Path) -> Path:
    """Series of two classes."""
    rng = np.random.default_rng(0)
    labels = np.arange(80) % 2
    values = rng.normal(size=(80, 64)) + np.where(labels, 1.0, -1.0)[:, None] * np.hanning(64)
    np.savez(folder / "series.npz", X=values.astype(np.float32), y=labels)
    return folder / "series.npz"


def weights(run: Any) -> bytes:
    """The bytes of a run's weights."""
    return bytes((run.folder.path / "model.safetensors").read_bytes())


def filled(data: Path, disk: Path, free: int, expected: bytes) -> str:
    """What a fit does that finds so many bytes free; empty where it ends as if there were more."""
    import striate
    from striate.errors import StorageError
    from striate.run.folder import CHECKPOINTS
    from striate.train.checkpoint import CheckpointStore

    out, filling = disk / "run", disk / "filling"
    with filling.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, max(1, shutil.disk_usage(disk).free - free))
    told = ""
    try:
        run = striate.fit(data, out=out, **OPTIONS)
    except StorageError as error:
        told = str(error).splitlines()[0]
    filling.unlink()
    if told:
        whole = list((out / CHECKPOINTS).glob("[0-9]*-*.safetensors"))
        state = CheckpointStore(out / CHECKPOINTS, say=print).load_latest()
        if (state is None) == bool(whole):
            raise SystemExit(f"{free} bytes free: the last checkpoint does not load")
        told = f"{len(whole)} checkpoints; {told}"
        run = striate.fit(data, out=out, **OPTIONS, resume=True)
    if weights(run) != expected:
        raise SystemExit(f"{free} bytes free: other weights")
    shutil.rmtree(out)
    return told


def work(disk: Path, megabytes: int, steps: int) -> None:
    """Mount, fill, fit, go on."""
    import striate

    mount = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(disk)]
    subprocess.run(mount, check=True)
    try:
        with tempfile.TemporaryDirectory() as made:
            data = make(Path(made))
            os.environ["STRIATE_CACHE"] = made
            before = shutil.disk_usage(disk).free
            whole = striate.fit(data, out=disk / "whole", **OPTIONS)
            used = before - shutil.disk_usage(disk).free
            expected = weights(whole)
            shutil.rmtree(disk / "whole")
            failed = 0
            for step in range(steps):
                free = (
                    step * 5 * used // steps
                )  # while it trains three checkpoints lie there as well
                told = filled(data, disk, free, expected)
                failed += bool(told)
                print(
                    f"{free / 1e3:7.0f} kB free: {told or 'ended as if there were more'}",
                    flush=True,
                )
    finally:
        subprocess.run(["umount", str(disk)], check=False)
    print(f"{failed} of {steps} fits met a full disk; each went on to the same weights")


def main() -> None:
    """Do the work in a namespace of its own, where the disk is mounted."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--megabytes", type=int, default=50)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--disk", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.disk:
        work(options.disk, options.megabytes, options.steps)
        return
    with tempfile.TemporaryDirectory() as disk:
        command = ["unshare", "-rm", sys.executable, str(Path(__file__).resolve()), "--disk", disk]
        command += ["--megabytes", str(options.megabytes), "--steps", str(options.steps)]
        sys.exit(subprocess.run(command, check=False).returncode)


if __name__ == "__main__":
    main()
