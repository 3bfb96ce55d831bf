"""MultiRocket-Hydra: both sets of features of a series, and one linear layer on them.

Dempster, Schmidt and Webb, Hydra: Competing Convolutional Kernels for Fast and Accurate Time Series
Classification, Data Mining and Knowledge Discovery 2023, arXiv:2203.13652, which joins Hydra's
features to those of MultiRocket (Tan et al. 2022). See `striate.models.rocket.multirocket` and
`striate.models.rocket.hydra`.

Series only, of one length.

Axes: n items, c channels, l places, f features.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from striate.models.catalog import register
from striate.models.network import GridNetwork
from striate.models.rocket.hydra import HydraConfig, HydraFeatures
from striate.models.rocket.multirocket import MultiRocketConfig, MultiRocketFeatures


@dataclass(frozen=True, kw_only=True)
class MultiRocketHydraConfig(MultiRocketConfig, HydraConfig):
    """What both have to choose; `input_size` is the series' length."""


class JoinedFeatures(nn.Module):
    """MultiRocket's features, then Hydra's.

    Args:
        config: Configuration of the network.
    """

    def __init__(self, config: MultiRocketHydraConfig) -> None:
        super().__init__()
        length, channels = config.input_size, config.in_channels
        self.multirocket = MultiRocketFeatures(length, channels, config.num_kernel_features)
        self.hydra = HydraFeatures(length, channels, config.num_groups, config.group_size)
        self.num_features = self.multirocket.num_features + self.hydra.num_features

    def forward(self, x: Float[Tensor, "n c l"]) -> Float[Tensor, "n f 1"]:
        """The features, as maps of one place."""
        return torch.cat([self.multirocket(x), self.hydra(x)], 1)


class MultiRocketHydra(GridNetwork):
    """Statistics of fixed kernels, what random kernels win, and a linear layer on both.

    Biases and random kernels are zero until `fit_features` or saved weights set them.
    """

    config: MultiRocketHydraConfig
    stem: JoinedFeatures
    fits_features = True

    def __init__(self, config: MultiRocketHydraConfig) -> None:
        stem = JoinedFeatures(config)
        super().__init__(config, stem=stem, stages=[], num_features=stem.num_features)
        self.min_size = stem.multirocket.min_size

    def fit_features(self, inputs: Float[Tensor, "n c l"], seed: int) -> None:
        """Set the biases from training items, and draw the random kernels."""
        self._check_input(inputs)
        draw = np.random.default_rng(seed)
        self.stem.multirocket.fit(inputs, draw)
        self.stem.hydra.fit(draw)


VARIANTS: Final = {"multirocket_hydra": MultiRocketHydraConfig()}

register("multirocket_hydra", VARIANTS, MultiRocketHydra, ranks=(1,))
