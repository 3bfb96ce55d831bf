"""What is made for millions of items: compact columns, files made when asked for, parts of the items."""

import csv
import itertools
import tracemalloc

import numpy as np
import pytest

from striate.data.folder_walk import FilesBelow, unique_ids, walk
from striate.data.layouts import open_source
from striate.data.layouts.class_folders import open_folder
from striate.data.readers.tables import columns, read_table
from striate.data.readers.tables.columns import Column, Places
from striate.data.readers.tables.delimited import rows_of
from striate.data.readers.tables.items import TableItems
from striate.data.readers.tables.regular import regular_table
from striate.data.source import Item, Listing, MemorySource
from striate.data.splits.part import LEAST_OF_CLASS, part_of


@pytest.fixture(params=[4, 1 << 16])
def part(request, monkeypatch):
    """Columns in parts of a few fields, and in one."""
    monkeypatch.setattr(columns, "_PART", request.param)
    monkeypatch.setattr(columns, "_MOST_TEXTS", request.param // 2)
    return request.param


FIELDS = (
    [],
    ["a"],
    ["a", "b"] * 7,
    [f"name-{number}" for number in range(23)],
    ["", "ü", "日本", "", "é\udce9", "x" * 99] * 3,
    ["a"] * 4 + ["b", "c", "d", "e"] + ["a"] * 5,
)


@pytest.mark.parametrize("fields", FIELDS)
def test_a_column_gives_back_its_fields(fields, part):
    column = Column(iter(fields))
    assert list(column) == fields
    assert len(column) == len(fields)
    assert [column[place] for place in range(len(fields))] == fields
    assert [column[place] for place in range(-len(fields), 0)] == fields
    assert column[1:9:2] == fields[1:9:2]
    with pytest.raises(IndexError):
        column[len(fields)]


def test_columns_of_rows(part):
    rows = [(f"{number}", "ab"[number % 2], "") for number in range(11)]
    found = Column.of_rows(iter(rows), 3)
    assert [list(column) for column in found] == [
        list(column) for column in zip(*rows, strict=True)
    ]
    assert [len(column) for column in Column.of_rows(iter(()), 2)] == [0, 0]


@pytest.fixture
def small_parts(monkeypatch):
    """Columns in parts of 4,096 fields, so that 20,480 are long."""
    monkeypatch.setattr(columns, "_PART", 1 << 12)
    monkeypatch.setattr(columns, "_MOST_TEXTS", 1 << 9)
    return 5 << 12


def test_a_field_of_a_long_column_takes_a_few_bytes(small_parts):
    count = small_parts
    tracemalloc.start()
    found = Column.of_rows(((f"class-1/{n:08}.png", f"class-{n % 9}") for n in range(count)), 2)
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert [len(column) for column in found] == [count] * 2
    assert (
        held < 33 * count
    )  # 20 characters, their end, the number of the class; and the rest of a part


def test_places_are_made_when_asked_for():
    places = Places("line", range(2, 9))
    assert list(places)[:2] == ["line 2", "line 3"] and places[-1] == "line 8"
    assert list(places[3:5]) == ["line 5", "line 6"]


TEXTS = {
    "plain": "path,label\na.png,x\nb.png,y\n",
    "other ends of lines": "path;label\r\na.png;x\rb.png;y",
    "stated delimiter": "sep=;\npath;label\na.png;x\n",
    "empty lines and columns": "path,label,,\na.png,x,,\n\n  ,\nb.png,y\n,,,\n",
    "quotes": 'path,label\n"a,b.png","x\ny"\n"c.png", "d"\n',
    "comments": "path,label\n# about\n#3.png,x\n",
    "numbers": "index,label\n0,1\n1,2\n2,3\n",
    "tabs": "path\tlabel\na b.png\tx\n",
    "blanks before": "path,label\n a.png,x\n,x\n",
    "no rows": "path,label\n",
}


@pytest.mark.parametrize("name", TEXTS)
def test_a_regular_table_is_what_all_rows_together_give(name, part, tmp_path):
    """The quick way reads the same as the way that looks at all rows."""
    found, wanted = regular_table(TEXTS[name]), rows_of(TEXTS[name])
    assert found is not None
    header, *body = wanted.fields
    assert found.header == tuple(field.strip() for field in header)
    assert [list(c) for c in found.columns] == [
        [row[n] for row in body] for n in range(len(header))
    ]
    assert list(found.places) == list(wanted.places[1:])
    assert found.delimiter == wanted.delimiter


@pytest.mark.parametrize(
    "text",
    ["", "# path,label\na,b\n", "path,label\na\n", "path,label\na,b,c\n", "1 2\n3 4\n", 'a,b\n"c,d\n',
     ",,\na,b,c\n", "x,y\n0,1,2\n1,2,3\n2,3,4\n"],
)  # fmt: skip
def test_other_tables_are_left_to_the_way_that_looks_at_all_rows(text):
    assert regular_table(text) is None


def manifest(folder, rows, name="list.csv"):
    with (folder / name).open("w", newline="") as file:
        csv.writer(file).writerows([("path", "label", "split"), *rows])
    return folder / name


def test_items_of_a_table_are_made_when_asked_for(part, tmp_path):
    rows = [(f"{n:03}.png", "ab"[n % 2], "test" if n % 5 == 0 else "") for n in range(40)]
    rows += [rows[3], (rows[4][0], "b", ""), ("ü.png", "a", "")]
    items = open_source(manifest(tmp_path, rows), "image").listing.items
    assert isinstance(items, TableItems)
    kept = [*rows[:40], *rows[41:]]
    names = unique_ids(row[0] for row in kept)
    wanted = tuple(
        Item(id=name, label=label, split=split or None)
        for name, (_, label, split) in zip(names, kept, strict=True)
    )
    assert tuple(items) == wanted and items == wanted and items != wanted[:-1]
    assert items[-1] == wanted[-1] and items[2:9:3] == wanted[2:9:3]
    source = open_source(manifest(tmp_path, rows), "image")
    assert [source.path(item) for item in wanted] == [tmp_path / row[0] for row in kept]


def test_a_long_manifest_takes_few_bytes_a_row(small_parts, tmp_path):
    """As text 37 bytes a row; an item for each would take 250 more, and all rows as lists as much."""
    count = small_parts
    path = manifest(
        tmp_path, ((f"class/{n:08}.png", f"class-{n % 9}", "train") for n in range(count))
    )
    open_source(path, "image")  # what is imported, and made once
    tracemalloc.start()
    source = open_source(path, "image")
    held, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(source.listing.items) == count
    assert held < 90 * count
    assert most < 260 * count


def test_parquet_and_csv_give_the_same_items(part, tmp_path):
    pa = pytest.importorskip("pyarrow")
    pq = pytest.importorskip("pyarrow.parquet")
    rows = [(f"{n:03}.png", f"c{n % 3}", "val" if n % 4 == 0 else "train") for n in range(30)]
    table = dict(zip(("path", "label", "split"), map(list, zip(*rows, strict=True)), strict=True))
    pq.write_table(pa.table(table), tmp_path / "list.parquet", row_group_size=7)
    first = open_source(manifest(tmp_path, rows), "image").listing
    second = open_source(tmp_path / "list.parquet", "image").listing
    assert first.items == second.items
    assert read_table(tmp_path / "list.parquet").places[2] == "row 3"


def test_files_below_a_folder(tmp_path):
    files = FilesBelow(tmp_path, ["a", "b (2)"], ["a", "b"])
    assert files["a"] == tmp_path / "a" and files["b (2)"] == tmp_path / "b"


def test_a_class_folder_gives_its_items_one_label(tmp_path):
    for name in ("a/1.png", "a/2.png", "b/é.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    source = open_folder(tmp_path, "image")
    first, second, third = source.listing.items
    assert first.label is second.label and first.extra is third.extra
    assert source.path(third) == tmp_path / "b" / "é.png"


def test_a_link_to_a_file_that_a_linked_folder_showed_counts_once(tmp_path):
    """Files are only remembered by number, and recalled when a link asks."""
    (tmp_path / "a").mkdir()
    (tmp_path / ".hidden").mkdir()
    (tmp_path / ".hidden" / "1.png").touch()
    (tmp_path / "a" / "2.png").touch()
    (tmp_path / "a" / "b-link").symlink_to(tmp_path / ".hidden")
    (tmp_path / "a" / "c-link.png").symlink_to(tmp_path / ".hidden" / "1.png")
    (tmp_path / "a" / "d-link.png").symlink_to(tmp_path / "a" / "2.png")
    assert walk(tmp_path, {".png"}).files == ["a/2.png", "a/b-link/1.png"]


def numbered(count, split=lambda number: None):
    items = tuple(
        Item(id=str(n), label="rare" if n % 1000 == 7 else "ab"[n % 2], split=split(n))
        for n in range(count)
    )
    return MemorySource("image", "numbers", Listing(items=items), lambda item: None)


def test_a_part_of_the_items_is_drawn_from_every_class_alike():
    source = numbered(20_000)
    parts = [part_of(source, share, seed=3).listing.items for share in (0.5, 0.25)]
    assert [len(items) for items in parts] == pytest.approx([10_000, 5_000], rel=0.03)
    for items in parts:
        labels = [item.label for item in items]
        assert labels.count("a") == pytest.approx(labels.count("b"), rel=0.06)
        assert labels.count("rare") == 20 < LEAST_OF_CLASS  # all that there are
        numbers = [int(item.id) for item in items]
        assert numbers == sorted(numbers)
    assert set(parts[1]) < set(parts[0])
    assert part_of(source, 0.25, seed=3).listing.items == parts[1]
    assert part_of(source, 0.25, seed=4).listing.items != parts[1]
    assert len(source.listing.items) == 20_000


def test_items_to_judge_by_are_kept_while_they_are_few():
    few = part_of(numbered(10_000, lambda n: "test" if n % 20 == 0 else "train"), 0.25, seed=0)
    splits = [item.split for item in few.listing.items]
    assert splits.count("test") == 500
    assert len(splits) == pytest.approx(2_500, rel=0.05)
    many = part_of(numbered(10_000, lambda n: "test" if n % 2 else "train"), 0.25, seed=0)
    splits = [item.split for item in many.listing.items]
    assert splits.count("test") == pytest.approx(1_250, rel=0.08)


def test_the_key_of_a_cache_is_that_of_the_whole_document():
    """It is hashed a part at a time; caches of earlier versions stay what they are."""
    import hashlib
    import json

    from striate.data.stores import pixel_file

    known = [("a", "/x/a", 1, 2, 3), ("ü", "/x/b")]
    versions = (
        pixel_file.DECODER_VERSION,
        pixel_file.PIL.__version__,
        pixel_file.torch.__version__,
    )
    for identities in (known, known[:1], []):
        text = json.dumps([(*versions, *pixel_file._versions()), 64, identities])
        wanted = hashlib.sha256(text.encode("ascii")).hexdigest()[:32]
        assert pixel_file._key(iter(identities), 64) == wanted


def test_texts_are_numbered_in_the_order_of_appearance():
    from striate.data.duplicates import first_appearance, text_numbers

    texts = ["b", "a", "b", "c", "a"]
    assert text_numbers(texts).tolist() == [0, 1, 0, 2, 1]
    assert np.array_equal(text_numbers(texts), first_appearance(np.array(texts)))
    assert list(itertools.chain(text_numbers([]))) == []
