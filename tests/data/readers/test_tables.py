"""Tables as spreadsheets, loggers, NumPy, pandas and R write them: one reader for all of them."""

import io

import numpy as np
import pytest
from PIL import Image

from striate.data.layouts import open_source
from striate.data.readers.signal import read_signal_table
from striate.data.readers.tables import header_of, read_table
from striate.data.source import UnreadableItem


def table(tmp_path, content, name="t.csv"):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_table(path)


def signal(content):
    return read_signal_table(content if isinstance(content, bytes) else content.encode())


def codes(reading):
    return [note.code for note in reading.notes]


ROWS = [("a", "x"), ("b", "y")]


@pytest.mark.parametrize(
    "content",
    [
        "path,label\na,x\nb,y\n",
        "path;label\r\na;x\r\nb;y\r\n",
        "path\tlabel\ra\tx\rb\ty",
        "sep=;\r\npath;label\r\na;x\r\nb;y\r\n",
        '"sep=|"\npath|label\na|x\nb|y\n',
        "# made by hand\n\npath,label\na,x\n# a remark\nb,y\n",
        "path,label,,\na,x,,\nb,y,,\n,,,\n",
        "path, label\na, x\nb,  y\n",
        'path, label\na, "x"\nb, "y"\n',
        "\ufeffpath,label\na,x\nb,y",
        "path,label\na,x\nb,y\n".encode("utf-16"),
        ",path,label\n0,a,x\n1,b,y\n",
        "Unnamed: 0,path,label\n4,a,x\n2,b,y\n",
        "# path,label\na,x\nb,y\n",
    ],
)
def test_a_table_however_it_is_written(tmp_path, content):
    read = table(tmp_path, content)
    assert [name.strip() for name in read.columns] == ["path", "label"]
    assert list(zip(read.column("path"), read.column("label"), strict=True)) == ROWS
    assert set(header_of(tmp_path / "t.csv")) >= {"path", "label"}


def test_r_does_not_name_the_numbers_of_the_rows(tmp_path):
    content = '"path","label"\n"1","a","x"\n"2","b","y"\n"4","c","y"\n'
    assert list(table(tmp_path, content).column("path")) == ["a", "b", "c"]
    rows = lines(range(1, 21), WAVE, head="acc")
    np.testing.assert_allclose(signal(rows).array, WAVE[None], atol=1e-6)


def test_a_delimiter_in_quotes_is_none(tmp_path):
    read = table(tmp_path, 'path,label\n"a;1,2;3",x\n"b;1,2;3",y\n')
    assert list(read.column("path")) == ["a;1,2;3", "b;1,2;3"]


def test_decimal_commas(tmp_path):
    assert list(table(tmp_path, "path;target\na;0,5\nb;-1,25e1\n").numbers("target")) == [
        0.5,
        -12.5,
    ]
    assert list(table(tmp_path, "path\ttarget\na\t0,5\n").numbers("target")) == [0.5]


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("", "5 3 4 8 1"),
        ("Unnamed: 0", "5 3 4 8 1"),
        ("index", "5 3 4 8 1"),
        ("row_id", "0 1 2 3 4"),
        ("x", "17 18 19 20 21"),
        ("when", "2024-05-01 2024-05-03 2024-05-02 2024-05-02 2024-06-01"),
        ("timestamp", "1.5 2.5 2.75 9 10"),
    ],
)
def test_columns_that_only_say_where_a_row_stands_are_left_out(tmp_path, name, fields):
    lines = [f"{f},n{n},{n % 2},{n * n}.5" for n, f in enumerate(fields.split(" "))]
    read = table(tmp_path, f"{name},id,label,f\n" + "\n".join(lines))
    assert read.columns == ("id", "label", "f")
    (note,) = read.notes
    assert note.code == "index-column" and (name or "without a name") in note.message
    (tmp_path / "nodes.csv").write_bytes((tmp_path / "t.csv").read_bytes())
    (tmp_path / "edges.csv").write_text(
        "source,target,i\n" + "\n".join(f"n{n},n0,{n}" for n in range(5))
    )
    source = open_source(tmp_path)
    assert len(source.read(source.listing.items[0]).array) == 1
    assert source.graph.edge_features is None
    assert sum(note.code == "index-column" for note in source.listing.notes) == 2


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("index", "1.33 1.5 1.4 1.3 1.2"),
        ("x", "0 1 2 4 5"),
        ("time", "3 1 2 5 4"),
        ("id", "0 1 2 3 4"),
        ("target", "0 1 2 3 4"),
    ],
)
def test_other_columns_are_kept(tmp_path, name, fields):
    read = table(tmp_path, f"{name},f\n" + "\n".join(f"{f},x" for f in fields.split()))
    assert read.columns == (name, "f") and not read.notes


