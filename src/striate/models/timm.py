"""Any network of timm, as `timm/NAME`, through the same calls; images only.

They need the extra `timm`, and are not among `striate models`, which are Striate's own. The whole of
a network up to pooling is one block; `weights="imagenet"` has timm fetch the weights that belong to
the name, or to its tag (`timm/resnet50.a1_in1k`).

Axes: (n, c, h, w); (n, c, tokens) for the features of a transformer of tokens.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from importlib import import_module
from typing import Any, Final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from striate.errors import (
    ArgumentError,
    MissingExtraError,
    UnknownNameError,
    WeightsUnavailableError,
)
from striate.models.catalog import Variant, register_open
from striate.models.network import Network, NetworkConfig
from striate.weights.preprocessing import Preprocessing

PREFIX: Final = "timm/"


@dataclass(frozen=True, kw_only=True)
class TimmConfig(NetworkConfig):
    """One network of timm.

    Attributes:
        timm_name: with or without the tag of its weights.

    Raises:
        ArgumentError: the rank is not 2.
    """

    timm_name: str

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.rank != 2:
            raise ArgumentError(
                f"rank={self.rank} for {PREFIX}{self.timm_name}",
                why="timm's networks take images",
                fix="leave the rank out, or choose one of striate models",
            )


class TimmFeatures(nn.Module):
    """A network of timm up to pooling, its channels put first.

    Args:
        model: timm's, without a classifier.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model: Any = model
        self.channels_last = getattr(model, "output_fmt", "NCHW") == "NHWC"

    def forward(self, x: Float[Tensor, "n c *space"]) -> Float[Tensor, "n features *reduced"]:
        """The last feature maps, or tokens."""
        y: Tensor = self.model.forward_features(x)
        return y.movedim(-1, 1) if self.channels_last or y.ndim == 3 else y

    def pool(self, features: Float[Tensor, "n features *reduced"]) -> Float[Tensor, "n d"]:
        """What timm does between the last maps and the classifier."""
        last = self.channels_last or features.ndim == 3
        pooled: Tensor = self.model.forward_head(
            features.movedim(1, -1) if last else features, pre_logits=True
        )
        return pooled


class TimmPool(nn.Module):
    """The pooling of a network of timm, whose parameters stay with its features.

    Args:
        features: the network's.
    """

    def __init__(self, features: TimmFeatures) -> None:
        super().__init__()
        # In a tuple it is no submodule: every tensor has one name only.
        self.features = (features,)

    def forward(self, x: Float[Tensor, "n features *reduced"]) -> Float[Tensor, "n d"]:
        """Pool."""
        return self.features[0].pool(x)


class TimmNetwork(Network):
    """A network of timm.

    Args:
        config: its configuration.
        pretrained: let timm fetch its weights.

    Raises:
        WeightsUnavailableError: timm could not get the weights.
    """

    config: TimmConfig

    def __init__(self, config: TimmConfig, pretrained: bool = False) -> None:
        card = _card(config.timm_name)
        model = _create(config, card, pretrained)
        classifier = model.get_classifier()
        model.reset_classifier(0)
        num_features = getattr(model, "head_hidden_size", None) or model.num_features
        super().__init__(config, stem=nn.Identity(), stages=[], num_features=num_features)
        features = TimmFeatures(model)
        # Put in only now: the weights are timm's to initialize.
        self.stem = features
        self.pool = TimmPool(features)
        self.preprocessing = _preprocessing(card).for_channels(config.in_channels)
        if isinstance(classifier, nn.Linear) and classifier.bias is not None:
            with torch.no_grad():
                self.classifier.weight.copy_(classifier.weight)
                self.classifier.bias.copy_(classifier.bias)

    def multi_scale(self, x: Float[Tensor, "n c h w"]) -> tuple[Tensor, ...]:
        """The maps that timm gives of its stages or blocks, the first ones first.

        Raises:
            ArgumentError: see `forward_features`; or timm has no maps of this network.
        """
        self._check_input(x)
        model: Any = self.stem.get_submodule("model")
        if not hasattr(model, "forward_intermediates"):
            raise ArgumentError(f"{PREFIX}{self.config.timm_name} gives no maps at several scales")
        maps = model.forward_intermediates(x, intermediates_only=True)
        return tuple(maps)


def _timm() -> Any:
    try:
        return import_module("timm")
    except ImportError as error:
        raise MissingExtraError("timm", "timm") from error


def _card(name: str) -> Any:
    """What timm knows of the weights of a name."""
    timm = _timm()
    if not timm.is_model(name):
        raise UnknownNameError("model of timm", name, timm.list_models())
    try:
        return timm.get_pretrained_cfg(name)
    except RuntimeError:
        architecture = name.partition(".")[0]
        known = timm.list_pretrained(f"{architecture}.*")
        raise UnknownNameError("weights of timm", name, known) from None


def _create(config: TimmConfig, card: Any, pretrained: bool) -> Any:
    options: dict[str, Any] = {"in_chans": config.in_channels, "num_classes": config.num_classes}
    if card.fixed_input_size and config.input_size != card.input_size[-1]:
        options["img_size"] = config.input_size
    if not pretrained:
        return _timm().create_model(config.timm_name, pretrained=False, **options)
    try:
        return _timm().create_model(config.timm_name, pretrained=True, **options)
    # timm lets the errors of the hub's client and of its HTTP library through.
    except Exception as error:
        raise WeightsUnavailableError(
            f"no pretrained weights of {PREFIX}{config.timm_name} can be had",
            why=f"timm could not get them ({type(error).__name__})",
            fix="get them once with a network, or leave the weights out",
        ) from error


def _preprocessing(card: Any) -> Preprocessing:
    bicubic = card.interpolation != "bilinear"
    return Preprocessing(
        mean=tuple(card.mean),
        std=tuple(card.std),
        size=card.input_size[-1],
        crop_fraction=card.crop_pct,
        interpolation="bicubic" if bicubic else "bilinear",
    )


def _variant(name: str) -> Variant:
    inner = name.removeprefix(PREFIX)
    card = _card(inner)
    config = TimmConfig(
        timm_name=inner, input_size=card.input_size[-1], num_classes=card.num_classes or 1000
    )
    return Variant(
        family="timm",
        config=config,
        build=TimmNetwork,
        pretrained=partial(TimmNetwork, pretrained=True),
    )


register_open(lambda name: name.startswith(PREFIX), _variant)
