"""SIGINT and SIGTERM: the first ends the work in good order, a second leaves at once."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from types import FrameType
from typing import Any, Self

from striate.train.history import StopWish

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupt:
    """Listens for signals inside a `with` block, in the main thread.

    Called, it returns what the first one asks for: SIGINT (Ctrl-C) to finish with what there is,
    "finish"; SIGTERM to save and stop, True. `exit_code` is then 128 plus its number (130 or
    143).

    Args:
        announce: Told what happens, in one line, at the first signal.
    """

    def __init__(self, announce: Callable[[str], None] | None = None) -> None:
        self.received: signal.Signals | None = None
        self._announce = announce
        self._before: dict[signal.Signals, Any] = {}

    def __call__(self) -> StopWish:
        """What the signal asks for; False where none came."""
        return "finish" if self.received == signal.SIGINT else self.received is not None

    @property
    def exit_code(self) -> int:
        """What the process should exit with; 0 without a signal."""
        return 0 if self.received is None else 128 + self.received

    def __enter__(self) -> Self:
        self._before = {number: signal.signal(number, self._handle) for number in SIGNALS}
        return self

    def __exit__(self, *error: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.received is not None:  # the system's own action ends the process here and now
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        self.received = signal.Signals(number)
        if self._announce is not None:
            action = "saving, then stopping"
            if self() == "finish":
                action = "finishing with the best model so far"
            self._announce(f"{self.received.name}: {action}; once more to leave at once")
