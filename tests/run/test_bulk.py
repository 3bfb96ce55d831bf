"""`Run.predict_to_file`: the same rows as `predict`, however often it was stopped, by one or many."""

import csv
import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from striate.cli.main import run as command_line
from striate.errors import MachineError, OptionError, RunError, StoppedError
from striate.run import bulk, tables
from striate.run.bulk import predict_to_file

ROWS = 16
"""Rows of a part here: one batch."""


@pytest.fixture(scope="module")
def many(tmp_path_factory, draw):
    """70 images in a file of arrays, and two files that are not there.

    Arrays are read without processes of their own, which would take most of the time.
    """
    folder = tmp_path_factory.mktemp("many")
    shapes = ("disc", "square", "stripes")
    np.save(folder / "new.npy", np.stack([draw(shapes[n % 3], n) for n in range(70)]))
    return [str(folder / name) for name in ("gone.png", "new.npy", "gone too.png")]


@pytest.fixture
def stopping(monkeypatch):
    """A function: what is done is stopped before or after the next part, or while parts are joined."""

    def at(moment):
        write, join = bulk._Parts.write, bulk._Parts.join

        def stopped(before, after):
            def method(*arguments):
                if before:
                    raise KeyboardInterrupt
                after(*arguments)
                raise KeyboardInterrupt

            return method

        monkeypatch.undo()
        if moment == "joining":
            monkeypatch.setattr(tables.CsvTable, "join", stopped(True, None))
            monkeypatch.setattr(tables.ParquetTable, "join", stopped(True, None))
        elif moment == "joined":
            monkeypatch.setattr(bulk._Parts, "join", stopped(False, join))
        elif moment != "never":
            monkeypatch.setattr(bulk._Parts, "write", stopped(moment == "before", write))

    return at


def rows_of(path):
    return list(csv.DictReader(path.read_text().splitlines()))


def test_rows_are_what_predict_gives(probe_run, many, tmp_path):
    said = []
    written = probe_run.predict_to_file(many, tmp_path / "a.csv", progress=said.append)
    found = probe_run.predict(many)
    assert (written.num_items, written.num_unreadable) == (72, 2)
    assert said[:2] == [f"cannot read {many[n]}: file not found" for n in (0, 2)]
    rows = rows_of(written.path)
    assert [row["item"] for row in rows] == [prediction.item for prediction in found]
    columns = probe_run.task.columns(probe_run.classes)
    for row, prediction in zip(rows, found, strict=True):
        assert row["reason"] == (prediction.reason or "")
        if prediction.reason is None:
            cells = [str(cell) for cell in probe_run.task.cells(prediction)]
            assert [row[name].removeprefix("'") for name in columns] == cells
    assert [path.name for path in tmp_path.iterdir()] == ["a.csv"]


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_a_file_that_was_stopped_ten_times_is_that_of_one_time(
    probe_run, many, tmp_path, suffix, stopping
):
    whole, parts = tmp_path / f"whole{suffix}", tmp_path / f"parts{suffix}"
    predict_to_file(probe_run, many, whole, part_rows=ROWS)
    moments = ["before", "after", "after", "before", *["after"] * 3, "joining", "joining", "joined"]
    for moment in moments:
        stopping(moment)
        with pytest.raises(StoppedError, match="resume"):
            predict_to_file(probe_run, many, parts, part_rows=ROWS, resume=True)
        assert parts.exists() == (moment == "joined")
    stopping("never")
    predict_to_file(probe_run, many, parts, part_rows=ROWS, resume=True)
    assert parts.read_bytes() == whole.read_bytes()
    assert {path.name for path in tmp_path.iterdir()} == {whole.name, parts.name}


