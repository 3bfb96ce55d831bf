"""Any network of timm, as `timm/NAME`, through the same calls; images only.

They need the extra `timm`, and are not among `striate models`, which are Striate's own. The whole of
a network up to pooling is one block; `weights="imagenet"` has timm fetch the weights that belong to
the name, or to its tag (`timm/resnet50.a1_in1k`).

Axes: (n, c, h, w); (n, c, tokens) for the features of a transformer of tokens.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
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
from striate.models.network import GridConfig, GridNetwork
from striate.weights.manifest import Layout
from striate.weights.preprocessing import Preprocessing

PREFIX: Final = "timm/"

_MODEL: Final = "stem.model."
"""Starts our names of the tensors that are timm's."""


@dataclass(frozen=True, kw_only=True)
class TimmConfig(GridConfig):
    """One network of timm.

    Attributes:
        timm_name: Name in timm, with or without the tag of its weights.
    """

    timm_name: str

    @property
    def fixed_size(self) -> bool:
        """Whether timm says so."""
        return bool(_card(self.timm_name).fixed_input_size)


class TimmFeatures(nn.Module):
    """A network of timm up to pooling, its channels put first.

    Args:
        model: Timm's, without a classifier.
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
        features: The network's.
    """

    def __init__(self, features: TimmFeatures) -> None:
        super().__init__()
        # In a tuple it is no submodule: every tensor has one name only.
        self.features = (features,)

    def forward(self, x: Float[Tensor, "n features *reduced"]) -> Float[Tensor, "n d"]:
        """Pool."""
        return self.features[0].pool(x)


class TimmNetwork(GridNetwork):
    """A network of timm.

    Args:
        config: Its configuration.
        pretrained: Let timm fetch its weights.

    Raises:
        WeightsUnavailableError: Timm could not get the weights.
    """

    config: TimmConfig

    def __init__(self, config: TimmConfig, pretrained: bool = False) -> None:
        card = _card(config.timm_name)
        model = _create(config, card, pretrained)
        classifier = model.get_classifier()
        model.reset_classifier(0)
        num_features = getattr(model, "head_hidden_size", None) or model.num_features
        super().__init__(config, stem=nn.Identity(), stages=[], num_features=num_features)
        # Put in only now: the weights are timm's to initialize.
        self.stem = features = TimmFeatures(model)
        self.pool = TimmPool(features)
        preprocessing = Preprocessing(
            mean=tuple(card.mean),
            std=tuple(card.std),
            size=config.input_size,
            crop_fraction=card.crop_pct,
            interpolation=card.interpolation,
            crop_mode=card.crop_mode,
        )
        self.preprocessing = preprocessing.for_channels(config.in_channels)
        if isinstance(classifier, nn.Linear) and classifier.bias is not None:
            self.classifier.load_state_dict(classifier.state_dict())

    def check_shape(self, shape: Sequence[int]) -> None:
        """Make sure that the network takes inputs of a shape, by computing its shapes alone.

        Args:
            shape: Items, channels, then sides.

        Raises:
            ArgumentError: It does not. Timm says for few networks what they take.
        """
        super().check_shape(shape)
        try:
            with torch.inference_mode():
                copy.deepcopy(self).to("meta").eval()(torch.empty(tuple(shape), device="meta"))
        # Each network raises whatever it likes.
        except Exception as error:
            raise ArgumentError(
                f"{PREFIX}{self.config.timm_name} does not take inputs of "
                f"{' x '.join(map(str, shape[1:]))}",
                why=str(error).partition("\n")[0] or type(error).__name__,
                fix="choose another network or size",
            ) from error

    def layouts(self) -> dict[str, Layout]:
        """Timm's own names."""
        names = (key for key in self.state_dict() if key.startswith(_MODEL))
        keys = {key: key.removeprefix(_MODEL) for key in names}
        # Of several classifiers (a distilled one has two) the first is that of the class token.
        model: Any = self.stem.get_submodule("model")
        classifier = model.default_cfg["classifier"]
        head: str = classifier if isinstance(classifier, str) else classifier[0]
        return {"timm": Layout(keys={**keys, "head.linear": head})}

    def mixing_block(self) -> nn.Module | None:
        """The last block of a transformer of tokens; None of another network."""
        model: Any = self.stem.get_submodule("model")
        blocks = getattr(model, "blocks", None)
        tokens = hasattr(model, "patch_embed") and isinstance(blocks, nn.Sequential | nn.ModuleList)
        return blocks[-1] if tokens and blocks is not None else None

    def token_maps(
        self, tokens: Float[Tensor, "n tokens d"], space: tuple[int, ...]
    ) -> Float[Tensor, "n d h w"]:
        """The map of all patches, without the tokens before them.

        Raises:
            ArgumentError: The tokens are no grid of patches.
        """
        model: Any = self.stem.get_submodule("model")
        patches = tokens[:, getattr(model, "num_prefix_tokens", 0) :]
        patch = getattr(model.patch_embed, "patch_size", None) or (1, 1)
        grid = [side // size for side, size in zip(space, patch, strict=True)]
        if tokens.ndim != 3 or grid[0] * grid[1] != patches.shape[1]:
            raise ArgumentError(
                f"{PREFIX}{self.config.timm_name}: no map",
                why=f"{patches.shape[1]} tokens are no grid of {grid[0]} x {grid[1]} patches",
            )
        return patches.transpose(1, 2).reshape(len(patches), -1, *grid)

    def forward_intermediates(
        self,
        x: Float[Tensor, "n c h w"],
        indices: int | Sequence[int] | None = None,
        *,
        intermediates_only: bool = False,
    ) -> list[Tensor] | tuple[Tensor, list[Tensor]]:
        """What timm gives as the last feature maps, and as those of its stages or blocks.

        Raises:
            ArgumentError: See `forward_features`; or timm has no maps of this network.
        """
        self._check_input(x)
        model: Any = self.stem.get_submodule("model")
        if not hasattr(model, "forward_intermediates"):
            raise ArgumentError(f"{PREFIX}{self.config.timm_name} gives no maps at several scales")
        maps: list[Tensor] = model.forward_intermediates(x, indices, intermediates_only=True)
        return maps if intermediates_only else (self.forward_features(x), maps)


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
    try:
        return _timm().create_model(config.timm_name, pretrained=pretrained, **options)
    # timm lets the errors of the hub's client and of its HTTP library through.
    except Exception as error:
        if not pretrained:
            raise ArgumentError(
                f"{PREFIX}{config.timm_name} cannot be made for a side of {config.input_size}",
                why=f"timm says {str(error) or type(error).__name__}",
                fix=f"take its own side, `image_size={card.input_size[-1]}`",
            ) from error
        raise WeightsUnavailableError(
            f"no pretrained weights of {PREFIX}{config.timm_name} can be had",
            why=f"timm could not get them ({type(error).__name__})",
            fix="get them once with a network, or leave the weights out",
        ) from error


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
        ranks=(2,),
        pretrained=partial(TimmNetwork, pretrained=True),
    )


register_open(lambda name: name.startswith(PREFIX), _variant)
