"""What names mean, in every source alike."""

import numpy as np
import pytest
from PIL import Image

from striate.data.layouts import ArraySource, open_source
from striate.data.layouts.pyg import from_pyg
from striate.data.names import MISSING, in_order, known_labels, split_named
from striate.errors import DataError
from striate.tasks.classification.target import ClassTarget


def images(root, *names):
    for number, name in enumerate(names):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (8, 8), number).save(path)
    return root


def listing(data):
    return open_source(data).listing


def codes(data):
    return {note.code for note in listing(data).notes}


# --- missing labels ---


def test_the_words_for_a_missing_label_are_pandas():
    parsers = pytest.importorskip("pandas._libs.parsers")
    assert set(parsers.STR_NA_VALUES) <= MISSING


@pytest.mark.parametrize("word", ["", "NA", "NaN", "None", "null", "N/A", " nan "])
def test_a_missing_label_is_no_class_in_any_table(tmp_path, word):
    rows = [("a", "x"), ("b", word), ("c", "y"), ("d", "x")]
    (tmp_path / "m.csv").write_text("path,label\n" + "\n".join(f"{p}.png,{w}" for p, w in rows))
    assert [item.label for item in listing(tmp_path / "m.csv").items] == ["x", None, "y", "x"]
    smiles = ["CCO", "CCN", "CCC", "CO"]
    table = zip(smiles, rows, strict=True)
    (tmp_path / "s.csv").write_text("smiles,label\n" + "\n".join(f"{s},{r[1]}" for s, r in table))
    assert [item.label for item in listing(tmp_path / "s.csv").items] == ["x", None, "y", "x"]
    nodes = tmp_path / "nodes"
    nodes.mkdir()
    lines = [f"{p},{w},{n}.5" for n, (p, w) in enumerate(rows)]
    (nodes / "nodes.csv").write_text("id,label,f\n" + "\n".join(lines))
    (nodes / "edges.csv").write_text("source,target\na,b\nb,c\n")
    assert [(item.id, item.label) for item in listing(nodes).items] == [
        ("a", "x"),
        ("c", "y"),
        ("d", "x"),
    ]
    assert "unlabelled" in codes(nodes)


@pytest.mark.parametrize(
    "labels",
    [
        np.array([0.0, np.nan, 1.0, 0.0]),
        np.array(["0", "NA", "1", "0"]),
        np.array([b"0", b"", b"1", b"0"]),
        np.array([0, None, 1, 0], dtype=object),
    ],
)
def test_a_missing_label_is_no_class_in_arrays(labels):
    source = ArraySource(np.zeros((4, 9, 9), np.uint8), labels)
    assert [item.label for item in source.listing.items] == ["0", None, "1", "0"]


def test_a_missing_label_is_no_class_in_ts_and_tu(tmp_path):
    head = "@problemName Toy\n@classLabel true a b\n@data\n"
    (tmp_path / "Toy.ts").write_text(head + "1,2:a\n1,2:?\n2,2:b\n2,1:NaN\n")
    labels = [item.label for item in listing(tmp_path / "Toy.ts").items]
    assert labels == ["a", None, "b", None]
    folder = tmp_path / "T"
    folder.mkdir()
    (folder / "T_A.txt").write_text("1,2\n2,1\n3,3\n")
    (folder / "T_graph_indicator.txt").write_text("1\n1\n2\n3\n")
    (folder / "T_graph_labels.txt").write_text("0\nnan\n1\n")
    assert [item.label for item in listing(folder).items] == ["0", None, "1"]


def test_a_missing_target_is_left_out(tmp_path):
    (tmp_path / "m.csv").write_text("path,target,note\na.png,1.5,x\nb.png,,y\nc.png,NA,z\n")
    items = listing(tmp_path / "m.csv").items
    assert [item.target for item in items] == [1.5, None, None]
    assert items[1].extra == {}  # its note is not taken for labels


