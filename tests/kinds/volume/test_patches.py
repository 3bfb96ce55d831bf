"""Patches: only what is drawn is read, and a volume larger than the memory allowed trains."""

import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

from striate.errors import ArgumentError
from striate.kinds.volume.patches import VolumePatches, tile_corners


def test_patches_follow_from_the_draws(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    np.save(tmp_path / "a.npy", rng.integers(0, 99, (10, 12, 14)).astype(np.int16))
    mapped = np.load(tmp_path / "a.npy", mmap_mode="r")
    two = rng.normal(size=(1, 9, 9, 9))
    patches = VolumePatches([mapped, two], (4, 5, 6))
    draws = np.array([[0.0, 0.999, 0.5], [0.5, 0.0, 0.999], [0.0, 0.999, 0.5]])
    got = patches.drawn([0, 1, 0], draws)
    assert got.shape == (3, 1, 4, 5, 6) and str(got.dtype) == "torch.float32"
    np.testing.assert_array_equal(got[0, 0], mapped[0:4, 7:12, 4:10])
    np.testing.assert_array_equal(got[1, 0], two[0, 3:7, 0:5, 3:9].astype(np.float32))
    np.testing.assert_array_equal(got[2], got[0])


def test_every_place_is_drawn_as_often() -> None:
    patches = VolumePatches([np.arange(6.0)[:, None, None]], (3, 1, 1))
    draws = np.random.default_rng(0).random((4000, 3))
    starts = patches.drawn([0] * 4000, draws)[:, 0, 0, 0, 0].numpy().astype(int)
    counts = np.bincount(starts, minlength=4)
    assert len(counts) == 4 and counts.min() > 900


@pytest.mark.parametrize("overlap", [0.0, 0.5])
def test_tiles_cover_the_volume(overlap: float) -> None:
    volume = np.random.default_rng(0).normal(size=(2, 7, 4, 10)).astype(np.float32)
    covered = np.zeros_like(volume)
    for corner, patch in VolumePatches([volume], (3, 4, 4)).tiles(0, overlap):
        cut = tuple(slice(low, low + side) for low, side in zip(corner, (3, 4, 4), strict=True))
        np.testing.assert_array_equal(patch, volume[(slice(None), *cut)])
        covered[(slice(None), *cut)] = 1
    assert covered.all()


def test_refusals() -> None:
    with pytest.raises(ArgumentError, match="volume 0 has 2 x 9 x 9"):
        VolumePatches([np.zeros((2, 9, 9))], (3, 3, 3))
    with pytest.raises(ArgumentError, match="overlap=1"):
        tile_corners((4, 4), (2, 2), 1)


TRAINING = """
    import sys
    import numpy as np, torch
    from striate.kinds.volume.inputs import VolumeInputs
    from striate.data.randomness import Draws, item_keys
    from striate.data.source import Reading
    from striate.models import create_model

    torch.set_num_threads(1)
    mapped = np.load(sys.argv[1], mmap_mode="r")[None]
    assert mapped.nbytes == 512 * 2**20
    reading = Reading(array=mapped, sha256="")
    feed = VolumeInputs.fitted([reading], {"fit": "patch", "size": 64})
    network = create_model("resnet18", rank=3, in_channels=1, num_classes=2)
    optimizer = torch.optim.AdamW(network.parameters(), 1e-4)
    before = network.stem.conv.weight.clone()
    for step in range(3):
        draws = Draws(item_keys(["a", "b"]), seed=0, epoch=step)
        inputs = feed.augmented([reading, reading], draws)
        assert inputs.shape == (2, 1, 64, 64, 64)
        loss = torch.nn.functional.cross_entropy(network(inputs), torch.tensor([0, 1]))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.isfinite() and not torch.equal(before, network.stem.conv.weight)
    # Not getrusage: its maximum goes on from that of the process that started this one.
    (peak,) = (line for line in open("/proc/self/status") if line.startswith("VmHWM"))
    print(peak.split()[1])
"""


@pytest.mark.slow
def test_a_volume_of_half_a_gibibyte_trains_in_patches_within_two(tmp_path: Path) -> None:
    """512 x 512 x 512 float32; ResNet-18 of rank 3 on two patches of 64 x 64 x 64 a step."""
    path = tmp_path / "large.npy"
    volume = np.lib.format.open_memmap(path, "w+", np.float32, (512, 512, 512))  # a sparse file
    volume[200:300, 200:300, 200:300] = 1
    volume.flush()
    del volume
    program = textwrap.dedent(TRAINING)
    command = [sys.executable, "-c", program, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    peak = int(done.stdout.split()[-1]) * 1024
    print(f"peak {peak / 2**20:.0f} MiB")
    assert peak < 2 * 2**30
