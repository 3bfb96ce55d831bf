"""New items as a run sees them: predictions of all, and what a caller keeps of their features."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from striate.data.source import Item, Reading, Skip, Source
from striate.errors import DataError, one_line
from striate.progress import Progress
from striate.run.run import Run
from striate.tasks.prediction import Prediction


@dataclass(frozen=True, kw_only=True)
class Seen:
    """New items that a run has looked at.

    Attributes:
        source: Where they come from.
        places: Position of each readable item in the source's listing.
        predictions: What the run predicts for each of them.
        num_skipped: Number of items that could not be read.
    """

    source: Source
    places: Sequence[int]
    predictions: Sequence[Prediction]
    num_skipped: int

    @property
    def items(self) -> list[Item]:
        """The readable items."""
        listed = self.source.listing.items
        return [listed[place] for place in self.places]


def look_at(
    run: Run,
    source: Source,
    *,
    answered: Callable[[Sequence[Prediction], Float[np.ndarray, "b f"]], object],
    reading: Callable[[int, Item, Reading], object] = lambda position, item, reading: None,
    progress: Progress,
) -> Seen:
    """Predict for all items of a source, and show what the network makes of them on the way.

    Args:
        run: The run.
        source: What `Run.open` gave.
        answered: Given the predictions and the features of each batch of readable items in turn.
        reading: Given each readable item with its position among them.
        progress: Told of the work.

    Raises:
        DataError: Not one item can be read.
    """
    kept: list[Item] = []
    places: list[int] = []
    listed = source.listing.items

    def readings() -> Iterator[Reading]:
        with progress.track("looking", len(listed), "items") as tracker:
            for place, (item, found) in enumerate(run.read(source, listed)):
                tracker.advance()
                if isinstance(found, Skip):
                    progress.say(f"cannot read {one_line(item.id)}: {one_line(found.reason)}")
                    continue
                reading(len(kept), item, found)
                kept.append(item)
                places.append(place)
                yield found

    predictions: list[Prediction] = []
    for part in run.predictor.parts(readings()):
        # The reader may be some items ahead of the network.
        own = kept[len(predictions) : len(predictions) + len(part.outputs)]
        found = run.described(own, [part])
        answered(found, part.features.numpy())
        predictions += found
    if not kept:
        raise DataError(f"{source.name}: not one item can be read")
    skipped = len(listed) + len(source.listing.skipped) - len(kept)
    return Seen(source=source, places=places, predictions=predictions, num_skipped=skipped)
