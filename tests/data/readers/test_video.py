"""Videos as clips: which frames are taken, what is refused, and a fit of two motions."""

from pathlib import Path

import numpy as np
import pytest

import striate
from striate.data.layouts import open_source
from striate.data.readers.video import NUM_FRAMES, frame_numbers, read_video
from striate.data.sandbox import read_all
from striate.data.source import Reading, UnreadableItem

av = pytest.importorskip("av")

CODECS = {".mp4": "h264", ".mov": "h264", ".mkv": "h264", ".avi": "mpeg4", ".webm": "vp9"}


def write(path: Path, frames: np.ndarray, rate: int = 20) -> Path:
    """(frames, height, width, 3) uint8 as a video."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(CODECS[path.suffix], rate=rate)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt, stream.bit_rate = "yuv420p", 2_000_000
        for frame in frames:
            picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")
            container.mux(stream.encode(picture))
        container.mux(stream.encode())
    return path


def fading(count: int, height: int = 64, width: int = 80) -> np.ndarray:
    """Grey frames that grow brighter evenly."""
    levels = np.linspace(20, 220, count)
    return np.broadcast_to(levels[:, None, None, None], (count, height, width, 3)).astype(np.uint8)


@pytest.mark.parametrize("suffix", CODECS)
@pytest.mark.parametrize("count", [20, 100])
def test_frames_are_equally_spaced(tmp_path: Path, suffix: str, count: int) -> None:
    reading = read_video(write(tmp_path / f"a{suffix}", fading(count)))
    assert reading.array.shape[1:] == (NUM_FRAMES, 64, 80)
    expected = np.linspace(20, 220, count)[frame_numbers(count)]
    np.testing.assert_allclose(reading.array.mean((0, 2, 3)), expected, atol=8)


def test_a_long_clip_is_sought_and_a_large_frame_reduced(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mp4", fading(700, 128, 200), rate=50)
    reading = read_video(path)
    assert reading.array.shape[1:] == (NUM_FRAMES, 64, 100)
    expected = np.linspace(20, 220, 700)[frame_numbers(700)]
    np.testing.assert_allclose(reading.array.mean((0, 2, 3)), expected, atol=8)


def test_colours_are_three_channels_and_grey_one(tmp_path: Path) -> None:
    frames = fading(10).copy()
    frames[..., 0] = 255 - frames[..., 0]
    assert read_video(write(tmp_path / "a.mp4", frames)).array.shape[0] == 3


def test_what_is_no_video(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mp4", fading(40))
    whole = path.read_bytes()
    for content, said in (
        (b"", "no video"),
        (b"#EXTM3U\nfile:///etc/passwd\n", "no video"),
        (whole[: len(whole) // 2], "damaged video file"),
        (whole[:40], "damaged video file"),
    ):
        path.write_bytes(content)
        with pytest.raises(UnreadableItem, match=said) as caught:
            read_video(path)
        assert "\n" not in caught.value.reason


def moving(direction: int, seed: int) -> np.ndarray:
    """A random texture that moves to the left (-1) or to the right (1), at any speed."""
    rng = np.random.default_rng(seed)
    blocks = rng.integers(0, 255, (8, 10, 3)).astype(np.uint8)
    picture = np.kron(blocks, np.ones((8, 8, 1), np.uint8))
    start, speed = rng.uniform(0, 80), rng.uniform(1, 3)
    steps = [int(start + direction * speed * time) for time in range(40)]
    return np.stack([np.roll(picture, step, axis=1) for step in steps])


def clips(root: Path, count: int, seed: int) -> Path:
    for direction, label in ((-1, "left"), (1, "right")):
        for number in range(count):
            frames = moving(direction, seed + 1000 * direction + number)
            write(root / label / f"{number:02d}.mp4", frames)
    return root


def test_a_folder_of_clips_is_volumes(tmp_path: Path) -> None:
    source = open_source(clips(tmp_path, 1, 5000))
    assert source.kind == "volume" and [i.label for i in source.listing.items] == ["left", "right"]
    for _, reading in read_all(source, source.listing.items, None, 1):
        assert isinstance(reading, Reading) and reading.array.shape == (3, 32, 64, 80)


@pytest.mark.slow
def test_a_fit_of_60_clips_of_two_motions(tmp_path: Path) -> None:
    data = clips(tmp_path / "data", 30, 5000)
    run = striate.fit(data, out=tmp_path / "run", method="probe", image_size=32, device="cpu")
    evaluated = run.evaluate(clips(tmp_path / "new", 20, 9000))
    print(evaluated.lines)
    assert evaluated.metrics["accuracy"].value >= 0.95
