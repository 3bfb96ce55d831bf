"""Files written whole, locks, and the cache folder; also on a system without fcntl."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from striate.errors import OptionError, StorageError
from striate.files import (
    FileInUseError,
    check_output,
    check_output_folder,
    file_lock,
    os_reason,
    user_cache_folder,
    write_atomic,
)

HOLD = """
import sys, time
from pathlib import Path
from striate.files import file_lock
with file_lock(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def test_modules_are_imported_where_there_is_no_fcntl():
    program = (
        "import sys; sys.modules['fcntl'] = None\n"
        "import striate.files, striate.run.folder\n"
        "assert not [name for name in sys.modules if name == 'fcntl' and sys.modules[name]]"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_lock_names_the_process_that_holds_it_and_ends_with_it(tmp_path):
    path = tmp_path / ".lock"
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(path)], stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"held\n"
    said = f"in use by process {process.pid}"
    with pytest.raises(FileInUseError, match=said) as caught, file_lock(path):
        pass
    assert caught.value.owner == str(process.pid)
    process.kill()
    process.communicate()
    with file_lock(path):
        pass


def test_a_lock_is_let_go_of_when_the_work_under_it_fails(tmp_path):
    with pytest.raises(RuntimeError), file_lock(tmp_path / ".lock"):
        raise RuntimeError
    with (
        file_lock(tmp_path / ".lock"),
        pytest.raises(FileInUseError, match=str(os.getpid())),
        file_lock(tmp_path / ".lock"),
    ):
        pass


def test_files_are_written_where_folders_cannot_be_opened(tmp_path, monkeypatch):
    monkeypatch.delattr(os, "O_DIRECTORY")
    monkeypatch.setattr(os, "open", lambda *given: pytest.fail("a folder was opened"))
    write_atomic(tmp_path / "a", b"whole")
    assert (tmp_path / "a").read_bytes() == b"whole"


def test_the_cache_folder_is_the_users(monkeypatch, tmp_path):
    monkeypatch.delenv("STRIATE_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert user_cache_folder() == tmp_path / "striate"
    monkeypatch.setenv("STRIATE_CACHE", str(tmp_path / "mine"))
    assert user_cache_folder() == tmp_path / "mine"


def test_reasons_are_plain_words():
    assert os_reason(FileNotFoundError(2, "No such file or directory")) == "file not found"
    assert os_reason(OSError(5, "Input/output error")) == "input/output error"


def test_a_lock_leaves_nothing_of_its_owner_where_work_fails(tmp_path):
    with pytest.raises(ValueError, match="work"), file_lock(tmp_path / ".lock"):
        assert (tmp_path / ".lock-owner").read_text() == str(os.getpid())
        raise ValueError("work")
    assert not (tmp_path / ".lock-owner").exists()


def test_fault_61_a_lock_on_a_full_disk_is_told_and_let_go(tmp_path, monkeypatch):
    def full(path, text):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with (
        pytest.raises(StorageError, match=r"no space for .*\.lock-owner"),
        file_lock(tmp_path / ".lock"),
    ):
        pass
    monkeypatch.undo()
    with file_lock(tmp_path / ".lock"):
        assert (tmp_path / ".lock-owner").read_text() == str(os.getpid())


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="the system has no pipes with names")
def test_what_is_no_file_is_never_replaced_by_one(tmp_path):
    pipe = tmp_path / "pipe.csv"
    os.mkfifo(pipe)
    for path, what in ((pipe, "not a regular file"), (tmp_path, "a folder, not a file")):
        with pytest.raises(OptionError, match=what):
            check_output(path, [], "out")
        with pytest.raises(StorageError, match=what):
            write_atomic(path, b"content")
    assert pipe.is_fifo() and list(tmp_path.iterdir()) == [pipe]


def test_an_output_needs_its_folder_before_the_work_begins(tmp_path):
    path = tmp_path / "none/page.html"
    with pytest.raises(OptionError, match=r"there is no folder '.*none'; make it first"):
        check_output(path, [], "html")
    check_output(path, [], "out", makes_folder=True)
    with pytest.raises(StorageError, match=r"there is no folder '.*none'; make it"):
        write_atomic(path, b"content")
    (tmp_path / "file").write_text("content")
    with pytest.raises(OptionError, match="is a file, and a folder is needed"):
        check_output_folder(tmp_path / "file", [], "out")


def test_what_a_link_leads_to_is_written_and_the_link_stays(tmp_path):
    (tmp_path / "there").mkdir()
    link = tmp_path / "latest.csv"
    link.symlink_to("there/1.csv")
    for content in (b"new", b"again"):
        write_atomic(link, content)
        assert link.is_symlink() and (tmp_path / "there/1.csv").read_bytes() == content
