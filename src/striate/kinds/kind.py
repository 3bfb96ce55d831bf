"""What a kind of data is; each is one folder beside this file."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Final

from striate.data.source import Item, Reading, Source
from striate.data.stores.store import Built, ReadingStore, Store
from striate.data.unlabelled import Input, open_inputs
from striate.kinds.corruption import Corruption
from striate.kinds.inputs import Inputs
from striate.kinds.quality import Fault, Traits
from striate.progress import Progress
from striate.registry import Registry, load_entry
from striate.report.picture import Drawing, Picture
from striate.report.schema import Choice


@dataclass(frozen=True, kw_only=True)
class KernelGrid:
    """A kernel that a kernel machine may compare features by, and what of it is tried.

    Attributes:
        kernel: Name of the kernel, one of `striate.nn.kernel_head.KERNELS`.
        gammas: Its coefficients that are tried.
        num_compared: Features that it compares, the first of them; None for all.
    """

    kernel: str
    gammas: tuple[float, ...]
    num_compared: int | None = None


@dataclass(frozen=True, kw_only=True)
class Defaults:
    """Networks and settings that suit the inputs of a kind.

    Attributes:
        methods: Methods that `auto` tries, in this order.
        network: Network that is trained from scratch.
        quick_network: A smaller one, which is taken where the time is too short for that; None
            where there is none.
        features: Network whose frozen features a probe takes; None where there is none.
        wide_features: Network with many more frozen features, which take longer; None where there
            is none.
        pretrained: Whether those features are of pretrained weights, which can be fine-tuned.
        all_scales: Whether features of every scale of that network are taken where they can be kept.
        kernels: Kernels by which a kernel machine compares the features; none where only those
            of pretrained features are known, or no kernel machine at all.
        fixed_features: Whether that network alone has features that are of use frozen. Where the
            user names another, only what trains it is tried.
        frozen_stride: Fine-tuning keeps blocks whose maps are finer than one position in so many
            samples frozen, and stores their maps; None trains all blocks.
        features_share: Largest share of the time that features may take; where those of all items
            would take more, a part is taken.
        quick_probes: Whether the features are so quickly made that probes must be too (see
            `ProbeConfig.quick`).
        judged_symmetry: Whether probes judge by which symmetries a network that is trained from
            scratch may vary items; without it the inputs say what is usual.
        min_trained: Training items below which no network from random weights is set against a
            probe, unless the user names the method.
        batch_size: Items in an update.
        min_steps: Smallest number of updates in an epoch; small data is gone through several times.
        max_steps: Largest number of updates in an epoch that is planned by time; of more items an
            epoch sees a part, so that validation and the time left are looked at often enough.
        max_epochs: Largest number of epochs, however much time there is.
        learning_rate: Learning rate at the peak of the schedule, from scratch.
        fine_tuning_rate: Learning rate at the peak of the schedule, from pretrained weights.
        weight_decay: Weight decay of AdamW.
        clip_norm: Largest norm of a gradient; None for no limit.
    """

    methods: tuple[str, ...]
    network: str
    quick_network: str | None = None
    features: str | None = None
    wide_features: str | None = None
    pretrained: bool = False
    all_scales: bool = False
    kernels: tuple[KernelGrid, ...] = ()
    fixed_features: bool = False
    frozen_stride: int | None = None
    features_share: float = 0.55
    quick_probes: bool = False
    judged_symmetry: bool = False
    min_trained: int = 0
    batch_size: int = 32
    min_steps: int = 16
    max_steps: int = 100
    max_epochs: int = 100
    learning_rate: float = 2e-3
    fine_tuning_rate: float = 3e-4
    weight_decay: float = 0.02
    clip_norm: float | None = 1.0


class Kind(ABC):
    """A kind of data.

    Attributes:
        name: As readers, `run.json` and `--kind` have it.
        nouns: What one item and several are called.
        inputs_type: How its items become a network's inputs.
        named_options: Options of `fit` that act for this kind, with the name that the inputs have
            for each.
        explanation: Name of the explanation that suits it best.
        corruptions: Common corruptions by which the robustness of a run is told; none where none is
            known.
        hub_tags: What the Hugging Face hub calls a task on items of this kind, by the task's name.
        has_border: Whether what lies at the border of an item may be no part of what it shows: a
            mark, a date, a frame.
        picture: Draws an item with the evidence for an output, from the network (in evaluation
            mode), the inputs, the reading, the number of the output and the name of the
            explanation, and by keyword `device`, `item` (the item's name) and `steps`, points of
            the curves by which the explanation is checked, 0 for no check.
    """

    name: ClassVar[str]
    nouns: ClassVar[tuple[str, str]]
    inputs_type: ClassVar[type[Inputs[Any]]]
    named_options: ClassVar[Mapping[str, str]] = {}
    explanation: ClassVar[str] = "gradcam"
    corruptions: ClassVar[tuple[Corruption, ...]] = ()
    hub_tags: ClassVar[Mapping[str, str]] = {}
    has_border: ClassVar[bool] = False
    picture: ClassVar[Callable[..., Picture]]

    def choose(
        self, source: Source, options: Mapping[str, Any]
    ) -> tuple[dict[str, Any], list[Choice]]:
        """Options that must be known before the items are read, and why they are what they are.

        Args:
            source: The data.
            options: What the user chose for the inputs.
        """
        return dict(options), []

    def build_store(
        self,
        source: Source,
        items: Sequence[Item],
        *,
        folder: Path,
        options: Mapping[str, Any],
        progress: Progress,
    ) -> Built[Store]:
        """Read items once; what cannot be read is left out with its reason.

        Args:
            source: What the items belong to.
            items: The items.
            folder: Where files may be kept while the process lives.
            options: What `choose` gave.
            progress: Told of the work.
        """
        return ReadingStore.build(source, items, folder, progress)

    def read_size(self, options: Mapping[str, Any]) -> int | None:
        """The size in which items are read for a store (see `Source.read`); None where it is all.

        Args:
            options: What `choose` gave.
        """
        return None

    def is_kept(self, source: Source, items: Sequence[Item], *, options: Mapping[str, Any]) -> bool:
        """Whether an earlier fit has kept what was read of these items, so that it takes no time.

        Args:
            source: What the items belong to.
            items: The items.
            options: What `choose` gave.
        """
        return False

    @abstractmethod
    def defaults(self, inputs: Inputs[Any]) -> Defaults:
        """Networks and settings that suit the inputs."""

    def measured(self, reading: Reading, path: Path | None) -> dict[str, float]:
        """Plain figures of one item, by which faults and tell-tale features are found.

        Args:
            reading: The item.
            path: Its file; None where it has none of its own.
        """
        return {}

    def faults(self, traits: Traits) -> list[Fault]:
        """What is wrong with which items, by what `measured` gave of all of them."""
        return []

    def thumbnail(self, reading: Reading) -> Drawing | None:
        """A small picture of an item as it is; None where the kind has none."""
        return None

    def open(self, given: Sequence[Input], inputs: Inputs[Any]) -> Source:
        """The source of what is to be predicted.

        Args:
            given: Paths, arrays, bytes and whatever else `Run.predict` takes.
            inputs: Those of the run.

        Raises:
            DataError: There is nothing of that name, or something of another kind.
        """
        return open_inputs(given, self.name, inputs.input_shape[0], inputs.array_extras)


KINDS: Final[Registry[Kind]] = Registry("kind of data")


def kind_named(name: str) -> Kind:
    """The kind of that name.

    Raises:
        UnknownNameError: There is none; the message suggests the nearest.
    """
    return load_entry(KINDS, "striate.kinds", name)
