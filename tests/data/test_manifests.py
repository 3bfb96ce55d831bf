"""Manifests: their columns in every form, and what is refused."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from striate.data.layouts import open_source
from striate.data.source import UnreadableItem
from striate.errors import DataError, MissingExtraError
from striate.tasks.task import task_of

Refusal = Callable[[Path], str]


def write_images(folder: Path, count: int = 4) -> list[str]:
    (folder / "im").mkdir()
    for n in range(count):
        Image.new("L", (8, 8), 9 * n).save(folder / "im" / f"{n}.png")
    return [f"im/{n}.png" for n in range(count)]


@pytest.mark.parametrize("delimiter", [",", ";"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_manifest_csv(tmp_path: Path, delimiter: str, encoding: str, newline: str) -> None:
    paths = write_images(tmp_path)
    rows = [["Path", " label", "note", "split", "group"]]
    rows += [
        [paths[0], "chât", "x", "train", "p1"],
        [paths[1], "dog", "", "Train", "p2"],
        [paths[2], "chât", "", "testing", ""],
        [f'"{paths[3]}"', "dog", f'"a{delimiter}b"', "test", "p3"],
    ]
    text = newline.join(delimiter.join(row) for row in rows) + newline
    (tmp_path / "m.csv").write_bytes(text.encode(encoding))
    source = open_source(tmp_path / "m.csv")
    found = [(i.id, i.label, i.split, i.group) for i in source.listing.items]
    assert found == [
        ("im/0.png", "chât", "train", "p1"),
        ("im/1.png", "dog", "train", "p2"),
        ("im/2.png", "chât", "test", None),
        ("im/3.png", "dog", "test", "p3"),
    ]
    assert [int(source.read(item).array.max()) for item in source.listing.items] == [0, 9, 18, 27]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("path,label\na.png,cat\nb.png\nc.png,cat,9\n", "line 3 has 1, line 4 has 3"),
        ("path,label\na.png,cat\n,dog\n", "line 3 has no path"),
        ("path,label\na.png,\nb.png, \n", "line 3 has no label"),
        ("path,label,split\na.png,cat,trian\n", "line 2 has the split 'trian'"),
        ("paths,label\na.png,cat\n", "no column path"),
        ("path,lable\na.png,cat\n", "is it lable?"),
        ("path,label,label\na.png,cat,cat\n", "two columns label"),
        ("", "no column path and none label"),
        ("path,label\n", "lists no items"),
        ('path,label\n"a.png,cat\n', "line 2"),
    ],
)
def test_manifest_that_makes_no_sense(
    tmp_path: Path, text: str, said: str, refusal: Refusal
) -> None:
    (tmp_path / "m.csv").write_text(text)
    assert said in refusal(tmp_path / "m.csv")


def test_a_manifest_of_one_class_is_for_good_items_alone(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text("path,label\na.png,cat\nb.png,cat\n")
    items = open_source(tmp_path / "m.csv").listing.items
    assert task_of(items).name == "anomaly"
    with pytest.raises(DataError, match="has 1 class"):
        task_of(items, "probe").check_learnable(items, "m.csv")


def test_manifest_keeps_further_columns(tmp_path: Path) -> None:
    paths = write_images(tmp_path)
    rows = [
        "path,label,Site, note ,",
        *(f"{p},{'ab'[n % 2]},S{n}, x ," for n, p in enumerate(paths)),
    ]
    (tmp_path / "m.csv").write_text("\n".join(rows))
    items = open_source(tmp_path / "m.csv").listing.items
    assert [item.extra for item in items] == [{"Site": f"S{n}", "note": "x"} for n in range(4)]
    assert [item.label for item in items] == list("abab")
    assert len({hash(item) for item in items}) == 4


@pytest.mark.parametrize(
    ("header", "fields"),
    [
        ("path,labels", ["cat;dog", "", "dog", "cat"]),
        ("path,split,Cat,Dog", ["train,1,1", "train,0,0", "test,0,1", ",1,0"]),
        ("path,table,chair", ["1,0", "0,1", "1,1", "0,0"]),
    ],
)
def test_manifest_whose_answers_are_in_further_columns(
    tmp_path: Path, header: str, fields: list[str]
) -> None:
    paths = write_images(tmp_path)
    rows = [f"{p},{f}" for p, f in zip(paths, fields, strict=True)]
    (tmp_path / "m.csv").write_text("\n".join([header, *rows, rows[0]]))
    source = open_source(tmp_path / "m.csv")
    names = [n for n in header.split(",") if n not in ("path", "split")]
    assert len(source.listing.items) == 4
    for item, text in zip(source.listing.items, fields, strict=True):
        assert (item.label, item.target) == (None, None)
        assert item.extra == dict(zip(names, text.split(",")[-len(names) :], strict=True))
    assert [note.code for note in source.listing.notes] == ["repeated-row"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("path,lable,site\na.png,cat,1\n", "is it lable?"),
        ("path,taget\na.png,1\n", "no column label"),
        ("path,split,group\na.png,train,p\n", "no column label"),
        ("path,label,note,note\na.png,cat,x,y\n", "two columns note"),
    ],
)
def test_manifest_with_misspelt_columns(
    tmp_path: Path, text: str, said: str, refusal: Refusal
) -> None:
    (tmp_path / "m.csv").write_text(text)
    assert said in refusal(tmp_path / "m.csv")


def test_manifest_parquet_keeps_the_columns_that_are_text(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = {
        "path": write_images(tmp_path, 2),
        "labels": [["cat", "dog"], []],
        "sure": [True, None],
        "embedding": [[0.5, 1.5], [2.5, 3.5]],
        "thumbnail": [b"x", b"y"],
    }
    pq.write_table(pa.table(columns), tmp_path / "m.parquet")
    items = open_source(tmp_path / "m.parquet").listing.items
    assert [item.extra for item in items] == [
        {"labels": "cat;dog", "sure": "True"},
        {"labels": "", "sure": ""},
    ]


def test_manifest_that_is_not_utf8(tmp_path: Path, refusal: Refusal) -> None:
    (tmp_path / "m.csv").write_bytes("path,label\na.png,cat\nb.png,chât\n".encode("latin-1"))
    assert "line 3 is not UTF-8" in refusal(tmp_path / "m.csv")


def test_manifest_with_repeated_rows(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text("path,label\na.png,cat\nb.png,dog\na.png,cat\nb.png,cat\n")
    listing = open_source(tmp_path / "m.csv").listing
    # A repeated line counts once; one image with two labels stays two items, to be warned of.
    assert [(i.id, i.label) for i in listing.items] == [
        ("a.png", "cat"),
        ("b.png", "dog"),
        ("b.png (2)", "cat"),
    ]
    assert [note.code for note in listing.notes] == ["repeated-row"]


def test_manifest_file_missing_is_a_skip(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text("path,label\na.png,cat\nb.png,dog\n")
    source = open_source(tmp_path / "m.csv")
    with pytest.raises(UnreadableItem, match="file not found"):
        source.read(source.listing.items[0])


def test_manifest_parquet_says_the_same_as_csv(tmp_path: Path, refusal: Refusal) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    paths = write_images(tmp_path)
    table = {"path": paths, "label": [0, 1, 0, 1], "split": ["train", None, "train", None]}
    pq.write_table(pa.table(table), tmp_path / "m.parquet")
    rows = [f"{p},{n},{s or ''}" for p, n, s in zip(*table.values(), strict=True)]
    (tmp_path / "m.csv").write_text("\n".join(["path,label,split", *rows]))
    ours, csv = open_source(tmp_path / "m.parquet"), open_source(tmp_path / "m.csv")
    assert ours.listing == csv.listing
    pq.write_table(
        pa.table({"path": paths, "label": ["a", None, "b", "b"]}), tmp_path / "n.parquet"
    )
    labels = [item.label for item in open_source(tmp_path / "n.parquet").listing.items]
    assert labels == ["a", None, "b", "b"]
    (tmp_path / "o.parquet").write_bytes(b"PAR1 and nothing else")
    assert "cannot read" in refusal(tmp_path / "o.parquet")


def test_manifest_parquet_without_pyarrow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "m.parquet").touch()
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingExtraError, match=r"striate\[parquet\]"):
        open_source(tmp_path / "m.parquet")


def test_manifest_whose_label_fields_hold_several_labels(tmp_path: Path, refusal: Refusal) -> None:
    paths = write_images(tmp_path)
    fields = ["cat|dog", "cat", "dog", "bird"]
    rows = [f"{p},{f}" for p, f in zip(paths, fields, strict=True)]
    (tmp_path / "m.csv").write_text("\n".join(["path,label", *rows]))
    items = open_source(tmp_path / "m.csv").listing.items
    assert [(item.label, item.extra) for item in items] == [(None, {"labels": f}) for f in fields]
    both = [f"{p},one,{f}" for p, f in zip(paths, ["cat", "", "dog", "dog"], strict=True)]
    (tmp_path / "m.csv").write_text("\n".join(["path,label,Labels", *both]))
    items = open_source(tmp_path / "m.csv").listing.items
    assert [item.extra["labels"] for item in items] == ["cat", "", "dog", "dog"]
    assert {item.label for item in items} == {None}
    (tmp_path / "m.csv").write_text(f"path,label\n{paths[0]},cat|dog\n{paths[1]},\n")
    assert "name the column labels" in refusal(tmp_path / "m.csv")
