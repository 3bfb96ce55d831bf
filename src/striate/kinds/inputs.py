"""How items of a kind become a network's inputs."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, ClassVar, Generic, Self, TypeVar

import torch
from numpy.typing import NDArray

from striate.data.randomness import Draws
from striate.data.source import Note, Reading
from striate.errors import ArgumentError, UnknownNameError
from striate.models import Network
from striate.ops.inputs import Inputs as NetworkInputs
from striate.report.schema import Choice


@dataclass(frozen=True, kw_only=True)
class ExportedInput:
    """The input of an exported file.

    Attributes:
        name: Its name in the file.
        means: What it is, for a person.
        dtype: Its type.
        details: Further facts for the card beside the file.
    """

    name: str = "inputs"
    means: str = "what the run's inputs make of an item"
    dtype: torch.dtype = torch.float32
    details: Mapping[str, Any] = field(default_factory=dict)


B = TypeVar("B", bound=NetworkInputs)


def check_option_names(what: str, options: Iterable[str], known: Collection[str]) -> None:
    """Refuse options that the inputs of a kind do not have.

    Args:
        what: What the items are called ("graphs").
        options: The names received.
        known: The names that there are.

    Raises:
        UnknownNameError: One is not known.
    """
    for name in options:
        if name not in known:
            raise UnknownNameError(f"option of {what}", name, known)


def number_option(
    options: Mapping[str, Any], name: str, default: float, least: float = 0, *, whole: bool = False
) -> float:
    """An option that is a number, given as one or as text.

    >>> number_option({"sample_rate": "8000"}, "sample_rate", 0.0)
    8000.0

    Args:
        options: The options by name.
        name: The option's name.
        default: Its value where it is not given.
        least: The lowest value that is allowed.
        whole: Whether it must be a whole number.

    Raises:
        ArgumentError: It is no such number.
    """
    value = options.get(name, default)
    what = "a whole number" if whole else "a number"
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise ArgumentError(f"{name}={value!r}", why=f"it is {what}") from None
    if not math.isfinite(number) or number < least or (whole and number != round(number)):
        raise ArgumentError(f"{name}={value!r}", why=f"it is {what}, {least:g} at least")
    return number


def in_order_of(names: tuple[str, ...], reading: Reading) -> Reading:
    """An item with its channels in the order of some names; as it is where it has others."""
    places = places_of(names, reading.channel_names)
    if places is None:
        return reading
    return replace(reading, array=reading.array[places], channel_names=names)


def places_of(names: tuple[str, ...], own: tuple[str, ...]) -> list[int] | None:
    """Where names lie among an item's own; None where it has them in order, or has others.

    >>> places_of(("x", "y"), ("y", "x")), places_of(("x", "y"), ("x", "z"))
    ([1, 0], None)
    """
    if own == names or sorted(own) != sorted(names) or len({*own}) < len(own):
        return None
    return [own.index(name) for name in names]


def _with_tuples(value: Any) -> Any:
    return tuple(map(_with_tuples, value)) if isinstance(value, list) else value


class Inputs(ABC, Generic[B]):
    """How items of one kind become inputs; a frozen dataclass, fitted to training items alone.

    Attributes:
        folds: Whether networks may be folded and computed in the device's fast precision.
        read_size: Shorter side in pixels that is wanted of an item when it is read; None for all.
        symmetry: Name of the set that augmentation draws from; empty where there are none.
    """

    folds: ClassVar[bool] = False
    symmetry: str = ""

    @classmethod
    @abstractmethod
    def fitted(cls, readings: Iterable[Reading], options: Mapping[str, Any]) -> Self:
        """The inputs that suit these items: sizes, and what normalizes them.

        Args:
            readings: Training items alone, so that nothing of the others leaks; they may be large,
                and are gone through once.
            options: What the user chose, by name; only those that were chosen.

        Raises:
            UnknownNameError: This kind has no such option.
            ArgumentError: A value is not allowed.
            DataError: Items do not go together (channels, rates); the message has a table.
        """

    @property
    def batch_size(self) -> int | None:
        """Items that are computed together, always as many, so that a result does not depend on
        its company; None where all are.
        """
        return 32

    @property
    @abstractmethod
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one input, channels first: (channels, *space); (channels,) for a graph."""

    @abstractmethod
    def inputs(self, readings: Sequence[Reading]) -> B:
        """The items as the network is asked about them, without anything random.

        Raises:
            UnreadableItem: One of them does not fit (another number of channels).
        """

    @abstractmethod
    def augmented(self, readings: Sequence[Reading], draws: Draws) -> B:
        """The items as the network is trained on them.

        Args:
            readings: The items.
            draws: Random numbers of each item, the only source of chance.
        """

    def to_json(self) -> dict[str, Any]:
        """Everything that `from_json` needs, fit for JSON: the fields by their names."""
        fields: Any = self
        return asdict(fields)

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Self:
        """The inputs that `to_json` wrote; JSON has lists where the fields are tuples."""
        return cls(**{name: _with_tuples(value) for name, value in document.items()})

    def with_conventions(self, conventions: Mapping[str, Any]) -> Self:
        """The inputs that read later items by what was decided of the training items.

        Args:
            conventions: `Source.conventions` of the data.
        """
        return self

    @property
    def sets(self) -> Mapping[str, tuple[int, ...]]:
        """Sets of symmetries that the inputs can be transformed by, the smallest first."""
        return {}

    def framings(self) -> Mapping[str, Self]:
        """The inputs under each way to bring an item into them that suits the training items.

        The simplest comes first, and is taken where the others are no better. Empty where the kind
        knows of one way only.
        """
        return {}

    def details(self) -> Mapping[str, str]:
        """Facts of how items become inputs, by name, for the report and for `check`."""
        return {}

    @property
    def read_size(self) -> int | None:
        """Shorter side in pixels that is wanted of an item when it is read; None for all."""
        return None

    @property
    def array_extras(self) -> Mapping[str, NDArray[Any]]:
        """What must be known of arrays of items to predict, by name; see `ArraySource`."""
        return {}

    def notes(self) -> tuple[Note, ...]:
        """What was done that a user should know: cropped, padded, resampled."""
        return ()

    def choices(self) -> tuple[Choice, ...]:
        """Decisions that follow from items and network."""
        return ()

    def checked(self, reading: Reading) -> Reading:
        """An item as it was read, brought to what `inputs` takes.

        Raises:
            UnreadableItem: It does not fit.
        """
        self.inputs([reading])
        return reading

    def network_options(self, name: str) -> dict[str, Any]:
        """What `create_model` must know of the inputs.

        Args:
            name: Name of the network.
        """
        return {"rank": len(self.input_shape) - 1, "in_channels": self.input_shape[0]}

    def for_network(self, network: Network) -> Self:
        """The inputs that suit a network's weights."""
        return self

    def for_model(self, name: str) -> Self:
        """The inputs of a size that suits a network which the user named.

        Args:
            name: Name of the network.
        """
        return self

    def for_photographs(self) -> Self:
        """The inputs as networks with pretrained weights see most in them."""
        return self

    def adapt(self, network: Network) -> None:
        """Give a network that was loaded what belongs to the inputs and not to its weights."""

    def with_symmetry(self, symmetry: str) -> Self:
        """The inputs whose augmentation uses a set of symmetries, where the kind has any.

        Args:
            symmetry: Name of the set, or "auto" for what suits training from scratch.
        """
        return self

    def with_views(self, symmetry: str) -> Self:
        """The inputs whose outputs are averaged over a set of symmetries."""
        return self

    def training_batch(self, wanted: int, num_items: int) -> int:
        """Items in a training batch.

        Args:
            wanted: What suits the kind.
            num_items: Number of training items.
        """
        return wanted

    def normalized(self, inputs: B) -> B:
        """What the network takes, on the device of what `inputs` gave."""
        return inputs

    def views(self, inputs: B) -> list[B]:
        """Normalized inputs under each symmetry whose outputs are averaged."""
        return [inputs]

    def transformed(self, inputs: B, number: int) -> B:
        """Inputs under one symmetry of `sets`."""
        # Only asked of kinds that have `sets`, which bring their own.
        raise NotImplementedError(f"{type(self).__name__} has no symmetries")

    def copy_of(self, readings: Sequence[Reading], draws: Draws) -> B:
        """The augmented copy number `draws.epoch` of each item, of a few that are stored."""
        return self.augmented(readings, draws)

    @property
    def exported(self) -> ExportedInput | None:
        """The input of an exported file; None where items are not one tensor."""
        return ExportedInput(details={"inputs": self.to_json()})
