"""Learning rates as pure functions of the step."""

from __future__ import annotations

import math


def warmup_cosine(step: float, *, total_steps: int, warmup_steps: int) -> float:
    """Share of the highest learning rate at a step: a linear rise, then half a cosine to zero.

    The first step of the warm-up has 1 / warmup_steps, its last one 1; the cosine would reach zero
    at `total_steps`, one after the last step.

    Args:
        step: from 0; between two steps where the schedule is compressed.
        total_steps: of the run.
        warmup_steps: of the rise; 0 for none.

    Source: Loshchilov and Hutter, SGDR, ICLR 2017, equation 5, without restarts.

    >>> [round(warmup_cosine(s, total_steps=6, warmup_steps=2), 3) for s in range(6)]
    [0.5, 1.0, 1.0, 0.854, 0.5, 0.146]
    """
    if step < warmup_steps:
        return min(1.0, (step + 1) / warmup_steps)
    progress = (step - warmup_steps) / max(1, total_steps - warmup_steps)
    return 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))
