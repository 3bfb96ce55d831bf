import hashlib
import os
import shutil

import numpy as np
import pytest
from filelock import FileLock

# Two test processes share two cores: one thread each. Set before torch is imported.
os.environ.setdefault("OMP_NUM_THREADS", "1")

from striate.data.source import Item, Listing, Reading, Source, UnreadableItem

SHAPES = ("disc", "square", "stripes")


@pytest.fixture(scope="session")
def own_cache(tmp_path_factory):
    """A cache folder of this session's own, for all that follows."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("cache")
        patch.setenv("STRIATE_CACHE", str(folder))
        yield folder


@pytest.fixture(scope="session")
def draw():
    """A function: a shape of random size, place and colour on noise, as (h, w, 3) uint8."""
    import numpy as np

    def image(shape, seed, height=64, width=64):
        rng = np.random.default_rng([SHAPES.index(shape), seed])
        y, x = np.mgrid[:height, :width]
        row, column = rng.integers(20, 44, 2)
        radius = rng.integers(8, 18)
        where = {
            "disc": (x - column) ** 2 + (y - row) ** 2 < radius**2,
            "square": (abs(x - column) < radius) & (abs(y - row) < radius),
            "stripes": (x + column) // 4 % 2 == 0,
        }[shape]
        pixels = rng.integers(0, 120, (height, width, 3)).astype(np.uint8)
        pixels[where] = rng.integers(130, 255, 3)
        return pixels

    return image


@pytest.fixture(scope="session")
def made_once(tmp_path_factory):
    """A function: a folder by its name that one test process makes and all others only read."""
    root = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        root = root.parent

    def made(name, make):
        folder, done = root / name, root / f"{name}.done"
        with FileLock(root / f"{name}.lock"):
            if not done.exists():
                make(folder)
                done.touch()
        return folder

    return made


@pytest.fixture(scope="session")
def photos(made_once, draw, own_cache):
    """A folder of three classes with 20 images each: PNG and JPEG, square, tall and large."""
    from PIL import Image

    def make(root):
        for shape in SHAPES:
            (root / shape).mkdir(parents=True)
            for number in range(20):
                size = (64, 64) if number % 4 else (96, 84)
                picture = Image.fromarray(draw(shape, number, *size))
                if number % 5 == 0:
                    picture.resize((240, 280)).save(root / shape / f"{number:02d}.jpg", quality=95)
                else:
                    picture.save(root / shape / f"{number:02d}.png")

    return made_once("photos", make)


@pytest.fixture(scope="session")
def fitted(photos, made_once, tmp_path_factory):
    """A function: the finished run of a method on the photos, a copy of this process's own."""
    import striate

    def run(method, **options):
        def fit(folder):
            striate.fit(photos, out=folder, method=method, image_size=64, device="cpu", **options)

        copy = tmp_path_factory.mktemp("runs") / method
        shutil.copytree(made_once(f"run-{method}", fit), copy)
        return striate.load(copy)

    return run


@pytest.fixture(scope="session")
def probe_run(fitted):
    """A finished run by method probe."""
    return fitted("probe")


@pytest.fixture(scope="session")
def kernel_run(fitted):
    """A finished run by method kernel."""
    return fitted("kernel")


@pytest.fixture(scope="session")
def auto_run(fitted):
    """A finished run by method auto, with one epoch of fine-tuning."""
    return fitted("auto", epochs=1)


@pytest.fixture(scope="session")
def tuned_run(fitted):
    """A finished run by method finetune, of two epochs."""
    return fitted("finetune", epochs=2)


class ArraySource(Source):
    """Images from a dictionary of id -> (label, array); None cannot be read."""

    kind = "image"
    name = "arrays"

    def __init__(self, images, **listing):
        self.images = {name: image for name, (_, image) in images.items()}
        items = tuple(Item(id=name, label=label) for name, (label, _) in images.items())
        self.listing = Listing(**{"items": items, **listing})

    def read(self, item, size=None):
        array = self.images[item.id]
        if array is None:
            raise UnreadableItem("empty file")
        return Reading(array=array, sha256=hashlib.sha256(array.tobytes()).hexdigest())


def _photographs(count, height=40, width=48, seed=0):
    """Smooth random pictures, (3, height, width) uint8 each, no two alike."""
    rng = np.random.default_rng(seed)
    coarse = rng.uniform(0, 255, (count, 3, 8, 8))
    rows, columns = np.linspace(0, 6.99, height), np.linspace(0, 6.99, width)
    top, left = rows.astype(int), columns.astype(int)
    down, right = (rows - top)[:, None], (columns - left)[None, :]
    upper = coarse[:, :, top][..., left] * (1 - right) + coarse[:, :, top][..., left + 1] * right
    lower = (
        coarse[:, :, top + 1][..., left] * (1 - right)
        + coarse[:, :, top + 1][..., left + 1] * right
    )
    return (upper * (1 - down) + lower * down).astype(np.uint8)


@pytest.fixture
def prepare_images(tmp_path):
    """A function: the data set of a source of images, its cache in the test's own folder."""
    from striate.data.prepare import prepare
    from striate.data.stores.pixels import PixelStore
    from striate.tasks import task_of

    def make(source, size, **options):
        def build(source, items):
            return PixelStore.build(source, items, size, tmp_path)

        return prepare(source, task_of(source.listing.items), build, **options)

    return make


@pytest.fixture
def array_source():
    return ArraySource


@pytest.fixture(scope="session")
def photographs():
    return _photographs
