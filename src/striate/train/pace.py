"""How long a training goes on: looked at anew after each epoch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from striate.progress import counted

GROWTH: Final = 1.5
"""A plan grows where the time allows at least so many times its epochs: a little more changes
little, and the learning rate goes up again."""

MIN_PATIENCE: Final = 5
"""Least number of epochs without a better validation after which a training comes to its end."""

PATIENCE_SHARE: Final = 0.25
"""That number as a share of the planned epochs."""

MIN_EPOCHS_TO_JUDGE: Final = 4
JUDGED_SHARE: Final = 0.5
"""Epochs before which nobody can tell where a training will end, at least and as a share of the
planned ones: the gain often comes with the falling learning rate."""

OPTIMISM: Final = 2.0
"""A training is given up where even so many times its present gain an epoch would not be enough."""


class Course(NamedTuple):
    """What becomes of a training.

    Attributes:
        epochs: Number of epochs that it has in all.
        why: One line for the user; empty where the plan stays.
        ending: Whether the learning rate goes to zero because validation got no better.
    """

    epochs: int
    why: str = ""
    ending: bool = False


@dataclass(frozen=True, kw_only=True)
class Pace:
    """The limits of a training that is planned by time.

    Attributes:
        seconds_left: Gives the seconds after which no further step begins.
        max_epochs: Largest number of epochs, however much time there is.
        to_beat: Validation metric of the best model so far, which the training must undercut to
            be of use; None where there is none.
    """

    seconds_left: Callable[[], float]
    max_epochs: int
    to_beat: float | None = None

    def course(
        self, values: Sequence[float], planned: int, seconds_per_epoch: float, *, ending: bool
    ) -> Course:
        """What becomes of the training after an epoch.

        The plan shrinks where the time has become too short for it, and grows where there is much
        more. A training whose validation gets no better comes to its end within a few epochs, over
        which the learning rate still goes to zero, and one that cannot win any more ends at once.

        Args:
            values: Validation metric of each epoch so far; less is better.
            planned: Number of epochs that the training is to have.
            seconds_per_epoch: Seconds that the last epoch took, validation included.
            ending: Whether the training is coming to its end already.
        """
        done, left = len(values), planned - len(values)
        best = np.fmin.accumulate(np.asarray(values, float))
        if left and (end := self._hopeless(best, planned)) is not None:
            return Course(
                done,
                f"given up after epoch {done} of {planned}: validation {best[-1]:.4f}, at "
                f"{OPTIMISM:g} times its present gain {end:.4f} in the end, and the best so far "
                f"has {self.to_beat:.4f}",
            )
        affordable = max(0, int(self.seconds_left() / seconds_per_epoch))
        if affordable < left:
            more = counted(affordable, "more epoch")
            return Course(done + affordable, f"the time allows {more}, not {left}", ending)
        if ending:
            return Course(planned, ending=True)
        without_gain = int(done - 1 - np.argmax(best == best[-1]))
        patience = max(MIN_PATIENCE, int(PATIENCE_SHARE * planned))
        last = max(1, patience // 2)
        if without_gain >= patience:
            if left <= last:
                return Course(planned)
            why = f"validation is no better since epoch {done - without_gain}"
            return Course(done + last, f"{why}: {counted(last, 'more epoch')}, not {left}", True)
        longer = min(done + affordable, self.max_epochs)
        if longer >= GROWTH * planned:
            more = counted(longer - done, "more epoch")
            return Course(longer, f"the time allows {more}, not {left}")
        return Course(planned)

    def _hopeless(self, best: NDArray[np.float64], planned: int) -> float | None:
        """Where the training would end at a generous gain, if that does not win; None else.

        The gain of an epoch is that of late or that since the first, whichever is more.
        """
        done = len(best)
        if self.to_beat is None or done < max(MIN_EPOCHS_TO_JUDGE, JUDGED_SHARE * planned):
            return None
        gain = max(
            (best[done - 1 - back] - best[-1]) / back for back in (max(2, done // 3), done - 1)
        )
        end = float(best[-1] - OPTIMISM * gain * (planned - done))
        return end if end > self.to_beat else None
