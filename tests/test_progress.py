import io

import pytest

from striate.progress import Progress, duration


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
