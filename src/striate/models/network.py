"""What every network is: a stem, stages of blocks, a pool and a head."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from jaxtyping import Float
from torch import Tensor, nn

from striate.errors import ArgumentError
from striate.nn.blocks import ClassifierHead, GlobalAveragePool, init_convolution
from striate.nn.ranks import CONV_TYPES, layers
from striate.weights.preprocessing import IMAGENET, Preprocessing


@dataclass(frozen=True, kw_only=True)
class NetworkConfig:
    """What the configurations of all families share; each value fits in JSON.

    Attributes:
        rank: number of spatial axes: 1 (series), 2 (images), 3 (volumes).
        in_channels: of the input.
        num_classes: logits given.
        input_size: side the variant was designed for, in samples; others work too.
        dropout: probability that a pooled feature is dropped while training.

    Raises:
        ArgumentError: a value is out of range.
    """

    rank: int = 2
    in_channels: int = 3
    num_classes: int = 1000
    input_size: int = 224
    dropout: float = 0.0

    def __post_init__(self) -> None:
        layers(self.rank)
        for name in ("in_channels", "num_classes", "input_size"):
            value = getattr(self, name)
            if not isinstance(value, int) or value < 1:
                raise ArgumentError(f"{name}={value!r}", why="it must be a whole number from 1 up")
        if not 0 <= self.dropout < 1:
            raise ArgumentError(f"dropout={self.dropout!r}", why="it must be at least 0, below 1")


class Network(nn.Module):
    """A classifier that can be cut after every block.

    A family builds the parts and hands them here; the order of computation is the same for all:
    stem, the blocks of each stage, the final layers, pool, head.

    Args:
        config: what the network was built from.
        stem: the first block.
        stages: blocks by stage; a stage keeps the size of its maps.
        final: what follows the stages before pooling; None where nothing does.
        num_features: of the pooled features.

    Attributes:
        preprocessing: how inputs are prepared; belongs to the weights.
        least_size: the smallest side of an input.
    """

    least_size = 1

    def __init__(
        self,
        config: NetworkConfig,
        *,
        stem: nn.Module,
        stages: Iterable[Iterable[nn.Module]],
        final: nn.Module | None = None,
        num_features: int,
    ) -> None:
        super().__init__()
        self.config = config
        self.num_features = num_features
        self.preprocessing: Preprocessing = replace(IMAGENET, size=config.input_size).for_channels(
            config.in_channels
        )
        self.stem = stem
        self.stages = nn.ModuleList(nn.Sequential(*blocks) for blocks in stages)
        self.final = final
        self.pool: nn.Module = GlobalAveragePool()
        self.head: nn.Module = ClassifierHead(num_features, config.num_classes, config.dropout)
        for module in self.modules():
            if isinstance(module, CONV_TYPES):
                init_convolution(module)

    def blocks(self) -> tuple[tuple[str, nn.Module], ...]:
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
            ArgumentError: the input has another number of axes or channels, or is too small.
        """
        self._check_input(x)
        for _, block in self.blocks():
            x = block(x)
        return x

    def multi_scale(self, x: Float[Tensor, "n c *space"]) -> tuple[Tensor, ...]:
        """The maps after each stage, the finest first.

        Raises:
            ArgumentError: see `forward_features`.
        """
        self._check_input(x)
        x = self.stem(x)
        maps = []
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        return tuple(maps)

    def forward_head(
        self, features: Float[Tensor, "n features *reduced"]
    ) -> Float[Tensor, "n classes"]:
        """Logits of the last feature maps."""
        logits: Tensor = self.head(self.pool(features))
        return logits

    def forward(self, x: Float[Tensor, "n c *space"]) -> Float[Tensor, "n classes"]:
        """Logits of normalized inputs.

        Raises:
            ArgumentError: see `forward_features`.
        """
        return self.forward_head(self.forward_features(x))

    @property
    def classifier(self) -> nn.Linear:
        """The last layer, from pooled features to logits."""
        linear = self.head.get_submodule("linear")
        assert isinstance(linear, nn.Linear)
        return linear

    def replace_head(self, num_classes: int) -> None:
        """Put a fresh head for `num_classes` in place, on the device of the old one.

        Raises:
            ArgumentError: `num_classes` is not positive.
        """
        self.config = replace(self.config, num_classes=num_classes)
        like = next(self.head.parameters())
        head = ClassifierHead(self.num_features, num_classes, self.config.dropout)
        self.head = head.to(like.device, like.dtype).train(self.training)

    def fit_weights(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """What of other weights depends on rank or size of the input, filters aside, made to fit.

        Args:
            state: under our names, of any rank and size.
        """
        return dict(state)

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
        if min(x.shape[2:]) < self.least_size:
            raise ArgumentError(
                f"an input of {' x '.join(map(str, x.shape[2:]))}",
                why=f"the least size along each axis is {self.least_size}",
            )
