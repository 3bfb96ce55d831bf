"""What every network is: a stem, stages of blocks, a pool and a head."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Any, ClassVar, TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor, nn

from striate.errors import ArgumentError
from striate.nn.blocks import init_convolution
from striate.nn.heads import AuxiliaryLogits, ClassifierHead, GlobalAveragePool, Head
from striate.nn.ranks import convolutions, layers
from striate.weights.fetch import Origin
from striate.weights.manifest import Layout
from striate.weights.preprocessing import IMAGENET, ImageLike, Preprocessing

Blocks: TypeAlias = tuple[tuple[str, nn.Module], ...]


def require_counts(config: object, *names: str) -> None:
    """Check that fields of a configuration are whole numbers from 1 up.

    Raises:
        ArgumentError: A field is not.
    """
    for name in names:
        value = getattr(config, name)
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise ArgumentError(f"{name}={value!r}", why="it must be a whole number from 1 up")


def require_rates(config: object, *names: str) -> None:
    """Check that fields of a configuration are probabilities below 1.

    Raises:
        ArgumentError: A field is not.
    """
    for name in names:
        value = getattr(config, name)
        if not 0 <= value < 1:
            raise ArgumentError(f"{name}={value!r}", why="it must be at least 0, below 1")


@dataclass(frozen=True, kw_only=True)
class NetworkConfig:
    """The part of a configuration that all families share; each value fits in JSON.

    Attributes:
        takes_edges: Whether networks of the family have a use for features of edges.
        takes_whole_graphs: Whether they have a use for features of graphs as wholes.
        built_for_size: Whether a network's layers follow from the size of its inputs, which it must
            be told as `input_size`.
        in_channels: Number of channels of the input, or of features of a node.
        num_classes: Number of logits.
        dropout: Probability that a pooled feature is dropped while training.

    Raises:
        ArgumentError: A value is out of range.
    """

    takes_edges: ClassVar[bool] = False
    takes_whole_graphs: ClassVar[bool] = False
    built_for_size: ClassVar[bool] = False

    in_channels: int = 3
    num_classes: int = 1000
    dropout: float = 0.0

    def __post_init__(self) -> None:
        require_counts(self, "in_channels", "num_classes")
        require_rates(self, "dropout")

    @property
    def rank(self) -> int:
        """Number of spatial axes; 0 for graphs, which have none."""
        return 0

    @property
    def input_size(self) -> int:
        """Side that the variant was designed for; 0 for graphs, which have none."""
        return 0


@dataclass(frozen=True, kw_only=True)
class GridConfig(NetworkConfig):
    """The part of a configuration that all networks of series, images and volumes share.

    Attributes:
        rank: Number of spatial axes: 1 (series), 2 (images), 3 (volumes).
        input_size: Side that the variant was designed for, in samples; others work too.
    """

    rank: int = 2
    input_size: int = 224

    @property
    def fixed_size(self) -> bool:
        """Whether inputs must have the side `input_size`."""
        return False

    @property
    def made_for_size(self) -> bool:
        """Whether a network is built for the side of its inputs, so that `input_size` is given."""
        return self.fixed_size

    def __post_init__(self) -> None:
        super().__post_init__()
        layers(self.rank)
        require_counts(self, "input_size")


class Network(nn.Module):
    """A network by name, of a grid (`GridNetwork`) or of graphs (`GraphNetwork`).

    Args:
        config: Configuration that the network is built from.
        stem: The first block.
        stages: The blocks after it.
        final: The layers after the stages and before pooling; None where there are none.
        pool: What makes features of the last maps; for graphs see `GraphNetwork`.
        num_features: Number of pooled features.

    Attributes:
        head: Makes logits of the pooled features.
        preprocessing: How inputs of a grid are prepared; it belongs to the weights.
        origin: Where pretrained weights came from; None where there are none.
        notes: What of a user's file of weights was taken and what was not.
        min_size: The smallest side of an input.
        num_compared: Number of the pooled features that a kernel machine compares, the first of
            them; None for all.
        fits_features: Whether something in the features depends on training items though no
            gradient sets it, so that `fit_features` must be called before they are taken.
    """

    config: NetworkConfig
    head: Head
    preprocessing: Preprocessing
    origin: Origin | None = None
    notes: tuple[str, ...] = ()
    min_size = 1
    num_compared: int | None = None
    fits_features: ClassVar[bool] = False

    # As torch declares `forward`: what they take depends on the kind of items.
    blocks: Callable[[], Blocks]
    forward_features: Callable[..., Tensor]
    forward_pooled: Callable[..., Tensor]
    forward_head: Callable[..., Tensor]
    forward_intermediates: Callable[..., Any]

    def __init__(
        self,
        config: NetworkConfig,
        *,
        stem: nn.Module,
        stages: nn.ModuleList,
        final: nn.Module | None = None,
        pool: nn.Module,
        num_features: int,
    ) -> None:
        super().__init__()
        self.config = config
        self.num_features = num_features
        self.stem = stem
        self.stages = stages
        self.final = final
        self.pool = pool
        self.head = ClassifierHead(num_features, config.num_classes, config.dropout)

    @property
    def classifier(self) -> nn.Linear:
        """The last layer, from pooled features to logits."""
        return self.head.linear

    def reset_classifier(self, num_classes: int) -> None:
        """Put fresh heads for `num_classes` in place, on the device of the old ones.

        Raises:
            ArgumentError: `num_classes` is not positive, or the network has to be fitted again.
        """
        config = replace(self.config, num_classes=num_classes)
        for head in [module for module in self.modules() if isinstance(module, Head)]:
            head.reset(num_classes)
        self.config = config

    def transform(self) -> Callable[[ImageLike], Float[Tensor, "c height width"]]:
        """What makes an input of an image: resize, crop and normalize as the weights want it.

        The callable takes a PIL image, a uint8 array (height, width), (channels, height, width) or
        (height, width, channels), or such a tensor, and gives (channels, size, size) in float32.

        Raises:
            ArgumentError: The network does not take images.
        """
        if self.config.rank != 2:
            raise ArgumentError(
                f"transform() of a network of rank {self.config.rank}",
                why="it prepares images, which have two axes",
            )
        return self.preprocessing.transform

    def layouts(self) -> Mapping[str, Layout]:
        """Ways in which others name this network's tensors, beside those of its family."""
        return {}

    def fit_features(self, inputs: Any, seed: int) -> None:
        """Set what in the features depends on training items; see `fits_features`.

        Args:
            inputs: Training items, as the network takes them.
            seed: Seed of what is drawn.
        """

    def fit_weights(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Weights made to fit this rank and input size, where they are no filters.

        Args:
            state: Weights under our names, of any rank and size.
        """
        return dict(state)


class GridNetwork(Network):
    """A network of series, images or volumes that can be cut after every block.

    A family builds the parts and hands them here; the order of computation is the same for all:
    stem, the blocks of each stage, the final layers, pool, head.

    Args:
        config: Configuration that the network is built from.
        stem: The first block.
        stages: The blocks by stage; a stage keeps the size of its maps.
        final: The layers after the stages and before pooling; None where there are none.
        num_features: Number of pooled features.
        auxiliary: Classifiers that are computed while training, by the name of the block whose
            maps they take.
    """

    config: GridConfig
    usual_preprocessing: ClassVar[Preprocessing] = IMAGENET
    every_block: ClassVar[bool] = False
    """Whether `forward_intermediates` gives the maps of every block, or of each stage's last."""

    def __init__(
        self,
        config: GridConfig,
        *,
        stem: nn.Module,
        stages: Iterable[Iterable[nn.Module]],
        final: nn.Module | None = None,
        num_features: int,
        auxiliary: Mapping[str, nn.Module] | None = None,
    ) -> None:
        super().__init__(
            config,
            stem=stem,
            stages=nn.ModuleList(nn.Sequential(*blocks) for blocks in stages),
            final=final,
            pool=GlobalAveragePool(),
            num_features=num_features,
        )
        self.taps = tuple(auxiliary or ())
        self.auxiliary = nn.ModuleList((auxiliary or {}).values())
        usual = replace(self.usual_preprocessing, size=config.input_size)
        self.preprocessing = usual.for_channels(config.in_channels)
        for conv in convolutions(self):
            init_convolution(conv)

    def blocks(self) -> Blocks:
        """Names and modules whose composition, in this order, is `forward_features`."""
        inner = (
            (f"stages.{s}.{b}", block)
            for s, stage in enumerate(self.stages)
            for b, block in enumerate(stage.children())
        )
        final = () if self.final is None else (("final", self.final),)
        return (("stem", self.stem), *inner, *final)

    def forward_features(
        self, x: Float[Tensor, "n c *space"]
    ) -> Float[Tensor, "n features *reduced"]:
        """The last feature maps, before pooling.

        Raises:
            ArgumentError: The input has another number of axes or channels, or is too small.
        """
        self._check_input(x)
        for _, block in self.blocks():
            x = block(x)
        return x

    def forward_intermediates(
        self,
        x: Float[Tensor, "n c *space"],
        indices: int | Sequence[int] | None = None,
        *,
        intermediates_only: bool = False,
    ) -> list[Tensor] | tuple[Tensor, list[Tensor]]:
        """The last feature maps, and those on the way, the finest first.

        Args:
            x: Normalized inputs.
            indices: Which maps to give: the last so many, those of these numbers (from the end
                where negative), or all by default. There is a map for each stage, of a transformer
                for each block.
            intermediates_only: Give the maps on the way alone, and stop after the last of them.

        Raises:
            ArgumentError: There is no such map, or see `forward_features`.
        """
        self._check_input(x)
        levels = self._levels()
        chosen = {levels[index] for index in chosen_levels(len(levels), indices)}
        space = tuple(x.shape[2:])
        found: list[Tensor] = []
        for name, block in self.blocks():
            if intermediates_only and len(found) == len(chosen):
                break
            x = block(x)
            if name in chosen:
                found.append(self.as_maps(x, space))
        return found if intermediates_only else (x, found)

    def _levels(self) -> list[str]:
        """Names of the blocks whose maps `forward_intermediates` gives."""
        names = [name for name, _ in self.blocks()]
        if self.every_block:
            return [name for name in names if name.startswith("stages.")]
        # A stage may have no block but the stem.
        ends = accumulate(len(list(stage.children())) for stage in self.stages)
        return [names[end] for end in ends]

    def as_maps(
        self, x: Float[Tensor, "n c *reduced"], space: tuple[int, ...]
    ) -> Float[Tensor, "n c *reduced"]:
        """The output of a block as maps.

        Args:
            x: The output.
            space: Sides of the network's input.
        """
        return x

    def forward_pooled(self, x: Float[Tensor, "n c *space"]) -> Float[Tensor, "n features"]:
        """The pooled features, of which the head makes logits.

        Raises:
            ArgumentError: See `forward_features`.
        """
        pooled: Tensor = self.pool(self.forward_features(x))
        return pooled

    def forward_head(
        self, features: Float[Tensor, "n features *reduced"]
    ) -> Float[Tensor, "n classes"]:
        """Logits of the last feature maps."""
        logits: Tensor = self.head(self.pool(features))
        return logits

    def forward(
        self, x: Float[Tensor, "n c *space"]
    ) -> Float[Tensor, "n classes"] | AuxiliaryLogits:
        """Logits of normalized inputs; while training those of auxiliary classifiers too.

        Raises:
            ArgumentError: See `forward_features`.
        """
        if not self.taps or not self.training:
            return self.forward_head(self.forward_features(x))
        self._check_input(x)
        heads = dict(zip(self.taps, self.auxiliary, strict=True))
        auxiliary = []
        for name, block in self.blocks():
            x = block(x)
            if name in heads:
                auxiliary.append(heads[name](x))
        return AuxiliaryLogits(self.forward_head(x), tuple(auxiliary))

    def check_shape(self, shape: Sequence[int]) -> None:
        """Make sure that the network takes inputs of a shape; nothing is computed.

        Args:
            shape: Items, channels, then sides.

        Raises:
            ArgumentError: It does not.
        """
        self._check_input(torch.empty(tuple(shape), device="meta"))

    def _check_input(self, x: Tensor) -> None:
        rank, channels = self.config.rank, self.config.in_channels
        if x.ndim != rank + 2:
            raise ArgumentError(
                f"an input with {x.ndim} axes",
                why=f"a network of rank {rank} takes {rank + 2}: items, channels, then space",
            )
        if x.shape[1] != channels:
            raise ArgumentError(
                f"an input with {x.shape[1]} channels",
                why=f"the network takes {channels}",
                fix=f"build it with in_channels={x.shape[1]}",
            )
        size = self.config.input_size
        if self.config.fixed_size and any(side != size for side in x.shape[2:]):
            raise ArgumentError(
                f"an input of {' x '.join(map(str, x.shape[2:]))}",
                why=f"the network takes {size} along each axis and nothing else",
                fix=f"build it with input_size={x.shape[2]}",
            )
        if min(x.shape[2:]) < self.min_size:
            raise ArgumentError(
                f"an input of {' x '.join(map(str, x.shape[2:]))}",
                why=f"the minimum along each axis is {self.min_size}",
            )


def chosen_levels(count: int, indices: int | Sequence[int] | None) -> list[int]:
    """Numbers of the levels that `indices` chooses of `count`, as in timm.

    >>> chosen_levels(4, 2), chosen_levels(4, [0, -1]), chosen_levels(2, None)
    ([2, 3], [0, 3], [0, 1])

    Raises:
        ArgumentError: There is no such level.
    """
    if indices is None:
        return list(range(count))
    numbers = range(-indices, 0) if isinstance(indices, int) else indices
    if not all(-count <= number < count for number in numbers):
        raise ArgumentError(f"indices={indices!r}", why=f"there are maps of {count} levels")
    return [number % count for number in numbers]
