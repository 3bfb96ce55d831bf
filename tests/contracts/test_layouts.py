"""What every layout of the registry keeps: it knows its own data, and no other takes them for its own."""

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from striate.data.layouts.layout import LAYOUTS, layout_of, open_source
from striate.data.layouts.shards import pack
from striate.data.source import load_formats
from striate.kinds.kind import KINDS
from striate.registry import load_package
from striate.tasks import task_of

load_formats()
load_package("striate.kinds")

PIXELS = np.random.default_rng(0).integers(0, 256, (4, 12, 12), dtype=np.uint8)


def pictures(folder):
    for number, pixels in enumerate(PIXELS):
        path = folder / "ab"[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)
    return folder


def manifest(folder):
    pictures(folder)
    rows = (f"{'ab'[n % 2]}/{n}.png,{'ab'[n % 2]}" for n in range(4))
    (folder / "list.csv").write_text("\n".join(["path,label", *rows]))
    return folder / "list.csv"


def npz(folder):
    np.savez(folder / "data.npz", X=PIXELS, y=np.array([*"abab"]))
    return folder / "data.npz"


def npy(folder):
    np.save(folder / "X.npy", PIXELS)
    np.save(folder / "y.npy", np.array([*"abab"]))
    return folder


def idx(folder):
    for name, array in (("images-idx3", PIXELS), ("labels-idx1", np.uint8([0, 1, 0, 1]))):
        head = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
        (folder / f"train-{name}-ubyte.gz").write_bytes(gzip.compress(head + array.tobytes()))
    return folder / "train-images-idx3-ubyte.gz"


def shards(folder):
    return pack(open_source(pictures(folder / "pictures")), folder / "shards").folder


def dicom(folder):
    data = pytest.importorskip("pydicom.data")
    for number in range(4):
        path = folder / "ab"[number % 2] / f"{number}.dcm"
        path.parent.mkdir(exist_ok=True)
        content = Path(data.get_testdata_file("MR_small.dcm")).read_bytes()
        path.write_bytes(content)
    return folder


def slices(folder):
    for number in range(4):
        path = folder / "ab"[number % 2] / f"item{number}"
        path.mkdir(parents=True)
        for place, pixels in enumerate(PIXELS):
            Image.fromarray(pixels).save(path / f"{place}.png")
    return f"slices:{folder}"


def smiles(folder):
    (folder / "molecules.csv").write_text("smiles,label\nCCO,a\nCCC,b\nCO,a\nCC,b\n")
    return folder / "molecules.csv"


def ts(folder):
    head = "@problemName Toy\n@classLabel true a b\n@data\n"
    (folder / "Toy_TRAIN.ts").write_text(head + "1,2,3:a\n3,2,1:b\n1,2,4:a\n4,2,1:b\n")
    return folder


def tu(folder):
    (folder / "T_A.txt").write_text("1,2\n2,1\n3,4\n4,3\n")
    (folder / "T_graph_indicator.txt").write_text("1\n1\n2\n2\n")
    (folder / "T_graph_labels.txt").write_text("0\n1\n")
    return folder


def edge_list(folder):
    (folder / "nodes.csv").write_text("id,label,size\n1,a,3\n2,b,4\n3,a,5\n")
    (folder / "edges.csv").write_text("source,target\n1,2\n2,3\n")
    return folder


def sample(folder):
    return "sample:karate-club"


EXAMPLES = {
    "folder": pictures, "manifest": manifest, "npz": npz, "npy": npy, "idx": idx, "shards": shards,
    "dicom": dicom, "slices": slices, "smiles": smiles, "ts": ts, "tu": tu,
    "edge-list": edge_list, "sample": sample,
}  # fmt: skip
"""Writes data of a layout into a folder, and names them, by its name: a new layout names its own."""


def test_every_layout_has_an_example_here():
    assert set(LAYOUTS.names()) == set(EXAMPLES)


@pytest.mark.parametrize("name", sorted(EXAMPLES))
def test_a_layout_knows_its_own_data_and_lists_them_alike_twice(name, tmp_path):
    data = str(EXAMPLES[name](tmp_path))
    assert layout_of(data) is LAYOUTS.get(name)
    first, second = open_source(data), open_source(data)
    items = first.listing.items
    assert items == second.listing.items and len({item.id for item in items}) == len(items) > 1
    assert first.kind in KINDS and first.name == second.name
    assert task_of(items).name == "classification"
    reading = first.read(items[0])
    assert reading.array.size and reading.sha256 == second.read(items[0]).sha256