def test_paths_as_people_write_them(tmp_path, monkeypatch):
    for name in ("im/0.png", "im/ 1.png", "im/2.png"):
        (tmp_path / "d" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (8, 8)).save(tmp_path / "d" / name)
    (tmp_path / "tables").mkdir()
    monkeypatch.chdir(tmp_path)
    rows = ["im\\0.png,a", "im/ 1.png,b", " im/2.png ,a"]
    (tmp_path / "d" / "m.csv").write_text("path,label\n" + "\n".join(rows))
    source = open_source(tmp_path / "d" / "m.csv")
    assert [source.path(item).name for item in source.listing.items] == ["0.png", " 1.png", "2.png"]
    (note,) = source.listing.notes
    assert note.message.startswith("2 paths lead nowhere from the table's folder (file not found)")
    (tmp_path / "tables" / "m.csv").write_text("path,label\nd/im/0.png,a\nd\\im\\2.png,b\n")
    source = open_source(tmp_path / "tables" / "m.csv")
    assert [source.path(item).is_file() for item in source.listing.items] == [True, True]
    assert [note.code for note in source.listing.notes] == ["path-otherwise", "path-outside"]


# --- signals ---

WAVE = np.round(np.sin(np.arange(20.0)), 3)


def lines(*columns, head="", delimiter=","):
    rows = [delimiter.join(map(str, row)) for row in zip(*columns, strict=True)]
    return "\n".join([head, *rows] if head else rows)


@pytest.mark.parametrize(
    "content",
    [
        lines(range(20), WAVE, head=",acc"),
        lines(range(100, 120), WAVE, head="n,acc"),
        lines(range(20), WAVE),
        lines(range(20), WAVE, head=",0"),
        lines(np.arange(20) / 4, WAVE),
        lines(WAVE, head="# logger 7\nacc"),
        lines(WAVE, [""] * 20, head="acc,"),
        "sep=;\n" + lines(WAVE, head="acc").replace(".", ","),
        "acc\r" + lines(WAVE).replace("\n", "\r"),
    ],
)
def test_a_signal_however_it_is_written(content):
    np.testing.assert_allclose(signal(content).array, WAVE[None], atol=1e-6)


def test_a_table_as_numpy_writes_it():
    out = io.StringIO()
    np.savetxt(out, np.stack([np.arange(20) / 50, WAVE], 1), header="time acc", fmt="%.3f")
    reading = signal(out.getvalue())
    np.testing.assert_allclose(reading.array, WAVE[None], atol=1e-6)
    assert reading.spacing == pytest.approx((0.02,))


@pytest.mark.parametrize(
    ("name", "moments"),
    [
        ("", [f"2024-05-01T12:00:{n / 50:06.3f}Z" for n in range(20)]),
        ("clock", [f"23:59:{59.8 + n / 50:06.3f}" if n < 10 else f"00:00:{n / 50 - 0.2:06.3f}"
                   for n in range(20)]),
        ("Time [ms]", [20 * n for n in range(20)]),
        ("timestamp", [1_714_564_800_000 + 20 * n for n in range(20)]),
        ("timestamp", [f"{1_714_564_800 + n / 50:.3f}" for n in range(20)]),
    ],
)  # fmt: skip
def test_moments_of_every_form_give_the_rate(name, moments):
    reading = signal(lines(moments, WAVE, head=f"{name},acc"))
    np.testing.assert_allclose(reading.array, WAVE[None], atol=1e-6)
    assert 1 / reading.spacing[0] == pytest.approx(50, rel=1e-9)


def test_blank_cells_are_interpolated_and_said():
    values = [str(v) for v in range(0, 40, 2)]
    values[3], values[7], values[19] = "", "NaN", ""
    reading = signal(lines(values, WAVE, head="a,b"))
    assert reading.array[0].tolist() == [*range(0, 38, 2), 36]
    assert codes(reading) == ["missing-values"] and "3 missing" in reading.notes[0].message
    with pytest.raises(UnreadableItem, match="15 of 20 values of channel 0 are missing"):
        signal(lines([*range(1, 10, 2), *[""] * 15], WAVE, head="a,b"))


def test_uneven_times_are_interpolated_and_said():
    times = np.arange(20) / 50 + np.random.default_rng(1).uniform(-0.003, 0.003, 20)
    reading = signal(lines(np.round(times, 4), 3 * times, head="t,x"))
    assert codes(reading) == ["uneven-times"] and 1 / reading.spacing[0] == 50
    steps = np.diff(reading.array[0])
    np.testing.assert_allclose(steps, 0.06, atol=1e-3)


def test_times_that_are_coarser_than_the_rows():
    reading = signal(lines(np.arange(20) // 10, WAVE, head="time,x"))
    assert codes(reading) == ["coarse-times"] and reading.array.shape == (1, 20)


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ("id,path,label,Doctor", "not used: id, Doctor (name one group"),
        ("path,target,fold", "not used: fold (name one group"),
        ("path,label,group,site", "not used: site"),
        ("path,label,group", ""),
        ("path,cat,dog", ""),
    ],
)
def test_columns_of_a_manifest_that_are_not_used_are_noted(tmp_path, columns, said):
    names = columns.split(",")
    fields = {"path": "ab", "label": "xy", "cat": "01", "dog": "10"}
    rows = (",".join(fields.get(name, "75")[n] for name in names) for n in range(2))
    (tmp_path / "m.csv").write_text("\n".join([columns, *rows]))
    notes = open_source(tmp_path / "m.csv").listing.notes
    found = [note.message for note in notes if note.code == "unused-column"]
    assert said in found[0] if said else not found