def test_a_row_of_which_no_label_is_known_is_left_out(tmp_path):
    (tmp_path / "m.csv").write_text("path,cat,dog\na.png,1,0\nb.png,,\nc.png,0,1\n")
    assert [bool(item.extra) for item in listing(tmp_path / "m.csv").items] == [True, False, True]
    (tmp_path / "m.csv").write_text("path,labels\na.png,cat|dog\nb.png,NaN\nc.png,\n")
    extras = [item.extra for item in listing(tmp_path / "m.csv").items]
    assert extras == [{"labels": "cat|dog"}, {}, {"labels": ""}]


def test_labels_0_and_0_0_are_one_class_and_names_stay():
    assert known_labels(["0", "0.0", "1.0", "1"]) == ["0", "0", "1", "1"]
    assert known_labels(["007", "7.5"]) == ["007", "7.5"]
    assert known_labels(["1.0", "v2"]) == ["1.0", "v2"]


def test_an_index_among_the_numbers_of_an_array_is_a_warning():
    X = np.random.default_rng(0).normal(size=(6, 20))
    labels = list("ababab")
    assert not ArraySource(X, labels, kind="signal").listing.notes
    X[:, 0] = np.arange(6)
    (note,) = ArraySource(X, labels, kind="signal").listing.notes
    assert note.code == "index-column"


# --- order ---


def test_classes_that_are_numbers_are_in_the_order_of_numbers():
    assert ClassTarget.of([str(n % 12) for n in range(30)]).classes == tuple(map(str, range(12)))
    assert in_order(["-1", "1", "0", "10", "2.5"]) == ["-1", "0", "1", "2.5", "10"]
    assert in_order(["img10", "img9", "Img1"]) == ["Img1", "img9", "img10"]
    assert in_order(["b", "a", "B"]) == sorted(["b", "a", "B"])


# --- splits ---


@pytest.mark.parametrize(
    ("names", "splits"),
    [
        (("training_set", "test_set"), ("train", "test")),
        (("Train", "Dev"), ("train", "val")),
        (("seg_train", "seg_test"), ("train", "test")),
        (("train_images", "validation-images"), ("train", "val")),
        (("TrainSet", "holdout"), ("train", "test")),
        (("train2017", "val2017"), ("train", "val")),
    ],
)
def test_splits_of_other_names(tmp_path, names, splits):
    images(tmp_path, *(f"{part}/{c}/{n}.png" for part in names for c in "ab" for n in range(2)))
    items = listing(tmp_path).items
    assert {item.split for item in items} == set(splits)
    assert {item.label for item in items} == {"a", "b"}
    (tmp_path / "m.csv").write_text(f"path,label,split\na,x,{names[0]}\nb,y,{names[1]}\n")


def test_a_split_within_a_folder_of_its_own_name(tmp_path):
    images(tmp_path, *(f"seg_{p}/seg_{p}/{c}/1.png" for p in ("train", "test") for c in "ab"))
    images(tmp_path, "seg_pred/seg_pred/7.png")
    found = listing(tmp_path)
    assert {(item.split, item.label) for item in found.items} == {
        (p, c) for p in ("train", "test") for c in "ab"
    }
    assert {"split-folders", "no-class-folder"} <= {note.code for note in found.notes}


@pytest.mark.parametrize("around", ["data", "archive/my photos"])
def test_a_folder_around_the_data(tmp_path, around):
    images(tmp_path, *(f"{around}/{c}/{n}.png" for c in "ab" for n in range(2)))
    (tmp_path / around / "README.txt").write_text("x")
    assert {item.label for item in listing(tmp_path).items} == {"a", "b"}
    assert "folder-around" in codes(tmp_path)


def test_a_folder_around_splits(tmp_path):
    images(tmp_path, *(f"d/{p}/{c}/1.png" for p in ("train", "test") for c in "ab"))
    assert {item.split for item in listing(tmp_path).items} == {"train", "test"}


@pytest.mark.parametrize(
    "names",
    [
        [f"fold{n}/{c}/1.png" for n in range(3) for c in "ab"],
        [f"fold_{n}/1.png" for n in range(3)],
        [f"Batch {n}/{c}/1.png" for n in range(3) for c in "ab"],
        [f"{p}/{c}/1.png" for p in ("train", "gallery") for c in "ab"],
    ],
)
def test_parts_that_would_be_classes_are_refused(tmp_path, names):
    images(tmp_path, *names)
    with pytest.raises(DataError, match="look like parts of one data set"):
        open_source(tmp_path)