def test_parquet_holds_what_csv_holds_with_its_types(probe_run, many, tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    for name in ("a.csv", "a.parquet"):
        predict_to_file(probe_run, many, tmp_path / name, part_rows=ROWS)
    table = parquet.read_table(tmp_path / "a.parquet")
    types = {field.name: str(field.type) for field in table.schema}
    assert types == {
        **dict.fromkeys(("item", "prediction", "set", "reason"), "string"),
        **dict.fromkeys(("confidence", "novelty", "p_disc", "p_square", "p_stripes"), "double"),
        **dict.fromkeys(("unknown", "undecided"), "bool"),
    }
    for row, told in zip(rows_of(tmp_path / "a.csv"), table.to_pylist(), strict=True):
        assert list(row) == list(told)
        for name, value in told.items():
            if value is None:
                assert row[name] == ""
            elif types[name] == "double":
                assert float(row[name]) == value
            else:
                assert row[name] == (str(value).lower() if name == "unknown" else value)


def test_numbers_are_numbers_in_parquet(tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    from striate.run.tables import table_for
    from striate.tasks.task import task_named

    table = table_for(".parquet", tmp_path / "x.parquet", task_named("regression"), ())
    rows = [["a", 1.5, 1.0, 2.0, "false", -0.5, ""], ["b", "", "", "", "", "", "empty file"]]
    with (tmp_path / "x.parquet").open("wb") as file:
        table.join([table.part(rows[:1]), table.part(rows[1:])], file)
    first, second = parquet.read_table(tmp_path / "x.parquet").to_pylist()
    assert first["prediction"] == 1.5 and first["unknown"] is False and first["reason"] is None
    assert second["prediction"] is None and second["reason"] == "empty file"


def test_an_unfinished_file_is_not_begun_anew_nor_of_other_inputs(
    probe_run, many, photos, tmp_path, stopping
):
    out = tmp_path / "a.csv"
    stopping("after")
    with pytest.raises(StoppedError):
        predict_to_file(probe_run, many, out, part_rows=ROWS)
    stopping("never")
    with pytest.raises(OptionError, match="an unfinished one is there; go on with `resume=True`"):
        predict_to_file(probe_run, many, out, part_rows=ROWS)
    with pytest.raises(OptionError, match="an unfinished one is there, of other items, ids"):
        predict_to_file(probe_run, photos, out, part_rows=ROWS, resume=True)


def test_fault_64_a_damaged_part_is_computed_again(probe_run, many, tmp_path, stopping):
    predict_to_file(probe_run, many, tmp_path / "whole.csv", part_rows=ROWS)
    out = tmp_path / "a.csv"
    stopping("after")
    with pytest.raises(StoppedError):
        predict_to_file(probe_run, many, out, part_rows=ROWS)
    stopping("never")
    (part,) = (tmp_path / ".a.csv.parts").glob("*-*-*")
    content = bytearray(part.read_bytes())
    content[len(content) // 2] ^= 4
    part.write_bytes(content)
    with pytest.raises(RunError, match="is not as it was written; go on with `resume=True`"):
        predict_to_file(probe_run, many, out, part_rows=ROWS, resume=True)
    assert not out.exists()
    predict_to_file(probe_run, many, out, part_rows=ROWS, resume=True)
    assert out.read_bytes() == (tmp_path / "whole.csv").read_bytes()


def test_several_processes_write_one_file(probe_run, many, tmp_path):
    predict_to_file(probe_run, many, tmp_path / "whole.csv", part_rows=ROWS)
    out = tmp_path / "a.csv"

    def work(process):
        predict_to_file(probe_run, many, out, part_rows=ROWS, process=process, num_processes=3)

    others = [threading.Thread(target=work, args=(process,)) for process in (1, 2)]
    for other in others:
        other.start()
    work(0)
    for other in others:
        other.join()
    assert out.read_bytes() == (tmp_path / "whole.csv").read_bytes()
    assert {path.name for path in tmp_path.iterdir()} == {"whole.csv", "a.csv"}


def test_a_process_may_end_after_the_file_is_finished(probe_run, many, tmp_path, monkeypatch):
    out, write = tmp_path / "a.csv", bulk._Parts.write
    first = threading.Thread(
        target=predict_to_file,
        args=(probe_run, many, out),
        kwargs={"part_rows": ROWS, "num_processes": 2},
    )

    def late(parts, number, content, predictions):
        part = write(parts, number, content, predictions)
        if number == 3:  # the last of the second process
            first.join()
            assert out.exists() and not parts.folder.exists()
        return part

    monkeypatch.setattr(bulk._Parts, "write", late)
    first.start()
    written = predict_to_file(probe_run, many, out, part_rows=ROWS, process=1, num_processes=2)
    assert written.num_items == 72


@pytest.mark.parametrize(("rank", "code"), [("0", 2), ("1", 0)])
def test_the_first_of_several_processes_tells_what_cannot_be_read(
    rank, code, probe_run, tmp_path, monkeypatch, capsys
):
    written = bulk.Written(path=tmp_path / "a.csv", num_items=9, num_unreadable=1)
    monkeypatch.setattr(bulk, "predict_to_file", lambda *_, **__: written)
    monkeypatch.setenv("RANK", rank)
    monkeypatch.setenv("WORLD_SIZE", "2")
    path = str(probe_run.folder.path)
    assert command_line(["predict", path, str(tmp_path), "--out", str(written.path)]) == code
    assert bool(capsys.readouterr().out) == (rank == "0")


def test_another_process_that_has_ended_is_missed(probe_run, many, tmp_path, monkeypatch):
    monkeypatch.setattr(bulk, "_PATIENCE", 0.3)
    with pytest.raises(MachineError, match=r"another process that writes .* has ended"):
        predict_to_file(probe_run, many, tmp_path / "a.csv", num_processes=2, part_rows=ROWS)
    predict_to_file(probe_run, many, tmp_path / "a.csv", part_rows=ROWS, resume=True)


def test_one_process_at_a_time(probe_run, many, tmp_path):
    from striate.files import file_lock

    folder = tmp_path / ".a.csv.parts"
    folder.mkdir()
    with (
        file_lock(folder / "process-0.lock"),
        pytest.raises(RunError, match=f"is being written by process {os.getpid()}"),
    ):
        predict_to_file(probe_run, many, tmp_path / "a.csv")


def test_few_items_are_answered_as_predict_answers_them(probe_run, photos, tmp_path):
    names = sorted((photos / "disc").iterdir())[:3]
    probe_run.predict_to_file(names, tmp_path / "a.csv")
    cells = [probe_run.task.cells(p) for p in probe_run.predict(names)]
    assert [row["confidence"] for row in rows_of(tmp_path / "a.csv")] == [c[1] for c in cells]


def test_only_tables_are_written(probe_run, photos, tmp_path):
    with pytest.raises(OptionError, match="no such table is written; end it in "):
        probe_run.predict_to_file(photos, tmp_path / "a.xlsx")
    mine = tmp_path / "mine.parquet"
    mine.write_bytes(b"PAR1 and mine")
    with pytest.raises(OptionError, match="Striate did not write it"):
        probe_run.predict_to_file(photos, mine)


_KILLED = """
import os, signal, sys
from pathlib import Path
import striate
from striate.run import bulk, tables

run = striate.load(sys.argv[1])
out, *many = Path(sys.argv[2]), *sys.argv[3:]
run.predictor
for moment in range(10):
    child = os.fork()
    if child == 0:
        written = []
        fsync = os.fsync

        def killing(descriptor):
            written.append(1)
            if len(written) > moment % 2:
                os.kill(os.getpid(), signal.SIGKILL)
            fsync(descriptor)

        os.fsync = killing
        bulk.predict_to_file(run, many, out, part_rows=16, resume=True)
        os._exit(0)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert not out.exists()
    print(code)
bulk.predict_to_file(run, many, out, part_rows=16, resume=True)
"""


@pytest.mark.slow  # 10 s
def test_fault_59_killed_ten_times_by_the_system(probe_run, many, tmp_path):
    predict_to_file(probe_run, many, tmp_path / "whole.csv", part_rows=ROWS)
    out = tmp_path / "a.csv"
    command = [sys.executable, "-c", _KILLED, str(probe_run.folder.path), str(out), *many]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=280)
    assert done.stdout.split() == ["-9"] * 10, done.stderr
    assert out.read_bytes() == (tmp_path / "whole.csv").read_bytes()
    assert {path.name for path in tmp_path.iterdir()} == {"whole.csv", "a.csv"}


@pytest.mark.slow
@pytest.mark.timeout(600)  # of a busy machine
def test_two_processes_of_torchrun_write_one_file_though_one_was_killed(probe_run, tmp_path):
    images = np.random.default_rng(0).integers(0, 255, (3200, 64, 64, 3), dtype=np.uint8)
    new = str(tmp_path / "new.npy")
    np.save(new, images)
    probe_run.predict_to_file(new, tmp_path / "whole.parquet")
    command = [sys.executable, "-c", "from striate.cli.main import main; main()"]
    arguments = ["predict", probe_run.folder.path, new, "--out", "a.parquet", "--resume"]
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--no-python"]
    process = subprocess.Popen(
        [*launcher, "--nproc-per-node", "2", *command, *map(str, arguments)],
        cwd=tmp_path,
        stderr=subprocess.DEVNULL,
    )
    parts = tmp_path / ".a.parquet.parts"
    second = parts / "process-1.lock-owner"
    while not (second.exists() and second.read_text() and list(parts.glob("*-*-*"))):
        assert process.poll() is None
        time.sleep(0.05)
    os.kill(int(second.read_text()), signal.SIGKILL)
    assert process.wait(120) != 0 and not (tmp_path / "a.parquet").exists()
    done = subprocess.run(
        [*launcher, "--nproc-per-node", "2", *command, *map(str, arguments)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "3200 predictions written to a.parquet"
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "whole.parquet").read_bytes()
    assert not parts.exists()
