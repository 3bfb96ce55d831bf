"""Whether an explanation is true: what happens to the logit when the marked places are blanked.

In one curve the places are blanked in the order of their heat, in the other all but the hottest are
(deletion and insertion: Petsiuk, Das, Saenko, "RISE: Randomized Input Sampling for Explanation of
Black-box Models", BMVC 2018). Random orders of the same cells tell what a map would reach that knows
nothing.

Axes: c channels, m masks.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, chain
from typing import Final

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from numpy.typing import NDArray
from torch import Tensor

from striate.explain.gradient import grid_score
from striate.explain.method import GridExplainable

NUM_STEPS: Final = 16
"""Points of a curve."""

NUM_CELLS: Final = 64
"""About how many cells are blanked one after the other, over all axes together."""

NUM_ORDERS: Final = 4
"""Number of random orders."""

_BATCH: Final = 16
_FAR: Final = 2.0
"""Standard deviations of the random orders' gains from which a gain is no chance: one map in
seventeen that knows nothing gets so far (Student's t with 4 degrees of freedom)."""


@dataclass(frozen=True, kw_only=True)
class Fidelity:
    """How the logit follows the heat.

    Attributes:
        deletion: (steps,) Logit without the hottest cells, more and more of them.
        insertion: (steps,) Logit of the hottest cells alone, more and more of them.
        random_gains: (orders,) The gains of random orders, which are 0 on average.
    """

    deletion: Float[np.ndarray, " steps"]
    insertion: Float[np.ndarray, " steps"]
    random_gains: Float[np.ndarray, " orders"]

    @property
    def gain(self) -> float:
        """How far the one curve lies above the other, on average."""
        return _gain(self.deletion, self.insertion)

    @property
    def beats_random(self) -> bool:
        """Whether the gain is larger than that of random orders by more than chance."""
        # Turning an order around changes the sign of its gain: their mean is 0, and known.
        return self.gain > _FAR * float(np.sqrt(np.square(self.random_gains).mean()))


def fidelity(
    network: GridExplainable,
    inputs: Float[Tensor, "1 c *space"],
    target: int,
    heat: Float[np.ndarray, " *space"],
    *,
    steps: int = NUM_STEPS,
) -> Fidelity:
    """Measure both curves of one input. A blank is zero: the mean of the training items.

    Args:
        network: The network, in evaluation mode.
        inputs: The normalized input.
        target: Number of the output that is explained.
        heat: Its explanation.
        steps: Points of a curve; each takes two passes, of the heat and of each random order.
    """
    return fidelities(network, inputs, target, [heat], steps=steps)[0]


def fidelities(
    network: GridExplainable,
    inputs: Float[Tensor, "1 c *space"],
    target: int,
    heats: Sequence[Float[np.ndarray, " *space"]],
    *,
    steps: int = NUM_STEPS,
) -> list[Fidelity]:
    """`fidelity` of several explanations of one input, which share the random orders.

    Args:
        network: The network, in evaluation mode.
        inputs: The normalized input.
        target: Number of the output that is explained.
        heats: Its explanations.
        steps: Points of a curve; each takes two passes, of each heat and of each random order.
    """
    cell_of = _cells(heats[0].shape)

    def curves(order: NDArray[np.int64]) -> Float[np.ndarray, "2 steps"]:
        return _curves(network, inputs, target, cell_of, order, steps)

    gains = np.array([_gain(*curves(order)) for order in _random_orders(cell_of)])
    found = []
    for heat in heats:
        deletion, insertion = curves(_order(cell_of, heat))
        found.append(Fidelity(deletion=deletion, insertion=insertion, random_gains=gains))
    return found


def beats_random(
    network: GridExplainable,
    inputs: Float[Tensor, "1 c *space"],
    target: int,
    heat: Float[np.ndarray, " *space"],
    *,
    steps: int = NUM_STEPS,
) -> bool:
    """`Fidelity.beats_random`, computed no further than until it is certain.

    The squares of the random gains only add up: what they have passed once they stay above.

    Args:
        network: The network, in evaluation mode.
        inputs: The normalized input.
        target: Number of the output that is explained.
        heat: Its explanation.
        steps: Points of a curve; each takes two passes, of the heat and of each random order.
    """
    cell_of = _cells(heat.shape)
    orders = chain([_order(cell_of, heat)], _random_orders(cell_of))
    gains = (_gain(*_curves(network, inputs, target, cell_of, each, steps)) for each in orders)
    gain = next(gains)
    if gain <= 0:
        return False
    squares = accumulate(each**2 for each in gains)
    return all(gain**2 > _FAR**2 * total / NUM_ORDERS for total in squares)


def checked(
    network: GridExplainable, inputs: Tensor, target: int, heat: NDArray[np.floating], steps: int
) -> tuple[bool, bool | None]:
    """Whether there is evidence at all, and whether it beats random orders; None for no steps."""
    if not heat.any() or not steps:
        return bool(heat.any()), None
    return True, beats_random(network, inputs, target, heat, steps=steps)


def _curves(
    network: GridExplainable,
    inputs: Float[Tensor, "1 c *space"],
    target: int,
    cell_of: Int64[np.ndarray, " *space"],
    order: NDArray[np.int64],
    steps: int,
) -> Float[np.ndarray, "2 steps"]:
    """Deletion and insertion of cells in an order."""
    logits = _logits(network, inputs, target, _masks(order, steps), cell_of)
    return logits.reshape(2, steps)


def _order(
    cell_of: Int64[np.ndarray, " *space"], heat: Float[np.ndarray, " *space"]
) -> NDArray[np.int64]:
    """The cells by their mean heat, the hottest first."""
    sizes = np.bincount(cell_of.ravel())
    warmth = np.bincount(cell_of.ravel(), heat.ravel(), len(sizes)) / sizes
    return np.argsort(-warmth, kind="stable")


def _random_orders(cell_of: Int64[np.ndarray, " *space"]) -> Iterator[NDArray[np.int64]]:
    """The same cells in random orders."""
    rng, num_cells = np.random.default_rng(0), int(cell_of.max()) + 1
    return (rng.permutation(num_cells) for _ in range(NUM_ORDERS))


def _gain(deletion: Float[np.ndarray, " steps"], insertion: Float[np.ndarray, " steps"]) -> float:
    """How far the one curve lies above the other, on average."""
    return float(insertion.mean() - deletion.mean())


def _cells(space: tuple[int, ...]) -> Int64[np.ndarray, " *space"]:
    """The number of each place's cell: equally many along each axis."""
    along = max(1, int(NUM_CELLS ** (1 / len(space)) + 1e-9))
    number = np.zeros(space, np.int64)
    for axis, size in enumerate(space):
        count = min(along, size)
        places = np.arange(size) * count // size
        number = number * count + places.reshape(
            [-1 if a == axis else 1 for a in range(len(space))]
        )
    return number


def _masks(order: NDArray[np.int64], steps: int) -> Bool[np.ndarray, "m cells"]:
    """The cells that are shown: without the first of an order, then with these alone."""
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    counts = np.round(np.arange(1, steps + 1) * len(order) / (steps + 1))
    first = rank < counts[:, None]
    return np.concatenate([~first, first])


def _logits(
    network: GridExplainable,
    inputs: Tensor,
    target: int,
    shown: Bool[np.ndarray, "m cells"],
    cell_of: Int64[np.ndarray, " *space"],
) -> Float[np.ndarray, " m"]:
    found = []
    places = torch.from_numpy(cell_of).to(inputs.device)
    with torch.no_grad():
        for masks in torch.split(torch.from_numpy(shown).to(inputs.device), _BATCH):
            targets = torch.full((len(masks),), target, device=inputs.device)
            seen = inputs * masks[:, places][:, None].to(inputs.dtype)
            found.append(grid_score(network, targets)(seen).float().cpu())
    return torch.cat(found).numpy().astype(np.float64)
