"""What the page asks for: the network, the items, maps and cells, computed once and kept."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from functools import cached_property
from threading import Lock, RLock
from typing import Any, Final, cast

import numpy as np
import torch
from jaxtyping import Float

from striate.analysis import summary
from striate.errors import ArgumentError, DataError, one_line
from striate.explorer.document import network_document
from striate.explorer.influence import METHODS, Marks, effective, evidence, marked, verdict
from striate.explorer.learn import Looked, exercises, tour
from striate.explorer.maps import one_map, picture, small_maps
from striate.explorer.numbers import finite, packed
from striate.explorer.subjects.subject import Entry, Explored, Opened, Subject
from striate.explorer.walked import Walked, logits_of
from striate.nn.layout import channels_last
from striate.transfer.features import prepare

KEPT: Final = 3
"""Items whose values are kept; those of a large network take hundreds of megabytes."""

MAX_CLASSES: Final = 1000
"""Outputs that are sent of a network."""

MAX_ADDED: Final = 32
"""Files that may be given to the page; their content is kept while it is served."""

MAX_NAME: Final = 120
"""Characters of a file's name that are shown."""


class _Visited:
    """An item that was opened; its values at every layer are computed when they are needed.

    Args:
        network: The network.
        opened: The item.
        lock: Held while the network computes.
    """

    def __init__(self, network: Explored, opened: Opened, lock: RLock) -> None:
        self.opened = opened
        self.marks: dict[str, Marks] = {}
        self._network, self._lock = network, lock
        self._walked: Walked | None = None
        self._logits: Float[np.ndarray, " outputs"] | None = None

    @property
    def walked(self) -> Walked:
        """The values at every layer."""
        with self._lock:
            if self._walked is None:
                self._walked = Walked.through(self._network, self.opened.x)
            return self._walked

    @property
    def logits(self) -> Float[np.ndarray, " outputs"]:
        """What the network says, which is there sooner than what every layer makes."""
        with self._lock:
            if self._logits is None and self._walked is not None:
                self._logits = self._walked.logits
            elif self._logits is None:
                self._logits = logits_of(self._network, self.opened.x)
            return self._logits


