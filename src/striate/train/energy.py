"""The energy that the processors took, where the machine can be asked (Linux: RAPL).

Source: the kernel's "Power Capping Framework", `Documentation/power/powercap/powercap.rst`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

POWERCAP: Final = Path("/sys/class/powercap")

MAX_WATTS: Final = 500.0
"""Power of one processor up to which a counter is sure to have begun anew at most once."""


class EnergyMeter:
    """Counts the energy of all processor packages from the moment that it is made.

    Args:
        root: Where the kernel shows the counters.
        clock: Gives seconds.
    """

    def __init__(self, root: Path = POWERCAP, clock: Callable[[], float] = time.monotonic) -> None:
        self._root, self._clock = root, clock
        self._began, self._before = clock(), _counters(root)

    def joules(self) -> float | None:
        """The energy so far, of everything that ran on the processors; None where it is not known."""
        now, seconds = _counters(self._root), self._clock() - self._began
        if not now or now.keys() != self._before.keys():
            return None
        total = 0.0
        for zone, (microjoules, span) in now.items():
            if seconds * MAX_WATTS * 1e6 > span:
                return None  # the counter may have begun anew more than once
            total += (microjoules - self._before[zone][0]) % span
        return total / 1e6


def _counters(root: Path) -> dict[str, tuple[int, int]]:
    """The counter of each processor package and where it begins anew, in microjoules, by zone."""
    found = {}
    for zone in sorted(root.glob("*-rapl:*")):
        # A zone of three parts is within another, and "psys" is around the others.
        if zone.name.count(":") > 1:
            continue
        try:
            if (zone / "name").read_text().strip() == "psys":
                continue
            values = [
                int((zone / name).read_text()) for name in ("energy_uj", "max_energy_range_uj")
            ]
        except (OSError, ValueError):
            # Most systems let nobody but root read the counters.
            return {}
        found[zone.name] = (values[0], values[1] + 1)
    return found
