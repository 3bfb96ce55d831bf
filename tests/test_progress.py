import io
import re
import sys
from types import SimpleNamespace

import pytest

from striate.progress import Progress, as_progress, duration, in_notebook


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_without_a_terminal_plain_lines_with_rate_and_time_left():
    out = io.StringIO()
    with Progress(out, interval=0).track("reading", 4, "images") as tracker:
        tracker.advance()
        tracker.advance(3, "loss 0.5")
    first, last = out.getvalue().splitlines()
    assert first.startswith("reading: 1/4 images, ")
    assert " left" in first
    assert last.startswith("reading: 4/4 images, ")
    assert last.endswith("loss 0.5")
    assert " left" not in last


def test_a_terminal_gets_a_bar():
    out = Terminal()
    with Progress(out).track("reading", 2, "images") as tracker:
        tracker.advance(2, "loss 0.5")
    assert "2/2" in out.getvalue()
    assert "loss 0.5" in out.getvalue()


def test_quiet_writes_nothing():
    out = Terminal()
    progress = Progress(out, quiet=True)
    progress.say("hello")
    with progress.track("reading", 2) as tracker:
        tracker.advance(2)
    assert out.getvalue() == ""


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.04, "0.0 s"), (59.94, "59.9 s"), (60, "1 min 00 s"), (3599.6, "1 h 00 min")],
)
def test_duration(seconds, text):
    assert duration(seconds) == text


def test_a_function_is_called_with_each_line():
    lines: list[str] = []
    progress = as_progress(lines.append)
    progress.say("hello")
    with progress.track("reading", 2, "images") as tracker:
        tracker.advance(2)
    assert lines[0] == "hello"
    assert lines[1].startswith("reading: 2/2 images, ")
    assert len(lines) == 2


def test_what_the_argument_progress_stands_for(capsys):
    own = Progress(io.StringIO())
    assert as_progress(own) is own
    assert as_progress(False).quiet
    assert as_progress(None).quiet
    as_progress(True).say("hello")
    assert capsys.readouterr() == ("", "hello\n")


def test_a_notebook_shows_progress_in_one_line_of_the_cell(monkeypatch, capsys):
    shell = SimpleNamespace(kernel=object())
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))
    assert as_progress(False).quiet
    progress = as_progress(None)
    progress.interval = 0
    with progress.track("reading", 2, "images") as tracker:
        tracker.advance(note="loss 0.123456789")
        tracker.advance(note="loss 1")
    out = capsys.readouterr().out
    first, last = out.rstrip("\n").split("\r")
    assert first.startswith("reading: 1/2 images, ")
    assert last.rstrip().endswith("loss 1")
    assert len(last) >= len(first)
    assert out.count("\n") == 1


def test_a_terminal_of_ipython_is_no_notebook(monkeypatch):
    shell = SimpleNamespace()
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))
    assert not in_notebook()


def test_a_rate_is_written_without_an_exponent():
    out = io.StringIO()
    with Progress(out, interval=0).track("reading", 10**9, "rows") as tracker:
        tracker.advance(10**9)
    assert re.search(r"rows, [\d,]{9,}/s", out.getvalue())