class Session:
    """A network being looked at.

    Args:
        subject: The network and its items.
        has_data: Whether the page of the data of a run lies beside the page of the network.
    """

    def __init__(self, subject: Subject, *, has_data: bool = False) -> None:
        self.subject = subject
        self.has_data = has_data
        self._lock = RLock()
        self._checking = Lock()
        self._added = 0
        self._visited: OrderedDict[int, _Visited] = OrderedDict()

    @cached_property
    def network(self) -> dict[str, Any]:
        """The network with its stages and layers, and the items to choose from."""
        subject = self.subject
        first = self.first
        walked = self._visit(first).walked
        found = network_document(summary(subject.network, walked.item.array.shape), walked)
        return {
            **found,
            "name": subject.name,
            "notes": list(subject.notes),
            "classes": list(subject.classes),
            "first": first,
            "items": [_listed(entry) for entry in subject.entries],
            "data": self.has_data,
        }

    @cached_property
    def first(self) -> int:
        """The first item that can be read.

        Raises:
            DataError: None can be.
        """
        for number in range(len(self.subject.entries)):
            try:
                self._visit(number)
            except DataError:
                continue
            return number
        self._visit(0)
        return 0

    def add(self, name: str, content: bytes) -> dict[str, Any]:
        """Take a file that was given to the page as one more item.

        Raises:
            ArgumentError: Too many were given.
            DataError: It cannot be read.
        """
        with self._lock:
            if self._added >= MAX_ADDED:
                raise ArgumentError(f"{MAX_ADDED} files were given", fix="start the page anew")
            self.subject.add(one_line(name)[:MAX_NAME] or "a file", content)
            self._added += 1
            number = len(self.subject.entries) - 1
            return {"item": number, **_listed(self.subject.entries[number])}

    def item(self, number: int) -> dict[str, Any]:
        """One item: its picture, and what the network says of it.

        Raises:
            ArgumentError: There is no such item.
            DataError: It cannot be read.
        """
        visited = self._visit(number)
        drawn = picture(visited.opened.raw)
        return {
            "item": number,
            "picture": None if drawn is None else packed(drawn),
            "answer": visited.opened.answer,
            "outputs": self._outputs(visited),
        }

    def maps(self, item: int, node: int, first: int, depth: int | None) -> dict[str, Any]:
        """Some channels of a layer, small; see `small_maps`."""
        return small_maps(self._visit(item).walked.grid(node), first, depth)

    def map(self, item: int, node: int, channel: int, depth: int | None) -> dict[str, Any]:
        """One channel of a layer with every value; see `one_map`."""
        return one_map(self._visit(item).walked.grid(node), channel, depth)

    def vector(self, item: int, node: int) -> dict[str, Any]:
        """All values of a layer without space."""
        return {"values": packed(self._visit(item).walked.grid(node).array.reshape(-1))}

    def cell(self, item: int, node: int, channel: int, position: Sequence[int]) -> dict[str, Any]:
        """How one number of a layer came about; see `Walked.cell`."""
        return self._visit(item).walked.cell(node, channel, position)

    def tour(self, item: int) -> list[dict[str, Any]]:
        """The steps from a number of an item to the answer; see `tour`."""
        return tour(self._looked(item))

    def exercises(self, item: int, seed: int) -> list[dict[str, Any]]:
        """Exercises about the network, made with an item; see `exercises`."""
        return exercises(self._looked(item), max(seed, 0))

    def effective(self, item: int, node: int, position: Sequence[int]) -> dict[str, Any]:
        """What of an item moves a unit, and how much; see `effective`."""
        walked = self._visit(item).walked
        with self._lock:  # hooks of the network are for one at a time
            return effective(self.subject.network, walked, node, position)

    def evidence(self, item: int, method: str = "") -> dict[str, Any]:
        """Where in an item the evidence for its answer lies; see `evidence`.

        Args:
            item: Number of the item.
            method: What `verdict` gave to be tried; empty for the first method that suits.

        Raises:
            ArgumentError: There is no such method, or none can explain this network.
        """
        visited = self._visit(item)
        found = evidence(self._marks(visited, method))
        best = self._best(visited)
        return {**found, "class": best["class"], "outputs": len(visited.logits)}

    def verdict(self, item: int, method: str = "") -> dict[str, Any]:
        """Whether the evidence of an item holds; see `verdict`, and `evidence` for the arguments."""
        visited = self._visit(item)
        marks = self._marks(visited, method)
        with self._checking:  # one after the other, while the page asks on
            return verdict(self._for_many_passes, channels_last(visited.opened.x), marks)

    @property
    def _for_many_passes(self) -> Explored:
        """A copy of the network that computes faster: batch norms folded, channels last."""
        with self._lock:  # so that no hook is copied with it
            return self._fast_copy

    @cached_property
    def _fast_copy(self) -> Explored:
        network, x = self.subject.network, self._visit(self.first).opened.x
        return cast("Explored", prepare(network, x, torch.float32))

    def _marks(self, visited: _Visited, method: str) -> Marks:
        """Where the evidence for the answer lies, found now or before."""
        if method not in ("", *METHODS):
            raise ArgumentError(f"method={method[:20]!r}", why=f"there are {', '.join(METHODS)}")
        number, x = self._best(visited)["number"], visited.opened.x
        if not method:
            with self._lock:
                if method not in visited.marks:
                    visited.marks[""] = marked(self.subject.network, x, number)
        else:
            with self._checking:  # it takes many passes, while the page asks on
                if method not in visited.marks:
                    network = self._for_many_passes
                    found = marked(network, channels_last(x), number, (method,))
                    visited.marks[method] = found
        return visited.marks[method]

    def _best(self, visited: _Visited) -> dict[str, Any]:
        """The output that is the answer: the most probable where there are probabilities."""
        return max(self._outputs(visited), key=lambda each: each["probability"] or 0.0)

    def _looked(self, item: int) -> Looked:
        visited = self._visit(item)
        return Looked(self.network, visited.walked, self._outputs(visited), self.subject.trained)

    def walked(self, item: int) -> Walked:
        """The values of an item at every layer."""
        return self._visit(item).walked

    def checked(self, number: int) -> int:
        """The number of an item.

        Raises:
            ArgumentError: There is no such item.
        """
        if not 0 <= number < len(self.subject.entries):
            raise ArgumentError(f"item {number}", why=f"there are {len(self.subject.entries)}")
        return number

    def _visit(self, number: int) -> _Visited:
        """An item, opened now or before."""
        self.checked(number)
        with self._lock:
            if number not in self._visited:
                opened = self.subject.open(number)
                self._visited[number] = _Visited(self.subject.network, opened, self._lock)
                while len(self._visited) > KEPT:
                    self._visited.popitem(last=False)
            self._visited.move_to_end(number)
            return self._visited[number]

    def _outputs(self, visited: _Visited) -> list[dict[str, Any]]:
        """The outputs, the largest first: class, logit, exponential and share, and probability.

        The exponentials are of the logits less the largest, as softmax is computed.
        """
        logits = visited.logits.astype(np.float64)
        powers = np.exp(logits - logits.max())
        shares = powers / powers.sum()
        calibrated = visited.opened.probabilities
        classes = self.subject.classes
        order = np.argsort(-logits, kind="stable")[:MAX_CLASSES]
        return [
            {
                "number": int(k),
                "class": classes[k] if k < len(classes) else f"output {k}",
                "logit": finite(logits[k]),
                "power": finite(powers[k]),
                "share": finite(shares[k]),
                "probability": calibrated[k] if k < len(calibrated) else None,
            }
            for k in order
        ]


def _listed(entry: Entry) -> dict[str, Any]:
    """An item in the list of the page."""
    return {"name": entry.name, "label": entry.label, "answer": entry.answer}