@pytest.mark.parametrize(
    "names",
    [
        ["images/1.png", "images/2.png", "labels/1.txt"],
        ["images/1.png", "masks/1.png"],
        ["images/train/1.png", "labels/train/1.txt"],
        [f"{p}/{n}" for p in ("train", "val") for n in ("images/1.png", "labels/1.txt")],
        ["JPEGImages/1.png", "SegmentationClass/1.png", "Annotations/1.xml", "ImageSets/a.txt"],
    ],
)
def test_folders_of_labels_and_masks_are_no_classes(tmp_path, names):
    images(tmp_path, *(name for name in names if name.endswith(".png")))
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    with pytest.raises(DataError, match="labels, masks or boxes beside them"):
        open_source(tmp_path)


@pytest.mark.parametrize("names", [("with_mask", "without_mask"), ("mask", "no mask")])
def test_masks_may_be_classes(tmp_path, names):
    images(tmp_path, *(f"{name}/1.png" for name in names))
    assert {item.label for item in listing(tmp_path).items} == set(names)


@pytest.mark.parametrize("names", [("images/1.png",), ("1.png", "2.png"), ("train/1.png",)])
def test_a_table_beside_the_images_is_pointed_out(tmp_path, names):
    images(tmp_path, *names)
    (tmp_path / "labels.csv").write_text("path,label\nimages/1.png,a\n")
    with pytest.raises(DataError, match=r"labels\.csv lists the images and their labels"):
        open_source(tmp_path)


def test_a_table_beside_one_class_of_new_data_is_no_fault(tmp_path):
    images(tmp_path, "cat/1.png")
    (tmp_path / "predictions.csv").write_text("item,label\n")
    assert {item.label for item in listing(tmp_path).items} == {"cat"}


def test_the_same_subfolders_in_every_class_are_a_warning(tmp_path):
    images(tmp_path, *(f"{p}/{c}/1.png" for p in ("left", "right") for c in "ab"))
    assert "same-subfolders" in codes(tmp_path)
    images(tmp_path / "fine", *(f"{c}/{c}{n}/1.png" for n in range(2) for c in "ab"))
    assert "same-subfolders" not in codes(tmp_path / "fine")


def test_names_of_no_split():
    for name in ("trains", "test-cat", "train_labels", "fold0", "cats", "contest", ""):
        assert split_named(name) is None


# --- what Striate wrote ---


def test_folders_that_striate_wrote_are_no_data(tmp_path):
    from striate.run.folder import RunFolder

    images(tmp_path, "a/1.png", "b/2.png")
    RunFolder.create(tmp_path / "runs" / "run-1")
    images(tmp_path, "runs/run-1/export/3.png")
    old = tmp_path / "old"
    old.mkdir()
    (old / "data.lock.json").write_text("{}")
    found = listing(tmp_path)
    assert [item.id for item in found.items] == ["a/1.png", "b/2.png"]
    assert {note.code for note in found.notes} == {"output-folder"}


def test_no_message_says_to_remove_a_folder(tmp_path):
    images(tmp_path, "a/1.png", "b/2.png")
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "thesis.txt").write_text("years of work")
    with pytest.raises(DataError, match="move the folder out") as caught:
        open_source(tmp_path)
    assert "remove" not in caught.value.fix and "delete" not in caught.value.fix


def test_pyg_nodes_outside_every_mask_are_no_items():
    torch = pytest.importorskip("torch")

    class Data:
        x = torch.zeros(5, 2)
        edge_index = torch.tensor([[0, 1], [1, 2]])
        edge_attr = None
        y = torch.tensor([0, 1, 0, 1, 1])
        train_mask = torch.tensor([True, True, False, False, False])
        test_mask = torch.tensor([False, False, True, True, False])

    assert [item.id for item in from_pyg(Data()).listing.items] == ["0", "1", "2", "3"]
